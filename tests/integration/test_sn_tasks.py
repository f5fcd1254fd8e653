"""Tasks through a real SN process: members with their own grant, the gateway between, and a lease that runs out."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from eth_account import Account
from support import patience
from support.certs import Authority
from support.snprocess import MemberClient, SnProcess, clean_environ, running_sn
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.keys import LocalSigner
from swarm.chain.rpc import unwrap
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks, chunks_of
from swarm.core.chain_view import Role
from swarm.core.ids import DEFAULT_RUNNER, ROOT_TASK, Digest, from_hex, sha256
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
from swarm.core.taskview import Order, Outcome, RunnerState, TaskBody, TaskHeader, TaskType

RUNNER = runner_id(DEFAULT_RUNNER)
LEASE_SECONDS, BEAT_SECONDS = 5, 0.2
HEADER = TaskHeader(TaskType.RUN_SWARM, "mnist", "me", ROOT_TASK, "image")
BODY = TaskBody(tuple(b"line %d" % n for n in range(70)), chunks_of(b"the exact text\n" * 400))


class Operator:
    """A member of a role and its facades, over the SN's gateway."""

    def __init__(self, sn: SnProcess, ca: Authority, role: Role) -> None:
        name = role.name.lower()
        files = ca.node(sn.folder / "certs", f"{name}-1", uri=f"spiffe://test/site-b/{name}/{name}-1")
        key = sha256(name.encode())
        self.member = MemberClient(sn, files, role=role, key=key)
        self.account, self.signer = Account.from_key(key), LocalSigner(key)

    async def enter(self) -> None:
        await self.member.join()
        about = await self.member.http.get("/v1/swarm")
        places = {name: from_hex(found, 20) for name, found in about["contracts"].items()}
        client = ChainClient(self.rpc, self.account, MemoryOutbox(), chain_id=about["chain_id"])
        self.tasks = Tasks(client, places["Tasks"])  # type: ignore[arg-type]
        self.runners = Taskrunners(client, places["Taskrunners"])  # type: ignore[arg-type]
        self.client = client

    async def rpc(self, method: str, params: list[Any]) -> Any:
        return unwrap(await self.member.rpc(method, *params), method)


def test_a_silent_assignment_expires_on_a_chain_that_stands_still(tmp_path: Path) -> None:
    """Written, assigned, started by members with their grants; then silence: the SN seals the blocks for the expiry."""
    ca = Authority()
    with running_sn(tmp_path, ca, "--task-lease", str(LEASE_SECONDS)) as sn:
        asyncio.run(_members(sn, ca))
        sn.stop()
        command = [*sn.command(), "--task-lease", str(LEASE_SECONDS + 1)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environ(), check=False)
        assert done.returncode == 2
        assert f"--task-lease=6: this swarm was begun with {LEASE_SECONDS} s, and that is final" in done.stderr


async def _members(sn: SnProcess, ca: Authority) -> None:
    swci, swop = Operator(sn, ca, Role.SWCI), Operator(sn, ca, Role.SWOP)
    async with swci.member, swop.member:
        await swci.enter()
        await swop.enter()
        await _started_then_silent(swci, swop)


async def _started_then_silent(swci: Operator, swop: Operator) -> None:
    key = Digest(sha256(b"key"))
    await swci.tasks.write(key, HEADER, BODY)
    task = task_id(swci.client.address, key)
    root = root_of(header_hash(HEADER), *[list(map(item_hash, x)) for x in (BODY.lines, BODY.chunks)])
    said = TaskStatement(task, HEADER, len(BODY.lines), len(BODY.chunks), root)
    signature = sign(said, swci.tasks.domain, swci.signer)
    await swci.tasks.finalise(task, len(BODY.lines), len(BODY.chunks), root, signature)
    info = await swop.tasks.info(task)
    assert info is not None
    assert await swop.tasks.body(task, info) == BODY
    await swop.runners.follow(RUNNER, 1)
    base = await swci.tasks.latest(ROOT_TASK)
    assert base is not None
    order = Order(key, task, base[0], 1)
    signed = sign(OrderStatement(RUNNER, order), swci.runners.domain, swci.signer)
    await swci.runners.assign(RUNNER, order, signed)
    aid = assignment_id(RUNNER, swci.client.address, key)
    await swop.runners.enrol(RUNNER, aid, 1)
    await swop.runners.start(RUNNER, aid)
    await asyncio.sleep(LEASE_SECONDS + 2)
    await swci.runners.suspect(RUNNER, aid)
    record = await swci.runners.assignment(aid)
    assert record is not None
    wanted = record.suspected_block + await swci.runners.grace_blocks()
    for _ in range(int(patience.seconds(20) / BEAT_SECONDS)):
        if await swci.client.block_number() >= wanted:
            break
        await asyncio.sleep(BEAT_SECONDS)
    await asyncio.sleep(LEASE_SECONDS / 4)
    await swci.runners.expire(RUNNER, aid)
    view = await swci.runners.state(RUNNER)
    assert (view.shown, view.busy) == (RunnerState.ERROR, False)
    record = await swci.runners.assignment(aid)
    assert record is not None
    assert record.outcome is Outcome.EXPIRED
