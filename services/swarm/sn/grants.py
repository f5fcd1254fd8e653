"""The sentinel gives other SNs what they need to admit members while it is away: ether, then the right.

Owns this one reconciliation: what the chain says is compared with what should be, again and again, so that a crash
at any step is mended by the next look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from swarm.chain.client import Call, ChainClient
from swarm.chain.membership import GRANT_WEI, Membership
from swarm.core.chain_view import Member
from swarm.core.errors import ChainFault, LocalFault
from swarm.core.ids import Address, to_hex

log = logging.getLogger(__name__)

ADMISSIONS_FUNDED = 1000
"""How many admission grants an SN can pay before the sentinel must fill up: as many as are open without an operator
(:data:`swarm.sn.join.OPEN_MEMBERS_MAX`)."""
FUND_WEI = ADMISSIONS_FUNDED * GRANT_WEI
LOOK_SECONDS = 2.0
BALANCE_SECONDS = 60.0
"""Balances are looked at this often."""
GAS_TRANSFER = 21_000


class Grants:
    """The loop. Args: sns: the SNs that announced themselves, with their records; clock: wall clock in seconds."""

    def __init__(
        self,
        client: ChainClient,
        membership: Membership,
        sns: Callable[[], Awaitable[Mapping[Address, Member]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._membership, self._sns, self._clock = client, membership, sns, clock
        self._seen: Mapping[Address, Member] = {}
        self._looked = float("-inf")

    async def run(self) -> None:
        """Until cancelled; a fault of the chain is said and tried again. Does nothing for whoever is not the owner."""
        while True:
            try:
                if await self._membership.owner() == self._client.address:
                    await self._look()
            except (ChainFault, LocalFault) as error:
                log.warning("admission rights of other SNs: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        sns, now = await self._sns(), self._clock()
        if sns == self._seen and now - self._looked < BALANCE_SECONDS:
            return
        for node, member in sns.items():
            if node == self._client.address or not member.active_at(int(now)):
                continue  # the contract lets a right rest while its holder is not active, and ends it with a revocation
            await self._fund(node)
            if not await self._membership.is_admitter(node):
                await self._membership.set_admitter(node, True)
                log.info("SN %s can now admit members", to_hex(node))
        self._seen, self._looked = sns, now

    async def _fund(self, node: Address) -> None:
        balance = int(await self._client.rpc("eth_getBalance", [to_hex(node), "latest"]), 16)
        if balance < FUND_WEI // 2:
            await self._client.submit(Call(node, b"", GAS_TRANSFER, "ether for admissions", FUND_WEI - balance))
