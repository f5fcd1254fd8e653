"""What an operator does next to get a task run by a runner: give it, wait, or free the runner first.

Owns the choice, from what two looks at the chain show; sending and telling are the shell's business. Only who wants the
runner suspects and expires what runs on it: a watcher ends nobody's training.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..ids import Digest
from .views import Phase

EXPIRE_PART = 4
"""A suspected assignment may be ended a quarter of a lease later."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An assignment as everybody sees it. Times are block times in seconds; ``suspected`` is 0 if nobody did."""

    aid: Digest
    phase: Phase
    outcome: int
    since: int
    since_block: int
    enrol_seconds: int
    heard: int
    suspected: int = 0
    suspected_block: int = 0

    @property
    def busy(self) -> bool:
        return self.phase in (Phase.ASSIGNED, Phase.RUNNING)


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


def lapse(found: Standing, lease: Lease, now: int, block: int) -> Step:
    """What frees a runner from this assignment, at block time ``now``: WAIT while nothing does yet."""
    if found.phase is Phase.ASSIGNED:
        late = now - found.since > found.enrol_seconds and block > found.since_block + lease.blocks
        return Step.EXPIRE if late else Step.WAIT
    if found.phase is not Phase.RUNNING:
        return Step.WAIT
    if not found.suspected:
        return Step.SUSPECT if now - found.heard > lease.seconds else Step.WAIT
    ripe = now - found.suspected >= lease.seconds / EXPIRE_PART and block > found.suspected_block + lease.blocks
    return Step.EXPIRE if ripe else Step.WAIT


def next_step(
    mine: Standing | None, mine_deep: Standing | None, current: Standing | None, lease: Lease, now: int, block: int
) -> Step:
    """What to do to have one's own assignment run to its end.

    Args:
        mine: one's own assignment as the head has it, None if it does not; mine_deep: as the deep state has it.
        current: what the runner has now.

    An assignment that a reorganisation took away is given again under its key: the same key is the same assignment.
    """
    if mine is not None:
        if mine.phase is not Phase.ENDED:
            return Step.WAIT if current is None else lapse(mine, lease, now, block)
        sure = mine_deep is not None and mine_deep.phase is Phase.ENDED and mine_deep.outcome == mine.outcome
        return Step.DONE if sure else Step.WAIT
    if current is not None and current.busy:
        return lapse(current, lease, now, block)
    return Step.ASSIGN
