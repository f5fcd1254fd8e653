"""Training: jobs, founders, joining and leaving, reset and closing; contract and model side by side."""

from __future__ import annotations

from support.evm import person
from support.twin import DONE, FAR, JOB, Twin, refused
from swarm.core.chain_view import Phase, Role
from swarm.core.ids import DEFAULT_JOB, Digest, job_id, sha256


def reset(twin: Twin, *, force: bool = False) -> None:
    twin.step("Training", twin.admin, "reset", JOB, force)


def close(twin: Twin, place: int, run: int = 1) -> None:
    twin.step("Training", twin.nodes[place].address, "close", JOB, run, -5, 7)


def completed(count: int) -> Twin:
    twin = Twin(count)
    twin.join_all(count)
    twin.round(flags=DONE)
    assert twin.state().phase is Phase.COMPLETE
    return twin


def test_the_default_job_exists_from_deployment() -> None:
    """`defaultbb.cqdb.sml.hpe` needs no createJob; it is idle in run 1."""
    twin = Twin(0)
    assert twin.chain.training.ask("jobs", 0, 100) == ([JOB], [DEFAULT_JOB])
    assert (twin.state().phase, twin.state().run) == (Phase.IDLE, 1)
    assert twin.chain.training.ask("membership") == twin.chain.membership.address


def test_creating_a_job_needs_an_operator_role_and_a_sound_new_name() -> None:
    """SN, SWCI and SWOP may; an SL, a stranger, a name of 0 or 161 bytes or one in use may not."""
    twin = Twin(1)
    for role in (Role.SWCI, Role.SWOP):
        node = person(role.name)
        twin.admit(node, role)
        twin.step("Training", node, "createJob", f"job of {role.name}")
    twin.step("Training", twin.admin, "createJob", "x" * 160)
    with refused("TrainingBadName", bytesLength=161, bytesMax=160):
        twin.step("Training", twin.admin, "createJob", "x" * 161)
    with refused("TrainingBadName", bytesLength=0):
        twin.step("Training", twin.admin, "createJob", "")
    with refused("TrainingJobExists", job=JOB):
        twin.step("Training", twin.admin, "createJob", DEFAULT_JOB)
    with refused("MembershipNotAllowed", caller=twin.nodes[0].address, needed=Role.SWCI):
        twin.step("Training", twin.nodes[0].address, "createJob", "mine")
    with refused("MembershipNotActive", caller=person("stranger")):
        twin.step("Training", person("stranger"), "createJob", "mine")
    ids, names = twin.chain.training.ask("jobs", 0, 100)
    assert dict(zip(ids, names, strict=True)) == twin.model.jobs()
    assert job_id("job of SWCI") in ids


def test_no_operator_fills_the_list_of_jobs_and_a_page_has_a_bound() -> None:
    """The 101st job of one creator is refused, another's is taken; a page has 100 at most, whatever is asked."""
    twin = Twin(0)
    greedy, other = person("greedy"), person("other")
    twin.admit(greedy, Role.SWOP)
    twin.admit(other, Role.SWCI)
    for number in range(100):
        twin.step("Training", greedy, "createJob", f"job {number}")
    with refused("TrainingTooManyJobs", jobs=100, jobsMax=100):
        twin.step("Training", greedy, "createJob", "one more")
    twin.step("Training", other, "createJob", "another's")
    ask = twin.chain.training.ask
    asked = {(0, 2**256 - 1): 100, (100, 500): 2, (102, 1): 0, (10**9, 1): 0}
    assert {page: len(ask("jobs", *page)[0]) for page in asked} == asked
    names = [*ask("jobs", 0, 100)[1], *ask("jobs", 100, 100)[1]]
    assert names == [DEFAULT_JOB, *(f"job {n}" for n in range(100)), "another's"]
    assert ask("nameOf", job_id("another's")) == "another's"
    assert ask("nameOf", job_id("one more")) == ""


