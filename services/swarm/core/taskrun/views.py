"""What a SWOP sees of its task runner: one assignment as plain values, the same on every kind of chain.

Owns the shapes that passes and the simulator decide on; ``chain`` fills them from one call of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ..ids import NO_DIGEST, Digest


class Phase(IntEnum):
    """Where a runner stands; an assignment that ended stays until the next one, or a reset."""

    IDLE = 0
    ASSIGNED = 1
    RUNNING = 2
    ENDED = 3


class PairState(IntEnum):
    """Where a pair stands on chain (order of the contract's enum); SILENT is what readers make of the last word."""

    NONE = 0
    ALLOTTED = 1
    STARTED = 2
    SUCCEEDED = 3
    FAILED = 4
    LOST = 5
    STOPPED = 6


OPEN_STATES = frozenset({PairState.ALLOTTED, PairState.STARTED})


class Call(IntEnum):
    """Whether this SWOP may take part: by number anybody may, by name only who is named or was invited later."""

    NOT = 0
    ANYBODY = 1
    NAMED = 2
    INVITED = 3


@dataclass(frozen=True, slots=True)
class Seat:
    """This SWOP's part of the assignment. ``offer`` is how many pairs it offered, None before it enrolled."""

    call: Call = Call.NOT
    offer: int | None = None
    declined: bool = False
    attempt: int = 0
    pairs: tuple[PairState, ...] = ()

    def open_pairs(self) -> tuple[int, ...]:
        """Indices of the pairs whose result is still to come."""
        return tuple(index for index, state in enumerate(self.pairs) if state in OPEN_STATES)


@dataclass(frozen=True, slots=True)
class Mine:
    """The runner's present assignment as its contract shows it to one SWOP.

    Args:
        aid: the assignment; zeros on a runner that is idle.
        task: id of the task's final version.
        since: block time of the assignment, in seconds.
        needed: pairs (RUN_SWARM) or SWOPs that the operator wants; 0 if it named them all.
        expect: SWOPs that the operator saw alive: the start waits for their answers, at most ``SETTLE_SECONDS``.
        offered: sum of the offers of SWOPs that count now; ``answered``: who enrolled or declined.
        complete: all named SWOPs are in, or the offers reach ``needed``.
        suspected: somebody said that no peer was heard of for a lease.
    """

    aid: Digest = NO_DIGEST
    phase: Phase = Phase.IDLE
    task: Digest = NO_DIGEST
    since: int = 0
    needed: int = 0
    expect: int = 0
    offered: int = 0
    answered: int = 0
    complete: bool = False
    suspected: bool = False
    seat: Seat = field(default_factory=Seat)
