"""The swarm's SNs: which the chain lists, and which of them answer. Owns reading and asking; decides nothing.

An SN is listed while it is an active member of role SN that has announced a usable address.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from swarm.chain.deploy import Deployed
from swarm.chain.events import Announced, MemberAdmitted
from swarm.chain.geth.admin import tip_of
from swarm.chain.latest import Latest
from swarm.chain.rpc import Rpc, unwrap
from swarm.core.chain_view import Member, Role
from swarm.core.errors import ChainFault, PeerFault, SwarmFault
from swarm.core.ids import Address
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.identity import role_of
from swarm.net.uri import parse_uri

from .forks import Tip

SNS_MAX = 64
"""SNs that are looked after; the first admitted ones."""
SNS_LOOKED_UP_MAX = 256
"""Announced nodes whose membership is read: those that did so last, as every SN does at each start."""
ASK_SECONDS_MAX = 4.0
"""One question to another SN."""
MEMBERS_SECONDS_MAX = 30.0
"""The members are read anew at least so often: an expiry makes no new version."""
LEAVING = "leaving"
"""Code of an SN that is about to stop."""


@dataclass(frozen=True, slots=True)
class Sn:
    """One SN of the chain's list. ``sealer`` is all zero if it does not seal; ``since``: block of its admission."""

    node: Address
    uri: str
    enode: str
    sealer: Address
    since: int
    sentinel: bool


class Answer(Enum):
    """What ``/is_up`` of an SN said."""

    UP = "up"
    DOWN = "down"
    LEAVING = "leaving"
    NONE = "no answer"


class Fleet:
    """Args: me: this SN, which is listed as well; clock: wall clock in seconds."""

    def __init__(
        self,
        rpc: Rpc,
        deployed: Deployed,
        context: ssl.SSLContext,
        me: Address,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._membership = deployed.membership
        self._announced = Latest(rpc, deployed.addresses, "Membership", Announced)
        self._context = context
        self._me = me
        self._clock = clock
        self._clients: dict[str, JsonClient] = {}
        self._admitted = Latest(rpc, deployed.addresses, "Membership", MemberAdmitted)
        self._records: dict[Address, Member] = {}
        self._read: tuple[int, list[Address], float] = (-1, [], float("-inf"))
        self._owner: Address | None = None
        self.sns: list[Sn] = []
        self.members: frozenset[Address] = frozenset()
        """Whoever was ever admitted, in any role."""

    async def refresh(self) -> list[Sn]:
        """All listed SNs in the order of their admission.

        Raises:
            ChainFault: the chain does not answer.
        """
        records, now = await self.records(), self._clock()
        if self._owner is None:
            self._owner = await self._membership.owner()
        self.members = frozenset(await self._admitted.events())
        said = await self._announced.events()
        found = [(m.since, n) for n, m in records.items() if n in said and m.active_at(int(now))]
        active = [(since, n) for since, n in found if _usable(said[n].uri)]
        self.sns = [
            Sn(node, said[node].uri, said[node].enode, said[node].sealer, since, node == self._owner)
            for since, node in sorted(active)[:SNS_MAX]
        ]
        for uri in set(self._clients) - {sn.uri for sn in self.sns}:
            await self._clients.pop(uri).aclose()
        return self.sns

    async def records(self) -> Mapping[Address, Member]:
        """Members of role SN that have announced themselves, SNS_LOOKED_UP_MAX at most: those that did so last.

        Raises:
            ChainFault: the chain does not answer.
        """
        version, now = await self._membership.version(), self._clock()
        nodes = list(await self._announced.events())[-SNS_LOOKED_UP_MAX:]
        if (version, nodes) != self._read[:2] or now - self._read[2] > MEMBERS_SECONDS_MAX:
            found = await asyncio.gather(*map(self._membership.member, nodes))
            self._records = {n: m for n, m in zip(nodes, found, strict=True) if m.role is Role.SN}
            self._read = (version, nodes, now)
        return self._records

    def others(self) -> list[Sn]:
        return [sn for sn in self.sns if sn.node != self._me]

    async def ask_all(self) -> dict[Address, Answer]:
        """``/is_up`` of all others at once."""
        others = self.others()
        answers = await asyncio.gather(*(self._is_up(sn) for sn in others))
        return {sn.node: answer for sn, answer in zip(others, answers, strict=True)}

    async def block(self, sn: Sn, number: int | None = None) -> tuple[int, str] | None:
        """A block of that SN's chain (its newest by default), or None if it does not answer with one."""
        try:
            return await block_of(self._client(sn.uri), number)
        except SwarmFault:
            return None

    async def tip(self, sn: Sn) -> Tip | None:
        """That SN's newest block with its chain's weight, or None if it does not answer with one."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}
        try:
            return Tip(*tip_of(unwrap(await self._client(sn.uri).post("/v1/rpc", call), "eth_getBlockByNumber")))
        except SwarmFault:
            return None

    async def living(self, sn: Sn) -> Any:
        """That SN's table of signs of life, or None if it does not answer with one."""
        try:
            return await self._client(sn.uri).get("/v1/alive")
        except SwarmFault:
            return None

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _is_up(self, sn: Sn) -> Answer:
        try:
            await self._client(sn.uri).get("/is_up")
        except BadAnswer as error:
            return Answer.LEAVING if error.code == LEAVING else Answer.DOWN
        except (Unreachable, PeerFault):
            return Answer.NONE
        return Answer.UP

    def _client(self, uri: str) -> JsonClient:
        if uri not in self._clients:
            self._clients[uri] = JsonClient(uri, self._context, role_of("sn"), total_seconds=ASK_SECONDS_MAX)
        return self._clients[uri]


def _usable(uri: str) -> bool:
    """Whether an SN announced an address that can be asked; one that did not is as if it had said nothing."""
    try:
        parse_uri(uri)
    except PeerFault:
        return False
    return True


async def block_of(client: JsonClient, number: int | None = None) -> tuple[int, str] | None:
    """Number and hash of a block as another SN has it (its newest by default); None if it has none of that number.

    Raises:
        Unreachable: it does not answer.
        PeerFault: not with a block.
    """
    at = "latest" if number is None else hex(number)
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [at, False]}
    answer = await client.post("/v1/rpc", call)
    try:
        found = unwrap(answer, "eth_getBlockByNumber")
    except ChainFault as error:
        raise PeerFault(f"{client.url}: {error}") from error
    return None if found is None else (int(found["number"], 16), str(found["hash"]))
