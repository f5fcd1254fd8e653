"""The events of Tasks and Taskrunners as values; :mod:`swarm.chain.events` decodes them."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.ids import Address, Digest
from swarm.core.taskview import ItemKind, Order, Outcome, Report


@dataclass(frozen=True, slots=True)
class TaskCreated:
    id: Digest
    creator: Address
    name: str


@dataclass(frozen=True, slots=True)
class TaskAppended:
    """Items of a draft from ``first`` on; of two with one index the one whose hash the contract keeps holds."""

    id: Digest
    kind: ItemKind
    first: int
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TaskWritten:
    """A whole body in one piece; of two the one that has the task's root holds."""

    id: Digest
    lines: int
    chunks: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TaskFinalised:
    """``r`` and ``vs``: the creator's signature of the task."""

    id: Digest
    name: str
    version: int
    root: Digest
    r: bytes
    vs: bytes


@dataclass(frozen=True, slots=True)
class TaskRemoved:
    id: Digest


@dataclass(frozen=True, slots=True)
class RunnerCreated:
    runner: Digest
    name: str
    by: Address


@dataclass(frozen=True, slots=True)
class Followed:
    runner: Digest
    swop: Address
    pairs: int


@dataclass(frozen=True, slots=True)
class Unfollowed:
    runner: Digest
    swop: Address


@dataclass(frozen=True, slots=True)
class Assigned:
    """``r`` and ``vs``: the assigner's signature of the order."""

    runner: Digest
    aid: Digest
    by: Address
    op: int
    order: Order
    r: bytes
    vs: bytes


@dataclass(frozen=True, slots=True)
class AssignedBefore:
    """The same order under the same key came again: nothing else happened."""

    runner: Digest
    aid: Digest
    op: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    aid: Digest
    swop: Address
    offer: int


@dataclass(frozen=True, slots=True)
class Declined:
    aid: Digest
    swop: Address
    fault: str
    text_hash: Digest


@dataclass(frozen=True, slots=True)
class Started:
    """``given``: pairs of each of ``swops``, 0 for one that is not in it."""

    aid: Digest
    swops: tuple[Address, ...]
    given: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    aid: Digest
    swop: Address
    attempt: int
    report: Report


@dataclass(frozen=True, slots=True)
class ReportedLate:
    """Results for an assignment that had ended: told, not counted."""

    aid: Digest
    swop: Address
    attempt: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Invited:
    aid: Digest
    swop: Address
    attempt: int
    by: Address


@dataclass(frozen=True, slots=True)
class Suspected:
    """No peer with an open pair was heard since ``heard``."""

    aid: Digest
    by: Address
    heard: int


@dataclass(frozen=True, slots=True)
class Ended:
    runner: Digest
    aid: Digest
    outcome: Outcome
    by: Address
    why: str


@dataclass(frozen=True, slots=True)
class ResetDone:
    runner: Digest
    aid: Digest
    by: Address
    forced: bool


TASKS = (TaskCreated, TaskAppended, TaskWritten, TaskFinalised, TaskRemoved)
TASKRUNNERS = (
    RunnerCreated,
    Followed,
    Unfollowed,
    Assigned,
    AssignedBefore,
    Enrolled,
    Declined,
    Started,
    Reported,
    ReportedLate,
    Invited,
    Suspected,
    Ended,
    ResetDone,
)
