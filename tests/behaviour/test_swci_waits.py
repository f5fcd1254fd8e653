"""WAIT, RESET and RUN on real contracts while clocks are wrong, blocks are taken back, and others want the key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.chains import LiveChain, running
from support.desk import Desk, Node, member
from swarm.chain.deploy import Deployed, deploy
from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault
from swarm.core.ids import DEFAULT_RUNNER
from swarm.core.taskstatements import runner_id
from swarm.core.taskview import Report
from swarm.swci import waiting

RUNNER = runner_id(DEFAULT_RUNNER)
LEASE = 120
TASK = """Name : build
TaskType : MAKE_USER_CONTAINER
Author : Me
Prereq : ROOTTASK
Outcome : image
Body :
    BuildContext : sl-cli-lib
    BuildType : INLINE
    BuildSteps :
    - FROM scratch
"""
MADE = ["CREATE TASK FROM build.yaml", "FINALIZE TASK build"]
GIVE, WAIT = f"ASSIGN TASK build TO {DEFAULT_RUNNER} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {DEFAULT_RUNNER}"


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[LiveChain]:
    async with running("embedded", tmp_path / "chain") as found:
        yield found


async def begun(chain: LiveChain, folder: Path) -> tuple[Desk, Node, Deployed]:
    """An operator with a final task, and a SWOP that listens."""
    swarm = await deploy(chain.client())
    own, swop = [await member(chain, swarm, role) for role in (Role.SWCI, Role.SWOP)]
    await swop.runners.follow(RUNNER, 1)
    desk = Desk(chain, swarm, own, folder, files={"build.yaml": TASK})
    for line in MADE:
        told = await desk.run(line)
        assert not told[-1].startswith("ERROR"), told
    return desk, swop, swarm


async def taken(swop: Node) -> Any:
    """The SWOP enrols and starts; the assignment."""
    current = (await swop.runners.state(RUNNER)).current
    assert current is not None
    await swop.runners.enrol(RUNNER, current.aid, 1)
    await swop.runners.start(RUNNER, current.aid)
    return current


async def done(swop: Node, ok: bool = True) -> None:
    current = (await swop.runners.state(RUNNER)).current
    assert current is not None
    await swop.runners.report(RUNNER, current.aid, 1, [Report(0, ok, 0 if ok else 3, "" if ok else "ValueError")])


@pytest.mark.parametrize("wrong", [-600, 600])
async def test_a_wrong_clock_neither_ends_nor_lengthens_a_wait(chain: LiveChain, tmp_path: Path, wrong: int) -> None:
    """Ten minutes off, and set while it waits: no silence is told of a peer that was heard, no limit comes early."""
    desk, swop, _ = await begun(chain, tmp_path / "desk")
    block = await chain.send("eth_getBlockByNumber", ["latest", False])
    desk.time.day = int(block["timestamp"], 16) + wrong
    await desk.run(GIVE)
    await taken(swop)
    desk.session.limits = type(desk.session.limits)(run=5, generic=5)
    steps = 0

    async def each() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            desk.time.day += wrong * 6
        if steps == 60:
            await done(swop)

    desk.time.each = each
    told = [line for line in await desk.run(WAIT) if set(line) != {"#"}]
    assert told[1:3] == ["TASKRUNNER FINISHED", "  STATE : COMPLETE"]
    assert steps == 60


async def test_silence_is_counted_by_this_hosts_own_steady_clock(chain: LiveChain, tmp_path: Path) -> None:
    """On an idle chain no block tells how late it is: after a lease of looks it is said since when nobody was heard."""
    desk, swop, _ = await begun(chain, tmp_path / "desk")
    await desk.run(GIVE)
    await taken(swop)
    desk.session.limits = type(desk.session.limits)(run=5, generic=5)
    desk.time.day = 0.0
    said: list[float] = []

    async def each() -> None:
        if any("no peer was heard since" in line for line in desk.lines) and not said:
            said.append(sum(desk.time.slept))

    desk.time.each = each
    told = await desk.run(WAIT)
    assert told[-1] == waiting.OVER
    assert LEASE <= said[0] <= LEASE + 3
    heard = next(line for line in told if "no peer was heard since" in line)
    assert "since 197" not in heard
    assert 300 <= sum(desk.time.slept) <= 303


@pytest.mark.parametrize("wrong", [-600, 600])
async def test_a_runner_is_freed_by_the_chains_time_not_by_this_hosts(
    chain: LiveChain, tmp_path: Path, wrong: int
) -> None:
    """A SWOP that lives is not suspected because a clock here is ahead; one that is gone is, though it is behind."""
    desk, swop, _ = await begun(chain, tmp_path / "desk")
    await desk.run(GIVE)
    await taken(swop)
    block = int((await chain.send("eth_getBlockByNumber", ["latest", False]))["timestamp"], 16)
    desk.time.day = block + wrong
    sent = await chain.send("eth_blockNumber", [])
    told = await desk.run(f"RESET TASKRUNNER {DEFAULT_RUNNER}")
    assert told[-1].startswith(f"ERROR task runner {DEFAULT_RUNNER} is busy"), told
    assert await chain.send("eth_blockNumber", []) == sent, "a living peer was suspected"
    # The SN says that it is later: what is silent is ended; the contract itself has the last word.
    desk.status["time"] = block + LEASE + 5
    told = await desk.run(f"RESET TASKRUNNER {DEFAULT_RUNNER}")
    assert "no peer of" in told[0], told


@pytest.mark.anvil
async def test_the_key_is_free_while_a_runner_is_freed(tmp_path: Path) -> None:
    """Another shell of this operator works on: the journal is held for transactions, never through a wait."""
    async with running("anvil", tmp_path / "chain") as chain:
        desk, swop, _ = await begun(chain, tmp_path / "desk")
        await desk.run(GIVE)
        await taken(swop)
        await chain.send("evm_increaseTime", [LEASE + 10])
        await chain.send("evm_mine", [])
        held: list[int] = []

        async def each() -> None:
            held.append(desk.held)
            if len(held) == 5:
                await done(swop)

        desk.time.each = each
        told = await desk.run(f"RESET TASKRUNNER {DEFAULT_RUNNER}")
        assert "was heard since" in told[0]
        assert told[-1] == "TaskRunner Reset", told
        assert held == [0] * 5


async def test_an_sn_that_goes_away_at_the_end_has_nothing_said_twice(chain: LiveChain, tmp_path: Path) -> None:
    """FINISHED is one line, whenever the peers of a failure could not be read at once."""
    desk, swop, _ = await begun(chain, tmp_path / "desk")
    await desk.run(GIVE)
    await taken(swop)
    await done(swop, ok=False)
    peers = to_call(swop, "peers")
    failing, real = [3], desk.rpc

    async def away(method: str, params: list[Any]) -> Any:
        if method == "eth_call" and params[0]["data"].startswith(peers) and failing[0]:
            failing[0] -= 1
            raise ChainFault("no line")
        return await real(method, params)

    desk.member.reader.rpc = away
    told = await desk.run(WAIT)
    assert failing == [0]
    assert told.count("TASKRUNNER FINISHED") == 1
    assert told[-1].startswith(f"ERROR task build on {DEFAULT_RUNNER}: 1 of 1 pairs failed; SWOP 0x")


def to_call(node: Node, name: str) -> str:
    return "0x" + bytes(node.runners._artifact.functions[name].hash[:4]).hex()


async def test_what_was_begun_and_has_ended_is_said(chain: LiveChain, tmp_path: Path) -> None:
    """A RUN whose shell died, and whose task ended meanwhile: no new one is given, and that is told."""
    desk, swop, swarm = await begun(chain, tmp_path / "desk")
    line = f"RUN build.yaml ON {DEFAULT_RUNNER} WITH 1 PEERS"

    async def cut() -> None:
        desk.session.interrupt()

    desk.time.each = cut
    assert (await desk.run(line))[-1] == "ERROR RUN was interrupted"
    desk = Desk(chain, swarm, desk.node, tmp_path / "desk")
    await taken(swop)
    await done(swop)
    told = await desk.run(line)
    assert "this was begun before as assignment 1, which ended: complete" in told
    assert told[-3:-1] == ["TASKRUNNER FINISHED", "  STATE : COMPLETE"]
    told = await desk.run(f"RESET TASKRUNNER {DEFAULT_RUNNER}")
    assert told == ["TaskRunner Reset"]


@pytest.mark.anvil
async def test_an_assignment_that_the_chain_takes_back_is_given_again(tmp_path: Path) -> None:
    """By the shell that signed it, under its key, so that it is the same one; and it is said."""
    async with running("anvil", tmp_path / "chain") as chain:
        desk, swop, _ = await begun(chain, tmp_path / "desk")
        await desk.run(GIVE)
        aid = desk.session.assigned[RUNNER]
        await chain.send("anvil_reorg", [1, []])
        assert await swop.runners.assignment(aid) is None

        async def each() -> None:
            if sum(desk.time.slept) >= waiting.VANISHED_SECONDS + 5 and (await swop.runners.state(RUNNER)).busy:
                desk.time.each = None
                again = await taken(swop)
                assert again.aid == aid
                await done(swop)

        desk.time.each = each
        told = [line for line in await desk.run(WAIT) if set(line) != {"#"}]
        assert "given again" in told[1], told
        assert told[2:4] == ["TASKRUNNER FINISHED", "  STATE : COMPLETE"]


@pytest.mark.anvil
async def test_an_assignment_that_nobody_gives_again_ends_the_wait(tmp_path: Path) -> None:
    """Watched by a shell that did not sign it, the wait ends with the command that gives it again."""
    async with running("anvil", tmp_path / "chain") as chain:
        desk, _, _ = await begun(chain, tmp_path / "desk")
        await desk.run(GIVE)
        desk.session.given.clear()

        async def each() -> None:
            if desk.time.slept == [waiting.LOOK_SECONDS] * 3:
                await chain.send("anvil_reorg", [1, []])

        desk.time.each = each
        told = await desk.run(WAIT)
        assert told[-1].startswith("ERROR the chain took the assignment of task build to")
        assert told[-1].endswith(f"ASSIGN TASK build TO {DEFAULT_RUNNER} ... gives it again")
        assert sum(desk.time.slept) < 60
