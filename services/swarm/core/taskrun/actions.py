"""What a pass asks of its SWOP's shell, in this order; what is kept is durable before the next action begins."""

from __future__ import annotations

from dataclasses import dataclass

from ..ids import NO_DIGEST, Digest
from .work import Key, Result


@dataclass(frozen=True, slots=True)
class TurnSn:
    """This SN is behind or stands still: ask another one."""

    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Write the result of an attempt into the journal."""

    key: Key
    result: Result


@dataclass(frozen=True, slots=True)
class KeepStarted:
    """Write into the journal that this attempt is about to start."""

    key: Key


@dataclass(frozen=True, slots=True)
class KeepOver:
    """Write into the journal that this assignment is over for good."""

    aid: Digest


@dataclass(frozen=True, slots=True)
class Stop:
    """End the pair with its grace; its results on disk stay."""

    key: Key


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove what the runtime still has of an attempt that has ended, or never began."""

    key: Key


@dataclass(frozen=True, slots=True)
class Create:
    """Make the pair under its name, without starting it."""

    key: Key


@dataclass(frozen=True, slots=True)
class Start:
    """Start what was created."""

    key: Key


@dataclass(frozen=True, slots=True)
class Judge:
    """Read the task, its signatures and this site's policy; the answer is known to a later pass."""

    aid: Digest
    task: Digest


@dataclass(frozen=True, slots=True)
class Enrol:
    aid: Digest
    offer: int


@dataclass(frozen=True, slots=True)
class Decline:
    """Not here, because: ``fault`` is a class of refusals, the text stays here."""

    aid: Digest
    fault: str
    text_hash: Digest = NO_DIGEST


@dataclass(frozen=True, slots=True)
class StartAssignment:
    aid: Digest


@dataclass(frozen=True, slots=True)
class Renew:
    """``started``: the pairs that were started here, as a bit map."""

    aid: Digest
    started: int


@dataclass(frozen=True, slots=True)
class Report:
    """Results of pairs of one attempt, by pair."""

    aid: Digest
    attempt: int
    results: tuple[tuple[int, Result], ...]


Action = (
    TurnSn
    | Keep
    | KeepStarted
    | KeepOver
    | Stop
    | Remove
    | Create
    | Start
    | Judge
    | Enrol
    | Decline
    | StartAssignment
    | Renew
    | Report
)
