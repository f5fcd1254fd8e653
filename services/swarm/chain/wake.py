"""Wake-ups: "the chain may have something new". A hint, never the truth; readers poll a state or a cursor.

Take the ticket before looking, wait on it after: a wake-up in between is then not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]


class Waker:
    """Wakes every waiter at once; cheap to call for each new head."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake all who hold a ticket. Call it from the event loop's thread."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def listener(self, loop: asyncio.AbstractEventLoop) -> Callable[..., None]:
        """A function for other threads, such as the embedded chain's; it ignores its arguments."""

        def wake(*_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.wake)

        return wake

    def ticket(self) -> Ticket:
        return Ticket(self._event)


class Ticket:
    """A promise to be woken by whatever happens after it was taken."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    @property
    def woken(self) -> bool:
        """Whether something has happened since."""
        return self._event.is_set()

    async def wait(self, seconds: float, sleep: Sleep = asyncio.sleep) -> bool:
        """Wait at most ``seconds``; True if woken, False if the time ran out."""
        if self._event.is_set():
            return True
        woken = asyncio.ensure_future(self._event.wait())
        timer = asyncio.ensure_future(sleep(seconds))
        try:
            await asyncio.wait({woken, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            timer.cancel()
        return self._event.is_set()
