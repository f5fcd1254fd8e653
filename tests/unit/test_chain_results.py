"""Answers of a node that is broken or lies: a ChainFault that names the field, never another exception."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest
from support.chains import new_account
from support.spoiled import NONSENSE, spoiled
from swarm.chain.client import ChainClient
from swarm.chain.facade import LISTED_MAX
from swarm.chain.feed import EventFeed
from swarm.chain.membership import Membership
from swarm.chain.outbox import MemoryOutbox
from swarm.chain.receipt import revert_of
from swarm.chain.results import RESULTS, check_result
from swarm.chain.rpc import RpcError, unwrap
from swarm.chain.training import Training
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, Digest

WORD, ADDRESS = "0x" + "11" * 32, "0x" + "22" * 20
LOG = {
    "address": ADDRESS,
    "topics": [WORD],
    "data": "0x00",
    "blockNumber": "0x1",
    "blockHash": WORD,
    "transactionHash": WORD,
    "logIndex": "0x0",
}
BLOCK = {"number": "0x1", "hash": WORD, "timestamp": "0x5", "totalDifficulty": "0x2", "logsBloom": "0x00"}
RECEIPT = {
    "transactionHash": WORD,
    "blockHash": WORD,
    "blockNumber": "0x1",
    "gasUsed": "0x5",
    "status": "0x1",
    "contractAddress": None,
    "logs": [LOG],
}
GOOD: dict[str, Any] = {
    "eth_chainId": "0x1",
    "eth_blockNumber": "0x1",
    "eth_getTransactionCount": "0x0",
    "eth_getBalance": "0x0",
    "eth_getCode": "0x",
    "eth_call": "0x" + "00" * 32,
    "eth_sendRawTransaction": WORD,
    "eth_getBlockByNumber": BLOCK,
    "eth_getBlockByHash": BLOCK,
    "eth_getTransactionReceipt": RECEIPT,
    "eth_getTransactionByHash": {"hash": WORD, "input": "0x00", "from": ADDRESS, "to": None, "blockNumber": "0x1"},
    "eth_getLogs": [LOG],
}


def test_every_method_is_tried_here() -> None:
    """A method that is added to the table must be added here (geth's own: in test_answers_spoiled.py)."""
    assert set(GOOD) == {name for name in RESULTS if name.startswith("eth_") and name != "eth_mining"}
    for method, result in GOOD.items():
        assert unwrap({"result": result}, method) is result


@pytest.mark.parametrize("method", GOOD)
async def test_a_spoiled_answer_is_a_chain_fault_or_harmless(method: str) -> None:
    """Client and feed read 300 spoiled answers to each method: they work, or raise a ChainFault."""
    chance = random.Random(method)
    account = new_account()

    for _ in range(300):
        answer = spoiled(GOOD[method], chance)

        async def rpc(name: str, params: list[Any], answer: Any = answer) -> Any:
            return unwrap({"result": answer if name == method else GOOD[name]}, name)

        client = ChainClient(rpc, account, MemoryOutbox(), chain_id=1)
        feed = EventFeed(rpc, [Address(bytes(20))], lambda log: log, _NoCursor(), confirmations_final=0, waker=Waker())
        for reading in (client.balance, client.block_number, lambda feed=feed: feed.catch_up(_ignore)):
            try:
                await reading()
            except ChainFault:
                continue


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
def test_an_answer_that_is_no_json_rpc_is_a_chain_fault(answer: Any) -> None:
    """Whatever stands in place of the answer or of its error."""
    for whole in (answer, {"result": answer, "error": {"code": answer, "message": answer, "data": answer}}):
        with pytest.raises(ChainFault):
            unwrap(whole, "eth_blockNumber")
    revert_of(RpcError(3, "execution reverted", answer), "call")


async def test_values_that_no_contract_of_ours_gives_are_chain_faults() -> None:
    """A phase, a role, a roster that decode and cannot be, and pages of different lengths."""
    word, many = "00" * 31, "ff" * 20
    answers = {
        "phaseOf": word + "c8",
        "rosterOf": word + "20" + word + "02" + f"{7:064x}" + f"{5:064x}",
        "jobs": word + "40" + word + "80" + word + "01" + "11" * 32 + word + "00",
    }
    for function, read in (
        ("phaseOf", lambda t: t.phase_of(Digest(bytes(32)), 1)),
        ("rosterOf", lambda t: t.roster_of(Digest(bytes(32)))),
        ("jobs", lambda t: t.jobs()),
    ):

        async def rpc(method: str, _: list[Any], answer: str = answers[function]) -> Any:
            return unwrap({"result": "0x" + answer}, method)

        training = Training(ChainClient(rpc, new_account(), MemoryOutbox(), chain_id=1), Address(bytes.fromhex(many)))
        with pytest.raises(ChainFault, match=f"the answer of Training.{function} cannot be"):
            await read(training)


async def test_a_list_that_does_not_end_is_given_up() -> None:
    """The same full page again and again, and new entries without end."""
    for fresh in (False, True):

        class Endless(Membership):
            async def _ask(self, function: str, *arguments: Any, block: Any = "latest", fresh: bool = fresh) -> Any:
                first, page = arguments
                nodes = [Address((at + (first if fresh else 0)).to_bytes(20, "big")) for at in range(page)]
                record = dict.fromkeys(("spki", "spiffe", "site"), bytes(32)) | dict.fromkeys(
                    ("role", "status", "expires", "since", "changedBlock"), 1
                )
                return nodes, [record] * page

        members = Endless(ChainClient(_nothing, new_account(), MemoryOutbox(), chain_id=1), Address(bytes(20)))
        async with asyncio.timeout(20):
            with pytest.raises(ChainFault, match=f"repeats itself or has over {LISTED_MAX} entries"):
                await members.members()


async def _nothing(method: str, params: list[Any]) -> Any:
    return None


class _NoCursor:
    def load(self) -> None:
        return None

    def save(self, cursor: Any) -> None:
        return None


async def _ignore(event: Any) -> None:
    return None


def test_a_long_answer_costs_no_multiple_of_itself() -> None:
    """4 MB of hex in one string, whole bytes or half a one: looked at without a copy for each byte."""
    for text, fits in (("0x" + "ab" * 2_000_000, True), ("0x" + "ab" * 2_000_000 + "c", False)):
        tracemalloc.start()
        try:
            check_result("eth_call", text)
            assert fits
        except ChainFault as fault:
            assert not fits, fault  # noqa: PT017
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * len(text)
