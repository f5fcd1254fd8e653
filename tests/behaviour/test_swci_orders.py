"""ASSIGN on real contracts, through an SN that lies: an order is signed only for what the task's creator signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.chains import LiveChain, running
from support.desk import Desk, Node, member
from swarm.chain.deploy import Deployed, deploy
from swarm.core.chain_view import Role
from swarm.core.ids import DEFAULT_RUNNER, ROOT_TASK, Digest, sha256, to_hex
from swarm.core.taskstatements import TaskStatement, header_hash, item_hash, root_of, runner_id, sign, task_id
from swarm.core.taskview import TaskBody, TaskHeader, TaskType

RUNNER = runner_id(DEFAULT_RUNNER)
LINE = f"ASSIGN TASK train TO {DEFAULT_RUNNER} WITH 1 PEERS"


def header(name: str, author: str = "me", prereq: str = ROOT_TASK) -> TaskHeader:
    return TaskHeader(TaskType.MAKE_USER_CONTAINER, name, author, prereq, "out")


async def final(node: Node, head: TaskHeader, text: bytes = b"RUN good") -> Digest:
    """A task that a node made and signed."""
    key, body = Digest(sha256(head.name.encode() + text)), TaskBody((b"---", text), (text,))
    await node.tasks.write(key, head, body)
    task = task_id(node.address, key)
    root = root_of(header_hash(head), *(list(map(item_hash, items)) for items in (body.lines, body.chunks)))
    signature = sign(TaskStatement(task, head, 2, 1, root), node.tasks.domain, node.signer)
    await node.tasks.finalise(task, 2, 1, root, signature)
    return task


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[LiveChain]:
    async with running("embedded", tmp_path / "chain") as found:
        yield found


@pytest.fixture
async def swarm(chain: LiveChain) -> Deployed:
    return await deploy(chain.client())


class Lying:
    """The chain's answers, changed by the test: by a call's first bytes, or by method."""

    def __init__(self, chain: LiveChain) -> None:
        self._chain = chain
        self.answers: dict[str, Callable[[list[Any], Any], Any]] = {}
        self.orders = 0

    async def __call__(self, method: str, params: list[Any]) -> Any:
        found = await self._chain.rpc(method, params)
        self.orders += method == "eth_sendRawTransaction"
        key = params[0]["data"][:10] if method == "eth_call" else method
        return self.answers[key](params, found) if key in self.answers else found


def function(node: Node, name: str) -> Any:
    return node.tasks._artifact.functions[name]


async def ready(chain: LiveChain, swarm: Deployed, folder: Path) -> tuple[Desk, Lying, Node, Node]:
    """An operator, a liar between it and the chain, a colleague who wrote ``train``, a SWOP that listens."""
    own, colleague, swop = [await member(chain, swarm, role) for role in (Role.SWCI, Role.SWCI, Role.SWOP)]
    await swop.runners.follow(RUNNER, 1)
    await final(colleague, header("train", "Ann"))
    lying = Lying(chain)
    return Desk(chain, swarm, own, folder, lying), lying, own, colleague


async def test_what_is_assigned_is_said_with_version_and_author(
    chain: LiveChain, swarm: Deployed, tmp_path: Path
) -> None:
    """Of the task and of what it stands on: an operator sees what the name came to."""
    desk, _, own, colleague = await ready(chain, swarm, tmp_path / "desk")
    assert await desk.run(LINE) == [
        "Task assigned to TaskRunner",
        f"TASK         : train, version 1, by Ann ({to_hex(colleague.address)})",
        "PREREQ       : ROOTTASK, version 1",
    ]
    await final(colleague, header("base"))
    await final(own, header("train", "Me", "base"))
    assert (await desk.run(f"RESET TASKRUNNER {DEFAULT_RUNNER} FORCE"))[-1] == "TaskRunner Reset"
    assert await desk.run(LINE) == [
        "Task assigned to TaskRunner",
        f"TASK         : train, version 2, by Me ({to_hex(own.address)})",
        f"PREREQ       : base, version 1, by me ({to_hex(colleague.address)})",
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"ASSIGN TASK trai TO {DEFAULT_RUNNER} WITH 1 PEERS",
        f"ASSIGN TASK train TO {DEFAULT_RUNNER[:12]} WITH 1 PEERS",
        f"RESET TASKRUNNER {DEFAULT_RUNNER[:12]} FORCE",
        f"ABORT TASKRUNNER {DEFAULT_RUNNER[:12]}",
        "RESET CONTRACT defaultbb.cq",
        "FINALIZE TASK trai",
        "DELETE TASK trai",
    ],
)
async def test_nothing_is_changed_by_a_beginning_of_a_name(
    line: str, chain: LiveChain, swarm: Deployed, tmp_path: Path
) -> None:
    """Who answers which names there are could hide the one that was meant, and show a longer one alone."""
    desk, lying, *_ = await ready(chain, swarm, tmp_path / "desk")
    [told] = await desk.run(line)
    assert told.startswith("ERROR there is no ")
    assert "did you mean" in told
    assert "Type the whole name" in told
    assert lying.orders == 0


async def refused(desk: Desk, lying: Lying) -> str:
    """The one line that says so; nothing was sent."""
    before = lying.orders
    told = await desk.run(LINE)
    assert lying.orders == before, "an order was signed and sent"
    assert len(told) == 1
    assert told[0].startswith("ERROR ")
    return told[0]


async def test_another_task_under_the_name_is_not_assigned(chain: LiveChain, swarm: Deployed, tmp_path: Path) -> None:
    """A lying SN names a colleague's other task as the newest of the name, with or without its true header."""
    desk, lying, _, colleague = await ready(chain, swarm, tmp_path / "desk")
    wipe = await final(colleague, header("wipe", "Ann"), b"RUN wipe")
    latest, info = function(colleague, "latest"), function(colleague, "info")
    word = to_hex(wipe) + "1".rjust(64, "0")
    lying.answers[to_hex(latest.hash[:4])] = lambda params, found: word
    assert "its creator signed it as wipe: do not trust this SN" in await refused(desk, lying)
    # "train" where the true record says "wipe": the name is no longer what was signed.
    old, new = (text.encode().hex().ljust(64, "0") for text in ("wipe", "train"))
    lengths = "4".rjust(64, "0") + old, "5".rjust(64, "0") + new
    lying.answers[to_hex(info.hash[:4])] = lambda params, found: found.replace(*lengths)
    assert f"which {to_hex(colleague.address)} did not sign so: do not trust this SN" in await refused(desk, lying)


