"""Strangers at the door, over real TLS: each is refused quickly, and both ends say which field is at fault."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI, Request, WebSocket
from support import patience
from support.certs import CLIENT_ONLY, DAY, SERVER_ONLY, Authority
from swarm.core.errors import PeerFault
from swarm.net.answers import ApiError, json_errors, peer_of
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, TlsRefused, Unreachable
from swarm.net.identity import anyone, holder_of, role_of
from swarm.net.server import Limits, Running, serve
from swarm.net.tls import TlsFiles, client_context, server_context

SN = "spiffe://swarm.test/site-a/sn/sn-1"
SL = "spiffe://swarm.test/site-a/sl/sl-1"
SOON = 10.0
SHORT = Limits(handshake_seconds=1.0, header_seconds=1.0, body_seconds=1.0, connections_max=4)


def application(seen: list[str]) -> FastAPI:
    """Two resources for SLs, and a list of what reached them."""
    app = FastAPI()

    @app.post("/v1/statements")
    async def statements(request: Request) -> dict[str, Any]:
        peer = peer_of(request.scope)
        seen.append(peer.common_name)
        try:
            role_of("sl")(peer)
        except PeerFault as error:
            raise ApiError(403, "wrong_role", str(error)) from error
        return {"you": peer.common_name, "spki": peer.spki.hex(), "body": await request.json()}

    @app.websocket("/v1/heads")
    async def heads(socket: WebSocket) -> None:
        peer = peer_of(socket.scope)
        await socket.accept()
        for number in range(3):
            await socket.send_json({"head": number, "you": peer.common_name})
        await socket.close()

    return json_errors(app)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Run a coroutine on each of the two event loops that nodes may have."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def runner(coroutine: Any) -> Any:
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(coroutine)

    return runner


@pytest.fixture
def ca() -> Authority:
    return Authority()


def listening(files: TlsFiles, seen: list[str], limits: Limits | None = None) -> Any:
    return serve(application(seen), "127.0.0.1", 0, server_context(files), limits)


def at(server: Running) -> str:
    return f"https://127.0.0.1:{server.port}"


@pytest.mark.row("D17")
@pytest.mark.row("U10a")
def test_members_with_plain_names_and_ca_folders_meet(run: Callable[[Any], Any], ca: Authority, tmp_path: Path) -> None:
    """Certificates with a plain CN and no SAN, and a capath folder of plain file names, are enough to talk."""
    capath = tmp_path / "cas"
    capath.mkdir()
    other = Authority("another site's CA")
    ca.write(capath / "ca-1-cert.pem")
    other.write(capath / "ca-2-cert.crt")
    (capath / "README.txt").write_text("not a certificate")
    sn = ca.node(tmp_path / "a", "SN-1")
    sl = other.node(tmp_path / "b", "SL-1")
    (capath / "stray.pem").write_bytes(sl.key.read_bytes())
    seen: list[str] = []

    async def meet() -> None:
        sn_files = TlsFiles(sn.cert, sn.key, capath=capath)
        context = client_context(TlsFiles(sl.cert, sl.key, capath=capath))
        async with listening(sn_files, seen) as server, JsonClient(at(server), context, anyone) as client:
            answer = await client.post("/v1/statements", {"a": 1})
            assert answer["you"] == "SL-1"
            assert answer["body"] == {"a": 1}
            assert (await client.probe()).common_name == "SN-1"
            heads = [message async for message in client.websocket("/v1/heads")]
            assert heads == [{"head": n, "you": "SL-1"} for n in range(3)]

    run(meet())


def client_files(ca: Authority, folder: Path, kind: str) -> tuple[TlsFiles, str, str]:
    """A stranger, the word the server's log must have, and the word the client's error must have."""
    ours: dict[str, Any] = {
        "expired": ({"begins": -3 * DAY, "ends": -DAY}, "not_after", "not_after"),
        "future": ({"begins": DAY, "ends": 2 * DAY}, "not_before", "not_before"),
        "server only": ({"usages": SERVER_ONLY}, "extended key usage", "extended key usage"),
    }
    if kind == "foreign CA":
        return Authority("foreign").node(folder, "stranger", trusts=ca), "issuer", "issuer"
    keywords, server_word, client_word = ours[kind]
    return ca.node(folder, "stranger", **keywords), server_word, client_word


@pytest.mark.row("U10a")
@pytest.mark.parametrize("kind", ["foreign CA", "expired", "future", "server only"])
@pytest.mark.parametrize("how", ["post", "websocket", "probe"])
def test_a_bad_client_certificate_is_refused_on_both_ends_by_field(
    run: Callable[[Any], Any],
    ca: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    how: str,
) -> None:
    """The server logs address and field, the client raises TlsRefused with its own subject and the field."""
    files, server_word, client_word = client_files(ca, tmp_path / "b", kind)
    sometime = dt.datetime.now(dt.UTC) + {"expired": -2 * DAY, "future": 1.5 * DAY}.get(kind, 0 * DAY)
    context = client_context(files, now=sometime)
    seen: list[str] = []

    async def knock() -> None:
        async with (
            listening(ca.node(tmp_path / "a", "SN-1"), seen) as server,
            JsonClient(at(server), context, anyone) as client,
        ):
            if how == "post":
                await client.post("/v1/statements", {})
            elif how == "probe":
                await client.probe()
            else:
                async for _ in client.websocket("/v1/heads"):
                    seen.append("a head")

    begun = time.monotonic()
    with caplog.at_level(logging.WARNING), pytest.raises(TlsRefused, match=client_word) as caught:
        run(knock())
    assert time.monotonic() - begun < SOON * patience.crowd()
    assert "CN=stranger" in str(caught.value)
    assert "https://127.0.0.1:" in str(caught.value)
    refusals = [r.getMessage() for r in caplog.records if "refused 127.0.0.1" in r.getMessage()]
    assert refusals
    assert server_word in refusals[0]
    assert seen == []


@pytest.mark.row("U10a")
def test_no_client_certificate_is_refused_on_both_ends(
    run: Callable[[Any], Any], ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client without certificate gets no answer but the alert that says so."""
    files = ca.node(tmp_path / "a", "SN-1")
    bare = ssl.create_default_context(cafile=str(files.cacert))
    bare.check_hostname = False
    seen: list[str] = []

    async def knock() -> None:
        async with listening(files, seen) as server, JsonClient(at(server), bare, anyone) as client:
            await client.post("/v1/statements", {})

    with caplog.at_level(logging.WARNING), pytest.raises(TlsRefused, match="field certificate: none was sent"):
        run(knock())
    assert "the other side sent no certificate" in caplog.text
    assert seen == []


