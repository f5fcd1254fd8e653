"""The SL's engine and the threads of its process: what may keep promises from the disk, and what may not."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from swarm.core.engine import Config, Engine
from swarm.core.engine import actions as act
from swarm.core.engine.messages import Pulse
from swarm.core.ids import Address, Digest, job_id
from swarm.sl.mergework import MergeOptions
from swarm.sl.runtime import JobRuntime
from swarm.sl.timeline import Timeline
from swarm.store.journal import Journal

PEER = Address(bytes([1] * 20))
PULSE = Pulse(job_id("j"), 1, PEER, 0, 0, 0, "training", 1)
ANSWER_SECONDS = 5.0


class Promising(Engine):
    """An engine that promises something at every event."""

    def __init__(self) -> None:
        unused: Any = SimpleNamespace()
        super().__init__(Config(PEER, PULSE.job, Digest(bytes(32))), unused, unused, unused, now=0.0)

    def handle(self, event: object, now: float) -> list[act.Action]:
        return [act.Persist({"engine/context/x": {"promised": 1}})]

    def pulse_for(self, peer: Address) -> Pulse:
        return PULSE


async def test_promises_are_written_while_all_other_threads_are_busy(tmp_path: Path) -> None:
    """Hashing large models, or a name server that is silent, can take every thread of the shared pool for minutes.

    A node that could not journal meanwhile would answer no pulse, and be taken for dead.
    """
    release = threading.Event()
    pool = ThreadPoolExecutor(2)
    asyncio.get_running_loop().set_default_executor(pool)
    busy = [asyncio.ensure_future(asyncio.to_thread(release.wait, 15)) for _ in range(4)]
    with Journal(tmp_path / "journal.db") as journal:
        unused: Any = MagicMock()
        runtime = JobRuntime(
            PULSE.job,
            "j",
            lambda kept: Promising(),
            unused,
            "https://here:1",
            journal,
            unused,
            unused,
            unused,
            Timeline(),
            MergeOptions(),
        )
        runtime.attach(unused, unused, unused)
        running = asyncio.ensure_future(runtime.run())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                assert await runtime.pulse(PEER, PULSE) == PULSE
            assert journal.get("engine/context/x") is not None
        finally:
            release.set()
            running.cancel()
            await asyncio.gather(running, *busy, return_exceptions=True)
