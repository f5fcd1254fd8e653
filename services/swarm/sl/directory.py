"""Who the other members are and where they serve: keys from Membership, addresses from Joined events.

Owns the cache; which member may do what is decided in ``app`` and the engine.
"""

from __future__ import annotations

import json

from swarm.chain.membership import Membership
from swarm.core.chain_view import Member, Role
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, Digest, to_hex
from swarm.net.identity import PeerIdentity
from swarm.net.uri import parse_uri
from swarm.node.rates import Buckets
from swarm.store.journal import Journal

URI_PREFIX = "uri/"
UNKNOWN_PER_SECOND, UNKNOWN_BURST = 5.0, 50.0
"""Keys of no known member that the chain is asked about: strangers must not use up this node's rate at its SN."""


class Members:
    """The swarm's members as this node last read them."""

    def __init__(self, membership: Membership, journal: Journal) -> None:
        self._membership = membership
        self._journal = journal
        self._version = -1
        self._unknown = Buckets(UNKNOWN_PER_SECOND, UNKNOWN_BURST)
        self._members: dict[Address, Member] = {}
        self._holders: dict[bytes, Address] = {}
        self._uris: dict[Address, str] = {
            Address(bytes.fromhex(key.removeprefix(URI_PREFIX))): json.loads(value)
            for key, value in journal.items(URI_PREFIX)
        }

    async def refresh(self, version: int) -> None:
        """Read the members again if the contract's version has moved."""
        if version == self._version:
            return
        self._members = await self._membership.members()
        self._holders = {m.spki: node for node, m in self._members.items()}
        self._version = version

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
