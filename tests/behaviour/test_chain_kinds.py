"""One behaviour on every kind of chain: embedded, anvil, geth sealing on demand."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support import patience
from support.chains import CHAIN_ID, LiveChain, address_of, new_account, running
from support.rounds import certified
from support.swarms import EVENTS_SECONDS_MAX, Notebook, admit, background, feed_of
from swarm.chain.client import Call, ChainClient, MemoryOutbox
from swarm.chain.deploy import attach, deploy
from swarm.chain.events import (
    AdmitterSet,
    Contributed,
    EntrySet,
    EventDecoder,
    JobCreated,
    MemberAdmitted,
    RoundMerged,
    RoundOpened,
)
from swarm.chain.feed import Cursor, ForeignChain, Happened
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.chain.membership import Membership
from swarm.chain.names import DirectoryError, MembershipError, OwnedError, TrainingError
from swarm.chain.rpc import RpcUnreachable
from swarm.chain.suite import ENTRIES
from swarm.chain.wake import Waker
from swarm.core.chain_view import Phase, Role, Status
from swarm.core.errors import ChainFault, Reverted
from swarm.core.ids import DEFAULT_JOB, Address, job_id, sha256

KINDS = ["embedded", pytest.param("anvil", marks=pytest.mark.anvil), pytest.param("geth", marks=pytest.mark.geth)]
JOB = job_id(DEFAULT_JOB)
STRANGER = Address(b"\x77" * 20)


@pytest.fixture(params=KINDS)
async def chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LiveChain]:
    async with running(request.param, tmp_path) as live:
        yield live


async def test_deployed_contracts_are_found_by_the_directory_alone(chain: LiveChain) -> None:
    """One address is enough to find Membership and Training, and the default job exists."""
    swarm = await deploy(chain.client(), admitters=[STRANGER])
    found = await attach(chain.client(new_account()), swarm.directory.address)
    assert found.addresses == swarm.addresses
    assert sorted(await found.directory.names()) == sorted(part.name for part in ENTRIES)
    assert await found.membership.is_admitter(STRANGER)
    assert await found.training.jobs() == {JOB: DEFAULT_JOB}
    assert await found.training.membership() == swarm.membership.address
    assert (await found.training.state(JOB)).phase is Phase.IDLE
    with pytest.raises(ChainFault, match="deployed"):
        await attach(chain.client(), STRANGER)


async def test_reverts_read_the_same_everywhere(chain: LiveChain) -> None:
    """A refused call and a refused transaction give the same error name and values on every kind of node."""
    swarm = await deploy(chain.client())
    with pytest.raises(Reverted) as refused:
        await swarm.directory.get("Nobody")
    assert refused.value.name == DirectoryError.UNKNOWN_NAME
    assert refused.value.values == {"name": b"Nobody".ljust(32, b"\0")}

    with pytest.raises(Reverted) as refused:
        await swarm.directory.set("Training", STRANGER, 9)
    assert refused.value.name == DirectoryError.BAD_ENTRY
    assert refused.value.values == {"name": b"Training".ljust(32, b"\0"), "target": STRANGER, "version": 9}

    with pytest.raises(Reverted) as refused:
        await swarm.training.join(sha256(b"no such job"), "", 1)
    assert (refused.value.name, refused.value.values) == (
        TrainingError.UNKNOWN_JOB,
        {"job": sha256(b"no such job")},
    )
    with pytest.raises(Reverted) as refused:
        await admit(swarm, STRANGER, expires=1)
    assert refused.value.name == MembershipError.EXPIRY_PAST

    poor = new_account()
    await admit(swarm, address_of(poor))
    theirs = await attach(chain.client(poor), swarm.directory.address)
    with pytest.raises(Reverted) as refused:
        await theirs.directory.transfer_ownership(STRANGER)
    assert (refused.value.name, refused.value.values) == (
        OwnedError.UNAUTHORIZED_ACCOUNT,
        {"account": address_of(poor)},
    )


async def test_running_out_of_gas_is_said(chain: LiveChain) -> None:
    """A transaction that used up its gas is told apart from one that was refused."""
    client = chain.client()
    swarm = await deploy(client)
    data = swarm.membership._artifact.functions["setAdmitter"].encode([STRANGER, True])
    with pytest.raises(Reverted) as failed:
        await client.submit(Call(swarm.membership.address, data, 30_000, "starved"))
    assert failed.value.name == "OutOfGas"


async def test_an_account_without_ether_leaves_no_gap(chain: LiveChain) -> None:
    """A transaction that no node takes frees its nonce: the next one, once there is ether, goes through."""
    swarm = await deploy(chain.client())
    poor, outbox = new_account(), MemoryOutbox()
    client = chain.client(poor, outbox)
    theirs = await attach(client, swarm.directory.address)
    with pytest.raises(ChainFault, match=r"(?i)insufficient funds"):
        await theirs.training.leave(JOB)
    assert (list(outbox.entries()), client.pending()) == ([], [])
    await admit(swarm, address_of(poor))
    await theirs.training.join(JOB, "https://here", 1)
    assert await client.balance() > 0


async def test_concurrent_transactions_take_consecutive_nonces(chain: LiveChain) -> None:
    """Calls made at once by one account are all mined, in nonce order, none twice."""
    client = chain.client()
    swarm = await deploy(client)
    receipts = await asyncio.gather(*(admit(swarm, Address(secrets.token_bytes(20))) for _ in range(8)))
    assert len({r.hash for r in receipts}) == 8
    assert len(await swarm.membership.members()) == 8
    assert client.pending() == []


async def test_signed_bytes_survive_a_crash_before_sending(chain: LiveChain) -> None:
    """What was persisted but never sent is sent by the next process, as the same bytes."""
    owner = chain.client()
    swarm = await deploy(owner)
    outbox = MemoryOutbox()
    dead = asyncio.Event()

    async def cut(method: str, params: list[Any]) -> Any:
        if method == "eth_sendRawTransaction":
            dead.set()
            raise RpcUnreachable("the line is cut")
        return await chain.send(method, params)

    crashing = _client(chain, cut, outbox)
    attempt = asyncio.create_task(admit(await attach(crashing, swarm.directory.address), STRANGER))
    await dead.wait()
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    [kept] = outbox.entries()
    assert [row.hash for row in crashing.pending()] == [kept.hash]
    assert (await swarm.membership.member(STRANGER)).status is Status.NONE

    restarted = chain.client(outbox=outbox)
    async with asyncio.timeout(patience.seconds(EVENTS_SECONDS_MAX)):
        while restarted.pending():
            await restarted.tend()
            await asyncio.sleep(0.02)
    assert (await swarm.membership.member(STRANGER)).status is Status.ACTIVE
    mined = await chain.send("eth_getTransactionReceipt", ["0x" + kept.hash.hex()])
    assert mined["status"] == "0x1"
    assert list(outbox.entries()) == []
    later = await Membership(restarted, swarm.membership.address).set_admitter(STRANGER, True)
    assert later.block > int(mined["blockNumber"], 16)


async def test_bytes_that_were_sent_are_not_sent_as_another_transaction(chain: LiveChain) -> None:
    """After a crash between sending and the receipt the next process finds the receipt; nothing happens twice."""
    swarm = await deploy(chain.client())
    outbox = MemoryOutbox()

    async def mute(method: str, params: list[Any]) -> Any:
        answer = await chain.send(method, params)
        if method == "eth_sendRawTransaction":
            raise RpcUnreachable("the answer was lost")
        if method == "eth_getTransactionReceipt":
            raise RpcUnreachable("the line is cut")
        return answer

    client = _client(chain, mute, outbox)
    data = swarm.membership._artifact.functions["setAdmitter"].encode([STRANGER, True])
    with pytest.raises(ChainFault, match="stays in the outbox"):
        await client.submit(Call(swarm.membership.address, data, 100_000, "half sent"), seconds_max=0.3)
    [kept] = outbox.entries()
    restarted = chain.client(outbox=outbox)
    await chain.send("eth_getTransactionReceipt", ["0x" + kept.hash.hex()])
    assert await _refusal(chain, kept.raw) in ("already known", "nonce too low", "already imported")
    await restarted.tend()
    assert (restarted.pending(), list(outbox.entries())) == ([], [])
    count = await chain.send("eth_getTransactionCount", [chain.funder.address, "latest"])
    assert int(count, 16) == kept.nonce + 1


async def test_a_nonce_taken_by_another_process_is_left_to_it(chain: LiveChain) -> None:
    """A client whose counter is stale signs anew with a free nonce instead of failing or stalling."""
    stale = chain.client()
    swarm = await deploy(stale)
    other = await attach(chain.client(), swarm.directory.address)
    await admit(other, STRANGER)
    await admit(swarm, Address(b"\x66" * 20))
    assert len(await swarm.membership.members()) == 2
    assert stale.pending() == []


async def test_everything_is_there_after_a_restart_of_the_node(chain: LiveChain) -> None:
    """State, logs, receipts and nonces outlive the node's process; clients go on over the same Rpc."""
    client = chain.client()
    swarm = await deploy(client)
    receipt = await admit(swarm, STRANGER)
    before = await chain.send("eth_getBlockByNumber", ["latest", False])
    await chain.restart()
    after = await chain.send("eth_getBlockByNumber", [before["number"], False])
    assert after["hash"] == before["hash"]
    again = await chain.send("eth_getTransactionReceipt", ["0x" + receipt.hash.hex()])
    assert again["blockHash"] == "0x" + receipt.block_hash.hex()
    assert (await swarm.membership.member(STRANGER)).role is Role.SL
    await swarm.membership.revoke(STRANGER)
    fresh = await attach(chain.client(), swarm.directory.address)
    await fresh.membership.set_admitter(STRANGER, True)
    assert (await fresh.membership.member(STRANGER)).status is Status.REVOKED


