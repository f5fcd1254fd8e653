"""How long WAIT FOR TASKRUNNER watches, and what it says meanwhile: by the clock, without a chain."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.taskview import Assignment, AssignmentPhase, Outcome, TaskType
from swarm.swci import waiting
from swarm.swci.waiting import OVER, Verdict, Watch, why

LEASE, BEGAN = 120, 1_700_000_000


def assignment(**given: Any) -> Assignment:
    """A running one of two pairs, heard a moment ago."""
    values: dict[str, Any] = {}
    for one in fields(Assignment):
        kind = str(one.type)
        values[one.name] = Address(bytes(20)) if kind == "Address" else Digest(bytes(32)) if kind == "Digest" else 0
    values |= {"why": "", "phase": AssignmentPhase.RUNNING, "outcome": Outcome.NONE, "task_type": TaskType.RUN_SWARM}
    values |= {"allotted": 2, "open": 2, "n": 2, "assigned_time": BEGAN, "heard": BEGAN, "enrol_seconds": 300}
    return Assignment(**{**values, **given})


RUNNING = assignment()


@pytest.mark.row("C24")
@pytest.mark.row("E11b")
def test_a_limit_that_the_user_set_ends_the_wait() -> None:
    """Not before; then with the WARNING, whatever the peers do; it is no failure of the task."""
    watch = Watch(LEASE, 5, given=True)
    assert watch.look(replace(RUNNING, heard=BEGAN + 299), BEGAN + 300, 300.0) == (Verdict.ON, [])
    assert watch.look(replace(RUNNING, heard=BEGAN + 301), BEGAN + 301, 301.0) == (Verdict.LIMIT, [OVER])


@pytest.mark.row("C24")
@pytest.mark.row("E11b")
def test_a_default_limit_ends_no_training_whose_peers_are_there() -> None:
    """After 120 minutes the WARNING, once; the wait goes on for days, and ends only when peers fall silent."""
    watch = Watch(LEASE, 120, given=False)
    assert watch.look(RUNNING, BEGAN + 60, 7_199.0) == (Verdict.ON, [])
    assert watch.look(RUNNING, BEGAN + 60, 7_201.0) == (Verdict.ON, [OVER])
    for day in range(1, 4):
        at = BEGAN + day * 86_400
        assert watch.look(replace(RUNNING, heard=at - 30), at, day * 86_400.0) == (Verdict.ON, [])
    verdict, lines = watch.look(replace(RUNNING, heard=BEGAN), BEGAN + 400_000, 400_000.0)
    assert verdict is Verdict.SILENT
    assert len(lines) == 1
    assert lines[0].startswith("no peer was heard since 2023-11-14 22:13:20")


def test_silence_only_warns_and_only_once() -> None:
    """Within the usual time a lease without a word is said, and said anew after a word in between."""
    watch = Watch(LEASE, 120, given=False)
    told = [
        len(watch.look(replace(RUNNING, heard=BEGAN + heard), BEGAN + at, float(at))[1])
        for heard, at in ((0, 100), (0, 121), (0, 200), (190, 201), (190, 400), (190, 401))
    ]
    assert told == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("found", "over"),
    [
        (RUNNING, False),
        (replace(RUNNING, failed=1, open=1), True),
        (replace(RUNNING, phase=AssignmentPhase.ENDED, outcome=Outcome.COMPLETE), True),
        (replace(RUNNING, phase=AssignmentPhase.ENDED, outcome=Outcome.EXPIRED), True),
        (assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0, expect=2, enrolled=2, offered=1), False),
        (
            assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0, expect=2, enrolled=1, declined=1, offered=1),
            True,
        ),
        (
            assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0, expect=3, enrolled=1, declined=1, offered=1),
            False,
        ),
        (assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0, assigned_time=BEGAN - 290), False),
        (assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0, assigned_time=BEGAN - 310), True),
    ],
)
def test_what_cannot_come_to_a_good_end_is_over(found: Assignment, over: bool) -> None:
    """A first failed pair, a decline that leaves too few, an end of any kind, a start that does not come in time."""
    verdict, _ = Watch(LEASE, 120, given=False).look(found, BEGAN + 1, 1.0)
    assert (verdict is Verdict.OVER) is over


def test_every_outcome_has_its_words() -> None:
    """Also those of an assignment that has not ended."""
    for outcome in Outcome:
        assert why(assignment(outcome=outcome, failed=1, open=1))
    assert why(assignment(failed=0)) == "running, 2 pairs open"
    waiting = assignment(phase=AssignmentPhase.ASSIGNED, allotted=0, open=0)
    assert why(waiting).startswith("not started: 2 wanted, 0 offered by 0 SWOPs, 0 declined (300 s")


def test_an_sn_that_is_away_is_said_once() -> None:
    """And again after it was back."""
    watch, fault = Watch(LEASE, 120, given=False), ChainFault("no line")
    assert [len(watch.missed(fault)), len(watch.missed(fault))] == [1, 0]
    watch.look(RUNNING, BEGAN + 1, 1.0)
    assert len(watch.missed(fault)) == 1


@pytest.mark.parametrize("text", ["5 min", "0", "-1", "1e3", "9999999", "\u0665"])
def test_a_limit_that_is_none_is_said(text: str) -> None:
    """A variable that no wait could follow: its name, its value and what is expected, not a wait without an end."""
    env = {waiting.OLD_WAIT: text}
    session: Any = SimpleNamespace(
        book=SimpleNamespace(get=lambda: SimpleNamespace(env=env)), limits=SimpleNamespace(run=None, generic=None)
    )
    with pytest.raises(OperatorFault, match=r"SWCI_TASK_MAX_WAIT_TIME=.* expected minutes, 1 to 527040"):
        waiting._limit(session, RUNNING)
    env[waiting.OLD_WAIT] = "5"
    assert waiting._limit(session, RUNNING) == (5, True)
