"""Who the other members are and where they serve: keys from Membership, addresses from Joined events.

Owns the cache; which member may do what is decided in ``app`` and the engine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence

from swarm.chain.membership import Membership
from swarm.core.chain_view import Member, Role
from swarm.core.errors import ChainFault, PeerFault
from swarm.core.ids import Address, Digest, to_hex
from swarm.net.identity import PeerIdentity
from swarm.net.uri import parse_uri
from swarm.node.rates import Buckets
from swarm.store.journal import Journal

URI_PREFIX = "uri/"
UNKNOWN_PER_SECOND, UNKNOWN_BURST = 5.0, 50.0
"""Keys of no known member that the chain is asked about: strangers must not use up this node's rate at its SN."""


RECORDS_MAX = 4096
"""Members whose records are kept; more only while a run has more. The oldest that no run needs go."""
READ_AT_ONCE_MAX = 100
"""Records asked for side by side: the line to the SN lets a bounded number of calls wait."""
TURNS_MAX = 5
"""Reads of one look that a turn to another SN may make void."""
AGAIN_SECONDS, AGAIN_MAX = 30.0, 16
"""What is known is read again after so long, so many records a look: events make it prompt, this makes it certain."""


class Members:
    """Those of the swarm's members that this node has to do with, as the chain last had them."""

    def __init__(self, membership: Membership, journal: Journal, now: Callable[[], float] = time.monotonic) -> None:
        self._membership = membership
        self._journal = journal
        self._now = now
        self._changes = 0
        """How often a record became void: what was asked before that may be the record of before."""
        self._read_at: dict[Address, float] = {}
        """Of each known member, when; the oldest first."""
        self._unknown = Buckets(UNKNOWN_PER_SECOND, UNKNOWN_BURST)
        self._members: dict[Address, Member] = {}
        self._holders: dict[bytes, Address] = {}
        self._uris: dict[Address, str] = {
            Address(bytes.fromhex(key.removeprefix(URI_PREFIX))): json.loads(value)
            for key, value in journal.items(URI_PREFIX)
        }

    async def refresh(self, nodes: Iterable[Address]) -> None:
        """Read the records of these that are not known, or have changed, and some that were read long ago.

        Raises:
            ChainFault: an SN does not answer; or answers came from one SN after the other, again and again.
        """
        wanted, old = set(nodes), self._now() - AGAIN_SECONDS
        await self._read([node for node, at in self._read_at.items() if at <= old][:AGAIN_MAX])
        for _ in range(TURNS_MAX):
            missing = [node for node in wanted if node not in self._members]
            if not missing:
                break
            await self._read(missing)  # a turn to another SN meanwhile has made all of them void
        else:
            raise ChainFault(f"records of {len(missing)} members were void {TURNS_MAX} times before all were read")
        for node in [n for n in self._members if n not in wanted][: max(0, len(self._members) - RECORDS_MAX)]:
            self._forget(node)

    async def _read(self, nodes: Sequence[Address]) -> None:
        for first in range(0, len(nodes), READ_AT_ONCE_MAX):
            some = nodes[first : first + READ_AT_ONCE_MAX]
            for node, record in zip(some, await asyncio.gather(*map(self._membership.member, some)), strict=True):
                self._keep(node, record)

    def changed(self, node: Address) -> None:
        """The chain told of a change of this member, or took one back: its record is read anew when it is needed."""
        self._changes += 1
        self._forget(node)

    def all_changed(self) -> None:
        """Another SN answers from now on: it may be some blocks behind the one that told of changes."""
        for node in list(self._members):
            self.changed(node)

    def _forget(self, node: Address) -> None:
        record = self._members.pop(node, None)
        self._read_at.pop(node, None)
        if record is not None and self._holders.get(record.spki) == node:
            del self._holders[record.spki]

    def _keep(self, node: Address, record: Member) -> None:
        self._forget(node)
        self._members[node], self._read_at[node] = record, self._now()
        if any(record.spki):  # nobody's; or its heir has it now
            self._holders[record.spki] = node

    def since(self, node: Address) -> int:
        """The block of this member's admission; 0 for nobody known."""
        member = self._members.get(node)
        return member.since if member is not None else 0

    async def counts_after(self, node: Address) -> int:
        """Of an heir of a lost key: the block that a round must be opened after for it to count; else 0."""
        return await self._membership.counts_after(node)

    def active(self, node: Address, block_time: int) -> bool:
        member = self._members.get(node)
        return member is not None and member.active_at(block_time)

    def active_as(self, node: Address, role: Role, block_time: int) -> bool:
        member = self._members.get(node)
        return member is not None and member.role is role and member.active_at(block_time)

    async def holder(self, spki: Digest, block_time: int) -> Address | None:
        """The active member that holds this certificate key; asks the chain when the cache has no answer."""
        node = self._holders.get(spki)
        if node is None and self._unknown.take(b""):
            return None
        if node is None:
            node = await self._membership.holder_of(spki)
            if node is not None and node not in self._members:
                before = self._changes
                record = await self._membership.member(node)
                if self._changes != before:  # it may be a record of before the change: used once, not kept
                    return node if record.spki == spki and record.active_at(block_time) else None
                self._keep(node, record)
        return node if node is not None and self.active(node, block_time) else None

    def expect(self, node: Address) -> Expectation:
        member = self._members.get(node)
        return Expectation(node, member.spki if member is not None else b"")

    def learn_uri(self, node: Address, uri: str) -> None:
        """Remember where a joiner serves; a bad one is not remembered.

        Raises:
            PeerFault: it is not https://host:port.
        """
        parse_uri(uri)
        if self._uris.get(node) != uri:
            self._uris[node] = uri
            self._journal.put(URI_PREFIX + node.hex(), json.dumps(uri).encode())

    def uri(self, node: Address) -> str | None:
        return self._uris.get(node)

    def name(self, node: Address) -> str:
        return to_hex(node)


class Expectation:
    """Checks that a TLS peer holds the key that the chain binds to a member."""

    def __init__(self, node: Address, spki: bytes) -> None:
        self._node, self._spki = node, spki

    def __call__(self, peer: PeerIdentity) -> None:
        if peer.spki != self._spki:
            raise PeerFault(
                f"spki: the certificate shown is not the one the chain binds to member {to_hex(self._node)} "
                f"(shown {to_hex(peer.spki)}, bound {to_hex(self._spki) if self._spki else 'none'})"
            )
