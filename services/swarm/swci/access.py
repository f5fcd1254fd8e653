"""The real way to swarms: one member of role SWCI a context, opened when it is first needed, kept until the end.

Owns connections and the journal that transactions stand in. The journal is held for the time of a change only, so that
two shells of one operator, and ``swarm reset`` beside them, work with the same key one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from swarm.chain.client import ChainClient
from swarm.core.errors import OperatorFault, PeerFault, SwarmFault
from swarm.inspect.operator import JOURNAL, Identity, Member, identity, joined
from swarm.net.client import JsonClient
from swarm.net.faults import TlsRefused, Unreachable
from swarm.node.joining import PIN_KEY
from swarm.node.settings import NodeSettings
from swarm.node.sn_link import expect_sn
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .contexts import Context, ContextBook

JOIN_SECONDS = 60.0
"""How long a command waits to become a member: an SN that starts, an approval."""
SN_SECONDS = 10.0
"""How long it waits for the SN to answer at all."""
JOURNAL_SECONDS = 30.0
"""How long a change waits for another process of this operator."""
LOOK_SECONDS = 0.1


class RealAccess:
    """Args: settings: identity and state folder; book: keeps which swarm each context means."""

    def __init__(self, settings: NodeSettings, state: Path, book: ContextBook) -> None:
        self._settings, self._state, self._book = settings, state, book
        self._who: Identity | None = None
        self._open: dict[str, tuple[Member, AsyncExitStack]] = {}
        self._opening = asyncio.Lock()
        self.waits = Waits()

    async def why_down(self, url: str) -> str:
        who = await self._identity()
        try:
            async with JsonClient(url, who.context, expect_sn) as client:
                await client.get("/is_up")
        except (TlsRefused, PeerFault) as error:
            raise OperatorFault(str(error)) from error
        except Unreachable as error:
            return error.cause
        return ""

    async def member(self, context: Context) -> Member:
        async with self._opening:
            if context.name not in self._open:
                self._open[context.name] = await self._enter(context)
            return self._open[context.name][0]

    async def leave(self, context: Context) -> None:
        if context.name in self._open:
            _, stack = self._open.pop(context.name)
            await stack.aclose()

    async def aclose(self) -> None:
        for name in list(self._open):
            _, stack = self._open.pop(name)
            await stack.aclose()

    async def _identity(self) -> Identity:
        if self._who is None:
            self._who = await identity(self._settings)
        return self._who

    async def _enter(self, context: Context) -> tuple[Member, AsyncExitStack]:
        who = await self._identity()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(JOIN_SECONDS):
                    member = await stack.enter_async_context(
                        joined(
                            who,
                            [context.url],
                            self._book.pin(context.name),
                            self.waits,
                            wait_seconds=SN_SECONDS,
                            mend=f"the address of context {context.name}",
                        )
                    )
            except TimeoutError:
                raise OperatorFault(
                    f"the SN at {context.url} has not admitted this SWCI within {JOIN_SECONDS:.0f} s; if its swarm "
                    f"wants an approval, say there: swarm approve {who.account.address.lower()}"
                ) from None
            news = asyncio.ensure_future(member.link.listen())
            stack.push_async_callback(_ended, news)
            return member, stack.pop_all()

    @asynccontextmanager
    async def writing(self, member: Member) -> AsyncIterator[tuple[ChainClient, Journal]]:
        """This operator's transactions in that swarm, one process at a time.

        Raises:
            OperatorFault: another process of this operator is at it for too long.
        """
        journal = await self._journal(member)
        with journal:
            client = member.writing(journal)
            await client.tend()
            yield client, journal

    async def _journal(self, member: Member) -> Journal:
        """The state folder's own if it belongs to this swarm, else one of this swarm's."""
        pin = next((self._book.get(name).pin for name, (one, _) in self._open.items() if one is member), "").encode()
        first = await self._locked(self._state / JOURNAL)
        known = first.get(PIN_KEY)
        if known is None:
            first.put(PIN_KEY, pin)
        if known in (None, pin):
            return first
        first.close()
        return await self._locked(self._state / "swarms" / hashlib.sha256(pin).hexdigest()[:16] / JOURNAL)

    async def _locked(self, path: Path) -> Journal:
        until = asyncio.get_running_loop().time() + JOURNAL_SECONDS
        while True:
            try:
                return await asyncio.to_thread(Journal, path)
            except OperatorFault:
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(LOOK_SECONDS)


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, SwarmFault):  # nobody waits for news any more
        await task
