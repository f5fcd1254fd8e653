"""Reads of one shell at one block: shared, and never older than what this process or its SN has done since."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from swarm.chain.rpc import RpcError
from swarm.chain.wake import Waker
from swarm.core.ids import Address
from swarm.inspect.at_head import ANSWER_CHARS_MAX, ANSWERS_MAX, FRESH_SECONDS, AtHead
from swarm.inspect.operator import Identity, Member
from swarm.store.journal import Journal

CALL: list[Any] = [{"to": "0x1", "data": "0x2"}, "latest"]


class Scene:
    """A chain whose answer to everything is the number of questions so far, or what ``answer`` says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Any = None
        self.let = asyncio.Event()
        self.let.set()
        self.now = SimpleNamespace(seconds=10.0)
        self.waker = Waker()
        self.rpc = AtHead(self._rpc, self.waker, lambda: self.now.seconds)

    async def _rpc(self, method: str, params: list[Any]) -> Any:
        self.asked.append(method)
        number = len(self.asked)
        await self.let.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return number if self.answer is None else self.answer


async def test_one_block_is_asked_once_and_a_new_one_again() -> None:
    """Until the SN tells of a new block, or the time is over, the answer is the one of before."""
    scene = Scene()
    assert [await scene.rpc("eth_call", CALL) for _ in range(3)] == [1, 1, 1]
    scene.waker.wake()
    assert await scene.rpc("eth_call", CALL) == 2
    scene.now.seconds += FRESH_SECONDS
    assert await scene.rpc("eth_call", CALL) == 2
    scene.now.seconds += 0.01
    assert await scene.rpc("eth_call", CALL) == 3


async def test_a_question_that_is_under_way_is_not_shared_over_a_new_block() -> None:
    """Its answer may be of the block before."""
    scene = Scene()
    scene.let.clear()
    first = asyncio.ensure_future(scene.rpc("eth_call", CALL))
    second = asyncio.ensure_future(scene.rpc("eth_call", CALL))
    await asyncio.sleep(0)
    scene.waker.wake()
    third = asyncio.ensure_future(scene.rpc("eth_call", CALL))
    await asyncio.sleep(0)
    first.cancel()
    scene.let.set()
    assert [await second, await third] == [1, 2]


async def test_who_reads_after_an_own_receipt_sees_what_the_transaction_did() -> None:
    """Also before the SN tells of the block; a receipt that is not there yet changes nothing."""
    scene = Scene()
    assert await scene.rpc("eth_call", CALL) == 1
    scene.answer = {"status": "0x1"}
    await scene.rpc.writing("eth_getTransactionReceipt", ["0x3"])
    scene.answer = None
    assert await scene.rpc("eth_call", CALL) == 3

    async def none(method: str, params: list[Any]) -> None:
        return None

    waiting = AtHead(none, scene.waker)
    kept = waiting._ticket
    await waiting.writing("eth_getTransactionReceipt", ["0x3"])
    assert waiting._ticket is kept


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", [{"to": "0x1"}, "0x5"]),
        ("eth_getTransactionReceipt", ["0x1"]),
        ("eth_sendRawTransaction", ["0x1"]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]),
        ("eth_getTransactionCount", ["0x1", "latest"]),
        ("eth_getBlockByNumber", ["0x5", False]),
    ],
)
async def test_all_else_is_asked_each_time(method: str, params: list[Any]) -> None:
    """A transaction above all."""
    scene = Scene()
    assert [await scene.rpc(method, params) for _ in range(2)] == [1, 2]


async def test_errors_and_long_answers_are_not_kept_and_what_is_kept_has_a_bound() -> None:
    """An SN that was away for a moment is asked again at once."""
    scene = Scene()
    scene.answer = RpcError("eth_call", -32000, "away")
    with pytest.raises(RpcError):
        await scene.rpc("eth_call", CALL)
    scene.answer = "0x" + "0" * ANSWER_CHARS_MAX
    for _ in range(2):
        await scene.rpc("eth_call", CALL)
        await asyncio.sleep(0)
    assert len(scene.asked) == 3
    scene.answer = None
    for number in range(2 * ANSWERS_MAX):
        await scene.rpc("eth_call", [{"to": hex(number)}, "latest"])
        assert len(scene.rpc._answers) <= ANSWERS_MAX


async def test_a_members_reads_forget_at_its_own_receipt_and_at_another_sn(tmp_path: Path) -> None:
    """As they are put together for a shell: no wake-up of the SN is needed."""
    scene = Scene()
    link: Any = SimpleNamespace(rpc=scene._rpc, on_turn=[], url="https://sn")
    swarm: Any = SimpleNamespace(chain_id=7, contracts=dict.fromkeys(("Membership", "Training"), Address(bytes(20))))
    member = Member.of(Identity(None, Account.create()), link, swarm, scene.waker)  # type: ignore[arg-type]
    ask = member.reader.rpc
    assert [await ask("eth_call", CALL), await ask("eth_call", CALL)] == [1, 1]
    with Journal(tmp_path / "j") as journal:
        await member.writing(journal).rpc("eth_getTransactionReceipt", ["0x3"])
    assert await ask("eth_call", CALL) == 3
    for turned in link.on_turn:
        turned()
    assert await ask("eth_call", CALL) == 4
