"""What the bridge and the SL's shell say to each other; no I/O."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarm.core.dataschema import DataSchema
from swarm.core.engine.messages import Left


@dataclass(frozen=True, slots=True)
class SessionOpen:
    """What an ML program asks for when it opens a session (row F07); checked for range by the bridge.

    ``max_peers`` 0 means no limit; ``sync_interval`` is in batches.
    """

    sync_interval: int
    min_peers: int
    max_peers: int
    adaptive: bool
    checkin_mode: str
    weightage: int
    job: str
    merge_method: str
    schema: DataSchema | None = None
    """What this site's data look like, if the program told."""
    after: tuple[int, int] | None = None
    """Run and round whose merged model this program trained on from: its session was cut off, and goes on."""


class Tell(Protocol):
    """Tells a program whose sync is under way whom the swarm waits for; nothing to one that cannot read it."""

    def __call__(self, text: str, /) -> Awaitable[None]: ...


async def tell_nobody(_: str, /) -> None:
    """For a program that cannot read it."""


@dataclass(frozen=True, slots=True)
class SyncCall:
    """A model handed over by the program.

    Attributes:
        seq: the program's sequence number; Sync and Close count separately from 1.
        weightage: 0 (observer) to 100, or a number of samples up to 2^32 - 1.
        final: the program's last model: it trains no more.
        path: tensor file in the SL's private folder, header checked; the handler owns it.
        tell: says to the program, while it waits, whom the swarm waits for.
    """

    seq: int
    weightage: int
    final: bool
    path: Path
    tell: Tell = tell_nobody


@dataclass(frozen=True, slots=True)
class LossReport:
    """How a merged model does at this site; loss and metric may be NaN."""

    loss: float
    metric: float
    epochs_done: int
    epochs_total: int
    own_figure: bool = False
    """The loss is what an original client says: no mean over the samples where its function takes a batch's mean."""


@dataclass(frozen=True, slots=True)
class SyncDone:
    """Answer to a sync: batches until the next one (at least 1), and whether the run is over.

    ``record``: what the run came to, as JSON for the program (docs/wire-formats.md); empty until it is over.
    """

    next_interval: int
    training_over: bool
    record: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """Which merged model a program is given, for its resume file; ``swarm`` and ``blob`` are 64 hex digits.

    ``differs``, ``differs_later``: how other sites' data differ from this one's: those that were asked before the
    first model, and those that came since. Empty: not at all, or not known.
    """

    swarm: str
    run: int
    round: int
    blob: str
    differs: str = ""
    differs_later: str = ""


class Evaluate(Protocol):
    """Makes the program load a tensor file and report on it."""

    def __call__(self, merged: Path, what: Merged | None = None, /) -> Awaitable[LossReport]: ...


class Handler(Protocol):
    """The SL's shell, as the bridge sees it. One call at a time; ``sync`` is cancelled if the program dies.

    A SwarmFault raised from ``opened`` or ``sync`` is told to the program ("SL error: ...") and ends the
    session; any other exception is told as an internal error and then leaves ``FifoBridge.run``.
    """

    async def opened(self, request: SessionOpen) -> str:
        """A program wants a session; returns its id (1 to 200 characters)."""

    async def sync(self, call: SyncCall, evaluate: Evaluate) -> SyncDone:
        """A model is handed over; ``evaluate(merged)`` makes the program load that tensor file."""

    async def ended(self, reason: str | None, left: Left | None = None) -> None:
        """The session is over. None: closed cleanly, or the program went on without the swarm (F05, K16).

        A text says what went wrong, ``left`` what the other members may know of it.
        Each session that ``opened`` accepted ends in one call of this or of ``lost``.
        """

    async def lost(self, reason: str) -> None:
        """The program went away without a word, or a new one took its place; it may come back."""

    def moved(self, step: int, total: int) -> None:
        """The program has done ``step`` of the ``total`` batches between two syncs."""

    def verdict(self) -> str | None:
        """Why the open session cannot go on, if that is known while the program trains."""


@dataclass(frozen=True, slots=True)
class BridgeState:
    """A row for the waits table: what the bridge does, and since when (seconds of the given clock)."""

    what: str
    since: float
