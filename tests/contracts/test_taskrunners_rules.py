"""Taskrunners: runners, followers, assigning, enrolling, the allotment; on the contract and its model alike."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.evm import person
from support.model.assignments import share
from support.tasktwin import NO_AID, RUNNER, SIGNED, TaskTwin, key
from support.twin import refused
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import Address, Digest, sha256
from swarm.core.taskstatements import runner_id
from swarm.core.taskview import AssignmentPhase, Outcome, PeerState, Report, RunnerState, TaskType

WHY = (b"NoImage".ljust(31, b"\0"), Digest(sha256(b"why")))


@pytest.fixture
def twin() -> TaskTwin:
    found = TaskTwin(3)
    found.follow(2)
    return found


# ---- who may --------------------------------------------------------------------------------------------------------

OPERATORS: list[tuple[Any, ...]] = [
    ("createRunner", "r"),
    ("assign", RUNNER, TaskTwin.order(key(0)), *SIGNED),
    ("invite", RUNNER, NO_AID, Address(bytes(20)), 1),
    ("abort", RUNNER, NO_AID, ""),
    ("reset", RUNNER, NO_AID, True),
]
PEERS: list[tuple[Any, ...]] = [
    ("follow", RUNNER, 1),
    ("unfollow", RUNNER),
    ("enrol", RUNNER, NO_AID, 1),
    ("decline", RUNNER, NO_AID, *WHY),
    ("start", RUNNER, NO_AID),
    ("renew", RUNNER, NO_AID, 0),
    ("report", RUNNER, NO_AID, 1, []),
]
ANYBODY: list[tuple[Any, ...]] = [("suspect", RUNNER, NO_AID), ("expire", RUNNER, NO_AID)]


@pytest.mark.parametrize("role", [None, Role.SL, Role.SWCI, Role.SWOP, Role.SN])
def test_who_may_do_what(twin: TaskTwin, role: Role | None) -> None:
    """SN and SWCI give and take tasks, SWOPs speak for themselves, any active member may suspect and expire."""
    who = person("somebody")
    if role is not None:
        twin.admit(who, role)
    allowed = {c[0] for c in ANYBODY} if role is not None else set()
    allowed |= {c[0] for c in OPERATORS} if role in (Role.SN, Role.SWCI) else set()
    allowed |= {c[0] for c in PEERS} if role is Role.SWOP else set()
    for function, *arguments in OPERATORS + PEERS + ANYBODY:
        try:
            twin.step(who, function, *arguments)
            name = ""
        except Reverted as fault:
            name = fault.name
        guarded = name in ("MembershipNotActive", "MembershipNotAllowed")
        assert guarded == (function not in allowed), function
        assert (name == "MembershipNotActive") == (role is None)


# ---- runners and followers ------------------------------------------------------------------------------------------


def test_runners_are_created_once_and_the_default_one_is_there(twin: TaskTwin) -> None:
    """As jobs of Training; a name has 1 to 160 characters."""
    (event,) = twin.step(twin.swci, "createRunner", "mine")
    assert event.values["runner"] == runner_id("mine")
    with refused("RunnerExists", runner=runner_id("mine")):
        twin.step(twin.admin, "createRunner", "mine")
    for bad, characters in (("", 0), ("x" * 161, 161), ("x" * 641, 0)):
        with refused("RunnerBadName", characters=characters, bytesLength=len(bad), bytesMax=640):
            twin.step(twin.swci, "createRunner", bad)
    assert twin.chain.runners.ask("nameOf", runner_id("mine")) == "mine"
    twin.look()


def test_a_creator_makes_100_runners(twin: TaskTwin) -> None:
    """The 101st is refused; somebody else's is not."""
    for number in range(100):
        twin.step(twin.swci, "createRunner", f"r{number}")
    with refused("RunnerTooMany", runners=100, runnersMax=100):
        twin.step(twin.swci, "createRunner", "one more")
    twin.step(twin.admin, "createRunner", "one more")
    found = [twin.chain.runners.ask("runners", at, 1000) for at in (0, 64, 102)]
    assert [len(ids) for ids, _ in found] == [64, 38, 0]


def test_an_unknown_runner_is_refused_by_name(twin: TaskTwin) -> None:
    """Every call about a runner that nobody created."""
    for function, _, *arguments in [c for c in OPERATORS + PEERS if c[0] != "createRunner"] + ANYBODY:
        sender = twin.swops[0] if function in {c[0] for c in PEERS} else twin.swci
        if function == "report":
            arguments[-1] = [Report(0, True, 0)]
        with refused("RunnerUnknown", runner=key(5)):
            twin.step(sender, function, key(5), *arguments)


