"""One member that asks for too much takes it from itself: disk, the operator's list, the SN's line to its chain."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.chain.rpc import ANSWER_BYTES_MAX, IpcRpc, LogsApart, RpcError
from swarm.core.engine import events as ev
from swarm.core.ids import Address, BlobId
from swarm.sl import transfers
from swarm.sl.transfers import DISK_RESERVE_BYTES, Counters
from swarm.sn.approvals import WAITING_PER_KEY_MAX, Approvals
from swarm.sn.gateway import CALL_DATA_BYTES_MAX, Call, check, cost
from swarm.store.blobs import BlobStore

NODE = Address(bytes(20))
GIB = 1024**3


class Members:
    def uri(self, node: Address) -> str:
        return "https://127.0.0.1:1"

    def expect(self, node: Address) -> None: ...


async def test_pulls_under_way_count_against_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three pulls at once that fit one by one the third is refused; it fits once another has ended."""
    begun: list[BlobId] = []

    async def fetch(*arguments: Any, **_: Any) -> None:
        begun.append(arguments[4])
        await asyncio.Event().wait()

    monkeypatch.setattr(transfers.transfer, "fetch", fetch)
    free = DISK_RESERVE_BYTES + 2 * GIB
    monkeypatch.setattr(transfers.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    told: list[ev.Event] = []
    pulls = transfers.Transfers(BlobStore(tmp_path), Members(), None, told.append, Counters())  # type: ignore[arg-type]
    one, two, three = (BlobId(bytes([number]) * 32) for number in (1, 2, 3))
    for blob in (one, two, three):
        pulls.start(blob, GIB, (NODE,))
    await asyncio.sleep(0.05)
    assert begun == [one, two]
    assert [type(event) for event in told] == [ev.BlobFailed]
    assert "on their way" in str(told[0])
    pulls.stop(two)
    await asyncio.sleep(0.01)
    pulls.start(three, GIB, (NODE,))
    await asyncio.sleep(0.05)
    assert begun == [one, two, three]
    await pulls.aclose()


def test_one_certificate_does_not_fill_the_operators_list(tmp_path: Path) -> None:
    """Of 50 chain keys behind one certificate the newest few wait; another certificate's row stays."""
    approvals = Approvals(tmp_path)
    other = Address(b"\xff" * 20)
    assert approvals.wait(other, {"key": "0x02"})
    nodes = [Address(bytes([number]) * 20) for number in range(50)]
    for node in nodes:
        assert approvals.wait(node, {"key": "0x01"})
    waiting = approvals.waiting()
    assert len(waiting) == WAITING_PER_KEY_MAX + 1
    assert "0x" + other.hex() in waiting
    assert "0x" + nodes[-1].hex() in waiting


def test_a_call_costs_by_what_is_sent_with_it() -> None:
    """Twenty calls of 256 KiB are more than a second's tokens; both names of the data count."""
    for field in ("data", "input"):
        large = {"to": "0x" + "11" * 20, field: "0x" + "00" * CALL_DATA_BYTES_MAX}
        call = check({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [large]})
        assert isinstance(call, Call)
        assert cost(call) * 20 > 400
    assert cost(Call(1, "eth_call", [{"to": "0x", "data": "0x00"}, "latest"])) == 2


async def test_a_wide_question_for_logs_fails_for_who_asked_it_alone(tmp_path: Path) -> None:
    """A node that answers eth_getLogs with more than a line takes: others' calls on the shared line go on."""
    path = str(tmp_path / "ipc")
    lines_open = 0

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines_open
        lines_open += 1
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["method"] == "eth_getLogs":
                writer.write(b" " * (ANSWER_BYTES_MAX + 1))
            else:
                await asyncio.sleep(0.5)
                writer.write(json.dumps({"id": asked["id"], "result": "0x7"}).encode() + b"\n")
        writer.close()

    server = await asyncio.start_unix_server(node, path, limit=1024 * 1024)
    async with server, IpcRpc(path) as shared:
        rpc = LogsApart(shared, path)
        others = [asyncio.create_task(rpc("eth_blockNumber", [])) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(RpcError, match="ask for less") as refused:
            await rpc("eth_getLogs", [{"fromBlock": "0x0"}])
        assert refused.value.code == -32005
        assert await asyncio.gather(*others) == ["0x7"] * 3
        assert lines_open == 2
