"""How assignments end: reports, retries, lease, abort, reset; on the contract and its model alike."""

from __future__ import annotations

import pytest
from support.evm import deployed, person
from support.tasktwin import NO_AID, RUNNER, TaskTwin, key
from support.twin import refused
from swarm.core.chain_view import Role
from swarm.core.ids import Digest, sha256
from swarm.core.taskview import AssignmentPhase, Outcome, PairState, Report, RunnerState

OK, BAD = Report(0, True, 0), Report(0, False, 137, "MemoryError", Digest(sha256(b"text")))


@pytest.fixture
def twin() -> TaskTwin:
    found = TaskTwin(3)
    found.follow(2)
    return found


def states(twin: TaskTwin, aid: Digest) -> list[list[str]]:
    return [[pair.state.name for pair in twin.runners.pairs(aid, swop)] for swop in twin.swops]


# ---- reports --------------------------------------------------------------------------------------------------------


def test_a_report_counts_once_and_the_record_has_all_of_it(twin: TaskTwin) -> None:
    """Exit code, class, hash, SL and run; the same again is nothing, another is refused, and so are pairs not given."""
    aid = twin.running([2, 1])
    full = Report(1, False, -9, "C" * 31, Digest(sha256(b"t")), person("sl"), 7, Digest(sha256(b"job")))
    twin.report(twin.swops[0], aid, full)
    assert twin.report(twin.swops[0], aid, full) == []
    pair = twin.mine(twin.swops[0]).pairs[1]
    assert (pair.state, pair.exit_code, pair.fault, pair.sl, pair.run) == (
        PairState.FAILED, -9, "C" * 31, person("sl"), 7,
    )  # fmt: skip
    with refused("RunnerReported", pair=1, attempt=1):
        twin.report(twin.swops[0], aid, Report(1, True, 0))
    with refused("RunnerBadCount", what="pair", given=2, min=0, max=1):
        twin.report(twin.swops[0], aid, Report(2, True, 0))
    for count in (0, 17):
        with refused("RunnerBadCount", what="reports", given=count, min=1, max=16):
            twin.report(twin.swops[0], aid, *[OK] * count)
    for attempt in (0, 2):
        with refused("RunnerWrongAttempt", attempt=attempt, current=1):
            twin.report(twin.swops[0], aid, OK, attempt=attempt)
    with refused("RunnerNotIn", swop=twin.swops[2]):
        twin.report(twin.swops[2], aid, OK)
    assert twin.state().shown is RunnerState.ERROR
    twin.look()


def test_several_results_in_one_report_end_it(twin: TaskTwin) -> None:
    """A pair told twice in one report is one result; the last one ends the assignment."""
    aid = twin.running([3])
    events = twin.report(twin.swops[0], aid, *(Report(n, True, 0) for n in (2, 0, 2, 1)))
    assert [e.name for e in events] == [*["Reported"] * 3, "Ended"]
    assert twin.assignment(aid).outcome is Outcome.COMPLETE
    twin.look()


def test_a_report_that_comes_late_is_an_event_only(twin: TaskTwin) -> None:
    """After the end, also after a reset and the next assignment: nothing of either changes."""
    aid = twin.running([1, 1])
    twin.step(twin.swci, "abort", RUNNER, aid, "enough")
    before = twin.assignment(aid)
    (event,) = twin.report(twin.swops[0], aid, OK)
    assert event.name == "ReportedLate"
    twin.step(twin.swci, "reset", RUNNER, aid, False)
    later = twin.running([1], number=2)
    (event,) = twin.report(twin.swops[1], aid, OK, attempt=3)
    assert event.name == "ReportedLate"
    assert twin.assignment(later).open == 1
    assert twin.assignment(aid).failed == before.failed == 0
    with refused("RunnerNotIn", swop=twin.swops[2]):
        twin.report(twin.swops[2], aid, OK)
    with refused("RunnerNotCurrent", aid=key(9), current=later):
        twin.report(twin.swops[0], key(9), OK)
    twin.look()


def test_no_call_touches_another_assignment_than_it_names(twin: TaskTwin) -> None:
    """Late calls that quote the last aid are refused once another one has the runner."""
    aid = twin.running([1])
    twin.step(twin.swci, "reset", RUNNER, aid, True)
    later = twin.running([1], number=2)
    swop = twin.swops[0]
    for sender, function, arguments in (
        (twin.swci, "reset", (True,)),
        (twin.swci, "abort", ("",)),
        (twin.swci, "invite", (swop, 1)),
        (swop, "enrol", (1,)),
        (swop, "decline", (bytes(31), NO_AID)),
        (swop, "start", ()),
        (swop, "renew", (1,)),
        (swop, "suspect", ()),
        (swop, "expire", ()),
    ):
        for old in (aid, NO_AID):
            with refused("RunnerNotCurrent", aid=old, current=later):
                twin.step(sender, function, RUNNER, old, *arguments)


