"""An SL's shell for bridge tests: keeps what came, 'merges' with imagined peers, and lets the test steer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from support import patience
from swarm.core.engine.messages import Left
from swarm.sl.bridge import Evaluate, FifoBridge, LossReport, Merged, SessionOpen, SyncCall, SyncDone
from swarmlearning import tensorfile

Merge = Callable[[str, np.ndarray], np.ndarray]


class Log:
    """Keeps log lines as (event, values)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _note(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    debug = info = warning = error = _note


@dataclass
class Shell:
    """A handler whose merge is a function of each tensor; ``over_after`` ends training at that sync."""

    work: Path
    merge: Merge = lambda name, array: array
    evaluations: int = 1
    interval: int | None = None
    over_after: int | None = None
    sessions: list[SessionOpen] = field(default_factory=list)
    syncs: list[SyncCall] = field(default_factory=list)
    models: list[dict[str, np.ndarray]] = field(default_factory=list)
    headers: list[tensorfile.Header] = field(default_factory=list)
    merged: list[dict[str, np.ndarray]] = field(default_factory=list)
    reports: list[LossReport] = field(default_factory=list)
    endings: list[str | None] = field(default_factory=list)
    lefts: list[Left | None] = field(default_factory=list)
    waits_for: tuple[str, ...] = ()
    losses: list[str] = field(default_factory=list)
    moves: list[tuple[int, int]] = field(default_factory=list)
    judged: str | None = None
    named: Merged | None = None
    record: str = ""
    cancelled: int = 0
    refuse: Exception | None = None
    hold: asyncio.Event | None = None
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def opened(self, request: SessionOpen) -> str:
        if self.refuse is not None:
            raise self.refuse
        self.sessions.append(request)
        return f"session-{len(self.sessions)}"

    async def sync(self, call: SyncCall, evaluate: Evaluate) -> SyncDone:
        arrays = tensorfile.open_arrays(call.path)
        self.syncs.append(call)
        self.headers.append(arrays.header)
        self.models.append({name: np.array(arrays[name]) for name in arrays})
        for text in self.waits_for:
            await call.tell(text)
        if self.hold is not None:
            self.holding.set()
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        merged = {name: np.asarray(self.merge(name, array)) for name, array in self.models[-1].items()}
        bf16 = {spec.name: "BF16" for spec in arrays.header.tensors if spec.dtype == "BF16"}
        path = self.work / "merged.safetensors"
        tensorfile.write(path, merged, {"platform": arrays.header.platform}, dtypes=bf16, durable=False)
        self.merged.append(merged)
        for _ in range(self.evaluations):
            self.reports.append(await evaluate(path, self.named))
        call.path.unlink()
        over = call.final or (self.over_after is not None and len(self.syncs) >= self.over_after)
        return SyncDone(self.interval or self.sessions[-1].sync_interval, over, self.record if over else "")

    async def ended(self, reason: str | None, left: Left | None = None) -> None:
        self.endings.append(reason)
        self.lefts.append(left)
        self.changed.set()

    async def lost(self, reason: str) -> None:
        self.losses.append(reason)
        await self.ended(reason)

    def moved(self, step: int, total: int) -> None:
        self.moves.append((step, total))
        self.changed.set()

    def verdict(self) -> str | None:
        return self.judged

    async def wait_ended(self, count: int = 1) -> None:
        async with asyncio.timeout(patience.seconds(10)):
            while len(self.endings) < count:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Place:
    """A bridge at work and where its program finds it."""

    request: Path
    response: Path
    exchange: Path
    work: Path
    shell: Shell
    log: Log
    bridge: FifoBridge
    task: asyncio.Task[None]

    @property
    def args(self) -> tuple[Path, Path, Path]:
        return self.request, self.response, self.exchange


@contextlib.asynccontextmanager
async def bridge_at(folder: Path, handler: Any = None, **shell_options: Any) -> AsyncIterator[Place]:
    """A running FifoBridge over real named pipes in ``folder``; ``handler``: in place of the shell made here."""
    work = folder / "private"
    work.mkdir()
    shell, log = Shell(work, **shell_options), Log()
    request, response, exchange = folder / "request.pipe", folder / "response.pipe", folder / "exchange"
    bridge = FifoBridge(request, response, exchange, work, handler or shell, log=log)
    task = asyncio.create_task(bridge.run())
    place = Place(request, response, exchange, work, shell, log, bridge, task)
    try:
        while bridge.state.what == "not started" and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        yield place
    finally:
        place.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await place.task
