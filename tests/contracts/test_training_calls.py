"""Training.call, here, settle: who is still there, and what becomes of the roster; contract and model side by side."""

from __future__ import annotations

import dataclasses

import pytest
from support.evm import Evm, person
from support.model.training import MembershipModel, TrainingModel
from support.twin import DONE, JOB, Twin, refused
from swarm.chain.contract import artifact
from swarm.chain.keys import SignatureVerifier
from swarm.core.chain_view import Phase
from swarm.core.ids import Digest

BLOCKS, SECONDS = 10, 120


def running(count: int, *, min_peers: int = 2, more: int = 0) -> Twin:
    """`count` nodes in R, `more` admitted only."""
    twin = Twin(count + more)
    twin.join_all(count, min_peers=min_peers)
    if min_peers < count:
        twin.round(items=twin.nodes[:count])
    assert len(twin.roster()) == count
    return twin


def wait(twin: Twin, *, times: int = 1) -> None:
    """rescueAfter passes, in blocks and seconds."""
    twin.evm.skip(times * BLOCKS, times * SECONDS)


def called(twin: Twin, here: list[int], *, done: list[int] | None = None, by: int = 0) -> int:
    """A call by node `by`, answered by the nodes at these places, that is due."""
    call_id = twin.call(twin.nodes[by])
    for place in here:
        twin.here(twin.nodes[place], call_id, done=done is not None and place in done)
    wait(twin)
    return call_id


def test_a_call_is_open_once_and_each_answers_once() -> None:
    """A second call, a second answer and an answer to another call are refused by name."""
    twin = running(3)
    a, b, _ = twin.nodes
    call_id = twin.call(a)
    state = twin.state()
    assert (state.call_id, state.call_block, state.call_time) == (call_id, twin.evm.number, twin.evm.time)
    with refused("TrainingCallOpen", callId=call_id):
        twin.call(b)
    twin.here(b, call_id)
    with refused("TrainingAlreadyAnswered", node=b.address, callId=call_id):
        twin.here(b, call_id, done=True)
    with refused("TrainingNoCall", callId=call_id + 1, open=call_id):
        twin.here(a, call_id + 1)


def test_a_call_needs_the_open_round_and_complete_founders() -> None:
    """Before the founders are complete nobody calls; another run, round or epoch is refused by name."""
    twin = Twin(2)
    a, b = twin.nodes
    twin.join(a, 2)
    with refused("TrainingWrongPhase", phase=Phase.OPEN):
        twin.call(a)
    twin.join(b, 2)
    for run, round_, epoch, error in (
        (2, 0, 0, "TrainingWrongRun"),
        (1, 1, 0, "TrainingWrongRound"),
        (1, 0, 1, "TrainingWrongRound"),
    ):
        with refused(error):
            twin.step("Training", a.address, "call", JOB, run, round_, epoch)
    with refused("TrainingNoCall", callId=0, open=0):
        twin.settle(0)


def test_only_joined_active_nodes_call_and_answer() -> None:
    """Outsiders, suspended members and those who left neither call nor answer."""
    twin = running(3, more=1)
    a, b, c, outsider = twin.nodes
    with refused("TrainingNotJoined", node=outsider.address):
        twin.call(outsider)
    twin.member("suspend", b.address)
    with refused("MembershipNotActive", caller=b.address):
        twin.call(b)
    call_id = twin.call(a)
    with refused("MembershipNotActive", caller=b.address):
        twin.here(b, call_id)
    with refused("TrainingNotJoined", node=outsider.address):
        twin.here(outsider, call_id)
    twin.leave(c)
    with refused("TrainingNotJoined", node=c.address):
        twin.here(c, call_id)


def test_a_node_calls_at_most_once_per_rescue_after() -> None:
    """In blocks and in seconds, whatever became of its call; another node may call at once."""
    twin = running(3)
    a, b, _ = twin.nodes
    twin.call(a)
    twin.round()
    with refused("TrainingCallTooEarly", blocks=BLOCKS - 2, seconds_=SECONDS - 2):
        twin.call(a)
    twin.call(b)
    twin.round()
    twin.evm.skip(BLOCKS, 0)
    with refused("TrainingCallTooEarly", blocks=0):
        twin.call(a)
    twin.evm.skip(0, SECONDS)
    twin.call(a)