# ---- joining and trying again ---------------------------------------------------------------------------------------


def test_an_invited_swop_joins_a_running_assignment(twin: TaskTwin) -> None:
    """All it offers is allotted at once; who was not invited stays out; the invitation again is nothing."""
    aid = twin.running([1])
    late = twin.swops[2]
    with refused("RunnerNotNamed", swop=late):
        twin.step(late, "enrol", RUNNER, aid, 2)
    for attempt in (0, 2):
        with refused("RunnerWrongAttempt", attempt=attempt, current=0):
            twin.step(twin.swci, "invite", RUNNER, aid, late, attempt)
    twin.step(twin.swci, "invite", RUNNER, aid, late, 1)
    assert twin.step(twin.admin, "invite", RUNNER, aid, late, 1) == []
    twin.look()
    twin.step(late, "enrol", RUNNER, aid, 2)
    assert twin.step(late, "enrol", RUNNER, aid, 2) == []
    assert (twin.assignment(aid).allotted, twin.assignment(aid).open) == (3, 3)
    with refused("RunnerPairsOpen", swop=late, open=2):
        twin.step(twin.swci, "invite", RUNNER, aid, late, 2)
    with refused("RunnerNotFollower", swop=person("nobody")):
        twin.step(twin.swci, "invite", RUNNER, aid, person("nobody"), 1)
    twin.look()


def test_an_invitation_can_be_declined_and_given_again(twin: TaskTwin) -> None:
    """It ends nothing, and counts as a decline until the next invitation."""
    aid = twin.running([1])
    late = twin.swops[2]
    twin.step(twin.swci, "invite", RUNNER, aid, late, 1)
    assert [e.name for e in twin.step(late, "decline", RUNNER, aid, b"Busy".ljust(31, b"\0"), NO_AID)] == ["Declined"]
    assert (twin.assignment(aid).declined, twin.state().busy) == (1, True)
    twin.step(twin.swci, "invite", RUNNER, aid, late, 1)
    assert twin.assignment(aid).declined == 0
    twin.look()


def test_failed_pairs_run_again_under_the_next_attempt(twin: TaskTwin) -> None:
    """Only they; reports of the last attempt do not count for it; what succeeded stays."""
    aid = twin.running([3, 1])
    swop = twin.swops[0]
    twin.step(swop, "renew", RUNNER, aid, 0b111)
    twin.report(swop, aid, Report(0, True, 0), Report(1, False, 1, "A"), Report(2, False, 2, "B"))
    assert states(twin, aid)[0] == ["SUCCEEDED", "FAILED", "FAILED"]
    with refused("RunnerWrongAttempt", attempt=3, current=1):
        twin.step(twin.swci, "invite", RUNNER, aid, swop, 3)
    twin.step(twin.swci, "invite", RUNNER, aid, swop, 2)
    assert states(twin, aid)[0] == ["SUCCEEDED", "ALLOTTED", "ALLOTTED"]
    assert (twin.state().shown, twin.mine(swop).peer.started) == (RunnerState.RUNNING, 1)  # type: ignore[union-attr]
    with refused("RunnerWrongAttempt", attempt=1, current=2):
        twin.report(swop, aid, Report(1, True, 0))
    twin.report(swop, aid, Report(1, True, 0), Report(2, True, 0), attempt=2)
    with refused("RunnerNothingFailed", swop=swop):
        twin.step(twin.swci, "invite", RUNNER, aid, swop, 3)
    twin.look()
    twin.report(twin.swops[1], aid, OK)
    assert twin.assignment(aid).outcome is Outcome.COMPLETE
    with refused("RunnerWrongPhase", aid=aid, phase=AssignmentPhase.ENDED):
        twin.step(twin.swci, "invite", RUNNER, aid, swop, 3)


# ---- abort and reset ------------------------------------------------------------------------------------------------


