"""Work that gives way to the end of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def unless(stop: asyncio.Event, work: Awaitable[object]) -> bool:
    """Run ``work`` unless ``stop`` comes first; True if it was finished."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    task.result()
    return True
