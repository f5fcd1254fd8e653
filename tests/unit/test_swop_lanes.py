"""Long calls in threads of their own: bounded, given up without a trace, and no hold on the process's end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from swarm.swop.lanes import LongLane


async def test_what_a_call_returns_and_raises_arrives() -> None:
    """As from a plain call."""
    lane = LongLane(2, "long")
    assert await lane.do(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await lane.do(lambda: 1 // 0)


async def test_no_more_than_so_many_run_at_once() -> None:
    """Also when some were given up and still hold their place."""
    lane, gate, running = LongLane(2, "long"), threading.Event(), []

    def call() -> int:
        running.append(1)
        gate.wait(20)
        return len(running)

    asked = [asyncio.ensure_future(lane.do(call)) for _ in range(3)]
    for _ in range(2000):
        if len(running) == 2:
            break
        await asyncio.sleep(0.01)
    asked[0].cancel()
    await asyncio.sleep(0.1)
    assert len(running) == 2
    gate.set()
    assert await asyncio.gather(*asked[1:]) == [2, 3] or len(running) == 3
    assert asked[0].cancelled()


def test_a_call_that_never_ends_does_not_keep_the_process() -> None:
    """SIGTERM of a SWOP in the middle of a build."""
    script = """
import asyncio, threading
from swarm.swop.lanes import LongLane
async def main():
    lane = LongLane(1, "long")
    task = asyncio.ensure_future(lane.do(threading.Event().wait))
    await asyncio.sleep(0.1)
    task.cancel()
asyncio.run(main())
print("over")
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "over\n"
    assert time.monotonic() - began < 60