def test_an_unknown_job_is_refused_by_every_step_and_empty_in_every_view() -> None:
    """No step creates a job by accident, and no view fails on one that is not there."""
    twin = Twin(1)
    other = Digest(sha256(b"no such job"))
    node = twin.nodes[0].address
    for function, arguments in (
        ("join", ("", 1, True)),
        ("leave", ()),
        ("call", (1, 0, 0)),
        ("here", (1, False)),
        ("settle", (1,)),
        ("reset", (True,)),
        ("close", (1, 0, 0)),
    ):
        with refused("TrainingUnknownJob", job=other):
            twin.step("Training", node, function, other, *arguments)
    assert twin.state(other).phase is Phase.NONE
    ask = twin.chain.training.ask
    assert ask("rosterOf", other) == ask("joinersOf", other, 0, 100) == []
    assert ask("mergedOf", other, 1, 0) == (bytes(32), 0)
    assert ask("phaseOf", other, 1) == Phase.NONE == twin.model.phase_of(other, 1)
    assert ask("leaderOf", other, 0) == bytes(20)
    assert twin.model.leader_of(other, 0) is None
    assert twin.model.merged_of(other, 1, 0) is None


def test_round_0_opens_when_the_founders_are_complete() -> None:
    """The first m joiners, m the largest minPeers asked for so far, are the roster; then minPeers is fixed."""
    twin = Twin(4)
    a, b, c, d = twin.nodes
    twin.join(a, 1 + 1)
    assert not twin.state().started
    # b's own demand raises m before the count is tested: two have joined, three are needed now.
    twin.join(b, 3)
    assert (twin.state().started, twin.state().min_peers) == (False, 3)
    events = twin.join(c, 1)
    assert [e.name for e in events] == ["Joined", "RoundOpened"]
    assert (twin.state().started, twin.state().min_peers, twin.state().opened_block) == (True, 3, twin.evm.number)
    assert twin.roster().addresses == (a.address, b.address, c.address)
    twin.join(d, 2)
    assert twin.roster().addresses == (a.address, b.address, c.address)
    assert twin.state().joined_count == 4


def test_one_joiner_with_min_peers_1_starts_alone() -> None:
    """minPeers 1 opens round 0 at the first join."""
    twin = Twin(1)
    twin.join(twin.nodes[0], 1)
    assert twin.state().started


def test_a_later_joiner_that_asks_for_more_is_refused_and_one_that_asks_for_less_is_not() -> None:
    """minPeers is fixed at the start of a run; the refusal names it."""
    twin = Twin(3)
    twin.join_all(2)
    with refused("TrainingMinPeersAboveRun", asked=3, fixedFor=2):
        twin.join(twin.nodes[2], 3)
    twin.join(twin.nodes[2], 1)
    assert twin.state().min_peers == 2


def test_bad_joins_are_refused_by_name() -> None:
    """minPeers 0 or above what can ever be joined, a long URI, a second join, another role, a revoked member."""
    twin = Twin(2)
    a, b = twin.nodes
    with refused("TrainingMinPeersZero"):
        twin.join(a, 0)
    with refused("TrainingMinPeersAboveRun", asked=251, fixedFor=250):
        twin.join(a, 251)
    with refused("TrainingUriTooLong", bytesLength=257, bytesMax=256):
        twin.join(a, 2, uri="u" * 257)
    twin.join(a, 2, uri="u" * 256)
    with refused("TrainingAlreadyJoined", node=a.address):
        twin.join(a, 2)
    with refused("MembershipNotAllowed", caller=twin.admin, needed=Role.SL):
        twin.step("Training", twin.admin, "join", JOB, "", 2, True)
    twin.member("revoke", b.address)
    with refused("MembershipNotActive", caller=b.address):
        twin.join(b, 2)


def test_founders_are_active_members_and_the_first_to_have_joined() -> None:
    """A suspended joiner does not count; resumed later, it is a founder before those who joined after it."""
    twin = Twin(4)
    a, b, c, d = twin.nodes
    twin.join(b, 3)
    twin.join(d, 3)
    twin.member("suspend", b.address)
    twin.join(c, 3)
    assert not twin.state().started
    twin.member("resume", b.address)
    # Four are joined and active now; the latest of them, a, is no founder though its address is the lowest.
    twin.join(a, 3)
    assert twin.roster().addresses == (b.address, c.address, d.address)


def test_leaving_before_the_start_gives_up_the_place() -> None:
    """Who leaves is no founder and joins anew at the end of the line; its minPeers stays asked for."""
    twin = Twin(4)
    a, b, c, d = twin.nodes
    twin.join(a, 3)
    twin.leave(a)
    with refused("TrainingNotJoined", node=a.address):
        twin.leave(a)
    twin.join(b)
    twin.join(c)
    assert twin.state().min_peers == 3
    twin.join(d)
    assert twin.roster().addresses == (b.address, c.address, d.address)
    assert [j.joined for j in twin.joiners()] == [False, True, True, True]
    twin.join(a)
    assert [j.joined for j in twin.joiners()] == [True] * 4