def test_following_is_a_list_that_changes_in_place(twin: TaskTwin) -> None:
    """Again with other pairs; the same again is nothing; who leaves makes room for the last one."""
    assert twin.step(twin.swops[1], "follow", RUNNER, 2) == []
    twin.step(twin.swops[1], "follow", RUNNER, 5)
    for pairs in (0, 251):
        with refused("RunnerBadCount", what="pairs", given=pairs, min=1, max=250):
            twin.step(twin.swops[1], "follow", RUNNER, pairs)
    twin.look()
    twin.step(twin.swops[0], "unfollow", RUNNER)
    assert twin.step(twin.swops[0], "unfollow", RUNNER) == []
    twin.look()
    twin.step(twin.swops[1], "unfollow", RUNNER)
    twin.step(twin.swops[2], "unfollow", RUNNER)
    twin.look()


# ---- assigning ------------------------------------------------------------------------------------------------------


def test_an_assignment_by_number_runs_to_its_end(twin: TaskTwin) -> None:
    """IDLE, ASSIGNED, RUNNING, COMPLETE; only then it can be reset without force, and the record stays."""
    assert twin.state().shown is RunnerState.IDLE
    aid = twin.assign(twin.task(), n=3)
    assert twin.state().shown is RunnerState.ASSIGNED
    twin.enrol(aid, {twin.swops[0]: 2, twin.swops[1]: 2})
    with refused("RunnerBusy", aid=aid, op=1, state=RunnerState.ASSIGNED):
        twin.step(twin.swci, "reset", RUNNER, aid, False)
    twin.step(twin.swops[1], "start", RUNNER, aid)
    assert [twin.mine(s).peer.allotted for s in twin.swops[:2]] == [2, 1]  # type: ignore[union-attr]
    assert twin.state().shown is RunnerState.RUNNING
    for swop, count in ((twin.swops[0], 2), (twin.swops[1], 1)):
        twin.report(swop, aid, *(Report(n, True, 0) for n in range(count)))
    assert (twin.state().shown, twin.state().busy) == (RunnerState.COMPLETE, False)
    twin.look()
    twin.step(twin.admin, "reset", RUNNER, aid, False)
    assert twin.state().shown is RunnerState.IDLE
    record = twin.assignment(aid)
    assert (record.outcome, record.by, record.reset_by) == (Outcome.COMPLETE, twin.swci, twin.admin)
    with refused("RunnerNotCurrent", aid=aid, current=NO_AID):
        twin.step(twin.admin, "reset", RUNNER, aid, True)


def test_one_key_is_one_assignment(twin: TaskTwin) -> None:
    """The same order again, whenever it comes, is nothing but the event AssignedBefore; another one is refused."""
    task = twin.task()
    aid = twin.assign(task)
    for _ in range(2):
        (event,) = twin.step(twin.swci, "assign", RUNNER, twin.order(task), *SIGNED)
        assert (event.name, event.values["aid"], event.values["op"]) == ("AssignedBefore", aid, 1)
        if twin.state().busy:
            twin.step(twin.swci, "reset", RUNNER, aid, True)
    other = twin.task(2, "other")
    changes: tuple[dict[str, Any], ...] = ({"n": 2}, {"expect": 1}, {"enrol_seconds": 11}, {"named": (twin.swops[0],)})
    for change in changes:
        with refused("RunnerKeyReused", aid=aid):
            twin.step(twin.swci, "assign", RUNNER, twin.order(task, **change), *SIGNED)
    with refused("RunnerKeyReused", aid=aid):
        twin.step(twin.swci, "assign", RUNNER, twin.order(other), *SIGNED)
    assert twin.assign(task, by=twin.admin) != aid
    twin.look()


def test_a_busy_runner_takes_no_other_assignment(twin: TaskTwin) -> None:
    """ASSIGNED or with open pairs, also when one has failed: the refusal names which; an ended one is replaced."""
    task = twin.task()
    aid = twin.running([1, 1])
    with refused("RunnerBusy", aid=aid, op=1, state=RunnerState.RUNNING):
        twin.assign(task, 2)
    twin.report(twin.swops[0], aid, Report(0, False, 1, "KeyError"))
    assert (twin.state().shown, twin.state().busy) == (RunnerState.ERROR, True)
    with refused("RunnerBusy", aid=aid, op=1, state=RunnerState.ERROR):
        twin.assign(task, 2)
    twin.report(twin.swops[1], aid, Report(0, True, 0))
    assert (twin.state().shown, twin.state().busy) == (RunnerState.ERROR, False)
    assert twin.assign(task, 2) != aid
    twin.look()


