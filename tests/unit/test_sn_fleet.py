"""Whom an SN looks up on chain: the SNs that announced themselves, and what has happened since it looked last."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from support.chains import Embedded, address_of, new_account, running
from swarm.chain.deploy import Deployed, deploy
from swarm.chain.membership import Membership
from swarm.core.chain_view import Role
from swarm.core.ids import ZERO32, Address, sha256, to_hex
from swarm.sn import fleet
from swarm.sn.fleet import Fleet
from swarm.sn.grants import FUND_WEI, Grants

FAR = 2**40
NOBODY = Address(bytes(20))


@dataclass
class Swarm:
    live: Embedded
    deployed: Deployed
    asked: list[str]

    async def rpc(self, method: str, params: list[Any]) -> Any:
        self.asked.append(method)
        return await self.live.rpc(method, params)

    async def admit(self, role: Role = Role.SN, *, announce: bool = True) -> LocalAccount:
        account = new_account()
        node = address_of(account)
        await self.deployed.membership.admit(
            node, spki=sha256(node), spiffe=ZERO32, site=ZERO32, role=role, expires=FAR, grant=10**15
        )
        if announce:
            own = Membership(self.live.client(account), self.deployed.membership.address)
            await own.announce(f"https://{to_hex(node)[2:12]}:1", "", NOBODY)
        return account

    def fleet(self) -> Fleet:
        client = self.live.client()
        client.rpc = self.rpc
        return Fleet(self.rpc, Deployed.at(client, self.deployed.addresses), ssl.create_default_context(), NOBODY)


@pytest.fixture
async def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Swarm]:
    async with running("embedded", tmp_path) as live:
        deployed = await deploy(live.client())

        async def listed(_: Membership) -> Any:
            raise AssertionError("a node's path lists all members")

        monkeypatch.setattr(Membership, "members", listed)
        yield Swarm(live, deployed, [])


async def test_only_announced_sns_are_looked_up_and_a_quiet_chain_asks_little(swarm: Swarm) -> None:
    """Members of other roles cost nothing; a look at a chain that stands still is a handful of questions."""
    first, second = await swarm.admit(), await swarm.admit()
    await swarm.admit(announce=False)
    sls = [await swarm.admit(Role.SL, announce=False) for _ in range(20)]
    found = swarm.fleet()
    assert [sn.node for sn in await found.refresh()] == [address_of(first), address_of(second)]
    assert {address_of(one) for one in sls} <= found.members
    swarm.asked.clear()
    await found.refresh()
    assert len(swarm.asked) <= 8
    await swarm.deployed.membership.revoke(address_of(first))
    assert [sn.node for sn in await found.refresh()] == [address_of(second)]
    late = await swarm.admit()
    assert {sn.node for sn in await found.refresh()} == {address_of(second), address_of(late)}
    assert address_of(late) in found.members


async def test_the_number_that_is_looked_up_has_a_bound(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that announced themselves last, as every living one does at each start."""
    monkeypatch.setattr(fleet, "SNS_LOOKED_UP_MAX", 2)
    sns = [await swarm.admit() for _ in range(3)]
    found = swarm.fleet()
    assert {sn.node for sn in await found.refresh()} == {address_of(one) for one in sns[1:]}
    again = Membership(swarm.live.client(sns[0]), swarm.deployed.membership.address)
    await again.announce("https://moved:1", "", NOBODY)
    assert {sn.uri for sn in await found.refresh()} == {
        "https://moved:1",
        f"https://{to_hex(address_of(sns[2]))[2:12]}:1",
    }


async def test_the_sentinel_grants_to_announced_sns_without_a_list_of_members(swarm: Swarm) -> None:
    """Ether and the right, once; a new one is seen at the next look."""
    found = swarm.fleet()
    grants = Grants(swarm.live.client(), swarm.deployed.membership, found.records)
    for _ in range(2):
        node = address_of(await swarm.admit())
        await grants._look()
        assert await swarm.deployed.membership.is_admitter(node)
        balance = int(await swarm.live.rpc("eth_getBalance", [to_hex(node), "latest"]), 16)
        assert balance > FUND_WEI // 2
    stranger = address_of(await swarm.admit(Role.SL, announce=False))
    await grants._look()
    assert not await swarm.deployed.membership.is_admitter(stranger)


async def test_a_page_that_is_more_than_the_node_gives_is_asked_for_in_parts(swarm: Swarm) -> None:
    """A flood of announcements in few blocks: the SN's list of SNs goes on."""
    account = await swarm.admit()
    refused = 0

    async def narrow(method: str, params: list[Any]) -> Any:
        nonlocal refused
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 3:
            refused += 1
            from swarm.chain.rpc import RpcError

            raise RpcError(-32005, "query returned more than 10000 results")
        return await swarm.live.rpc(method, params)

    found = Fleet(narrow, swarm.deployed, ssl.create_default_context(), NOBODY)
    assert [sn.node for sn in await found.refresh()] == [address_of(account)]
    assert refused
