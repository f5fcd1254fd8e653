"""The listener's life: open when it says so, one sentence when the port is taken, closed when the block ends."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.certs import Authority
from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.ids import Digest
from swarm.net import lines
from swarm.net.answers import PEER_EXTENSION, ApiError, peer_of, send_json
from swarm.net.client import JsonClient
from swarm.net.identity import PeerIdentity, anyone
from swarm.net.probe import remote_time
from swarm.net.server import serve
from swarm.net.tls import server_context


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send_json(send, 200, {"path": scope["path"]})


async def test_it_listens_inside_the_block_and_not_after() -> None:
    """Port 0 gives a free port that answers at once; after the block nobody listens there."""
    async with (
        serve(hello, "127.0.0.1", 0, None) as server,
        JsonClient(f"http://127.0.0.1:{server.port}", None, anyone) as client,
    ):
        assert await client.get("/x") == {"path": "/x"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)


async def test_a_taken_port_is_the_operators_fault() -> None:
    """The sentence names the port; the same for a host that is not ours."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorFault, match=f"port {port} on 127.0.0.1 cannot be used: Address already in use"):
            async with serve(hello, "127.0.0.1", port, None):
                raise AssertionError
    with pytest.raises(OperatorFault, match=r"cannot listen on host no\.such\.host\.invalid"):
        async with serve(hello, "no.such.host.invalid", 0, None):
            raise AssertionError


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    """The listener neither wraps nor hides what its user raises."""
    with pytest.raises(KeyError):
        async with serve(hello, "127.0.0.1", 0, None):
            raise KeyError("mine")


async def test_a_failed_start_up_of_the_application_is_told() -> None:
    """An application whose lifespan refuses never counts as started."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(LocalFault, match="start-up failed"):
        async with serve(broken, "127.0.0.1", 0, None):
            raise AssertionError


def test_a_client_never_speaks_plain_https() -> None:
    """An https URL without a context, or a context without https, is a bug that stops at once."""
    for url in ("https://127.0.0.1:1", "ftp://127.0.0.1:1"):
        with pytest.raises(LocalFault, match="TLS context"):
            JsonClient(url, None, anyone)


async def test_the_peers_clock_is_read_from_its_date(tmp_path: Path) -> None:
    """remote_time differs from ours by less than the header's resolution and the test's duration."""
    import asyncio
    import datetime as dt

    files = Authority().node(tmp_path, "SN-1")
    async with serve(hello, "127.0.0.1", 0, server_context(files)) as server:
        there = await asyncio.to_thread(remote_time, "127.0.0.1", server.port, files)
    assert abs((dt.datetime.now(dt.UTC) - there).total_seconds()) < 5


def test_a_certificate_that_expires_while_its_line_is_open_is_refused() -> None:
    """A handshake looks once; each request after it looks again."""
    scope: Any = {"extensions": {PEER_EXTENSION: None}}
    for ends, code in (
        (datetime(2020, 1, 1, tzinfo=UTC), "certificate_expired"),
        (datetime(2999, 1, 1, tzinfo=UTC), ""),
    ):
        peer = PeerIdentity(Digest(bytes(32)), None, "x", ends, 1)
        scope["extensions"][PEER_EXTENSION] = peer
        if code:
            with pytest.raises(ApiError, match="connect again with a new certificate") as refused:
                peer_of(scope)
            assert (refused.value.status, refused.value.code) == (401, code)
        else:
            assert peer_of(scope) is peer


def test_a_peer_whose_network_went_away_is_noticed() -> None:
    """What waits for its connection, such as a shell's next command, does not wait for ever."""
    with socket.socket() as line:
        lines.never_read(line)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == lines.QUIET_SECONDS
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == lines.PROBE_SECONDS
