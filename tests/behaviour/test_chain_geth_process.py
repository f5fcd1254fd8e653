"""The supervisor with a real geth: what it opens, how it survives, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support import patience
from support.chains import CHAIN_ID, Geth, address_of, new_account, running
from swarm.chain.deploy import attach, deploy
from swarm.chain.geth.supervisor import State
from swarm.chain.wake import Waker
from swarm.core.errors import OperatorFault

pytestmark = [
    pytest.mark.geth,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see what a process opened"),
]
WAIT_SECONDS_MAX = 30.0


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that the process listens on, IPv4 and IPv6."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def runs(pid: int | None) -> bool:
    """Whether the process is there and no zombie."""
    assert pid is not None
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_geth_opens_nothing_beyond_loopback(tmp_path: Path) -> None:
    """Every TCP socket of a lone geth listens on loopback, and its unix socket is for this user only."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        assert stat.S_IMODE(chain.config.ipc.stat().st_mode) == 0o600
        pid = chain.supervisor.status().pid
        assert pid is not None
        # On this host no port answers but one on loopback; /proc shows what geth opens, or the test could see nothing.
        assert (found := {address for address, _ in listening(pid)}), "geth listens nowhere, or /proc hides it"
        assert found <= {"0100007F", "0" * 24 + "01000000"}
        assert await chain.supervisor.admin.signers() == [chain.config.sealer]
        assert await chain.supervisor.admin.peers() == []


async def test_a_killed_geth_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    """kill -9 of geth: the supervisor brings it back, sealing, with every block; a waiting client goes on."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        client = chain.client()
        swarm = await deploy(client)
        head = await client.block_number()
        pid = chain.supervisor.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(patience.seconds(WAIT_SECONDS_MAX)):
            await swarm.membership.set_admitter(address_of(new_account()), True)
        assert await client.block_number() == head + 1
        status = chain.supervisor.status()
        assert (status.state, status.restarts, status.last_exit) == (State.UP, 1, "signal SIGKILL")
        assert status.pid != pid


async def test_a_stop_is_clean_and_leaves_no_process(tmp_path: Path) -> None:
    """Cancelling the supervisor ends geth by SIGTERM; no process, no pid file, state on disk."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        pid = chain.supervisor.status().pid
        await chain.stop()
        assert not runs(pid)
        status = chain.supervisor.status()
        assert (status.state, status.pid, status.last_exit) == (State.STOPPED, None, "exit code 0")
        assert not (chain.config.folder / "geth.pid").exists()
        await chain.start()


async def test_the_geth_of_a_killed_supervisor_is_taken_over(tmp_path: Path) -> None:
    """A geth left behind by kill -9 of its parent is stopped in order before the next one starts."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        swarm = await deploy(chain.client())
        old, left = chain.supervisor, chain.supervisor.status().pid
        pid_file = chain.config.folder / "geth.pid"
        kept = pid_file.read_text()
        orphaned = chain._running
        await chain.start()  # a second supervisor on the same folder, as after kill -9 of the first
        assert kept == str(left)
        assert not runs(left)
        assert chain.supervisor.status().pid != left
        assert (await attach(chain.client(), swarm.directory.address)).addresses == swarm.addresses
        orphaned.cancel()
        await asyncio.gather(orphaned, return_exceptions=True)
        assert old.status().state is State.STOPPED


async def test_another_genesis_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """A folder keeps its chain: other settings are an operator's fault, named before geth runs."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        await chain.stop()
        kept = chain.genesis
        chain.genesis = {**kept, "gasLimit": "0x1000000"}
        with pytest.raises(OperatorFault, match="another chain"):
            await chain.start()
        chain.genesis = kept
        await chain.start()


async def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    """No geth at the configured path: one sentence with the setting to mend."""
    async with running("geth", tmp_path) as chain:
        assert isinstance(chain, Geth)
        await chain.stop()
        good = chain.config
        chain.config = replace(good, binary=tmp_path / "no-geth")
        with pytest.raises(OperatorFault, match="SN_GETH_BIN"):
            await chain.start()
        chain.config = good
        await chain.start()


async def test_heads_are_told_again_after_a_restart(tmp_path: Path) -> None:
    """The wake-up over the unix socket re-subscribes by itself when geth comes back."""
    async with running("geth", tmp_path) as chain:
        client, waker = chain.client(), Waker()
        watching = asyncio.create_task(chain.wake(waker))
        swarm = await deploy(client)
        await chain.restart()
        async with asyncio.timeout(patience.seconds(WAIT_SECONDS_MAX)):
            woken = False
            while not woken:
                ticket = waker.ticket()
                await swarm.membership.set_admitter(address_of(new_account()), True)
                woken = await ticket.wait(0.2)
        watching.cancel()
        assert int(await chain.send("eth_chainId", []), 16) == CHAIN_ID
