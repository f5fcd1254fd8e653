"""Tasks and Taskrunners through their facades, on a real chain: bodies there and back, and answers that cannot be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.chains import CHAIN_ID, LiveChain, new_account, running
from support.desk import Node, member
from swarm.chain.client import ABREAST_MAX, Call, ChainClient, MemoryOutbox
from swarm.chain.deploy import Deployed, attach, deploy
from swarm.chain.keys import SignatureVerifier
from swarm.chain.rpc import unwrap
from swarm.chain.taskcodec import fault_word, read_fault, unpacked
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Batch, Tasks, batches_of, chunks_of
from swarm.chain.tasksigned import TaskUnsigned, signed_task
from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault, OperatorFault, Reverted
from swarm.core.ids import DEFAULT_RUNNER, ROOT_TASK, Digest, sha256, to_hex
from swarm.core.statements import Signature
from swarm.core.taskstatements import (
    OrderStatement,
    TaskStatement,
    assignment_id,
    header_hash,
    item_hash,
    root_of,
    runner_id,
    sign,
    task_id,
)
from swarm.core.taskview import (
    ItemKind,
    Mine,
    Order,
    Outcome,
    PairState,
    Report,
    RunnerState,
    TaskBody,
    TaskHeader,
    TaskType,
)

RUNNER = runner_id(DEFAULT_RUNNER)
HEADER = TaskHeader(TaskType.RUN_SWARM, "mnist", "me", ROOT_TASK, "image")
KEY = Digest(sha256(b"key"))
TEXT = b"".join(b"line %d of the file\n" % n for n in range(300))
BODY = TaskBody(tuple(b"line %d" % n for n in range(70)), chunks_of(TEXT))


async def finalised(node: Node, key: Digest = KEY, header: TaskHeader = HEADER, body: TaskBody = BODY) -> Digest:
    """Written and finalised, with the signature that a SWOP asks for."""
    await node.tasks.write(key, header, body)
    task = task_id(node.address, key)
    hashes = [list(map(item_hash, items)) for items in (body.lines, body.chunks)]
    root = root_of(header_hash(header), *hashes)
    said = TaskStatement(task, header, len(body.lines), len(body.chunks), root)
    signature = sign(said, node.tasks.domain, node.signer)
    await node.tasks.finalise(task, len(body.lines), len(body.chunks), root, signature)
    return task


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[LiveChain]:
    async with running("embedded", tmp_path) as found:
        yield found


@pytest.fixture
async def swarm(chain: LiveChain) -> Deployed:
    return await deploy(chain.client())


async def test_a_body_goes_there_and_back(chain: LiveChain, swarm: Deployed) -> None:
    """Lines and exact text as written, each held to its hash; versions, drafts and names are listed."""
    node = await member(chain, swarm, Role.SWCI)
    wrote: list[Batch] = []
    await node.tasks.write(KEY, HEADER, BODY, wrote.append)
    assert wrote == list(batches_of(BODY))
    assert [b.first for b in wrote[:3]] == [0, 4, 8]
    task = task_id(node.address, KEY)
    assert await node.tasks.drafts_of(node.address) == [task]
    assert await finalised(node) == task
    info = await node.tasks.info(task)
    assert info is not None
    assert (info.header, info.creator, info.version, info.lines) == (HEADER, node.address, 1, 70)
    body = await node.tasks.body(task, info)
    assert body == BODY
    assert body.text == TEXT
    assert await node.tasks.names() == [(ROOT_TASK, 1), ("mnist", 1)]
    assert await node.tasks.versions("mnist") == [task] == [await node.tasks.version("mnist", 1)]
    assert await node.tasks.latest("mnist") == (task, 1)
    assert await node.tasks.latest("none") is None is await node.tasks.version("mnist", 2)
    assert await node.tasks.type_of(task) == (TaskType.RUN_SWARM, 1)
    assert await node.tasks.drafts_of(node.address) == []
    assert await node.tasks.info(KEY) is None
    assert await node.tasks.membership() == swarm.membership.address


async def test_a_draft_with_gaps_and_replaced_lines_is_read_as_it_stands(chain: LiveChain, swarm: Deployed) -> None:
    """The last of two items at one index holds; an item that is not there is empty."""
    node = await member(chain, swarm, Role.SN)
    await node.tasks.create(KEY, HEADER)
    task = task_id(node.address, KEY)
    await node.tasks.append(task, ItemKind.LINE, 2, [b"old", b"three"])
    await node.tasks.append(task, ItemKind.LINE, 0, [b"---"])
    await node.tasks.append(task, ItemKind.LINE, 2, [b"new"])
    info = await node.tasks.info(task)
    assert info is not None
    assert await node.tasks.body(task, info) == TaskBody((b"---", b"", b"new", b"three"), ())
    await node.tasks.remove(task)
    assert (await node.tasks.info(task)).removed  # type: ignore[union-attr]


@pytest.mark.parametrize("lines", [100, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
async def test_a_large_body_is_written_by_a_node_with_its_first_grant(
    chain: LiveChain, swarm: Deployed, lines: int
) -> None:
    """Lines of 640 bytes and 64 KiB of text: several transactions in flight that share what one may tie up."""
    node = await member(chain, swarm, Role.SWCI)
    body = TaskBody(tuple((b"%04d" % n).ljust(640, b"x") for n in range(lines)), chunks_of(b"y" * 65_536))
    receipts = await node.tasks.write(KEY, HEADER, body)
    assert len(receipts) > 2
    assert [r.block for r in receipts] == sorted(r.block for r in receipts)
    task = await finalised(node, body=body)
    info = await node.tasks.info(task)
    assert info is not None
    assert await node.tasks.body(task, info) == body


async def test_a_refusal_of_one_is_raised_after_the_others_came(chain: LiveChain, swarm: Deployed) -> None:
    """submit_all waits for all, keeps the order, and raises the first fault; nothing stays in flight."""
    node = await member(chain, swarm, Role.SWCI)
    calls = []
    for number in range(ABREAST_MAX + 3):
        key = Digest(sha256(b"%d" % number))
        header = HEADER if number != 2 else TaskHeader(TaskType.NONE, "x", "x", "x", "x")
        values = (int(header.task_type), header.name, header.author, header.prereq, header.outcome)
        data = node.tasks._artifact.functions["create"].encode([key, values])
        calls.append(Call(node.tasks.address, data, 1_000_000, f"create {number}"))
    with pytest.raises(Reverted, match="TaskBadType"):
        await node.client.submit_all(calls)
    assert len(await node.tasks.drafts_of(node.address)) == ABREAST_MAX - 1
    assert node.client.pending(mined=False) == []


async def test_a_task_runs_through_the_facades(chain: LiveChain, swarm: Deployed) -> None:
    """Follow, assign twice, enrol, start, renew, report, reset: every view on the way."""
    swci, swop = await member(chain, swarm, Role.SWCI), await member(chain, swarm, Role.SWOP)
    task = await finalised(swci)
    await swop.runners.follow(RUNNER, 2)
    assert [(f.swop, f.pairs, f.active) for f in await swci.runners.followers(RUNNER)] == [(swop.address, 2, True)]
    root, _ = await swci.tasks.latest(ROOT_TASK)  # type: ignore[misc]
    order = Order(KEY, task, root, 2, expect=1)
    signature = sign(OrderStatement(RUNNER, order), swci.runners.domain, swci.signer)
    assert await swop.runners.mine(RUNNER, swop.address) == Mine(None, None, ())
    await swci.runners.assign(RUNNER, order, signature)
    await swci.runners.assign(RUNNER, order, signature)
    aid = assignment_id(RUNNER, swci.address, KEY)
    view = await swci.runners.state(RUNNER)
    assert (view.shown, view.busy, view.current.aid if view.current else None) == (RunnerState.ASSIGNED, True, aid)
    await swop.runners.enrol(RUNNER, aid, 2)
    await swop.runners.start(RUNNER, aid)
    await swop.runners.renew(RUNNER, aid, 0b10)
    mine = await swop.runners.mine(RUNNER, swop.address)
    assert [p.state for p in mine.pairs] == [PairState.ALLOTTED, PairState.STARTED]
    assert await swci.runners.pairs(aid, swop.address) == mine.pairs
    assert await swci.runners.peers(aid) == (mine.peer,)
    results = [Report(0, True, 0), Report(1, False, 3, "ValueError", KEY, swop.address, 4, KEY)]
    await swop.runners.report(RUNNER, aid, 1, results)
    pair = (await swci.runners.pairs(aid, swop.address))[1]
    assert (pair.exit_code, pair.fault, pair.text_hash, pair.run, pair.open) == (3, "ValueError", KEY, 4, False)
    await swci.runners.reset(RUNNER, aid, False)
    record = await swci.runners.assignment(aid)
    assert record is not None
    assert (record.outcome, record.failed, record.succeeded) == (Outcome.FAILED, 1, 1)
    assert await swci.runners.newest(RUNNER) == (record,) == await swci.runners.history(RUNNER, 1)
    assert await swci.runners.assignment(KEY) is None
    assert await swci.runners.counts(RUNNER) == (1, 1)
    await swci.runners.create_runner("other")
    assert await swci.runners.runners() == {RUNNER: DEFAULT_RUNNER, runner_id("other"): "other"}
    assert await swci.runners.name_of(runner_id("other")) == "other"
    facts = [await fact() for fact in (swci.runners.waiting, swci.runners.lease_seconds, swci.runners.grace_blocks)]
    assert facts == [0, 120, 10]
    assert await swci.runners.tasks() == swarm.tasks.address
    again = await attach(chain.client(), swarm.directory.address)
    assert again.addresses["Taskrunners"] == swarm.runners.address


async def test_a_task_without_its_creators_signature_is_told_apart(chain: LiveChain, swarm: Deployed) -> None:
    """The contract takes any bytes for a signature; whoever reads the task asks for the right ones."""
    swci, other = await member(chain, swarm, Role.SWCI), await member(chain, swarm, Role.SWCI)
    good = await finalised(swci)
    assert (await signed_task(swci.tasks, good, SignatureVerifier())).creator == swci.address
    swci.signer = other.signer
    bad = await finalised(swci, key=Digest(sha256(b"another key")))
    with pytest.raises(TaskUnsigned, match=f"which {to_hex(swci.address)} did not sign so"):
        await signed_task(swci.tasks, bad, SignatureVerifier())


@pytest.mark.parametrize("kind", ["embedded", pytest.param("geth", marks=pytest.mark.geth)])
async def test_what_a_70_line_body_costs(kind: str, tmp_path: Path) -> None:
    """One transaction for all of it, on a chain of either kind: not 20 one after another."""
    async with running(kind, tmp_path) as chain:
        swarm = await deploy(chain.client())
        node = await member(chain, swarm, Role.SWCI)
        await node.runners.create_runner("warm")
        receipts = await node.tasks.write(KEY, HEADER, BODY)
        assert len(receipts) == 1
        assert receipts[0].gas_used < 600_000


class Liar:
    """An SN that gives other answers to some calls of contracts."""

    def __init__(self, chain: LiveChain) -> None:
        self._chain = chain
        self.change: Any = None

    async def __call__(self, method: str, params: list[Any]) -> Any:
        result = await self._chain.rpc(method, params)
        return unwrap({"result": self.change(method, result) if self.change else result}, method)


async def test_attack_answers_that_cannot_be_are_chain_faults(chain: LiveChain, swarm: Deployed) -> None:
    """Numbers of no enum, counts that do not add up, rows of somebody else, events left out or changed."""
    swci, swop = await member(chain, swarm, Role.SWCI), await member(chain, swarm, Role.SWOP)
    task = await finalised(swci)
    root, _ = await swci.tasks.latest(ROOT_TASK)  # type: ignore[misc]
    order = Order(KEY, task, root, 1)
    await swci.runners.assign(RUNNER, order, Signature(KEY, KEY))
    aid = assignment_id(RUNNER, swci.address, KEY)
    await swop.runners.enrol(RUNNER, aid, 1)
    await swop.runners.start(RUNNER, aid)
    liar = Liar(chain)
    client = ChainClient(liar, new_account(), MemoryOutbox(), chain_id=CHAIN_ID)
    tasks, runners = Tasks(client, swarm.tasks.address), Taskrunners(client, swarm.runners.address)
    info = await tasks.info(task)
    assert info is not None

    def word(place: int, value: int) -> Any:
        def change(method: str, result: Any) -> Any:
            if method != "eth_call":
                return result
            at = 2 + 64 * place
            return result[:at] + f"{value:064x}" + result[at + 64 :]

        return change

    chance = random.Random("answers")

    def calls() -> dict[str, Any]:
        return {
            "state": lambda: runners.state(RUNNER),
            "mine": lambda: runners.mine(RUNNER, swop.address),
            "assignment": lambda: runners.assignment(aid),
            "peers": lambda: runners.peers(aid),
            "pairs": lambda: runners.pairs(aid, swop.address),
            "info": lambda: tasks.info(task),
            "runners": runners.runners,
        }

    for name, call in calls().items():
        liar.change = None
        honest = await call()
        refused = told = 0
        for _ in range(40):
            liar.change = word(chance.randrange(60), chance.choice((0, 9, 2**255)))
            try:
                told += (await asyncio.wait_for(call(), 10)) != honest
            except ChainFault:
                refused += 1
        assert refused, name
    liar.change = None
    await swci.tasks.write_items(sha256(b"items"), HEADER, BODY)
    other = task_id(swci.address, Digest(sha256(b"items")))
    draft = await tasks.info(other)
    assert draft is not None
    for number, record, said in ((task, info, "the body"), (other, draft, "line 0")):
        liar.change = None
        assert await tasks.body(number, record) == BODY
        for change in (lambda logs: [], _swapped):
            liar.change = lambda method, result, change=change: change(result) if method == "eth_getLogs" else result
            with pytest.raises(ChainFault, match=f"no event for {said} of task"):
                await tasks.body(number, record)


def _swapped(logs: list[Any]) -> list[Any]:
    """One byte of an item is another, wherever it stands."""
    return [{**log, "data": log["data"].replace(b"line 0".hex(), b"line X".hex())} for log in logs]


async def test_a_whole_draft_takes_more_lines_and_leaves_no_gap(chain: LiveChain, swarm: Deployed) -> None:
    """CREATE TASK FROM, then APPEND TASK BODY: it is written anew in one piece; hashes are those of its items."""
    node = await member(chain, swarm, Role.SWCI)
    await node.tasks.write(KEY, HEADER, BODY)
    task = task_id(node.address, KEY)
    await node.tasks.append(task, ItemKind.LINE, 70, [b"more"])
    await node.tasks.append(task, ItemKind.LINE, 1, [b"other"])
    info = await node.tasks.info(task)
    assert info is not None
    lines = (BODY.lines[0], b"other", *BODY.lines[2:], b"more")
    assert await node.tasks.body(task, info) == TaskBody(lines, BODY.chunks)
    assert await node.tasks.hashes(task, ItemKind.LINE) == list(map(item_hash, lines))
    assert await node.tasks.hashes(task, ItemKind.TEXT) == list(map(item_hash, BODY.chunks))
    with pytest.raises(OperatorFault, match="line 73 would leave a gap: the draft has 71"):
        await node.tasks.append(task, ItemKind.LINE, 73, [b"x"])


@pytest.mark.parametrize(
    ("lines", "chunks", "raw"), [(1, 1, b""), (1, 0, b"\0\0\0\2a"), (1, 0, b"\0\0\0\0x"), (2, 0, bytes(7))]
)
def test_bytes_that_are_no_such_items_are_no_body(lines: int, chunks: int, raw: bytes) -> None:
    """Too few, too many, or cut."""
    with pytest.raises(ValueError, match="bytes are no"):
        unpacked(lines, chunks, raw)


def test_a_fault_is_31_bytes_and_no_half_of_a_character() -> None:
    """What is longer is cut; what is read may be any bytes."""
    assert read_fault(fault_word("ValueError")) == "ValueError"
    assert len(fault_word("x" * 40)) == 31
    assert read_fault(fault_word("é" * 40)) == "é" * 15
    assert read_fault(b"\xff\xfe".ljust(31, b"\0")) == "\ufffd\ufffd"