def test_a_busy_runner_is_reset_by_force_only(twin: TaskTwin) -> None:
    """The refusal names the assignment; by force what was open is STOPPED, and the record says who."""
    aid = twin.running([2, 1])
    twin.report(twin.swops[0], aid, OK)
    with refused("RunnerBusy", aid=aid, op=1, state=RunnerState.RUNNING):
        twin.step(twin.swci, "reset", RUNNER, aid, False)
    events = twin.step(twin.admin, "reset", RUNNER, aid, True)
    assert [e.name for e in events] == ["Ended", "ResetDone"]
    record = twin.assignment(aid)
    assert (record.outcome, record.ended_by, record.reset_by) == (Outcome.RESET, twin.admin, twin.admin)
    assert states(twin, aid)[:2] == [["SUCCEEDED", "STOPPED"], ["STOPPED"]]
    assert twin.state().current is None
    twin.look()


def test_abort_ends_what_is_busy_and_says_why(twin: TaskTwin) -> None:
    """ASSIGNED or RUNNING; what has ended is not aborted; the reason has at most 160 bytes."""
    task = twin.task()
    aid = twin.assign(task)
    with refused("RunnerBadCount", what="why", given=161, min=0, max=160):
        twin.step(twin.swci, "abort", RUNNER, aid, "x" * 161)
    twin.step(twin.swci, "abort", RUNNER, aid, "x" * 160)
    assert (twin.assignment(aid).why, twin.state().shown) == ("x" * 160, RunnerState.ERROR)
    with refused("RunnerNotBusy", aid=aid, outcome=Outcome.ABORTED):
        twin.step(twin.swci, "abort", RUNNER, aid, "")
    aid = twin.running([1], number=2)
    twin.step(twin.swci, "abort", RUNNER, aid, "")
    for function, arguments in (("enrol", (1,)), ("renew", (1,)), ("start", ()), ("decline", (bytes(31), NO_AID))):
        with refused("RunnerWrongPhase", aid=aid, phase=AssignmentPhase.ENDED):
            twin.step(twin.swops[0], function, RUNNER, aid, *arguments)
    for function in ("suspect", "expire"):
        with refused("RunnerWrongPhase", aid=aid, phase=AssignmentPhase.ENDED):
            twin.step(twin.swops[0], function, RUNNER, aid)
    twin.look()


def test_the_history_outlives_resets(twin: TaskTwin) -> None:
    """Numbers, assigners, times and outcomes of all assignments, oldest first, by pages."""
    task = twin.task()
    aids = []
    for number in range(1, 6):
        aids.append(twin.assign(task, number, by=twin.admin if number % 2 else twin.swci))
        twin.step(twin.swci, "reset", RUNNER, aids[-1], True)
    assert [x.aid for x in twin.runners.history(RUNNER)] == aids
    twin.look()
    ask = twin.chain.runners.ask
    assert [[x["op"] for x in ask("history", RUNNER, at, 1000)] for at in (0, 1, 4, 6)] == [[1, 2, 3, 4, 5]] * 2 + [
        [4, 5],
        [],
    ]
    assert tuple(ask("counts", RUNNER)) == (5, 3)


# ---- the lease ------------------------------------------------------------------------------------------------------


def test_a_silent_assignment_is_suspected_then_expires(twin: TaskTwin) -> None:
    """A lease of silence, then a quarter of one and graceBlocks: never in one step, by time or by blocks alone."""
    aid = twin.running([1, 1])
    heard = twin.assignment(aid).heard
    anybody = person("an SL")
    twin.admit(anybody, Role.SL)
    twin.evm.time = heard + 119
    with refused("RunnerNotDue", time=heard + 121, block_=0):
        twin.step(anybody, "suspect", RUNNER, aid)
    with refused("RunnerNotDue", time=0, block_=0):
        twin.step(anybody, "expire", RUNNER, aid)
    twin.evm.time = heard + 120
    assert [e.name for e in twin.step(anybody, "suspect", RUNNER, aid)] == ["Suspected"]
    assert twin.step(anybody, "suspect", RUNNER, aid) == []
    assert twin.chain.runners.ask("waiting") == 1
    record = twin.assignment(aid)
    due = (record.suspected + 30, record.suspected_block + 10)
    kept = twin.evm.snapshot()
    for blocks, seconds in ((50, 27), (5, 500)):
        twin.evm.skip(blocks, seconds)
        with refused("RunnerNotDue", time=due[0], block_=due[1]):
            twin.step(anybody, "expire", RUNNER, aid)
        twin.evm.revert_to(kept)
    twin.evm.number, twin.evm.time = due[1] - 1, due[0] - 1
    twin.step(anybody, "expire", RUNNER, aid)
    assert (twin.assignment(aid).outcome, twin.state().shown) == (Outcome.EXPIRED, RunnerState.ERROR)
    assert states(twin, aid)[:2] == [["LOST"], ["LOST"]]
    assert twin.chain.runners.ask("waiting") == 0
    twin.look()


