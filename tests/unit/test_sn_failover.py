"""Turning to another SN: when, to which, and what becomes of calls under way. Two or three TLS servers, one node."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from support.certs import Authority
from support.chains import free_port
from swarm.chain.client import Call, ChainClient, MemoryOutbox
from swarm.chain.rpc import RpcError, RpcUnreachable
from swarm.chain.suite import ENTRIES, VERSION
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault, PeerFault
from swarm.core.ids import DEFAULT_JOB, Address, job_id
from swarm.net.answers import send_json
from swarm.net.server import serve
from swarm.net.tls import NodeContext, client_context, server_context
from swarm.node.joining import PIN_KEY, check_pin
from swarm.node.sn_link import Patience, SnLink
from swarm.node.sn_list import SnList, sn_urls
from swarm.sl.watch import SLOW_POLL_SECONDS
from swarm.store.journal import Journal

JOB = job_id(DEFAULT_JOB)
QUICK = Patience(suspect=0.15, probe=3.0, pause=0.05)
"""The probe takes two answers of a healthy SN over new TLS connections: also on a machine that is busy."""
A, B = Address(b"\xaa" * 20), Address(b"\xbb" * 20)


@dataclass
class FakeSn:
    """An SN's face without a chain. ``mood``: well, silent (takes calls, says nothing), stranger, chainless, down."""

    tls: NodeContext
    port: int = field(default_factory=free_port)
    mood: str = "well"
    head: int = 100
    chain_id: int = 7
    asked: list[str] = field(default_factory=list)
    listened: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def running(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return serve(self, "127.0.0.1", self.port, self.tls)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if self.mood == "silent":
            await self.released.wait()
            return
        if scope["type"] == "websocket":
            self.listened.set()
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": json.dumps({"number": self.head})})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        body = (await receive())["body"]
        self.asked.append(scope["path"])
        if self.mood == "down":
            await send_json(send, 503, {"error": {"code": "down", "message": "geth is gone"}})
        elif scope["path"] == "/v1/swarm":
            contracts = {part.name: "0x" + "22" * 20 for part in ENTRIES}
            about = {"chain_id": self.chain_id, "genesis_hash": "0x" + "11" * 32, "directory": "0x" + "33" * 20}
            await send_json(send, 200, {**about, "contracts_version": VERSION, "contracts": contracts, "chain": "geth"})
        elif self.mood == "stranger":
            await send_json(send, 403, {"error": {"code": "not_a_member", "message": "join first"}})
        else:
            calls = json.loads(body)
            batch = calls if isinstance(calls, list) else [calls]
            answers = [self._answer(call) for call in batch]
            await send_json(send, 200, answers if isinstance(calls, list) else answers[0])

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        if self.mood == "chainless":
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32603, "message": "no chain"}}
        return {"jsonrpc": "2.0", "id": call["id"], "result": hex(self.head)}


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture
def two(ca: Authority, tmp_path: Path) -> tuple[FakeSn, FakeSn]:
    files = (ca.node(tmp_path / "c", name, uri=f"spiffe://t/s/sn/{name}") for name in ("sn-1", "sn-2"))
    one, other = (FakeSn(server_context(f)) for f in files)
    return one, other


@contextlib.asynccontextmanager
async def linked(ca: Authority, folder: Path, *sns: FakeSn, **more: Any) -> AsyncIterator[SnLink]:
    context = client_context(ca.node(folder / "own", "sl-1", uri="spiffe://t/s/sl/sl-1"))
    link = SnLink(SnList([sn.url for sn in sns]), context, Waker(), patience=QUICK, **more)
    try:
        yield link
    finally:
        await link.aclose()


async def height(link: SnLink) -> int:
    return int(await link.rpc("eth_blockNumber", []), 16)


@pytest.mark.row("D19")
async def test_a_dead_sn_is_left_for_the_next_and_not_returned_to(ca, tmp_path, two):
    """The call that found it dead is answered by the next SN; back alive, the first one is not turned to again."""
    first, second = two
    second.head = 101
    told: list[str] = []
    async with linked(ca, tmp_path, first, second) as link, second.running():
        link.on_turn.append(lambda: told.append(link.url))
        async with first.running():
            assert await height(link) == 100
        assert await height(link) == 101
        assert link.status()["url"] == second.url
        assert link.status()["list"] == [first.url, second.url]
        assert told == [second.url]
        assert not link.told()
        async with first.running():
            assert [await height(link) for _ in range(5)] == [101] * 5
        assert link.url == second.url


