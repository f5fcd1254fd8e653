"""What an operator does next to get a task run by a runner: give it, wait, or free the runner first.

Owns the choice, from what two looks at the chain show; sending and telling are the shell's business. Only who wants the
runner suspects and expires what runs on it: a watcher ends nobody's training.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..taskview import Assignment, AssignmentPhase

EXPIRE_PART = 4
"""A suspected assignment may be ended a quarter of a lease later."""


class Step(Enum):
    """What to do now."""

    ASSIGN = "assign"
    WAIT = "wait"
    SUSPECT = "suspect"
    EXPIRE = "expire"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Lease:
    """Of the contract: seconds of silence, and blocks that must pass as well."""

    seconds: int
    blocks: int


def lapse(found: Assignment, lease: Lease, now: int, block: int) -> Step:
    """What frees a runner from this assignment, at block time ``now``: WAIT while nothing does yet."""
    if found.phase is AssignmentPhase.ASSIGNED:
        late = now - found.assigned_time >= found.enrol_seconds and block >= found.assigned_block + lease.blocks
        return Step.EXPIRE if late else Step.WAIT
    if found.phase is not AssignmentPhase.RUNNING:
        return Step.WAIT
    if not found.suspected:
        return Step.SUSPECT if now - found.heard > lease.seconds else Step.WAIT
    ripe = now - found.suspected >= lease.seconds // EXPIRE_PART and block >= found.suspected_block + lease.blocks
    return Step.EXPIRE if ripe else Step.WAIT


def next_step(
    mine: Assignment | None,
    mine_deep: Assignment | None,
    current: Assignment | None,
    lease: Lease,
    now: int,
    block: int,
) -> Step:
    """What to do to have one's own assignment run to its end.

    Args:
        mine: one's own assignment as the head has it, None if it does not; mine_deep: as the deep state has it.
        current: what the runner has now.

    An assignment that a reorganisation took away is given again under its key: the same key is the same assignment.
    """
    if mine is not None:
        if mine.phase is not AssignmentPhase.ENDED:
            return Step.WAIT if current is None else lapse(mine, lease, now, block)
        sure = mine_deep is not None and mine_deep.phase is AssignmentPhase.ENDED and mine_deep.outcome == mine.outcome
        return Step.DONE if sure else Step.WAIT
    if current is not None and current.busy:
        return lapse(current, lease, now, block)
    return Step.ASSIGN