@pytest.mark.parametrize(
    ("kind", "word"), [("foreign CA", "issuer"), ("expired", "not_after"), ("client only", "extended key usage")]
)
def test_a_bad_server_certificate_is_refused_on_both_ends_by_field(
    run: Callable[[Any], Any],
    ca: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    word: str,
) -> None:
    """The client names the field; nothing of its request leaves; the server logs the client's alert."""
    now = dt.datetime.now(dt.UTC)
    if kind == "foreign CA":
        files = Authority("foreign").node(tmp_path / "a", "SN-1", trusts=ca)
    elif kind == "expired":
        files, now = ca.node(tmp_path / "a", "SN-1", begins=-3 * DAY, ends=-DAY), now - 2 * DAY
    else:
        files = ca.node(tmp_path / "a", "SN-1", usages=CLIENT_ONLY)
    seen: list[str] = []

    async def knock() -> None:
        server_side = serve(application(seen), "127.0.0.1", 0, server_context(files, now=now))
        context = client_context(ca.node(tmp_path / "b", "SL-1"))
        async with server_side as server, JsonClient(at(server), context, anyone) as client:
            await client.post("/v1/statements", {})

    with caplog.at_level(logging.WARNING), pytest.raises(TlsRefused, match=f"refused its certificate, field {word}"):
        run(knock())
    assert "it refused our certificate" in caplog.text
    assert seen == []