async def until_admitted(book: Notebook, count: int) -> None:
    """However many events a deployment has."""
    async with asyncio.timeout(patience.seconds(EVENTS_SECONDS_MAX)):
        while sum(isinstance(event, MemberAdmitted) for event in book.events) < count:
            await book.until(len(book.got) + 1)


async def test_events_arrive_once_in_order_over_a_restart_of_the_node(chain: LiveChain) -> None:
    """A feed that lives through the node's restart delivers each event once, in order, with final = True."""
    swarm = await deploy(chain.client())
    book, waker = Notebook(), Waker()
    feed = feed_of(chain, swarm, book, waker)
    async with background(feed.run(book)):
        async with background(chain.wake(waker)):
            await admit(swarm, Address(b"\x01" * 20))
            await until_admitted(book, 1)
        await chain.restart()
        async with background(chain.wake(waker)):
            waker.wake()
            await admit(swarm, Address(b"\x02" * 20))
            await until_admitted(book, 2)
    kinds = [type(event) for event in book.events]
    assert kinds[-2:] == [MemberAdmitted, MemberAdmitted]
    assert {EntrySet, AdmitterSet, JobCreated} < set(kinds)
    assert [event.node[0] for event in book.events if isinstance(event, MemberAdmitted)] == [1, 2]
    assert all(isinstance(notice, Happened) and notice.final for notice in book.got)
    places = [(notice.log.block, notice.log.index) for notice in book.got]
    assert places == sorted(set(places))


