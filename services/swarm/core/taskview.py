"""What a node sees of tasks and task runners: the contracts' records as plain values (docs/tasks.md).

Owns the shapes, in the order of the contracts' structs; ``chain`` fills them, and has checked that they can be. Times
are block times in seconds, hashes 32 bytes; 0 and zeros mean "none yet".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from .ids import Address, Digest
from .limits import ENROL_SECONDS


class TaskType(IntEnum):
    """What a task makes of its text (order of the contract's enum)."""

    NONE = 0
    ROOT_TASK = 1
    RUN_SWARM = 2
    MAKE_USER_CONTAINER = 3
    MAKE_SWARM_USER_CONTENT = 4
    PULL_IMAGE = 5


class ItemKind(IntEnum):
    """LINE: one slot of the body as row C18 prints it. TEXT: a chunk of the file's exact bytes."""

    LINE = 0
    TEXT = 1


class RunnerState(IntEnum):
    """What is shown of a runner. ERROR also while other pairs run on: it is busy then."""

    IDLE = 0
    ASSIGNED = 1
    RUNNING = 2
    ERROR = 3
    COMPLETE = 4


class AssignmentPhase(IntEnum):
    NONE = 0
    ASSIGNED = 1
    RUNNING = 2
    ENDED = 3


class Outcome(IntEnum):
    """How an assignment ended. TOO_FEW: not started in time. EXPIRED: no peer with an open pair was heard."""

    NONE = 0
    COMPLETE = 1
    FAILED = 2
    DECLINED = 3
    TOO_FEW = 4
    EXPIRED = 5
    ABORTED = 6
    RESET = 7


class PairState(IntEnum):
    """LOST: open when the assignment expired. STOPPED: open when it was aborted or reset."""

    NONE = 0
    ALLOTTED = 1
    STARTED = 2
    SUCCEEDED = 3
    FAILED = 4
    LOST = 5
    STOPPED = 6


class PeerState(IntEnum):
    """IN: its pairs are allotted. OUT: it had enrolled, and the start left it out."""

    NONE = 0
    NAMED = 1
    ENROLLED = 2
    DECLINED = 3
    INVITED = 4
    IN = 5
    OUT = 6


@dataclass(frozen=True, slots=True)
class TaskHeader:
    """What is known of a task before its body."""

    task_type: TaskType
    name: str
    author: str
    prereq: str
    outcome: str


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """The record of a task. ``version`` is 0 while it is a draft; ``created`` and ``finalised`` are blocks.

    ``lines`` and ``chunks`` of a draft: one above the highest that was appended; of a final task: how many it has.
    """

    header: TaskHeader
    creator: Address
    removed: bool
    version: int
    lines: int
    chunks: int
    created: int
    created_time: int
    finalised: int
    finalised_time: int
    header_hash: Digest
    root: Digest

    @property
    def final(self) -> bool:
        return self.version > 0


@dataclass(frozen=True, slots=True)
class TaskBody:
    """The items of a task, each with the hash that the contract has of it."""

    lines: tuple[bytes, ...]
    chunks: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """The file's exact bytes."""
        return b"".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Order:
    """What an assigner asks for, and signs.

    Args:
        key: of the assigner's choice; the same key and order again is the same assignment.
        task: id of a final task.
        prereq: id of the final task that its prerequisite means here.
        n: with ``named`` empty: pairs (RUN_SWARM) or SWOPs; else 0.
        named: ascending; all of these, each with all it offers.
        expect: how many SWOPs the assigner saw.
    """

    key: Digest
    task: Digest
    prereq: Digest
    n: int
    named: tuple[Address, ...] = ()
    expect: int = 0
    enrol_seconds: int = ENROL_SECONDS


@dataclass(frozen=True, slots=True)
class Assignment:
    """One task given once to one runner. ``aid`` is zeros where there is none.

    ``heard`` is the last word of a peer that waits for the start or has an open pair, ``suspected`` when somebody
    suspected it since (0: nobody). ``op`` counts the runner's assignments, for people. ``reset_time`` is 0 until it was
    reset. ``named`` counts those named; ``peers`` all rows.
    """

    aid: Digest
    runner: Digest
    op: int
    phase: AssignmentPhase
    outcome: Outcome
    by: Address
    key: Digest
    task: Digest
    prereq: Digest
    task_type: TaskType
    n: int
    named: int
    expect: int
    enrol_seconds: int
    peers: int
    enrolled: int
    declined: int
    offered: int
    swops: int
    allotted: int
    open: int
    succeeded: int
    failed: int
    assigned_block: int
    assigned_time: int
    started_block: int
    started_time: int
    ended_block: int
    ended_time: int
    heard: int
    suspected: int
    suspected_block: int
    ended_by: Address
    reset_by: Address
    reset_time: int
    why: str

    @property
    def busy(self) -> bool:
        return self.phase in (AssignmentPhase.ASSIGNED, AssignmentPhase.RUNNING)

    @property
    def shown(self) -> RunnerState:
        """The state of a runner whose current assignment this is."""
        if self.phase is AssignmentPhase.NONE:
            return RunnerState.IDLE
        if self.phase is AssignmentPhase.ASSIGNED:
            return RunnerState.ASSIGNED
        if self.phase is AssignmentPhase.RUNNING:
            return RunnerState.ERROR if self.failed else RunnerState.RUNNING
        return RunnerState.COMPLETE if self.outcome is Outcome.COMPLETE else RunnerState.ERROR


@dataclass(frozen=True, slots=True)
class Peer:
    """One SWOP's row in an assignment; ``fault`` and ``text_hash`` say why it declined.

    ``started`` is the bit map of the pairs that it said to have started, of the present attempt.
    """

    swop: Address
    state: PeerState
    named: bool
    offer: int
    allotted: int
    open: int
    failed: int
    attempt: int
    heard: int
    started: int
    fault: str
    text_hash: Digest


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair: ``fault`` is the exception's class, ``text_hash`` of the text that stays at the site.

    ``sl``, ``run`` and ``job``: its SL and the run that it joined last; zeros if it never joined one.
    """

    state: PairState
    attempt: int
    exit_code: int
    time: int
    fault: str
    text_hash: Digest
    sl: Address
    run: int
    job: Digest

    @property
    def open(self) -> bool:
        return self.state in (PairState.ALLOTTED, PairState.STARTED)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one pair, as its SWOP tells it; ``fault`` is at most 31 bytes."""

    pair: int
    ok: bool
    exit_code: int
    fault: str = ""
    text_hash: Digest = field(default=Digest(bytes(32)))
    sl: Address = field(default=Address(bytes(20)))
    run: int = 0
    job: Digest = field(default=Digest(bytes(32)))


@dataclass(frozen=True, slots=True)
class Follower:
    """A SWOP that listens to a runner; ``active`` says whether it is an active member now."""

    swop: Address
    pairs: int
    since: int
    active: bool


@dataclass(frozen=True, slots=True)
class RunnerView:
    """What is shown of a runner, whether it is busy, and its current assignment (None: IDLE)."""

    shown: RunnerState
    busy: bool
    current: Assignment | None


@dataclass(frozen=True, slots=True)
class Mine:
    """All that a SWOP polls: the runner's current assignment, its own row in it (None: none), its pairs by number."""

    current: Assignment | None
    peer: Peer | None
    pairs: tuple[Pair, ...]