def test_the_251st_joiner_is_refused_by_name_and_gets_the_place_of_one_who_leaves() -> None:
    """250 are joined at once, no more; who has left makes room."""
    twin = Twin(251)
    for node in twin.nodes[:250]:
        twin.join(node, 250)
    assert len(twin.roster()) == 250
    with refused("TrainingFull", joined=250, max=250):
        twin.join(twin.nodes[250])
    twin.leave(twin.nodes[17])
    twin.join(twin.nodes[250])
    assert twin.state().joined_count == 250
    assert len(twin.joiners()) == 251


def test_reset_opens_the_next_run_and_is_refused_while_members_are_live() -> None:
    """The refusal lists who is live; force overrides; an idle run is not reset; the old run counts as failed."""
    twin = Twin(3)
    with refused("TrainingWrongPhase", job=JOB, phase=Phase.IDLE):
        reset(twin, force=True)
    twin.join_all(3)
    twin.member("suspend", twin.nodes[1].address)
    with refused("TrainingMembersLive", members=[twin.nodes[0].address, twin.nodes[2].address]):
        reset(twin)
    with refused("MembershipNotAllowed"):
        twin.step("Training", twin.nodes[0].address, "reset", JOB, True)
    call_id = twin.call(twin.nodes[0])
    reset(twin, force=True)
    state = twin.state()
    assert (state.phase, state.run, state.started, state.joined_count) == (Phase.IDLE, 2, False, 0)
    assert twin.chain.training.ask("phaseOf", JOB, 1) == Phase.FAILED == twin.model.phase_of(JOB, 1)
    with refused("TrainingNoCall", callId=call_id, open=0):
        twin.here(twin.nodes[0], call_id)
    twin.join(twin.nodes[0], 1)
    assert twin.state().started
    assert twin.roster().addresses == (twin.nodes[0].address,)


def test_reset_needs_no_force_when_nobody_is_live() -> None:
    """With all members gone or revoked a reset opens the next run."""
    twin = Twin(2)
    twin.join_all(2)
    twin.leave(twin.nodes[0])
    twin.member("revoke", twin.nodes[1].address)
    reset(twin)
    assert twin.state().run == 2


def test_a_completed_run_is_reset_without_force_and_keeps_its_record() -> None:
    """Merges and phase of a completed run stay readable after the reset, and the next run starts from nothing."""
    twin = completed(2)
    merged = twin.state().prev
    with refused("TrainingWrongPhase", phase=Phase.COMPLETE):
        twin.admit(person("late"))
        twin.step("Training", person("late"), "join", JOB, "", 1, True)
    reset(twin)
    assert twin.chain.training.ask("mergedOf", JOB, 1, 0) == (merged, 4000)
    assert twin.model.merged_of(JOB, 1, 0).blob == merged
    assert twin.chain.training.ask("phaseOf", JOB, 1) == Phase.COMPLETE
    twin.join_all(2)
    assert twin.state().started
    assert twin.state().prev == bytes(32)


def test_every_node_closes_once_after_the_run_is_complete() -> None:
    """Not before completion, not twice, not for a run that never was, not by somebody who never joined."""
    twin = Twin(2)
    twin.join_all(2)
    with refused("TrainingWrongPhase", phase=Phase.OPEN):
        close(twin, 0)
    twin.round(flags=DONE)
    close(twin, 0)
    with refused("TrainingAlreadyClosed", node=twin.nodes[0].address, run=1):
        close(twin, 0)
    for run in (0, 2):
        with refused("TrainingWrongRun", run=run, current=1):
            close(twin, 1, run)
    outsider = person("outsider")
    twin.admit(outsider)
    with refused("TrainingNotJoined", node=outsider):
        twin.step("Training", outsider, "close", JOB, 1, 0, 0)
    reset(twin)
    close(twin, 1)


def test_a_member_that_is_not_active_any_more_cannot_close() -> None:
    """A revoked member's closing report is refused."""
    twin = completed(1)
    twin.member("revoke", twin.nodes[0].address)
    with refused("MembershipNotActive", caller=twin.nodes[0].address):
        close(twin, 0)


def test_expiry_far_away_is_far_away() -> None:
    """The tests' own `FAR` lies after the chain's clock, or every test above would prove less."""
    assert Twin(0).evm.time + 10 * 365 * 86400 < FAR