async def test_a_new_process_goes_on_from_the_cursor(chain: LiveChain) -> None:
    """What was handled and final does not come again after a restart of the client; what is new does."""
    swarm = await deploy(chain.client())
    book = Notebook()
    await feed_of(chain, swarm, book, Waker()).catch_up(book)
    assert book.cursor is not None
    first = len(book.got)
    assert first >= 6
    await admit(swarm, STRANGER)
    await feed_of(chain, swarm, book, Waker()).catch_up(book)
    assert [type(e) for e in book.events[first:]] == [MemberAdmitted]
    assert book.cursor.block == await chain.client().block_number()


async def test_a_cursor_of_another_chain_is_refused(chain: LiveChain) -> None:
    """A state folder of another swarm is noticed before any event is handled."""
    swarm = await deploy(chain.client())
    book = Notebook()
    book.cursor = Cursor(2, sha256(b"elsewhere"))
    with pytest.raises(ForeignChain, match="another state folder"):
        await feed_of(chain, swarm, book, Waker()).run(book)
    assert book.got == []


async def test_a_round_is_committed_and_told(chain: LiveChain) -> None:
    """Joins, a certified bundle, its state and its events: what core signs is what the contracts accept."""
    await play_a_round(chain)


@pytest.mark.geth
async def test_a_round_on_a_chain_with_a_period(tmp_path: Path) -> None:
    """The same with a block a second, as in a swarm with followers."""
    async with running("geth1", tmp_path) as chain:
        await play_a_round(chain)


