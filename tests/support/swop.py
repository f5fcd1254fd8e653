"""A stand-in for a SWOP that speaks only the contract: listens to a runner, enrols, starts, renews, reports results.

It runs nothing: what its pairs come to is what the test says.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eth_account import Account
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.names import RunnerError
from swarm.chain.rpc import unwrap
from swarm.chain.taskrunners import Taskrunners
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_RUNNER, Address, Digest, from_hex, to_hex
from swarm.core.taskstatements import runner_id
from swarm.core.taskview import AssignmentPhase, PeerState, Report, TaskType

from .certs import Authority
from .snprocess import MemberClient, SnProcess

LOOK_SECONDS = 0.1
RENEW_LOOKS = 10


class SwopStand:
    """Args: pairs: how many it offers; results: exit codes of its pairs, in order; None: that pair never ends."""

    def __init__(self, sn: SnProcess, member: MemberClient, pairs: int, results: Sequence[int | None]) -> None:
        self.uid = to_hex(member.signer.address)
        self.results = list(results)
        self.declines = ""
        self.silent = threading.Event()
        self._sn, self._member, self._pairs = sn, member, pairs
        self._ended = threading.Event()
        self.listens = threading.Event()
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"swop {self.uid[:10]}")

    def start(self) -> None:
        self._thread.start()
        while not self.listens.wait(0.1):
            assert self._thread.is_alive(), self.fault

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        assert self.fault is None, self.fault

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as fault:
            self.fault = fault

    async def _live(self) -> None:
        async with self._member as member:
            await member.join()

            async def rpc(method: str, params: list[Any]) -> Any:
                return unwrap(await member.rpc(method, *params), method)

            swarm = await member.http.get("/v1/swarm")
            account = Account.from_key(member.signer._key)
            client = ChainClient(rpc, account, MemoryOutbox(), chain_id=swarm["chain_id"])
            runners = Taskrunners(client, Address(from_hex(swarm["contracts"]["Taskrunners"], 20)))
            runner = runner_id(DEFAULT_RUNNER)
            await runners.follow(runner, self._pairs)
            self.listens.set()
            looks = 0
            while not self._ended.is_set():
                looks += 1
                if not self.silent.is_set():
                    with contextlib.suppress(Reverted):  # another stand-in was quicker
                        await self._look(runners, runner, looks)
                await asyncio.sleep(LOOK_SECONDS)
            await runners.unfollow(runner)

    async def _look(self, runners: Taskrunners, runner: Digest, looks: int) -> None:
        mine = await runners.mine(runner, self._member.signer.address)
        current = mine.current
        if current is None or not current.busy:
            return
        if current.phase is AssignmentPhase.ASSIGNED:
            if self.declines and (mine.peer is None or mine.peer.state is PeerState.NAMED):
                await runners.decline(runner, current.aid, self.declines)
            elif mine.peer is None or mine.peer.state is PeerState.NAMED:
                one = current.task_type is not TaskType.RUN_SWARM
                await runners.enrol(runner, current.aid, 1 if one else self._pairs)
            elif mine.peer.state is PeerState.ENROLLED:
                try:
                    await runners.start(runner, current.aid)
                except Reverted as error:
                    if error.name != RunnerError.NOT_READY:
                        raise
            return
        if mine.peer is None or mine.peer.state is PeerState.INVITED:
            if mine.peer is not None:
                await runners.enrol(runner, current.aid, self._pairs)
            return
        ready = [
            Report(number, code == 0, code, "" if code == 0 else "ValueError")
            for number, pair in enumerate(mine.pairs)
            if pair.open and (code := self._result(number)) is not None
        ]
        if ready:
            await runners.report(runner, current.aid, mine.peer.attempt, ready)
        elif looks % RENEW_LOOKS == 0 and any(pair.open for pair in mine.pairs):
            await runners.renew(runner, current.aid, 2 ** len(mine.pairs) - 1)

    def _result(self, pair: int) -> int | None:
        return self.results[pair] if pair < len(self.results) else None


@contextlib.contextmanager
def swop(
    sn: SnProcess, ca: Authority, folder: Path, name: str, pairs: int = 1, results: Sequence[int | None] = (None,)
) -> Iterator[SwopStand]:
    """A stand-in that listens to the default runner."""
    files = ca.node(folder / "certs", name, uri=f"spiffe://test/site-{name}/swop/{name}")
    stand = SwopStand(sn, MemberClient(sn, files, role=Role.SWOP), pairs, results)
    stand.start()
    try:
        yield stand
    finally:
        stand.stop()