async def test_an_announced_address_that_cannot_be_one_stops_no_turn(ca, tmp_path, two):
    """An SN that announces nonsense is no choice; the others are, and no call hangs."""
    first, second = two
    context = client_context(ca.node(tmp_path / "own", "sl-1", uri="spiffe://t/s/sl/sl-1"))
    link = SnLink(SnList([first.url, "https://256.1.1.1:1", second.url]), context, Waker(), patience=QUICK)
    async with second.running(), asyncio.timeout(20):
        assert await height(link) == 100
    assert link.url == second.url
    await link.aclose()


async def test_an_answer_with_an_id_that_is_no_number_is_no_answer(ca, tmp_path, two):
    """Whatever an SN answers, a call ends."""
    first, _ = two
    first._answer = lambda call: {"jsonrpc": "2.0", "id": [call["id"]], "result": "0x1"}
    async with first.running(), linked(ca, tmp_path, first) as link, asyncio.timeout(20):
        with pytest.raises(ChainFault, match="unanswered"):
            await height(link)


async def test_a_call_ends_also_when_this_node_is_at_fault(ca, tmp_path, two, monkeypatch):
    """An error nobody thought of fails the calls that it meets; none of them waits for ever."""
    async with linked(ca, tmp_path, two[0]) as link, asyncio.timeout(20):

        async def broken(*_: Any) -> Any:
            raise RuntimeError("a bug")

        monkeypatch.setattr(link, "post", broken)
        with pytest.raises(RpcUnreachable, match="a bug"):
            await height(link)


@pytest.mark.row("D19")
async def test_a_silent_sn_is_left_within_the_stated_patience(ca, tmp_path, two):
    """Stopped, not dead: calls under way move over after suspicion and one probe, and wake-ups with them."""
    first, second = two
    async with first.running(), second.running(), linked(ca, tmp_path, first, second) as link:
        listening = asyncio.create_task(link.listen())
        await height(link)
        await first.listened.wait()
        first.mood = "silent"
        began = time.monotonic()
        assert await asyncio.gather(*(height(link) for _ in range(3))) == [100] * 3
        assert time.monotonic() - began < QUICK.suspect + QUICK.probe + 1.0
        async with asyncio.timeout(2):
            await second.listened.wait()
        assert link.url == second.url
        listening.cancel()
        first.released.set()


def test_the_stated_patience_keeps_a_node_within_ten_seconds():
    """A slow poll, the suspicion and the probe together: below the 10 s that a lost SN may cost."""
    usual = Patience()
    assert SLOW_POLL_SECONDS + usual.suspect + usual.probe < 10


@pytest.mark.parametrize("mood", ["chainless", "down"])
async def test_an_sn_without_its_chain_is_left(ca, tmp_path, two, mood):
    """A gateway whose chain does not answer, or that says it is down, is no use: the next one is asked."""
    first, second = two
    first.mood = mood
    async with first.running(), second.running(), linked(ca, tmp_path, first, second) as link:
        assert await height(link) == 100
        assert link.url == second.url


async def test_a_single_sn_fails_as_it_always_did(ca, tmp_path, two):
    """Nobody to turn to: the fault comes at once, the wait is shown, and ends with the SN's return."""
    first, _ = two
    async with linked(ca, tmp_path, first) as link:
        with pytest.raises(RpcUnreachable, match=str(first.port)):
            await height(link)
        (row,) = link.told()
        assert (row["what"], row["whom"]) == ("an SN that answers", first.url)
        assert link.status()["trouble"]
        first.mood = "chainless"
        async with first.running():
            with pytest.raises(RpcError, match="no chain"):
                await height(link)
            first.mood = "well"
            assert await height(link) == 100
        assert not link.told()


async def test_all_sns_dead_is_one_visible_wait(ca, tmp_path, two):
    """The row names every SN that was tried; whichever comes back first is used."""
    first, second = two
    async with linked(ca, tmp_path, first, second) as link:
        with pytest.raises(RpcUnreachable):
            await height(link)
        assert link.told()[0]["whom"] == f"{first.url}, {second.url}"
        async with second.running():
            await asyncio.sleep(QUICK.pause)
            assert await height(link) == 100
            assert link.url == second.url


async def test_an_sn_of_another_swarm_is_never_used(ca, tmp_path, two):
    """The pin (chain, genesis, contracts) is checked before an SN is turned to; a foreign one is sent nothing else."""
    first, second = two
    second.chain_id = 8
    with Journal(tmp_path / "j.db") as journal:
        pin = {"chain_id": 7, "genesis": "0x" + "11" * 32}
        contracts = ["0x" + "33" * 20, *["0x" + "22" * 20] * len(ENTRIES)]
        journal.put(PIN_KEY, json.dumps({**pin, "contracts": contracts}).encode())
        async with linked(ca, tmp_path, first, second, accept=partial(check_pin, journal)) as link, second.running():
            with pytest.raises(RpcUnreachable):
                await height(link)
            assert link.url == first.url
            assert set(second.asked) == {"/v1/swarm"}
            second.chain_id = 7
            await asyncio.sleep(QUICK.pause)
            assert await height(link) == 100
            assert link.url == second.url


