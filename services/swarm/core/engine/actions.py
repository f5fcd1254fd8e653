"""What an engine asks of its shell. Actions are carried out in order; a Persist is durable before the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..bundle import Bundle
from ..ids import Address, BlobId
from ..merge.outer import Outer
from ..statements import RoundName
from .messages import Pulse


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these journal entries (None deletes) as one durable transaction."""

    entries: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver a pulse to each of these peers at once; their answers come back as PulseArrived."""

    to: tuple[Address, ...]
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Fetch:
    """Pull a blob from the first of ``sources`` that serves it; ends in BlobVerified or BlobFailed."""

    blob: BlobId
    size: int
    sources: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class StopFetch:
    """End the pull of a blob that has come another way; nothing follows."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class LetShow:
    """Pull a blob from this peer although it may be here, to see that the peer has it; ends in BlobShown."""

    blob: BlobId
    size: int
    peer: Address


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge held blobs in this order (ascending by node); ends in MergeDone or MergeFailed."""

    name: RoundName
    attempt: int
    method: str
    inputs: tuple[tuple[Address, BlobId, int], ...]
    coefficients: tuple[float, ...] | None = None
    """The recorded shares, where a decided merge is made again; else they are to be found."""
    outer: Outer | None = None
    before: BlobId | None = None
    """The job's step on top, and the merged model before the previous one (None: no velocity)."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Send commit([bundle]) to the chain; ends in TransactionDone or -Failed of kind commit."""

    bundle: Bundle


@dataclass(frozen=True, slots=True)
class Transact:
    """Send one of the small transactions of contract Training for this job."""

    kind: Literal["join", "leave", "call", "here", "settle", "close"]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class TellProgram:
    """Tell a program that waits whom its run waits for; an empty ``text``: for nobody in particular any more.

    ``since``: monotonic seconds; ``until``: when the wait ends, None if only a member or an operator ends it.
    """

    text: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class FindBundle:
    """Read the bundle of a committed round from the chain; ends in BundleFound or BundleMissing."""

    run: int
    round: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """A peer is ahead of what we know of the chain: look again now."""


@dataclass(frozen=True, slots=True)
class LoadProgram:
    """Hand the merged model of ``round`` to the ML program and let it evaluate; ends in ProgramLoaded.

    With ``before``, the merged model of the round before, it trains from where ``outer`` leads from the two.
    """

    round: int
    blob: BlobId
    outer: Outer | None = None
    before: BlobId | None = None


@dataclass(frozen=True, slots=True)
class AnswerProgram:
    """Answer the ML program's sync request."""

    seq: int
    training_over: bool
    interval: int = 0
    """Batches until its next sync."""


@dataclass(frozen=True, slots=True)
class FailProgram:
    """Answer the ML program with an error; it will raise SwarmError with this text."""

    text: str
    unlike: BlobId | None = None
    """A blob held here from whose tensors the program's differ: the shell adds how."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Only these blobs are still needed; others may be removed."""

    blobs: frozenset[BlobId]


@dataclass(frozen=True, slots=True)
class Report:
    """A line for the log; ``level`` as in the logging module."""

    level: Literal["info", "warning", "error"]
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """This node's part in the run is over; the process may end with this exit code."""

    exit_code: int
    text: str


Action = (
    Persist
    | Send
    | Fetch
    | StopFetch
    | LetShow
    | Merge
    | Submit
    | Transact
    | FindBundle
    | TellProgram
    | Refresh
    | LoadProgram
    | AnswerProgram
    | FailProgram
    | Keep
    | Report
    | Finish
)