@pytest.mark.parametrize("how", ["get", "post", "websocket", "probe"])
def test_a_peer_of_the_wrong_role_or_key_gets_no_byte_of_a_request(
    run: Callable[[Any], Any], ca: Authority, tmp_path: Path, how: str
) -> None:
    """`expect` runs after the handshake and before the request: an SL that poses as the SN receives nothing."""
    impostor = ca.node(tmp_path / "a", "SL-9", uri=SL)
    received: list[bytes] = []

    async def knock(expect: Any) -> None:
        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                received.append(await reader.read(100))
            except OSError:
                received.append(b"")
            writer.close()

        server = await asyncio.start_server(read, "127.0.0.1", 0, ssl=server_context(impostor))
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            context = client_context(ca.node(tmp_path / "b", "SL-1", uri=SL))
            async with JsonClient(url, context, expect) as client:
                if how == "get":
                    await client.get("/secret")
                elif how == "post":
                    await client.post("/secret", {"secret": 1})
                elif how == "probe":
                    await client.probe()
                else:
                    async for _ in client.websocket("/secret"):
                        received.append(b"a message")
        finally:
            server.close()
            await asyncio.sleep(0.05)

    with pytest.raises(PeerFault, match="has role sl in its URI SAN; needed here: sn"):
        run(knock(role_of("sn")))
    with pytest.raises(PeerFault, match="SPKI"):
        run(knock(holder_of(bytes(32))))  # type: ignore[arg-type]
    assert set(received) <= {b""}


def test_a_client_of_the_wrong_role_gets_one_sentence(run: Callable[[Any], Any], ca: Authority, tmp_path: Path) -> None:
    """The server answers 403 in the common shape; the caller's error carries code and sentence."""

    async def knock() -> None:
        context = client_context(ca.node(tmp_path / "b", "SN-7", uri=SN))
        async with (
            listening(ca.node(tmp_path / "a", "SN-1", uri=SN), []) as server,
            JsonClient(at(server), context, role_of("sn")) as client,
        ):
            await client.post("/v1/statements", {})

    with pytest.raises(BadAnswer, match=f"wrong_role: {SN} .* has role sn in its URI SAN") as caught:
        run(knock())
    assert (caught.value.status, caught.value.code) == (403, "wrong_role")


