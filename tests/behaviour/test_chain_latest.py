"""The last event of each member, as the chain grows and as it takes blocks back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.chains import LiveChain, running
from support.desk import member
from support.swarms import admit
from swarm.chain.client import Call
from swarm.chain.deploy import Deployed, attach, deploy
from swarm.chain.events import MemberAdmitted
from swarm.chain.latest import BEHIND_BLOCKS_MAX, OVERLAP_BLOCKS, Latest
from swarm.chain.membership import Membership
from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault
from swarm.core.ids import Address
from swarm.inspect.nodes import LISTS_MAX, Places

ONE, TWO = (Address(bytes([n]) * 20) for n in (1, 2))


class Asked:
    """The chain, noting from where logs are asked for."""

    def __init__(self, chain: LiveChain) -> None:
        self.first: list[int] = []
        self._chain = chain
        self.away = False
        self.invented: int | None = None

    async def __call__(self, method: str, params: list[Any]) -> Any:
        if method == "eth_blockNumber" and self.invented is not None:
            return hex(self.invented)
        if method == "eth_getLogs":
            self.first.append(int(params[0]["fromBlock"], 16))
            if self.away:
                raise ChainFault("no line")
        return await self._chain.rpc(method, params)


def admitted(asked: Asked, swarm: Deployed) -> Latest[MemberAdmitted]:
    return Latest(asked, swarm.addresses, "Membership", MemberAdmitted)


async def test_old_blocks_are_read_once(tmp_path: Path) -> None:
    """From the start the first time, then the newest few only; what failed is read when it is asked again."""
    async with running("embedded", tmp_path) as chain:
        swarm, asked = await deploy(chain.client()), Asked(chain)
        index = admitted(asked, swarm)
        await admit(swarm, ONE)
        assert ONE in await index.events()
        asked.away = True
        await admit(swarm, TWO)
        with pytest.raises(ChainFault):
            await index.events()
        asked.away = False
        assert {ONE, TWO} <= set(await index.events())
        head = await chain.client().block_number()
        assert asked.first[0] == 0
        assert min(asked.first[1:]) >= head - OVERLAP_BLOCKS - 1


@pytest.mark.anvil
async def test_an_invented_head_blinds_nobody_for_good(tmp_path: Path) -> None:
    """An SN that named a head far ahead, once, is believed again when it names the chain's own."""
    async with running("embedded", tmp_path) as chain:
        swarm, asked = await deploy(chain.client()), Asked(chain)
        index = admitted(asked, swarm)
        await admit(swarm, ONE)
        asked.invented = 4 * BEHIND_BLOCKS_MAX
        await index.events()
        asked.invented = None
        await admit(swarm, TWO)
        assert {ONE, TWO} <= set(await index.events())


async def test_what_a_block_that_is_gone_said_is_forgotten(tmp_path: Path) -> None:
    """A listing shows no member, and no address, that the chain took back."""
    async with running("anvil", tmp_path) as chain:
        swarm, asked = await deploy(chain.client()), Asked(chain)
        index = admitted(asked, swarm)
        await admit(swarm, ONE)
        assert ONE in await index.events()
        await chain.send("anvil_reorg", [1, []])
        assert ONE not in await index.events()
        fresh = await attach(chain.client(), swarm.directory.address)
        await admit(fresh, TWO)
        found = await index.events()
        assert TWO in found
        assert ONE not in found


async def test_a_listing_asks_the_chain_from_its_start_once(tmp_path: Path) -> None:
    """Also where nodes of many jobs are told; the lists that are kept are bounded."""
    async with running("embedded", tmp_path) as chain:
        swarm, asked = await deploy(chain.client()), Asked(chain)
        for _ in range(OVERLAP_BLOCKS + 2):
            await chain.client().submit(Call(ONE, b"", 21_000, "nothing"))
        places = Places(asked, swarm.addresses)
        sn = await member(chain, swarm, Role.SN)
        await Membership(sn.client, swarm.membership.address).announce("https://here:1", "", Address(bytes(20)))
        first = await places.of(["a", "b"])
        assert list(first.values()) == [("here", "1")]
        asked.first.clear()
        assert await places.of(["a", "b"]) == first
        assert min(asked.first) > 0
        for start in range(0, LISTS_MAX + 100, 100):
            await places.of([f"job {n}" for n in range(start, start + 100)])
        assert len(places._joined) <= LISTS_MAX
