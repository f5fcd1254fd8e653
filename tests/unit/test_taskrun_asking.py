"""What an operator does next: whose assignment is ended when, what is given again, and when an end is believed."""

from __future__ import annotations

from typing import Any

import pytest
from support.taskviews import assignment
from swarm.core.taskrun.asking import Lease, Step, lapse, next_step
from swarm.core.taskview import Assignment, AssignmentPhase, Outcome

LEASE = Lease(seconds=120, blocks=10)
ASSIGNED, RUNNING, ENDED = AssignmentPhase.ASSIGNED, AssignmentPhase.RUNNING, AssignmentPhase.ENDED


@pytest.mark.parametrize(
    ("found", "now", "block", "step"),
    [
        (assignment(ASSIGNED), 1299, 99, Step.WAIT),
        (assignment(ASSIGNED), 1300, 10, Step.WAIT),
        (assignment(ASSIGNED), 1300, 11, Step.EXPIRE),
        (assignment(RUNNING), 1120, 99, Step.WAIT),
        (assignment(RUNNING), 1121, 99, Step.SUSPECT),
        (assignment(RUNNING, suspected=1200, suspected_block=50), 1229, 99, Step.WAIT),
        (assignment(RUNNING, suspected=1200, suspected_block=50), 1230, 59, Step.WAIT),
        (assignment(RUNNING, suspected=1200, suspected_block=50), 1230, 60, Step.EXPIRE),
        (assignment(ENDED), 9999, 999, Step.WAIT),
    ],
)
def test_a_silent_assignment_is_ended_in_two_steps(found: Assignment, now: int, block: int, step: Step) -> None:
    """Suspected after a lease, ended a quarter later and not before some blocks; one that never started by its time."""
    assert lapse(found, LEASE, now, block) is step


def test_what_is_not_there_is_given_again() -> None:
    """A reorganisation may have taken it; the key makes it the same assignment."""
    step = next_step(None, None, None, LEASE, 1000, 5)
    assert step is Step.ASSIGN
    assert next_step(None, None, assignment(ENDED), LEASE, 1000, 5) is Step.ASSIGN


@pytest.mark.parametrize("mine", [False, True])
def test_a_busy_runner_is_waited_for_and_freed_when_it_is_silent(mine: bool) -> None:
    """Another's or one's own alike."""
    busy = assignment(RUNNING)
    own = busy if mine else None
    assert next_step(own, None, busy, LEASE, 1100, 5) is Step.WAIT
    assert next_step(own, None, busy, LEASE, 1121, 5) is Step.SUSPECT


def test_an_end_is_believed_when_it_is_deep() -> None:
    """The same end in both views: what the head says may be taken back."""

    def step(deep: Assignment | None) -> Step:
        return next_step(assignment(ENDED, outcome=Outcome.COMPLETE), deep, None, LEASE, 1100, 5)

    others: list[Any] = [None, assignment(RUNNING), assignment(ENDED, outcome=Outcome.ABORTED)]
    assert [step(deep) for deep in others] == [Step.WAIT] * 3
    assert step(assignment(ENDED, outcome=Outcome.COMPLETE)) is Step.DONE