async def test_a_node_that_is_no_sn_is_never_used(ca, tmp_path, two):
    """A certificate of another role behind an SN's address is refused, as ever."""
    first, _ = two
    liar = FakeSn(server_context(ca.node(tmp_path / "liar", "sl-9", uri="spiffe://t/s/sl/sl-9")))
    async with linked(ca, tmp_path, first, liar) as link, liar.running():
        with pytest.raises(RpcUnreachable):
            await height(link)
        assert link.url == first.url
        assert liar.asked == []


async def test_an_sn_that_lags_is_used_only_if_none_is_better(ca, tmp_path, two):
    """Far behind what this node has seen, an SN gives way to one that is not, and is taken when it is the only one."""
    first, second = two
    third = FakeSn(first.tls, head=200)
    second.head = 150
    async with linked(ca, tmp_path, first, second, third) as link, second.running():
        link.seen(200)
        async with third.running():
            assert await height(link) == 200
            assert link.url == third.url
        await asyncio.sleep(QUICK.pause)
        assert await height(link) == 150
        assert link.url == second.url
        assert await link.doubt() is False


async def test_a_chain_that_stands_still_at_one_sn_is_followed_at_another(ca, tmp_path, two):
    """Doubt compares heads: an SN cut off from the others is left though it answers; level with them it is kept."""
    first, second = two
    async with first.running(), second.running(), linked(ca, tmp_path, first, second) as link:
        assert not await link.doubt()
        second.head = 150
        await asyncio.sleep(QUICK.pause)
        assert await link.doubt()
        assert link.url == second.url


async def test_an_sn_that_does_not_know_this_node_yet_is_the_last_choice(ca, tmp_path, two):
    """403 of an SN behind this node's admission: another is used; with nobody else the refusal is told."""
    first, second = two
    first.mood = "stranger"
    async with linked(ca, tmp_path, first, second) as link, first.running():
        with pytest.raises(ChainFault, match="not_a_member"):
            await height(link)
        async with second.running():
            await asyncio.sleep(QUICK.pause)
            assert await height(link) == 100
            assert link.url == second.url


async def test_what_an_sn_took_to_its_grave_is_sent_again_at_once() -> None:
    """After a turn the same bytes go to the new SN in order, without the wait that keeps resends apart."""
    sent: list[str] = []

    async def rpc(method: str, params: list[Any]) -> Any:
        if method == "eth_sendRawTransaction":
            sent.append(params[0])
        return {"eth_getTransactionCount": "0x5", "eth_blockNumber": "0x1"}.get(method)

    client = ChainClient(rpc, Account.create(), MemoryOutbox(), chain_id=7)
    for label in ("first", "second"):
        with pytest.raises(ChainFault, match="stays in the outbox"):
            await client.submit(Call(A, b"", 100_000, label), seconds_max=0)
    before = list(sent)
    await client.tend()
    assert sent == before
    client.resend()
    await client.tend()
    assert sent == before * 2
    assert [row.nonce for row in client.pending()] == [5, 6]


def test_the_list_has_the_configured_first_and_the_newest_announcements(tmp_path):
    """Announcements are kept over restarts, one a node, none of a node that may not be used, none that cannot be."""
    with Journal(tmp_path / "j.db") as journal:
        sns = SnList(["https://sn1:30304"], journal)
        sns.learn(A, "https://old:1")
        sns.learn(A, "https://sn2:30304")
        sns.learn(B, "https://sn1:30304")
        with pytest.raises(PeerFault, match="not https"):
            sns.learn(B, "http://sn3:30304")
        assert SnList(["https://x:1"], journal).urls == ["https://x:1", "https://sn2:30304", "https://sn1:30304"]
        assert sns.urls == ["https://sn1:30304", "https://sn2:30304"]
        sns.only(lambda node: node != A)
        assert sns.urls == ["https://sn1:30304"]
        sns.only(lambda node: True)
        sns.learn(A, "")
        assert sns.urls == ["https://sn1:30304"]


@pytest.mark.parametrize(
    ("hosts", "services", "urls"),
    [
        ("a", None, ["https://a:30304"]),
        ("a, b:1,a", None, ["https://a:30304", "https://b:1"]),
        ("fe80::1,[::1]:5", None, ["https://[fe80::1]:30304", "https://[::1]:5"]),
        ("a", "s,t:7", ["https://s:443", "https://t:7"]),
        (" , ", None, []),
    ],
)
def test_several_sns_are_named_with_commas(hosts, services, urls):
    """Hosts with or without a port, IPv6 as well; services come before hosts."""
    assert sn_urls(hosts, services, 30304) == urls
