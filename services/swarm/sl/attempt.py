"""What an SL tells its SWOP: which run it joined, for which attempt of a task (docs/swop.md).

Owns one small file in the state folder; a word of an earlier attempt goes at the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from swarm.core.swop.outcome import Joined, joined_text
from swarm.store.files import write_private

LOOK_SECONDS = 0.2
"""A run lasts longer: its end is a transaction."""


async def tell_joined(path: Path, mark: str, look: Callable[[], Joined | None]) -> None:
    """Write the file once there is something to tell; then this is done.

    Args:
        mark: the attempt; ``look``: the run that was joined, None before.
    """
    await asyncio.to_thread(path.unlink, missing_ok=True)
    while True:
        found = look()
        if found is not None:
            await asyncio.to_thread(write_private, path, joined_text(mark, found))
            return
        await asyncio.sleep(LOOK_SECONDS)
