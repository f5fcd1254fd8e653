"""Who the TLS peers of the gateway are on chain, cached so that a request does not cost calls of its own.

The cache lives as long as ``Membership.version``, which is asked at most once a block; expiry is judged at
each request by the wall clock. Owns no rule: active is what the contract says.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from swarm.core.chain_view import Member
from swarm.core.ids import Address

CACHE_ENTRIES_MAX = 4096
CACHE_SECONDS_MAX = 30.0
"""An old key's overlap ends by time alone, without a new version."""


class MembershipView(Protocol):
    """The part of the Membership facade that is read here."""

    async def version(self) -> int: ...

    async def holder_of(self, spki: bytes) -> Address | None: ...

    async def member(self, node: Address) -> Member: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A certificate's key as the chain knows it; ``node`` None: nobody's key."""

    node: Address | None
    member: Member | None
    read_at: float


class Members:
    """Looks up who holds a certificate's key.

    Args:
        clock: wall clock in seconds.
    """

    def __init__(self, membership: MembershipView, clock: Callable[[], float] = time.time) -> None:
        self._membership = membership
        self._clock = clock
        self._lock = asyncio.Lock()
        self._version: int | None = None
        self._stale = True
        self._cache: OrderedDict[bytes, Standing] = OrderedDict()
        self.last_seen: dict[Address, float] = {}

    def head_moved(self) -> None:
        """The next look-up asks for the version first."""
        self._stale = True

    async def active(self, spki: bytes) -> Address | None:
        """The active member that holds this key now, else None; remembers when it was seen.

        Raises:
            ChainFault: the chain does not answer.
        """
        standing = await self._standing(spki)
        now = self._clock()
        if standing.node is None or standing.member is None or not standing.member.active_at(int(now)):
            return None
        self.last_seen[standing.node] = now
        return standing.node

    async def record(self, spki: bytes) -> Member | None:
        """The chain's record of the member that holds this key, active or not.

        Raises:
            ChainFault: the chain does not answer.
        """
        return (await self._standing(spki)).member

    async def _standing(self, spki: bytes) -> Standing:
        if self._stale:
            async with self._lock:
                if self._stale:
                    # Cleared before asking: a head that comes meanwhile makes the next request ask again.
                    self._stale = False
                    try:
                        version = await self._membership.version()
                    except BaseException:
                        self._stale = True
                        raise
                    if version != self._version:
                        self._version = version
                        self._cache.clear()
        found = self._cache.get(spki)
        if found is not None and self._clock() - found.read_at < CACHE_SECONDS_MAX:
            self._cache.move_to_end(spki)
            return found
        cached_for = self._version
        node = await self._membership.holder_of(spki)
        member = None if node is None else await self._membership.member(node)
        found = Standing(node, member, self._clock())
        if cached_for == self._version and not self._stale:
            self._cache[spki] = found
            while len(self._cache) > CACHE_ENTRIES_MAX:
                self._cache.popitem(last=False)
        return found