def test_an_order_is_bounded_and_its_task_is_final(twin: TaskTwin) -> None:
    """Numbers, the names' order, the task, and the version that its prereq means."""
    base = twin.task(1, "base", task_type=TaskType.MAKE_USER_CONTAINER)
    task = twin.task(2, prereq="base")
    good = {"prereq": base}
    for change, what, low, high in (
        ({"n": 0}, "n", 1, 250),
        ({"n": 251}, "n", 1, 250),
        ({"n": 1, "named": (twin.swops[0],)}, "n", 0, 0),
        ({"expect": 251}, "expect", 0, 250),
        ({"enrol_seconds": 9}, "enrolSeconds", 10, 86_400),
        ({"enrol_seconds": 86_401}, "enrolSeconds", 10, 86_400),
        ({"named": tuple(person(f"{i}") for i in range(65))}, "named", 0, 64),
    ):
        with refused("RunnerBadCount", what=what, min=low, max=high):
            twin.assign(task, **{**good, **change})
    with refused("RunnerOrder", index=1):
        twin.assign(task, **good, named=(twin.swops[0], twin.swops[0]))
    with refused("RunnerNotFollower", swop=person("nobody")):
        twin.assign(task, **good, named=(person("nobody"),))
    twin.step(twin.admin, "suspend", twin.swops[1])
    with refused("RunnerNotFollower", swop=twin.swops[1]):
        twin.assign(task, **good, named=(twin.swops[1],))
    with refused("RunnerTaskNotFinal", task=key(3)):
        twin.assign(key(3), **good)
    with refused("RunnerTaskNotRunnable"):
        twin.assign(twin.tasks.latest("ROOTTASK")[0])  # type: ignore[index]
    for wrong in (task, key(3), twin.order(task).prereq):
        with refused("RunnerWrongPrereq", task=task, prereq=wrong):
            twin.assign(task, prereq=wrong)
    newer = twin.task(4, "base", task_type=TaskType.MAKE_USER_CONTAINER)
    aid = twin.assign(task, **good)
    assert twin.assignment(aid).prereq == base != newer


# ---- enrolling and starting -----------------------------------------------------------------------------------------


def test_an_offer_can_be_changed_and_taken_back_until_the_start(twin: TaskTwin) -> None:
    """Enrol again is a new offer, the same again is only a word; decline takes it back, and enrol takes that back."""
    aid = twin.assign(twin.task(), n=4)
    swop = twin.swops[0]
    twin.enrol(aid, {swop: 2})
    assert twin.step(swop, "enrol", RUNNER, aid, 2) == []
    twin.enrol(aid, {swop: 3})
    assert twin.assignment(aid).offered == 3
    twin.step(swop, "decline", RUNNER, aid, *WHY)
    assert twin.step(swop, "decline", RUNNER, aid, *WHY) == []
    assert (twin.assignment(aid).offered, twin.assignment(aid).declined) == (0, 1)
    assert twin.mine(swop).peer.fault == "NoImage"  # type: ignore[union-attr]
    twin.enrol(aid, {swop: 3})
    assert (twin.assignment(aid).offered, twin.assignment(aid).declined) == (3, 0)
    twin.look()
    for offer in (0, 251):
        with refused("RunnerBadCount", what="offer", given=offer, max=250):
            twin.step(swop, "enrol", RUNNER, aid, offer)


def test_what_is_no_run_swarm_has_one_pair_a_swop(twin: TaskTwin) -> None:
    """n counts SWOPs then."""
    aid = twin.assign(twin.task(task_type=TaskType.PULL_IMAGE), n=2)
    with refused("RunnerBadCount", what="offer", given=2, max=1):
        twin.step(twin.swops[0], "enrol", RUNNER, aid, 2)
    twin.enrol(aid, {twin.swops[2]: 1, twin.swops[1]: 1})
    twin.step(twin.swops[2], "start", RUNNER, aid)
    assert twin.assignment(aid).swops == 2


def test_the_start_waits_for_enough_offers_and_for_those_the_assigner_saw(twin: TaskTwin) -> None:
    """Offers reach n, and as many answered as were expected or 5 s have passed; only an enrolled SWOP starts it."""
    aid = twin.assign(twin.task(), n=2, expect=3)
    with refused("RunnerNotEnrolled", swop=twin.swops[0]):
        twin.step(twin.swops[0], "start", RUNNER, aid)
    twin.enrol(aid, {twin.swops[0]: 1})
    with refused("RunnerNotReady", offered=1, wanted=2):
        twin.step(twin.swops[0], "start", RUNNER, aid)
    twin.enrol(aid, {twin.swops[0]: 2})
    due = twin.assignment(aid).assigned_time + 5
    twin.evm.time = due - 2
    with refused("RunnerNotDue", time=due, block_=0):
        twin.step(twin.swops[0], "start", RUNNER, aid)
    twin.evm.skip(1, 1)
    twin.step(twin.swops[0], "start", RUNNER, aid)
    assert twin.assignment(aid).started_time == due
    twin.look()