@pytest.mark.parametrize(
    ("blocks", "seconds", "missing"),
    [(BLOCKS - 2, SECONDS, (1, 0)), (BLOCKS, SECONDS - 2, (0, 1)), (0, 0, (BLOCKS - 1, SECONDS - 1))],
)
def test_a_call_is_not_settled_before_rescue_after(blocks: int, seconds: int, missing: tuple[int, int]) -> None:
    """Both the seconds and the blocks must have passed; the refusal says what is missing."""
    twin = running(3)
    call_id = twin.call(twin.nodes[0])
    twin.evm.skip(blocks, seconds)
    with refused("TrainingCallTooEarly", blocks=missing[0], seconds_=missing[1]):
        twin.settle(call_id)


@pytest.mark.parametrize(("seconds", "blocks"), [(5, 2), (24, 2), (36, 3), (119, 9), (120, 10), (86_400, 10)])
def test_rescue_after_is_of_the_deployment_and_so_are_its_blocks(seconds: int, blocks: int) -> None:
    """One block in 12 seconds, at least 2 and at most 10, bind settling, lapsing and calling again."""
    twin = Twin(3, rescue_after=seconds)
    assert twin.chain.training.ask("rescueAfter") == seconds == twin.model.rescue_after
    twin.join_all(3, min_peers=2)
    twin.round(items=twin.nodes)
    call_id = twin.call(twin.nodes[0])
    twin.evm.skip(blocks - 2, seconds)
    with refused("TrainingCallTooEarly", blocks=1, seconds_=0):
        twin.settle(call_id)
    twin.evm.skip(blocks, seconds - 1)
    with refused("TrainingCallOpen", callId=call_id):
        twin.call(twin.nodes[1])
    twin.evm.skip(2, 2)
    assert twin.settle(call_id)[0].name == "CallLapsed"
    twin.call(twin.nodes[0])


@pytest.mark.parametrize("seconds", [4, 86_401])
def test_a_rescue_after_out_of_bounds_is_not_deployed(seconds: int) -> None:
    """Contract and model refuse it with the bounds, 5 seconds to a day."""
    bounds = {"seconds_": seconds, "secondsMin": 5, "secondsMax": 86_400}
    evm = Evm([person("admin")])
    members = evm.deploy(person("admin"), artifact("Membership"))
    calls = evm.deploy(person("admin"), artifact("TrainingCalls"))
    with refused("TrainingBadRescueAfter", **bounds):
        libraries = {"TrainingCalls": calls.address, "TrainingCarried": calls.address}
        evm.deploy(person("admin"), artifact("Training"), members.address, seconds, libraries=libraries)
    with refused("TrainingBadRescueAfter", **bounds):
        TrainingModel(MembershipModel(person("admin")), SignatureVerifier(), Digest(bytes(32)), seconds)


def test_a_call_is_settled_in_the_first_block_that_is_due() -> None:
    """Seconds and blocks both reached, a call is settled in that very block, not one later."""
    twin = running(3)
    call_id = twin.call(twin.nodes[0])
    twin.evm.skip(BLOCKS - 1, SECONDS - 1)
    assert twin.settle(call_id)[0].name == "CallVoided"


def test_the_rest_of_a_roster_without_majority_goes_on() -> None:
    """R := those who answered; the silent are dropped, epoch grows, the round stays; the others finish."""
    twin = running(5)
    a, b, *silent = twin.nodes
    events = twin.settle(called(twin, [0, 1]))
    assert [e.name for e in events] == ["Reformed", "RoundOpened"]
    assert events[0].values["dropped"] == tuple(n.address for n in silent)
    state = twin.state()
    assert (state.epoch, state.round, state.joined_count, state.call_id) == (1, 1, 2, 0)
    assert twin.roster().addresses == (a.address, b.address)
    assert [j.joined for j in twin.joiners()] == [True, True, False, False, False]
    twin.round()
    assert (twin.state().round, twin.state().epoch) == (2, 1)


