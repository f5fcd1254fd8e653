"""Who the other members are and where they serve: keys from Membership, addresses from Joined events.

Owns the cache; which member may do what is decided in ``app`` and the engine.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from swarm.chain.membership import Membership
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import PeerFault
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


class Members:
    """Those of the swarm's members that this node has to do with, as the chain last had them."""

    def __init__(self, membership: Membership, journal: Journal) -> None:
        self._membership = membership
        self._journal = journal
        self._unknown = Buckets(UNKNOWN_PER_SECOND, UNKNOWN_BURST)
        self._members: dict[Address, Member] = {}
        self._holders: dict[bytes, Address] = {}
        self._uris: dict[Address, str] = {
            Address(bytes.fromhex(key.removeprefix(URI_PREFIX))): json.loads(value)
            for key, value in journal.items(URI_PREFIX)
        }

    async def refresh(self, nodes: Iterable[Address]) -> None:
        """Read the records of these that are not known, or have changed; of nobody else."""
        wanted = set(nodes)
        missing = [node for node in wanted if node not in self._members]
        for node, record in zip(missing, await asyncio.gather(*map(self._membership.member, missing)), strict=True):
            self._keep(node, record)
        for node in [n for n in self._members if n not in wanted][: max(0, len(self._members) - RECORDS_MAX)]:
            self.changed(node)

    def changed(self, node: Address) -> None:
        """The chain told of a change of this member, or took one back: its record is read anew when it is needed."""
        record = self._members.pop(node, None)
        if record is not None and self._holders.get(record.spki) == node:
            del self._holders[record.spki]

    def _keep(self, node: Address, record: Member) -> None:
        self.changed(node)
        self._members[node] = record
        if record.status is not Status.NONE:
            self._holders[record.spki] = node

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
                self._keep(node, await self._membership.member(node))
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
