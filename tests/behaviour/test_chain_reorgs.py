"""What only anvil can show: reorgs, and time that jumps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support import patience
from support.chains import address_of, new_account, running
from support.swarms import EVENTS_SECONDS_MAX, Notebook, admit, background, feed_of
from swarm.chain.client import MemoryOutbox
from swarm.chain.deploy import attach, deploy
from swarm.chain.feed import Happened, Removed
from swarm.chain.wake import Waker
from swarm.core.chain_view import Role, Status
from swarm.core.ids import Address, job_id, sha256

STRANGER = Address(b"\x77" * 20)


@pytest.mark.anvil
async def test_a_reorg_takes_events_back_and_brings_them_again(tmp_path: Path) -> None:
    """Events of a replaced block are reported as removed, newest first; mined again they are told again."""
    async with running("anvil", tmp_path) as chain:
        client = chain.client()
        swarm = await deploy(client)
        book, waker = Notebook(), Waker()
        feed = feed_of(chain, swarm, book, waker, final=6)
        async with background(feed.run(book), chain.wake(waker)):
            before = [Address(bytes([n]) * 20) for n in (1, 2)]
            for node in before:
                await admit(swarm, node)
            async with asyncio.timeout(patience.seconds(EVENTS_SECONDS_MAX)):
                while [
                    getattr(event, "node", None) for event in book.events[-2:]
                ] != before:  # however many came before
                    await book.until(len(book.got) + 1)
            told = len(book.got)
            entries = [notice.log for notice in book.got[-2:]]
            await chain.send("anvil_reorg", [2, []])
            await book.until(told + 2)
            gone = book.got[told : told + 2]
            assert [type(notice) for notice in gone] == [Removed, Removed]
            assert [notice.log for notice in gone] == entries[::-1]
            assert (await swarm.membership.member(before[0])).status is Status.NONE
            fresh = await attach(chain.client(), swarm.directory.address)
            await admit(fresh, before[0])
            await book.until(told + 3)
            again = book.got[-1]
            assert isinstance(again, Happened)
            assert (again.event.node, again.final) == (before[0], False)
            assert again.log.block_hash != entries[0].block_hash


@pytest.mark.anvil
async def test_an_orphaned_transaction_is_sent_again_as_the_same_bytes(tmp_path: Path) -> None:
    """With confirmations the outbox keeps the bytes until they are final, so a reorg loses nothing."""
    async with running("anvil", tmp_path) as chain:
        swarm = await deploy(chain.client())
        poor, outbox = new_account(), MemoryOutbox()
        await admit(swarm, address_of(poor), Role.SN)
        for _ in range(3):
            await chain.send("evm_mine", [])
        client = chain.client(poor, outbox, confirmations=2)
        theirs = await attach(client, swarm.directory.address)
        receipt = await theirs.training.create_job("orphan")
        [row] = client.pending()
        assert row.hash == receipt.hash
        await chain.send("anvil_reorg", [1, []])
        assert job_id("orphan") not in await swarm.training.jobs()
        async with background(client.keep()), asyncio.timeout(patience.seconds(EVENTS_SECONDS_MAX)):
            while client.pending():
                client.waker.wake()
                await chain.send("evm_mine", [])
                await asyncio.sleep(0.05)
        assert job_id("orphan") in await swarm.training.jobs()
        mined = await chain.send("eth_getTransactionReceipt", ["0x" + receipt.hash.hex()])
        assert int(mined["blockNumber"], 16) > 0
        assert list(outbox.entries()) == []


@pytest.mark.anvil
async def test_membership_ends_with_block_time(tmp_path: Path) -> None:
    """A member is active until its expiry in block time and not a second longer."""
    async with running("anvil", tmp_path) as chain:
        swarm = await deploy(chain.client())
        now = int((await chain.send("eth_getBlockByNumber", ["latest", False]))["timestamp"], 16)
        await admit(swarm, STRANGER, expires=now + 3600)
        assert await swarm.membership.active_until(STRANGER) == now + 3600
        assert await swarm.membership.holder_of(sha256(STRANGER)) == STRANGER
        await chain.send("evm_increaseTime", [3601])
        await chain.send("evm_mine", [])
        assert not await swarm.membership.is_active(STRANGER)
        member = await swarm.membership.member(STRANGER)
        assert member.status is Status.ACTIVE
        assert member.active_at(now + 3600)
        assert not member.active_at(now + 3601)
