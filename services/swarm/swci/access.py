"""The real way to swarms: one member of role SWCI for each SN's address, opened when it is first needed, then kept.

Owns connections and the journal that transactions stand in. The journal is held for the time of a change only, so that
two shells of one operator, and ``swarm reset`` beside them, work with the same key one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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

from .contexts import Context, Pin

JOIN_SECONDS = 60.0
"""How long a command waits to become a member: an SN that starts, an approval."""
SN_SECONDS = 10.0
"""How long it waits for the SN to answer at all."""
JOURNAL_SECONDS = 30.0
"""How long a change waits for another process of this operator."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Open:
    member: Member
    pin: bytes
    stack: AsyncExitStack


class _Kept:
    """A pin while a member is opened."""

    def __init__(self, pin: bytes | None) -> None:
        self.pin = pin

    def get(self, key: str) -> bytes | None:
        return self.pin

    def put(self, key: str, value: bytes) -> None:
        self.pin = value


class RealAccess:
    """Args: settings: identity; state: the folder of the account and its journals."""

    def __init__(self, settings: NodeSettings, state: Path) -> None:
        self._settings, self._state = settings, state
        self._who: Identity | None = None
        self._open: dict[str, _Open] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._reading = asyncio.Lock()
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

    async def member(self, context: Context, pin: Pin) -> Member:
        known = pin.get(PIN_KEY)
        async with self._opening.setdefault(context.url, asyncio.Lock()):  # an SN that hangs holds up its own only
            found = self._open.get(context.url)
            if found is not None and known not in (None, found.pin):
                # The context was made when another swarm stood there; whether that is back is asked anew.
                await self._open.pop(context.url).stack.aclose()
                found = None
            if found is None:
                found = self._open[context.url] = await self._enter(context, known)
        if known is None:
            pin.put(PIN_KEY, found.pin)
        return found.member

    async def aclose(self) -> None:
        for url in list(self._open):
            await self._open.pop(url).stack.aclose()

    async def _identity(self) -> Identity:
        async with self._reading:
            if self._who is None:
                self._who = await identity(self._settings)
        return self._who

    async def _enter(self, context: Context, pin: bytes | None) -> _Open:
        who, kept = await self._identity(), _Kept(pin)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(JOIN_SECONDS):
                    member = await stack.enter_async_context(
                        joined(
                            who,
                            [context.url],
                            kept,
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
            assert kept.pin is not None  # the first look at the swarm set it
            return _Open(member, kept.pin, stack.pop_all())

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
        pin = next(one.pin for one in self._open.values() if one.member is member)
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