def test_expected_swops_that_have_all_answered_are_not_waited_for(twin: TaskTwin) -> None:
    """A decline is an answer; one that enrolled too late for a share is Out, and others may not come in."""
    aid = twin.assign(twin.task(), n=1, expect=3)
    twin.evm.step = 0
    twin.enrol(aid, {twin.swops[2]: 1, twin.swops[1]: 1})
    twin.step(twin.swops[0], "decline", RUNNER, aid, *WHY)
    twin.step(twin.swops[2], "start", RUNNER, aid)
    assert [twin.mine(s).peer.state for s in twin.swops] == [  # type: ignore[union-attr]
        PeerState.DECLINED,
        PeerState.IN,
        PeerState.OUT,
    ]
    with refused("RunnerNotNamed", swop=twin.swops[2]):
        twin.step(twin.swops[2], "enrol", RUNNER, aid, 1)
    with refused("RunnerNotNamed", swop=twin.swops[2]):
        twin.step(twin.swops[2], "decline", RUNNER, aid, *WHY)
    with refused("RunnerNothingOpen", swop=twin.swops[2]):
        twin.step(twin.swops[2], "renew", RUNNER, aid, 1)
    with refused("RunnerWrongPhase", aid=aid, phase=AssignmentPhase.RUNNING):
        twin.step(twin.swops[2], "start", RUNNER, aid)
    twin.look()


def test_named_swops_give_all_they_offer_and_nobody_else_may(twin: TaskTwin) -> None:
    """ALL and TARGET: the start waits for each of them; one that declines ends it at once, with the reason kept."""
    one, two, other = twin.swops
    aid = twin.assign(twin.task(), named=(one, two))
    for function, arguments in (("enrol", (1,)), ("decline", WHY)):
        with refused("RunnerNotNamed", swop=other):
            twin.step(other, function, RUNNER, aid, *arguments)
    twin.enrol(aid, {one: 4})
    with refused("RunnerNotReady", offered=1, wanted=2):
        twin.step(one, "start", RUNNER, aid)
    twin.enrol(aid, {two: 3})
    twin.step(two, "start", RUNNER, aid)
    assert (twin.assignment(aid).allotted, twin.assignment(aid).swops) == (7, 2)
    twin.look()
    twin.step(twin.swci, "reset", RUNNER, aid, True)
    aid = twin.assign(twin.assignment(aid).task, 2, named=(two,))
    events = twin.step(two, "decline", RUNNER, aid, *WHY)
    assert [e.name for e in events] == ["Declined", "Ended"]
    assert (twin.assignment(aid).outcome, twin.state().shown) == (Outcome.DECLINED, RunnerState.ERROR)
    twin.look()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_allotment_is_a_function_of_the_offers(twin: TaskTwin, order: tuple[int, ...]) -> None:
    """Whoever comes first: round robin, one at a time, by ascending address."""
    aid = twin.assign(twin.task(), n=6)
    offers = (1, 4, 3)
    for place in order:
        twin.enrol(aid, {twin.swops[place]: offers[place]})
    twin.step(twin.swops[order[0]], "start", RUNNER, aid)
    assert [twin.mine(s).peer.allotted for s in twin.swops] == [1, 3, 2]  # type: ignore[union-attr]


def test_the_models_share_gives_all_and_never_more_than_is_offered() -> None:
    """The oracle itself: sums to n, at most each offer, and nobody has two more than one that could have more."""
    places = [Address(bytes([i]) * 20) for i in range(4)]
    for offers in itertools.product(range(1, 4), repeat=4):
        asked = dict(zip(places, offers, strict=True))
        for n in range(1, sum(offers) + 1):
            given = share(asked, n)
            assert sum(given.values()) == n
            for a, b in itertools.permutations(places, 2):
                assert given[a] <= asked[a]
                if given[b] < asked[b]:
                    assert given[a] <= given[b] + 1


def test_silent_and_revoked_swops_do_not_count_at_the_start(twin: TaskTwin) -> None:
    """Silent for a lease, or no active member: their offers are not there; a renewal brings one back."""
    one, two, three = twin.swops
    aid = twin.assign(twin.task(), n=2)
    twin.enrol(aid, {one: 1, two: 1, three: 1})
    twin.evm.skip(1, 121)
    with refused("RunnerNotReady", offered=1, wanted=2):
        twin.step(one, "start", RUNNER, aid)
    twin.step(three, "renew", RUNNER, aid, 0)
    twin.step(twin.admin, "suspend", three)
    with refused("RunnerNotReady", offered=1, wanted=2):
        twin.step(one, "start", RUNNER, aid)
    twin.step(twin.admin, "resume", three)
    twin.step(one, "start", RUNNER, aid)
    assert [twin.mine(s).peer.state for s in twin.swops] == [  # type: ignore[union-attr]
        PeerState.IN,
        PeerState.OUT,
        PeerState.IN,
    ]
    twin.look()