def test_nothing_of_the_old_epoch_counts_after_a_reform() -> None:
    """A certificate of the old epoch is refused though a majority of the old roster signed it."""
    twin = running(5)
    old = twin.bundle()
    twin.settle(called(twin, [0, 1]))
    with refused("TrainingWrongRound", round=1, epoch=0, openRound=1, openEpoch=1):
        twin.commit(old)
    mixed = dataclasses.replace(twin.bundle(), items=old.items)
    with refused("TrainingItemSignature", index=0):
        twin.commit(mixed)


def test_a_dropped_member_counts_again_only_after_its_new_join() -> None:
    """It is a joiner of the re-formed round then, and belongs to R from the next one."""
    twin = running(5)
    a, b, c, *_ = twin.nodes
    twin.settle(called(twin, [0, 1]))
    with refused("TrainingItemNotMember", index=2, node=c.address):
        twin.commit(twin.bundle([a, b, c]))
    twin.join(c)
    twin.commit(twin.bundle([a, b, c]))
    assert twin.roster().addresses == (a.address, b.address, c.address)


def test_joiners_that_did_not_answer_stay_joined_and_those_that_did_enter_the_roster() -> None:
    """A reform drops silent members of the roster alone; silent joiners enter at the next opening."""
    twin = running(4, more=2)
    a, _, _, _, e, f = twin.nodes
    twin.join(e)
    twin.join(f)
    twin.settle(called(twin, [0, 4]))
    assert twin.roster().addresses == (a.address, e.address)
    assert {j.node for j in twin.joiners() if j.joined} == {a.address, e.address, f.address}
    twin.round()
    assert twin.roster().addresses == (a.address, e.address, f.address)


def test_a_call_is_void_when_a_majority_answers() -> None:
    """The silent minority stays on the roster: nothing has changed but that the call is over."""
    twin = running(5)
    before = twin.state()
    events = twin.settle(called(twin, [0, 1, 2]))
    assert [(e.name, e.values["answers"]) for e in events] == [("CallVoided", 3)]
    assert twin.state() == before


def test_a_majority_that_is_done_goes_on_without_a_silent_member() -> None:
    """All who answered are done and one of R is silent: re-formed, so that the run can end."""
    twin = running(5)
    twin.settle(called(twin, [0, 1, 2, 3], done=[0, 1, 2, 3]))
    assert len(twin.roster()) == 4
    twin.round(flags=DONE)
    assert twin.state().phase is Phase.COMPLETE


def test_one_answerer_that_still_trains_keeps_the_majority_waiting() -> None:
    """With a majority present, one answer that is not done voids the call: nobody is dropped."""
    twin = running(5)
    assert twin.settle(called(twin, [0, 1, 2, 3], done=[0, 1, 2]))[0].name == "CallVoided"
    assert len(twin.roster()) == 5


def test_a_call_that_all_answer_done_is_void() -> None:
    """Nobody is silent: the round itself ends the run."""
    twin = running(3)
    assert twin.settle(called(twin, [0, 1, 2], done=[0, 1, 2]))[0].name == "CallVoided"


def test_a_training_joiner_counts_among_the_answerers() -> None:
    """All of R that answered are done, but a joiner that answered still trains: the majority waits."""
    twin = running(3, more=1)
    twin.join(twin.nodes[3])
    assert twin.settle(called(twin, [0, 1, 3], done=[0, 1]))[0].name == "CallVoided"


def test_a_reform_never_goes_below_min_peers() -> None:
    """Fewer answers than minPeers void the call: the round waits, as designed."""
    twin = running(5, min_peers=3)
    events = twin.settle(called(twin, [0, 1]))
    assert [(e.name, e.values["answers"]) for e in events] == [("CallVoided", 2)]
    assert (twin.state().epoch, len(twin.roster())) == (0, 5)


def test_an_answerer_that_is_gone_at_settlement_counts_as_silent() -> None:
    """Suspended or left since its answer: not on the new roster, and dropped if it was of the old one."""
    twin = running(6)
    a, b, c, d, *_ = twin.nodes
    call_id = twin.call(a)
    for node in (a, b, c, d):
        twin.here(node, call_id)
    twin.member("suspend", c.address)
    twin.leave(d)
    wait(twin)
    events = twin.settle(call_id)
    assert twin.roster().addresses == (a.address, b.address)
    assert c.address in events[0].values["dropped"]
    assert d.address not in events[0].values["dropped"]


