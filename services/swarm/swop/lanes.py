"""Threads for long calls that block: each in one of its own, which does not hold up the process's end.

A call that is given up goes on in its thread until its engine answers; nobody hears what came of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class LongLane:
    """At most ``most`` long calls at once; further ones wait for a place."""

    def __init__(self, most: int, name: str) -> None:
        self._places, self._name = asyncio.Semaphore(most), name

    async def do(self, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises, from a daemon thread of its own."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def tell(result: T | None, error: BaseException | None) -> None:
            self._places.release()
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, result, error)

        await self._places.acquire()
        threading.Thread(target=work, name=self._name, daemon=True).start()
        return await done
