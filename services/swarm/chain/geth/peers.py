"""Enodes and the networks that a geth may meet: parsing, resolving names, ``--netrestrict``. Decides nothing more."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace

from swarm.core.errors import OperatorFault, PeerFault

from .config import LOOPBACK

ENODE_BYTES_MAX = 256
RESOLVE_SECONDS_MAX = 5.0
FULL_MESH_FROM = 6
"""From so many peers on geth's own limit is raised (docs/chain.md, Peers)."""
PEERS_FEW, PEERS_MANY = 1, 50

_ENODE = re.compile(r"enode://([0-9a-f]{128})@([A-Za-z0-9.-]{1,100}|\[[0-9a-f:]{2,45}\]):([0-9]{1,5})")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Enode:
    """A chain node's address: 128 hex digits of its P2P key, a name or an address, a port."""

    id: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"enode://{self.id}@{host}:{self.port}"

    @classmethod
    def parse(cls, text: object) -> Enode:
        """Raises PeerFault: not an enode in the one form that is used here."""
        found = _ENODE.fullmatch(text) if isinstance(text, str) and len(text) <= ENODE_BYTES_MAX else None
        if found is None or not 1 <= int(found[3]) <= 65535:
            raise PeerFault(f"enode: expected enode://<128 hex digits>@host:port, not {text!r:.200}")
        return cls(found[1], found[2].strip("[]"), int(found[3]))

    async def resolved(self) -> Enode:
        """With a numeric address that a node can have.

        Raises:
            PeerFault: the name has no such address now.
        """
        try:
            async with asyncio.timeout(RESOLVE_SECONDS_MAX):
                found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            address = ipaddress.ip_address(sorted(found, key=lambda f: f[0] != socket.AF_INET)[0][4][0])
        except (OSError, TimeoutError, ValueError) as error:
            raise PeerFault(f"enode: {self.host} has no address now ({error})") from error
        if address.is_unspecified or address.is_multicast:
            raise PeerFault(f"enode: {self.host} is {address}, which is no node's address")
        return replace(self, host=str(address))


def networks(text: str) -> list[Network]:
    """``--p2p-allow``: networks, comma separated.

    Raises:
        OperatorFault: one of them is none.
    """
    try:
        return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise OperatorFault(f"--p2p-allow (SWARM_P2P_ALLOW): {error}; give networks such as 10.1.0.0/16") from None


def restrict(allowed: Iterable[Network]) -> str:
    """The value of ``--netrestrict``: loopback always, then these."""
    return ",".join(dict.fromkeys([LOOPBACK + "/32", *sorted(map(str, allowed))]))


def network_of(address: str) -> Network:
    """The one address as a network."""
    return ipaddress.ip_network(address)


def covered(address: str, restricted: str) -> bool:
    """Whether ``--netrestrict`` admits that address."""
    number = ipaddress.ip_address(address)
    return any(number in ipaddress.ip_network(part) for part in restricted.split(","))


def peers_max(count: int) -> int:
    """``--maxpeers`` for so many peers, all of them trusted and so beyond that limit.

    geth begins to catch up at once only with 5 peers or as many as the limit, else within 10 s: measured 0.2 s
    instead of 13 s. With the limit at 1 a node dials one peer, which keeps up to 5 nodes connected.
    """
    return PEERS_FEW if count < FULL_MESH_FROM else PEERS_MANY
