"""Answers of a node that is broken or lies: a ChainFault that names the field, never another exception."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.chains import new_account
from swarm.chain.client import ChainClient
from swarm.chain.feed import EventFeed
from swarm.chain.outbox import MemoryOutbox
from swarm.chain.receipt import revert_of
from swarm.chain.results import RESULTS
from swarm.chain.rpc import RpcError, unwrap
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault
from swarm.core.ids import Address

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
NONSENSE: tuple[Any, ...] = (
    None, True, 7, -1.5, float("nan"), "", "0x", "0xzz", "0x1", "0x" + "f" * 70, "1e9", "0x1_0", "0x 1",
    [], [None], [[]], {}, {"number": "0xzz"}, "\ud800", "0x" + "1" * 100_000,
)  # fmt: skip


def spoiled(value: Any, chance: random.Random) -> Any:
    """The value with one part, at any depth, made nonsense or left out."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: spoiled(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [spoiled(value[0], chance), *value[1:]]
    return chance.choice(NONSENSE)


def test_every_method_is_tried_here() -> None:
    """A method that is added to the table must be added here, and good answers pass as they are."""
    assert set(GOOD) == set(RESULTS)
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


class _NoCursor:
    def load(self) -> None:
        return None

    def save(self, cursor: Any) -> None:
        return None


async def _ignore(event: Any) -> None:
    return None