@pytest.mark.parametrize("word", ["renew", "report", "join"])
def test_any_word_of_a_peer_with_an_open_pair_takes_the_suspicion_back(twin: TaskTwin, word: str) -> None:
    """A renewal, a report, or an invited one that joins: no expiry then, whatever had passed."""
    aid = twin.running([1, 2])
    twin.step(twin.swci, "invite", RUNNER, aid, twin.swops[2], 1)
    twin.evm.skip(1, 200)
    twin.step(twin.swci, "suspect", RUNNER, aid)
    twin.evm.skip(50, 200)
    if word == "renew":
        twin.step(twin.swops[0], "renew", RUNNER, aid, 1)
    elif word == "report":
        twin.report(twin.swops[1], aid, OK)
    else:
        twin.step(twin.swops[2], "enrol", RUNNER, aid, 1)
    assert (twin.assignment(aid).suspected, twin.chain.runners.ask("waiting")) == (0, 0)
    with refused("RunnerNotDue", time=0, block_=0):
        twin.step(twin.swci, "expire", RUNNER, aid)
    twin.look()


def test_one_without_an_open_pair_keeps_nothing_alive(twin: TaskTwin) -> None:
    """It has reported all of its own: its renewals are refused, and the silence of the others counts."""
    aid = twin.running([1, 1])
    twin.report(twin.swops[0], aid, OK)
    twin.evm.skip(1, 121)
    with refused("RunnerNothingOpen", swop=twin.swops[0]):
        twin.step(twin.swops[0], "renew", RUNNER, aid, 1)
    assert twin.report(twin.swops[0], aid, OK) == []
    twin.step(twin.swci, "suspect", RUNNER, aid)
    twin.look()


def test_an_assignment_that_does_not_start_in_its_time_is_ended(twin: TaskTwin) -> None:
    """By expire, or by the next assign; not before enrolSeconds and graceBlocks have passed; renewals do not help."""
    task = twin.task()
    aid = twin.assign(task, n=5, enrol_seconds=60)
    twin.enrol(aid, {twin.swops[0]: 1})
    record = twin.assignment(aid)
    due = (record.assigned_time + 60, record.assigned_block + 10)
    with refused("RunnerWrongPhase", aid=aid, phase=AssignmentPhase.ASSIGNED):
        twin.step(twin.swci, "suspect", RUNNER, aid)
    for number, time in ((due[1] + 20, due[0] - 2), (due[1] - 2, due[0] + 20)):
        twin.evm.number, twin.evm.time = number, time
        with refused("RunnerNotDue", time=due[0], block_=due[1]):
            twin.step(twin.swops[0], "expire", RUNNER, aid)
        with refused("RunnerBusy", aid=aid, op=1, state=RunnerState.ASSIGNED):
            twin.assign(task, 2)
    twin.evm.number, twin.evm.time = due[1] - 2, due[0] - 2
    twin.step(twin.swops[0], "renew", RUNNER, aid, 0)
    events = twin.step(twin.admin, "assign", RUNNER, twin.order(task, 2), *(b"r" * 32, b"v" * 32))
    assert [e.name for e in events] == ["Ended", "Assigned"]
    assert twin.assignment(aid).outcome is Outcome.TOO_FEW
    later = twin.state().current
    assert later is not None
    twin.evm.skip(20, 400)
    twin.step(twin.swops[0], "expire", RUNNER, later.aid)
    assert twin.assignment(later.aid).outcome is Outcome.TOO_FEW
    assert twin.chain.runners.ask("waiting") == 0


@pytest.mark.parametrize(("lease", "blocks"), [(5, 2), (35, 2), (60, 5), (120, 10), (86_400, 10)])
def test_the_lease_is_of_the_deployment_and_so_are_its_blocks(lease: int, blocks: int) -> None:
    """As many blocks as fit into it at one in 12 s, 2 to 10."""
    chain = deployed(task_lease=lease)
    assert chain.runners.ask("leaseSeconds") == lease
    assert chain.runners.ask("graceBlocks") == blocks
    assert chain.runners.ask("tasks") == chain.tasks.address
    assert chain.runners.ask("membership") == chain.tasks.ask("membership") == chain.membership.address


@pytest.mark.parametrize("lease", [4, 86_401])
def test_a_lease_out_of_bounds_is_not_deployed(lease: int) -> None:
    """5 seconds to a day."""
    with refused("RunnerBadLease", seconds_=lease, secondsMin=5, secondsMax=86_400):
        deployed(task_lease=lease)
