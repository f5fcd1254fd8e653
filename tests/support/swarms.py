"""Small moves on a deployed swarm, for tests: admit a node, read events, run work in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from support import patience
from support.chains import LiveChain
from swarm.chain.deploy import Deployed
from swarm.chain.events import EventDecoder
from swarm.chain.feed import Cursor, EventFeed, Happened, Removed
from swarm.chain.wake import Waker
from swarm.core.chain_view import Role
from swarm.core.ids import ZERO32, Address, sha256

FAR = 2**40
EVENTS_SECONDS_MAX = 30.0


async def admit(swarm: Deployed, node: Address, role: Role = Role.SL, expires: int = FAR) -> Any:
    return await swarm.membership.admit(
        node, spki=sha256(node), spiffe=ZERO32, site=sha256(b"site"), role=role, expires=expires
    )


class Notebook:
    """A cursor store, and a handler that writes down what it gets."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.got: list[Happened | Removed] = []
        self.news = asyncio.Event()

    def load(self) -> Cursor | None:
        return self.cursor

    def save(self, cursor: Cursor) -> None:
        self.cursor = cursor

    async def __call__(self, notice: Happened | Removed) -> None:
        self.got.append(notice)
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(patience.seconds(EVENTS_SECONDS_MAX)):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()

    @property
    def events(self) -> list[Any]:
        return [notice.event for notice in self.got]


def feed_of(chain: LiveChain, swarm: Deployed, book: Notebook, waker: Waker, *, final: int = 0) -> EventFeed:
    return EventFeed(
        chain.rpc,
        list(swarm.addresses.values()),
        EventDecoder(swarm.addresses),
        book,
        confirmations_final=final,
        waker=waker,
    )


@contextlib.asynccontextmanager
async def background(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(w) for w in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise AssertionError(f"a background task ended: {outcome!r}")
