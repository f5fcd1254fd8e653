"""What one SN tells of itself and of signs of life, asked once for all who look at that moment.

An SN shows itself to one member some four times a second; a shell that serves many callers is one member. What is
asked is the reader's business, how old an answer may be is owned here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from .source import Asked

LOOK_SECONDS = 0.5
"""An answer is given to all who ask so soon after it was asked for."""


class Looks:
    """``get`` of an SN, shared.

    Args:
        asked: the SN.
        clock: seconds, monotonic.
    """

    def __init__(self, asked: Asked, clock: Callable[[], float] = time.monotonic) -> None:
        self._asked = asked
        self._clock = clock
        self._found: dict[str, tuple[float, str, asyncio.Task[Any]]] = {}

    @property
    def url(self) -> str:
        return self._asked.url

    async def get(self, path: str) -> Any:
        """The answer's JSON, asked for at most ``LOOK_SECONDS`` ago; not to be changed. Raises what the SN's does.

        One that failed is asked for anew by the next who comes; whoever asked at the same moment shares the failure.
        """
        begun, whom, task = self._found.get(path, (0.0, "", None))
        now = self._clock()
        old = task is not None and task.done() and (_failed(task) or now - begun > LOOK_SECONDS)
        if task is None or old or whom != self.url:
            task = asyncio.ensure_future(self._asked.get(path))
            task.add_done_callback(_failed)  # it is looked at, also where nobody waits for it any more
            self._found[path] = now, self.url, task
        # One caller that goes away takes nothing from the others.
        return await asyncio.shield(task)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
