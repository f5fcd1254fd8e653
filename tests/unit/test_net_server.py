"""The listener's life: open when it says so, one sentence when the port is taken, closed when the block ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.certs import Authority
from swarm.core.errors import LocalFault, OperatorFault, PeerFault
from swarm.core.ids import BlobId, Digest
from swarm.net import lines, transfer
from swarm.net.answers import PEER_EXTENSION, ApiError, peer_of, send_json
from swarm.net.client import JsonClient
from swarm.net.faults import tls_sentence
from swarm.net.identity import PeerIdentity, anyone
from swarm.net.probe import remote_time
from swarm.net.refusals import Refusals
from swarm.net.server import serve
from swarm.net.tls import client_context, server_context


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


def test_a_crowd_is_of_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of other peers, and those that are still shaking hands, do not fill a peer's share."""

    def line(key: int | None) -> Any:
        peer = None if key is None else PeerIdentity(Digest(bytes([key] * 32)), None, "x", datetime.max, 1)
        return SimpleNamespace(peer=peer)

    for others, crowded in (([1, 1], True), ([1, 2, 2, 2, None], False), ([], False)):
        state = SimpleNamespace(connections=[line(key) for key in others])
        one: Any = SimpleNamespace(peer=line(1).peer, server_state=state, limits=lines.Limits(peer_connections_max=2))
        assert lines.NodeHttp._crowded(one) is crowded


async def test_a_peer_is_looked_at_again_with_each_answer(tmp_path: Path) -> None:
    """A line is kept between two calls; a peer that is not accepted any more gets no further one believed."""
    authority = Authority()
    ours, theirs = authority.node(tmp_path, "SL-1"), authority.node(tmp_path, "SN-1")
    seen: list[PeerIdentity] = []

    def once(peer: PeerIdentity) -> None:
        seen.append(peer)
        if len(seen) > 2:
            raise PeerFault("revoked meanwhile")

    async with (
        serve(hello, "127.0.0.1", 0, server_context(theirs)) as server,
        JsonClient(f"https://127.0.0.1:{server.port}", client_context(ours), once) as client,
    ):
        assert await client.get("/x") == {"path": "/x"}
        with pytest.raises(PeerFault, match="revoked meanwhile"):
            await client.get("/y")


async def test_a_pull_that_does_not_end_when_it_is_cancelled_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller asked for the end and gets just that, not an error about the thread."""
    begun, over = threading.Event(), threading.Event()

    def stuck(*_: Any, **__: Any) -> Path:
        begun.set()
        over.wait(30)
        raise PeerFault("late")

    monkeypatch.setattr(transfer, "fetch_blob", stuck)
    monkeypatch.setattr(transfer, "CANCEL_SECONDS", 0.01)
    nothing: Any = None
    pull = asyncio.create_task(transfer.fetch("127.0.0.1", 1, nothing, anyone, BlobId(bytes(32)), nothing, size_max=1))
    try:
        assert await asyncio.to_thread(begun.wait, 10)
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull
    finally:
        over.set()


def test_a_caller_that_has_gone_has_no_address(caplog: pytest.LogCaptureFixture) -> None:
    """Its socket may have lost it, and another kind of socket has one of another form."""
    said = Refusals(logging.getLogger("swarm.test"), clock=lambda: 5.0)
    for address in (None, "", "@a-name", ("::1", 7, 0, 0)):
        said.refused(address, "no")
    assert caplog.messages == ["refused None:?: no", "refused :?: no", "refused @a-name:?: no", "refused ::1:7: no"]


@pytest.mark.parametrize(
    ("number", "field"), [(79, "basic constraints: its issuer is not a CA"), (21, "issuer: no trusted CA signed it")]
)
def test_a_refused_certificate_is_named_by_its_field(number: int, field: str) -> None:
    """OpenSSL's numbers stand for them."""
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = number, "words"
    assert f"field {field} (words)" in tls_sentence(error)


async def test_a_node_that_starts_again_gets_its_port_at_once() -> None:
    """Though the connections that it closed linger for a minute."""
    async with serve(hello, "127.0.0.1", 0, None) as server:
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await reader.read()
    writer.close()
    async with serve(hello, "127.0.0.1", port, None) as server:
        assert server.port == port
