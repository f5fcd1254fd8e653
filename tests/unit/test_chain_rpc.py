"""The unix-socket transport, the waker and the sealer's watchdog against hand-made counterparts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from swarm.chain import rpc as rpc_module
from swarm.chain.geth.admin import GethAdmin
from swarm.chain.geth.watchdog import FROZEN_SECONDS, Watchdog
from swarm.chain.rpc import IpcRpc, RpcError, RpcUnreachable, embedded_rpc
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def node(path: Path, serve: Serve) -> AsyncIterator[None]:
    async with await asyncio.start_unix_server(serve, path):
        yield


def answering(answer: Callable[[dict[str, Any]], Any]) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        writer.close()

    return serve


async def test_answers_find_their_requests_in_any_order(tmp_path: Path) -> None:
    """Many requests share one connection; an answer goes to the request with its id."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = [json.loads(await reader.readline()) for _ in range(3)]
        for request in reversed(asked):
            writer.write(json.dumps({"id": request["id"], "result": request["params"][0]}).encode() + b"\n")
        await reader.read()
        writer.close()

    async with node(tmp_path / "s", serve), IpcRpc(tmp_path / "s") as rpc:
        assert await asyncio.gather(*(rpc("echo", [n]) for n in range(3))) == [0, 1, 2]


async def test_a_nodes_error_keeps_code_and_data(tmp_path: Path) -> None:
    """What the node said is what the caller gets; revert bytes survive the transport."""
    said = {"code": 3, "message": "execution reverted", "data": "0x01"}
    async with (
        node(tmp_path / "s", answering(lambda r: {"id": r["id"], "error": said})),
        IpcRpc(tmp_path / "s") as rpc,
    ):
        with pytest.raises(RpcError) as refused:
            await rpc("eth_call", [])
        assert (refused.value.code, refused.value.message, refused.value.data) == tuple(said.values())


async def test_a_closed_connection_is_opened_again(tmp_path: Path) -> None:
    """A node that goes away fails the call in flight; the next call connects anew."""
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        seen.append(1)
        if len(seen) > 1:
            writer.write(json.dumps({"id": request["id"], "result": "back"}).encode() + b"\n")
            await reader.read()
        writer.close()

    async with node(tmp_path / "s", serve), IpcRpc(tmp_path / "s") as rpc:
        with pytest.raises(RpcUnreachable):
            await rpc("x", [])
        assert await rpc("x", []) == "back"


async def test_no_node_no_wait(tmp_path: Path) -> None:
    """A socket that is not there is said at once."""
    async with IpcRpc(tmp_path / "s") as rpc:
        with pytest.raises(RpcUnreachable):
            await rpc("x", [])


async def test_a_silent_node_is_left_after_the_bound(tmp_path: Path) -> None:
    """A node that never answers costs the bound, not for ever, and leaves nothing waiting."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with node(tmp_path / "s", serve), IpcRpc(tmp_path / "s", seconds_max=0.1) as rpc:
        with pytest.raises(RpcUnreachable, match=r"0\.1 s"):
            await rpc("x", [])
        assert rpc._waiting == {}


async def test_an_answer_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    """A line longer than the bound ends the connection; who asked alone hears to ask for less, others to ask again."""
    async with (
        node(tmp_path / "s", answering(lambda r: {"id": r["id"], "result": "x" * 100_000})),
        IpcRpc(tmp_path / "s", answer_bytes_max=1000) as rpc,
    ):
        with pytest.raises(RpcError, match="more than 1000 bytes; ask for less"):
            await rpc("x", [])
        both = await asyncio.gather(rpc("x", []), rpc("y", []), return_exceptions=True)
        assert [type(one) for one in both] == [RpcUnreachable, RpcUnreachable]
        assert all("unreadable" in str(one) for one in both)


@pytest.mark.parametrize("junk", [[], {"id": 1}, {"jsonrpc": "2.0", "id": 1, "error": "text"}])
def test_what_is_no_answer_is_named(junk: Any) -> None:
    """Anything but a result or an error object is the node's fault, by name."""
    with pytest.raises(ChainFault, match="not JSON-RPC"):
        rpc_module.unwrap(junk, "eth_call")


async def test_the_embedded_chains_errors_become_ours() -> None:
    """Errors with a code cross the thread as RpcError; bugs cross as themselves."""

    class Chain:
        def handle(self, method: str, params: list[Any]) -> Any:
            if method == "bug":
                raise KeyError("bug")
            fault = ChainFault("no")
            fault.code, fault.message, fault.data = 3, "execution reverted", "0x02"  # type: ignore[attr-defined]
            raise fault

    rpc = embedded_rpc(Chain())
    with pytest.raises(RpcError) as refused:
        await rpc("eth_call", [])
    assert (refused.value.code, refused.value.data) == (3, "0x02")
    with pytest.raises(KeyError):
        await rpc("bug", [])
    await rpc.aclose()


async def test_a_wake_up_between_looking_and_waiting_is_not_lost() -> None:
    """A ticket taken before the look is woken by what happens after; a new ticket is not."""
    waker = Waker()
    ticket = waker.ticket()
    waker.wake()
    assert await ticket.wait(0)
    assert not await waker.ticket().wait(0)


async def test_a_listener_wakes_from_another_thread() -> None:
    """The embedded chain calls from its own thread; waiters wake in theirs."""
    waker = Waker()
    ticket = waker.ticket()
    await asyncio.to_thread(waker.listener(asyncio.get_running_loop()), {"head": 1}, [])
    assert await ticket.wait(5)


class Sealer:
    """A geth as the watchdog sees it."""

    def __init__(self) -> None:
        self.height, self.pending, self.mining = 5, 1, True
        self.did: list[str] = []

    async def __call__(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(self.height)
            case "txpool_status":
                return {"pending": hex(self.pending), "queued": "0x0"}
            case "eth_mining":
                return self.mining
        self.did.append(method)
        return None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["miner_stop", "miner_start"]),
        ({"pending": 0}, []),
        ({"height": 6}, []),
        ({"mining": False}, []),
    ],
)
async def test_a_frozen_sealer_is_started_anew(change: dict[str, Any], expected: list[str]) -> None:
    """Only a sealer whose height stands for 15 s while transactions wait is restarted."""
    now = [0.0]
    sealer = Sealer()
    dog = Watchdog(GethAdmin(sealer), lambda: now[0])
    await dog.look()
    now[0] += FROZEN_SECONDS - 0.1
    await dog.look()
    assert sealer.did == []
    for field, value in change.items():
        setattr(sealer, field, value)
    now[0] += 0.1
    await dog.look()
    assert sealer.did == expected