async def play_a_round(chain: LiveChain) -> None:
    client = chain.client()
    swarm = await deploy(client)
    accounts = [new_account() for _ in range(3)]
    for account in accounts:
        await admit(swarm, address_of(account))
    theirs = [await attach(chain.client(account), swarm.directory.address) for account in accounts]
    await asyncio.gather(*(t.training.join(JOB, f"https://{i}", 3) for i, t in enumerate(theirs)))

    state = await swarm.training.state(JOB)
    roster = await swarm.training.roster_of(JOB)
    assert (state.phase, state.started, state.min_peers, state.joined_count) == (Phase.OPEN, True, 3, 3)
    assert roster.hash() == state.roster
    assert set(roster.addresses) == {address_of(a) for a in accounts}
    joiners = await swarm.training.joiners_of(JOB)
    assert [j.node for j in joiners] == sorted(roster.addresses)
    assert all(j.joined and j.eligible for j in joiners)

    signers = [LocalSigner(bytes(account.key)) for account in accounts]
    bundle = certified(state.round_name(JOB), roster, signers, swarm.training.domain)
    bundle.verify(swarm.training.domain, SignatureVerifier(), state.min_peers)
    assert await swarm.training.leader_of(JOB, 0) == bundle.leader
    receipt = await swarm.training.commit([bundle])
    merged = await swarm.training.merged_of(JOB, state.run, 0)
    assert merged is not None
    assert (merged.blob, merged.size) == (bundle.result.merged, 1000)
    after = await swarm.training.state(JOB)
    assert (after.round, after.prev, after.interval) == (1, bundle.result.merged, 4)
    assert await swarm.training.merged_of(JOB, state.run, 1) is None
    assert await swarm.training.phase_of(JOB, state.run) is Phase.OPEN

    decoder = EventDecoder(swarm.addresses)
    told = [decoder(log) for log in receipt.logs]
    [said] = [e for e in told if isinstance(e, RoundMerged)]
    assert (said.result, said.leader, said.contributors, said.acks) == (bundle.result, bundle.leader, 3, 3)
    listed = {e.node: e for e in told if isinstance(e, Contributed)}
    for item in bundle.items:
        entry = listed[item.check_in.node]
        assert (entry.blob, entry.coefficient) == (item.check_in.blob, item.coefficient)
        assert (entry.stats.weight, entry.stats.loss, entry.stats.metric) == (10, 500_000, -1)
    [opened] = [e for e in told if isinstance(e, RoundOpened)]
    assert (opened.round, opened.roster) == (1, roster)

    with pytest.raises(Reverted) as refused:
        await swarm.training.commit([bundle])
    assert (refused.value.name, refused.value.values["openRound"]) == (TrainingError.WRONG_ROUND, 1)


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_gas_is_that_of_the_embedded_chain(kind: str, tmp_path: Path) -> None:
    """The same deployment costs the same gas: limits tuned on one kind hold on the others."""
    owner = new_account()  # one for both: an address's zero bytes are cheaper
    used = []
    for name in ("embedded", kind):
        (tmp_path / name).mkdir()
        async with running(name, tmp_path / name, owner) as chain:
            client = chain.client()
            await deploy(client)
            blocks = range(1, await client.block_number() + 1)
            used.append([(await chain.send("eth_getBlockByNumber", [hex(n), False]))["gasUsed"] for n in blocks])
    assert used[0] == used[1]


def _client(chain: LiveChain, rpc: Any, outbox: MemoryOutbox) -> ChainClient:
    return ChainClient(rpc, chain.funder, outbox, chain_id=CHAIN_ID)


async def _refusal(chain: LiveChain, raw: bytes) -> str:
    try:
        await chain.send("eth_sendRawTransaction", ["0x" + raw.hex()])
    except ChainFault as fault:
        text = str(fault)
        return next((t for t in ("already known", "nonce too low", "already imported") if t in text), text)
    return "taken"
