"""What can happen to an engine. Each event is a fact the shell observed; none decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bundle import Bundle
from ..chain_view import JobState, Joiner
from ..control.combined import Committed
from ..ids import Address, BlobId, Digest
from ..roster import Roster
from ..statements import RoundName
from .context import FINITE, Odd
from .messages import Left, Pulse


@dataclass(frozen=True, slots=True)
class Origin:
    """The final model of an earlier run of the job: ``blob`` and ``size`` in bytes, or ``fault``, why there is none."""

    run: int
    blob: BlobId
    size: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ChainView:
    """What the chain says about the job at one block; ``block_time`` in seconds of the sealer's clock."""

    state: JobState
    roster: Roster
    joiners: Mapping[Address, Joiner]
    active: frozenset[Address]
    head: int
    block_time: int
    reorgs: int = 0
    """How often the chain took back events of this job since this process started; differs: it was reorganised."""
    history: tuple[Committed, ...] = ()
    """The run's committed rounds from 0 on, as far as they are known; at times behind ``state.round``."""
    join_depth_blocks: int = 0
    """Depth a join needs before a joiner counts, where this chain can reorganise by now (Config has the least)."""
    options: str = ""
    """The job's options, as they stand on chain."""
    barred: frozenset[Address] = frozenset()
    """Joiners that do not count in the open round: heirs of members whose lost keys may count in it."""
    origin: Origin | None = None
    """What a warm-started run begins from, as the chain says; None: not asked for, or not read yet."""

    def joined(self, node: Address) -> bool:
        joiner = self.joiners.get(node)
        return joiner is not None and joiner.joined


@dataclass(frozen=True, slots=True)
class ChainAdvanced:
    view: ChainView


@dataclass(frozen=True, slots=True)
class BundleFound:
    """The bundle of a committed round, as mined."""

    bundle: Bundle


@dataclass(frozen=True, slots=True)
class BundleMissing:
    """The bundle of a committed round could not be read; ask again later."""

    run: int
    round: int


@dataclass(frozen=True, slots=True)
class TransactionDone:
    """A transaction the engine asked for is on chain (or what it wanted already held)."""

    kind: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    """A transaction the engine asked for did not succeed; the engine decides if it still wants it.

    ``refused``: the contract said no; otherwise it could not be sent or was not seen mined.
    """

    kind: str
    text: str
    refused: bool


@dataclass(frozen=True, slots=True)
class ProgramOpened:
    """The ML program opened a session."""

    min_peers: int
    sync_interval: int
    method: str
    checkin_mode: str
    after: tuple[int, int] | None = None
    """Run and round whose merged model it trained on from: its session was cut off, and goes on."""
    adaptive: bool = False
    """The swarm chooses how many batches lie between two merges; ``sync_interval`` is what it begins with."""


@dataclass(frozen=True, slots=True)
class ProgramSync:
    """The ML program asks to sync; its file is hashed and in the blob store. ``final``: its training has ended."""

    seq: int
    final: bool
    blob: BlobId
    size: int
    manifest: Digest
    weight: int
    odd: Odd = FINITE
    where: str = ""
    """Its first value that is not finite, in words."""


@dataclass(frozen=True, slots=True)
class ProgramMoved:
    """The ML program trains: ``step`` of ``total`` of this sync interval (0: it does not know how many)."""

    step: int
    total: int


@dataclass(frozen=True, slots=True)
class ProgramLoaded:
    """The ML program loaded and evaluated the merged model of ``round`` (numbers are floats, NaN: unknown)."""

    round: int
    loss: float
    metric: float
    epochs_done: int
    epochs_total: int
    own_figure: bool = False
    """The loss is an original client's own figure."""


@dataclass(frozen=True, slots=True)
class ProgramEnded:
    """The session is over; ``reason`` None means it ended as it should.

    ``left``: what the other members may know of an end before the run was over.
    """

    reason: str | None
    left: Left | None = None


@dataclass(frozen=True, slots=True)
class PulseArrived:
    """A peer's pulse; the shell has checked that ``sender`` is the member behind the TLS connection."""

    sender: Address
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """A pulse to this peer could not be delivered (refused, timed out, no such host)."""

    peer: Address
    text: str


@dataclass(frozen=True, slots=True)
class BlobVerified:
    """A blob is in the store and its tensors were looked at."""

    blob: BlobId
    size: int
    manifest: Digest
    odd: Odd = FINITE
    where: str = ""


@dataclass(frozen=True, slots=True)
class BlobFailed:
    """A blob could not be had or read; ``reason`` is a refusal reason of docs/wire-formats.md."""

    blob: BlobId
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class BlobShown:
    """A peer was asked to show that it has a blob; ``fault``: what came instead, "" if it has it."""

    blob: BlobId
    peer: Address
    fault: str


@dataclass(frozen=True, slots=True)
class BlobMoved:
    """Bytes of a transfer arrived: progress."""

    blob: BlobId
    bytes: int


@dataclass(frozen=True, slots=True)
class MergeDone:
    name: RoundName
    attempt: int
    blob: BlobId
    size: int
    manifest: Digest
    coefficients: tuple[float, ...]
    odd: Odd = FINITE


@dataclass(frozen=True, slots=True)
class MergeFailed:
    """The merge could not be finished; ``node`` is whose input was at fault, None if it was our own doing."""

    name: RoundName
    attempt: int
    node: Address | None
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = (
    ChainAdvanced
    | BundleFound
    | BundleMissing
    | TransactionDone
    | TransactionFailed
    | ProgramOpened
    | ProgramSync
    | ProgramMoved
    | ProgramLoaded
    | ProgramEnded
    | PulseArrived
    | PeerSilent
    | BlobVerified
    | BlobFailed
    | BlobShown
    | BlobMoved
    | MergeDone
    | MergeFailed
    | Tick
)
