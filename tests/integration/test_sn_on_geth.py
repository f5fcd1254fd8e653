"""The SN with a real geth: the same joins, restarts and wake-ups, and nothing of geth on TCP but loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from support import patience, tools
from support.certs import Authority
from support.snprocess import MemberClient, SnProcess, running_sn
from swarm.core.ids import to_hex

pytestmark = [pytest.mark.geth, pytest.mark.timeout(180)]


@pytest.fixture
def sn(tmp_path: Path):
    ca = Authority()
    with running_sn(tmp_path, ca, "--chain", "geth", "--geth-bin", str(tools.geth())) as running:
        running.ca = ca
        yield running


def node_of(sn: SnProcess, name: str, **more) -> MemberClient:
    files = sn.ca.node(sn.folder / "certs", name, uri=f"spiffe://test/site-b/sl/{name}")
    return MemberClient(sn, files, **more)


def geth_pid(sn: SnProcess) -> int:
    return int((sn.state / "geth" / "geth.pid").read_text())


def listening(pid: int) -> set[str]:
    """Local addresses of the TCP sockets that a process listens on, as /proc shows them (hex)."""
    inodes = {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].split(":")[0])
    return found


async def test_joins_wake_ups_and_both_kinds_of_death(sn):
    """A member joins and is woken; geth or the SN killed: all comes back; a stop leaves nothing behind."""
    async with node_of(sn, "sl-1") as node:
        before = await node.http.get("/v1/swarm")
        assert before["chain"] == "geth"
        await node.join()
        stream = aiter(node.http.websocket("/v1/events"))
        first = await anext(stream)
        async with node_of(sn, "sl-2") as other:
            joined = await other.join()
            async with asyncio.timeout(patience.seconds(30)):
                while (told := await anext(stream))["head"]["number"] < joined["block"]:
                    assert told["head"]["number"] >= first["head"]["number"]
            assert told["logs"] >= 1
        await stream.aclose()
        assert "SMLETHNode: Starting GETH ..." in sn.log
        assert listening(geth_pid(sn)) <= {"0100007F"}

        os.kill(geth_pid(sn), signal.SIGKILL)
        until = time.monotonic() + 60
        while not await answers(node):
            assert time.monotonic() < until, "geth was not restarted"
            await asyncio.sleep(0.2)
        assert sn.process.poll() is None
        key = node.signer._key
    orphan = geth_pid(sn)
    sn.kill()
    sn.start()
    assert geth_pid(sn) != orphan
    async with node_of(sn, "sl-1", key=key) as again:
        assert await again.http.get("/v1/swarm") == before
        answer = await again.join()
        assert answer["node"] == to_hex(again.signer.address)
        assert "result" in await again.rpc("eth_blockNumber")
    last = Path(f"/proc/{geth_pid(sn)}")
    assert sn.stop() == 0
    assert not await asyncio.to_thread(last.exists), "geth outlived its SN"


async def answers(node: MemberClient) -> bool:
    """Whether the SN's chain answers again."""
    return "result" in await node.rpc("eth_blockNumber")