async def test_a_stranger_cannot_claim_a_task_of_another(chain: LiveChain, swarm: Deployed, tmp_path: Path) -> None:
    """An SN that signs a colleague's id itself, with another header: only the creator's key leads to that id."""
    desk, lying, _, colleague = await ready(chain, swarm, tmp_path / "desk")
    evil = await member(chain, swarm, Role.SN)
    wipe = await final(colleague, header("wipe", "Ann"), b"RUN wipe")
    shown = await evil.tasks.info(wipe)
    assert shown is not None
    claimed = header("train", "Ann")
    root = root_of(header_hash(claimed), [], [])
    said = TaskStatement(wipe, claimed, shown.lines, shown.chunks, root)
    signature = sign(said, evil.tasks.domain, evil.signer)
    latest, info = function(evil, "latest"), function(evil, "info")

    def record(params: list[Any], found: str) -> str:
        if to_hex(wipe)[2:] not in params[0]["data"]:
            return found
        changes = (
            (to_hex(colleague.address)[2:], to_hex(evil.address)[2:]),
            (to_hex(shown.root)[2:], to_hex(root)[2:]),
            (to_hex(shown.header_hash)[2:], to_hex(header_hash(claimed))[2:]),
            ("4".rjust(64, "0") + b"wipe".hex().ljust(64, "0"), "5".rjust(64, "0") + b"train".hex().ljust(64, "0")),
        )
        for old, new in changes:
            assert old in found
            found = found.replace(old, new)
        return found

    def logs(params: list[Any], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for log in found:  # TaskFinalised: where name begins, version, root, r, vs, then the name
            if to_hex(shown.root)[2:] in log["data"]:
                start = 2 + 3 * 64
                log["data"] = log["data"][:start] + signature.r.hex() + signature.vs.hex() + log["data"][start + 128 :]
        return found

    lying.answers[to_hex(latest.hash[:4])] = lambda params, found: (
        to_hex(wipe) + "1".rjust(64, "0") if b"train".hex() in params[0]["data"] else found
    )
    lying.answers[to_hex(info.hash[:4])] = record
    lying.answers["eth_getLogs"] = logs
    assert f"which {to_hex(evil.address)} did not create: do not trust this SN" in await refused(desk, lying)
    lying.answers["eth_getTransactionByHash"] = lambda params, found: None
    assert "the SN lacks the transaction of task" in await refused(desk, lying)
    lying.answers["eth_getTransactionByHash"] = lambda params, found: {**found, "input": "0x1234"}
    assert "did not create" in await refused(desk, lying)


async def test_the_prereq_is_looked_at_as_the_task_is(chain: LiveChain, swarm: Deployed, tmp_path: Path) -> None:
    """An SN that names another task as what it stands on has no order signed either; nor one that fakes ROOTTASK."""
    desk, lying, own, colleague = await ready(chain, swarm, tmp_path / "desk")
    await final(colleague, header("base"))
    await final(own, header("train", "Me", "base"))
    other = await final(colleague, header("other"), b"RUN other")
    latest = to_hex(function(own, "latest").hash[:4])
    lying.answers[latest] = lambda params, found: (
        to_hex(other) + "1".rjust(64, "0") if b"base".hex() in params[0]["data"] else found
    )
    assert "its creator signed it as other" in await refused(desk, lying)
    await final(own, header("train", "Me"), b"RUN third")
    lying.answers[latest] = lambda params, found: (
        to_hex(other) + "1".rjust(64, "0") if ROOT_TASK.encode().hex() in params[0]["data"] else found
    )
    assert "its creator signed it as other" in await refused(desk, lying)
    lying.answers.clear()
    lying.answers[to_hex(function(own, "info").hash[:4])] = lambda params, found: found.replace(
        b"HPE".hex().ljust(64, "0"), b"HAL".hex().ljust(64, "0")
    )
    assert "which it is not" in await refused(desk, lying)