def test_a_call_lapses_after_twice_rescue_after() -> None:
    """Settling it then only clears it, answers and all; a new call starts from nothing."""
    twin = running(5)
    call_id = called(twin, [0, 1])
    wait(twin)
    twin.evm.skip(1, 1)
    with refused("TrainingNoCall", callId=call_id, open=0):
        twin.here(twin.nodes[2], call_id)
    assert [e.name for e in twin.settle(call_id)] == ["CallLapsed"]
    with refused("TrainingNoCall", callId=call_id, open=0):
        twin.settle(call_id)
    again = twin.call(twin.nodes[0])
    assert again == call_id + 1
    wait(twin)
    assert twin.settle(again)[0].values["answers"] == 0


def test_a_lapsed_call_gives_way_to_a_new_one() -> None:
    """After its time a call is closed by the next caller, which both events show."""
    twin = running(5)
    old = called(twin, [0, 1])
    wait(twin)
    twin.evm.skip(1, 1)
    events = twin.step("Training", twin.nodes[1].address, "call", JOB, 1, 1, 0)
    assert [(e.name, e.values["call_id"]) for e in events] == [("CallLapsed", old), ("Called", old + 1)]


def test_a_call_does_not_lapse_while_blocks_are_few() -> None:
    """On a chain that seals on demand time runs without blocks: there is always a block to settle in."""
    twin = running(5)
    call_id = called(twin, [0, 1])
    twin.evm.skip(0, 10 * SECONDS)
    assert twin.settle(call_id)[0].name == "Reformed"


def test_a_commit_ends_the_call() -> None:
    """A certificate that was only late wins over the call."""
    twin = running(5)
    call_id = called(twin, [0, 1])
    twin.round()
    assert twin.state().call_id == 0
    with refused("TrainingNoCall", callId=call_id, open=0):
        twin.settle(call_id)


def test_a_reform_can_follow_a_reform_and_the_founders_round() -> None:
    """Round 0 can lose its founders as well; the epoch counts on through the run."""
    twin = running(4, min_peers=1)
    for expected, here in ((1, [0]), (2, [1])):
        if expected == 2:
            for node in twin.nodes[1:]:
                twin.join(node)
            twin.round()
        twin.settle(called(twin, here, by=here[0]))
        assert twin.state().epoch == expected
        assert twin.roster().addresses == (twin.nodes[here[0]].address,)


def test_an_empty_roster_is_re_formed_by_joiners() -> None:
    """c is 1 and nobody of R can answer, so the joiners that answer are the new roster."""
    twin = Twin(2)
    a, b = twin.nodes
    twin.join(a, 1)
    twin.join(b, 1)
    twin.member("suspend", b.address)
    twin.leave(a)
    twin.round(items=[a])
    assert len(twin.roster()) == 0
    twin.member("resume", b.address)
    twin.settle(called(twin, [1], by=1))
    assert twin.roster().addresses == (b.address,)
    twin.round()


def test_anyone_may_settle() -> None:
    """Settling needs no membership: it decides nothing."""
    twin = running(3)
    call_id = called(twin, [0, 1])
    assert twin.step("Training", person("passer-by"), "settle", JOB, call_id)[0].name == "CallVoided"


def test_open_calls_are_counted_over_all_ways_to_end_one() -> None:
    """What an SN's heartbeat asks for: 1 while a call is open or lapsed, 0 after settlement, commit, reset."""
    twin = running(3)
    a = twin.nodes[0]

    def open_calls() -> int:
        found = twin.chain.training.ask("openCalls")
        assert found == (twin.state().call_id != 0)
        return int(found)

    assert open_calls() == 0
    first = twin.call(a)
    assert open_calls() == 1
    wait(twin)
    twin.settle(first)
    assert open_calls() == 0
    twin.call(a)
    wait(twin, times=3)
    twin.call(a)  # in the place of one that lapsed
    assert open_calls() == 1
    twin.round()
    assert open_calls() == 0
    wait(twin)
    twin.call(a)
    twin.step("Training", twin.admin, "reset", JOB, True)
    assert open_calls() == 0
