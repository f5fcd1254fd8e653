"""The real way to swarms: one member of role SWCI for each SN's address, opened when it is first needed, then kept.

Owns connections, their bounds, and the journal that transactions stand in. A link that nobody uses is closed; one whose
address means another swarm now is closed once the commands that run over it have ended. The journal is held for the
time of a change only, so that two shells of one operator, and ``swarm reset`` beside them, work with the same key one
after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakValueDictionary

from swarm.chain.client import ChainClient
from swarm.core.errors import OperatorFault, PeerFault, SwarmFault
from swarm.core.shown import shown
from swarm.inspect.operator import JOURNAL, Identity, Member, identity, joined
from swarm.net.client import JsonClient
from swarm.net.faults import TlsRefused, Unreachable
from swarm.net.uri import same_place
from swarm.node.joining import PIN_KEY
from swarm.node.settings import NodeSettings
from swarm.node.sn_link import expect_sn
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .contexts import Context, Pin
from .session import Access

JOIN_SECONDS = 60.0
"""How long a command waits to become a member: an SN that starts, an approval."""
SN_SECONDS = 10.0
"""How long it waits for the SN to answer at all."""
JOURNAL_SECONDS = 30.0
"""How long a change waits for another process of this operator."""
LOOK_SECONDS = 0.1
LINKS_MAX = 64
"""Links to SNs at once, those that are being opened included."""
LINKS_OF_ONE_MAX = 8
"""Links that one REST caller, by its certificate's name, has opened."""
UNUSED_SECONDS = 600.0
"""A link without a call for so long is closed; the next command opens it again."""
GIVES_WAY_SECONDS = 60.0
"""At a bound, one without a call for so long gives way. No command goes so long without one: see JOURNAL_SECONDS."""
SWEEP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Open:
    """A link. Args: owner: the REST caller that opened it, "" for the shell itself."""

    member: Member
    pin: bytes
    stack: AsyncExitStack
    owner: str = ""

    @property
    def unused(self) -> float:
        return self.member.link.unused_seconds


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
        self._left: list[_Open] = []
        """Links of addresses that mean another swarm now; commands may still run over them."""
        self._entering: Counter[str] = Counter()
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closing: set[asyncio.Future[None]] = set()
        self._sweeper: asyncio.Future[None] | None = None
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

    def of(self, owner: str) -> Access:
        """The same way for a REST caller of that name: what it opens is counted as its own."""
        return _Caller(self, owner)

    async def member(self, context: Context, pin: Pin, owner: str = "") -> Member:
        known, place = pin.get(PIN_KEY), same_place(context.url)
        lock = self._opening.get(place)
        if lock is None:
            lock = self._opening[place] = asyncio.Lock()
        async with lock:  # an SN that hangs holds up its own only
            found = self._open.get(place)
            if found is not None and known not in (None, found.pin):
                # The context was made when another swarm stood there; whether that is back is asked anew.
                self._left.append(self._open.pop(place))
                found = None
            if found is None:
                self._take(owner)
                try:
                    found = self._open[place] = replace(await self._enter(context, known), owner=owner)
                finally:
                    self._entering[owner] -= 1
        found.member.link.touch()
        if known is None:
            pin.put(PIN_KEY, found.pin)
        return found.member

    def _take(self, owner: str) -> None:
        """Take a place for one more link before any work is done for it; what is unused gives way.

        Raises:
            OperatorFault: as many as may be are in use.
        """
        while owner and len(self._links(owner)) + self._entering[owner] >= LINKS_OF_ONE_MAX:
            self._give_way(self._links(owner), f"{shown(owner)!r} uses {LINKS_OF_ONE_MAX} swarms here already")
        while len(self._links()) + self._entering.total() >= LINKS_MAX:
            self._give_way(self._links(), f"{LINKS_MAX} swarms are in use here already")
        self._entering += Counter()  # drops names that enter nothing
        self._entering[owner] += 1
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.ensure_future(self._sweep())

    def _links(self, owner: str | None = None) -> list[_Open]:
        return [one for one in (*self._open.values(), *self._left) if owner in (None, one.owner)]

    def _give_way(self, links: list[_Open], why: str) -> None:
        longest = max(links, key=lambda one: one.unused, default=None)
        if longest is None or longest.unused < GIVES_WAY_SECONDS:
            raise OperatorFault(
                f"{why}: one without a command for {GIVES_WAY_SECONDS:.0f} s gives way, so try again after that"
            )
        self._close(longest)

    def _close(self, gone: _Open) -> None:
        self._open = {place: one for place, one in self._open.items() if one is not gone}
        self._left = [one for one in self._left if one is not gone]
        closing = asyncio.ensure_future(gone.stack.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _sweep(self) -> None:
        """Close what nobody uses, for as long as there is anything."""
        while self._links() or self._entering.total():
            await asyncio.sleep(SWEEP_SECONDS)
            for one in self._links():
                if one.unused >= (GIVES_WAY_SECONDS if one in self._left else UNUSED_SECONDS):
                    self._close(one)

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for one in self._links():
            self._close(one)
        await asyncio.gather(*self._closing)

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
        pin = next((one.pin for one in self._links() if one.member is member), None)
        if pin is None:
            raise OperatorFault(f"the link to {member.link.url} was closed meanwhile: give the command again")
        first = await self._locked(self._state / JOURNAL)
        try:
            known = first.get(PIN_KEY)
            if known is None:
                first.put(PIN_KEY, pin)
        except BaseException:
            first.close()
            raise
        if known in (None, pin):
            return first
        first.close()
        return await self._locked(self._state / "swarms" / hashlib.sha256(pin).hexdigest()[:16] / JOURNAL)

    async def _locked(self, path: Path) -> Journal:
        until = asyncio.get_running_loop().time() + JOURNAL_SECONDS
        while True:
            opening = asyncio.ensure_future(asyncio.to_thread(Journal, path))
            try:
                return await asyncio.shield(opening)
            except asyncio.CancelledError:
                # A thread cannot be called off, and would leave it locked for good.
                opening.add_done_callback(_unwanted)
                raise
            except OperatorFault:
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class _Caller:
    """A REST caller's way to swarms."""

    real: RealAccess
    owner: str

    async def why_down(self, url: str) -> str:
        return await self.real.why_down(url)

    async def member(self, context: Context, pin: Pin) -> Member:
        return await self.real.member(context, pin, self.owner)

    def writing(self, member: Member) -> AbstractAsyncContextManager[tuple[ChainClient, Journal]]:
        return self.real.writing(member)


def _unwanted(opening: asyncio.Future[Journal]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, SwarmFault):  # nobody waits for news any more
        await task