def test_silence_garbage_and_plain_http_are_ended_in_time(
    run: Callable[[Any], Any], ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that never shakes hands, one that speaks HTTP, and one that sends no request are all let go."""
    sn, sl = ca.node(tmp_path / "a", "SN-1"), ca.node(tmp_path / "b", "SL-1")
    context = client_context(sl)

    def talk(port: int, data: bytes, tls: bool) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            line = context.wrap_socket(plain) if tls else plain
            line.sendall(data)
            got = b""
            try:
                while more := line.recv(4096):
                    got += more
            except ConnectionResetError:
                return got
            finally:
                line.close()
            return got

    async def knock() -> None:
        async with listening(sn, [], SHORT) as server, asyncio.TaskGroup() as group:
            silent = group.create_task(asyncio.to_thread(talk, server.port, b"", False))
            plain = group.create_task(asyncio.to_thread(talk, server.port, b"GET / HTTP/1.1\r\n\r\n", False))
            mute = group.create_task(asyncio.to_thread(talk, server.port, b"", True))
            slow = group.create_task(asyncio.to_thread(talk, server.port, b"GET / HTTP/1.1\r\na", True))
        assert silent.result() == b""
        assert b"HTTP" not in plain.result()
        assert b"408 Refused" in mute.result()
        assert b'"too_slow"' in slow.result()

    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        run(knock())
    assert time.monotonic() - begun < SOON * patience.crowd()
    assert "plain HTTP" in caplog.text
    assert "no TLS handshake within 1.0 s" in caplog.text


def test_bodies_headers_and_connections_are_bounded(run: Callable[[Any], Any], ca: Authority, tmp_path: Path) -> None:
    """413 for a body above the bound (told or chunked), 431 for endless headers, and no fifth connection."""
    sn, sl = ca.node(tmp_path / "a", "SN-1"), ca.node(tmp_path / "b", "SL-1")
    context = client_context(sl)
    limits = Limits(body_bytes_max=1000, header_bytes_max=10_000, connections_max=4)
    seen: list[str] = []

    def raw(port: int, pieces: list[bytes]) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            line = context.wrap_socket(plain)
            got = b""
            try:
                for piece in pieces:  # the answer waits until we have said all: nothing is lost to a reset
                    line.sendall(piece)
                while more := line.recv(4096):
                    got += more
            except OSError:
                return got
            finally:
                line.close()
            return got

    async def knock() -> None:
        async with listening(sn, seen, limits) as server:
            async with JsonClient(at(server), context, anyone) as client:
                with pytest.raises(BadAnswer, match="413 too_large") as caught:
                    await client.post("/v1/statements", "x" * 2000)
                assert caught.value.status == 413
                with pytest.raises(BadAnswer, match="404 not_found"):
                    await client.get("/nothing")
            chunked = b"POST /v1/statements HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            body = b"400\r\n" + b"y" * 0x400 + b"\r\n"
            assert b" 413 " in await asyncio.to_thread(raw, server.port, [chunked, body, body])
            told = b"POST /v1/statements HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n"
            assert b" 413 " in await asyncio.to_thread(raw, server.port, [told, b"y" * 5_000_000])
            endless = [b"GET / HTTP/1.1\r\n"] + [b"a: " + b"b" * 6000 + b"\r\n"] * 100
            assert b" 431 " in await asyncio.to_thread(raw, server.port, endless)
            lines = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
            try:
                await asyncio.sleep(0.05)
                fifth, fifth_writer = await asyncio.open_connection("127.0.0.1", server.port)
                answered = b""
                with contextlib.suppress(ConnectionResetError):  # an end of file is as good as a reset
                    answered = await asyncio.wait_for(fifth.read(1), 5)
                fifth_writer.transport.abort()
                assert answered == b""
            finally:
                for _, writer in lines:
                    writer.transport.abort()

    run(knock())
    assert seen == []


def test_unreachable_peers_are_told_apart(run: Callable[[Any], Any], ca: Authority, tmp_path: Path) -> None:
    """A closed port, a peer that never answers and an answer that is no JSON are different errors."""
    from swarm.net.faults import Cut, Refused, TimedOut

    sn, sl = ca.node(tmp_path / "a", "SN-1"), ca.node(tmp_path / "b", "SL-1")
    context = client_context(sl)
    app = FastAPI()

    @app.get("/never")
    async def never() -> None:
        await asyncio.sleep(60)

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/text":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<html>"})
        elif scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(100):
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        elif scope["path"] == "/crash":
            raise RuntimeError("a bug")
        else:
            await app(scope, receive, send)

    async def knock() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            closed = f"https://127.0.0.1:{taken.getsockname()[1]}"
            async with JsonClient(closed, context, anyone) as client:
                with pytest.raises(Refused, match="no connection: Connection refused"):
                    await client.get("/")
        async with serve(bare, "127.0.0.1", 0, server_context(sn)) as server:
            bounded = JsonClient(at(server), context, anyone, total_seconds=0.5, answer_bytes_max=5000)
            async with bounded as client:
                with pytest.raises(TimedOut, match=r"0\.5 s"):
                    await client.get("/never")
                with pytest.raises(BadAnswer, match="not JSON"):
                    await client.get("/text")
                with pytest.raises(BadAnswer, match="above 5000 bytes"):
                    await client.get("/large")
                with pytest.raises(BadAnswer, match="500 internal"):
                    await client.get("/crash")
        gone = await asyncio.start_server(
            lambda reader, writer: writer.transport.abort(), "127.0.0.1", 0, ssl=server_context(sn)
        )
        async with JsonClient(f"https://127.0.0.1:{gone.sockets[0].getsockname()[1]}", context, anyone) as client:
            with pytest.raises(Cut):
                await client.get("/")
        gone.close()

    run(knock())
    assert issubclass(Cut, Unreachable)
