"""Peers that send without end, or never read what they asked for: memory, time and log stay bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from support import patience
from support.certs import DAY, Authority, name
from support.floods import POST, UPGRADE, endless, masked, pour
from swarm.core.errors import PeerFault
from swarm.net import lines, refusals
from swarm.net.client import JsonClient
from swarm.net.identity import PeerIdentity, anyone
from swarm.net.server import Limits, Running, serve
from swarm.net.tls import TlsFiles, client_context, server_context

pytestmark = pytest.mark.timeout(120)

MIB = 1024 * 1024
GROWTH_MAX = 64 * MIB
"""Of this whole process, clients included."""
PIECE = 256 * 1024


def held() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/small")
    async def small() -> dict[str, str]:
        return {"text": "x" * 2000}

    @app.post("/v1/take")
    async def take() -> dict[str, int]:
        return {}

    @app.websocket("/v1/events")
    async def events(line: WebSocket) -> None:
        await line.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await line.receive_text()
                await asyncio.sleep(0.05)

    @app.websocket("/v1/news")
    async def news(line: WebSocket) -> None:
        await line.accept()
        for _ in range(10_000):
            await line.send_text("n" * 60_000)

    return app


class Door:
    """A listener with mutual TLS, and raw lines to it."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.context = client_context(files)
        self.port = 0

    def line(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return self.context.wrap_socket(plain, server_hostname="x")

    async def answers(self) -> bool:
        async with JsonClient(f"https://127.0.0.1:{self.port}", self.context, anyone) as client:
            return bool(await client.get("/v1/small"))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(Authority().node(tmp_path, "SL-1"))


@contextlib.asynccontextmanager
async def open_door(door: Door, **limits: Any) -> Any:
    async with serve(application(), "127.0.0.1", 0, server_context(door.files), Limits(**limits)) as running:
        assert isinstance(running, Running)
        door.port = running.port
        yield running


FLOODS = {
    "trailers": endless(POST + b"0\r\n", b"a: b\r\n" * (PIECE // 6), 160),
    "one trailer": endless(POST + b"0\r\na: ", b"b" * PIECE, 160),
    "a chunk's extension": endless(POST + b"1;", b"e" * PIECE, 160),
    "chunks of one byte": endless(POST, b"1\r\nx\r\n" * (PIECE // 6), 160),
    "a header": endless(b"GET /v1/small HTTP/1.1\r\na: ", b"b" * PIECE, 160),
    "headers": endless(b"GET /v1/small HTTP/1.1\r\n", b"a: b\r\n" * (PIECE // 6), 160),
    "an address": endless(b"GET /", b"b" * PIECE, 160),
    "empty lines": endless(b"", b"\r\n" * (PIECE // 2), 160),
    "trailers of a route that is not there": endless(
        POST.replace(b"take", b"nowhere") + b"0\r\n", b"a: b\r\n" * (PIECE // 6), 160
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_request_without_end_takes_no_memory(door: Door, kind: str) -> None:
    """40 MiB of what is not body: refused, whatever the part of the request that never ends."""
    async with open_door(door):
        with await asyncio.to_thread(door.line) as line:
            before = held()
            sent = await asyncio.to_thread(pour, line, FLOODS[kind](), 5.0)
            assert held() - before < GROWTH_MAX
            assert sent < lines.LINGER_BYTES_MAX + 16 * MIB  # and what two kernels hold
        assert await door.answers()


async def test_pipelined_requests_that_nobody_reads_end_the_line(door: Door) -> None:
    """20 lines of 3 MB of requests: no memory, others are answered meanwhile, and the end comes at once."""
    request = b"GET /v1/small HTTP/1.1\r\nhost: x\r\n\r\n"
    block = request * (3 * MIB // len(request))
    before = held()
    async with open_door(door):
        open_lines = [await asyncio.to_thread(door.line) for _ in range(20)]
        await asyncio.gather(*(asyncio.to_thread(pour, line, iter([block]), 3.0) for line in open_lines))
        assert held() - before < GROWTH_MAX + 20 * 3 * MIB
        assert await asyncio.wait_for(door.answers(), 5)
        began = time.monotonic()
    assert time.monotonic() - began < 6 * patience.crowd(), "leaving took long"
    for line in open_lines:
        line.close()


async def test_the_first_of_overlapping_requests_is_answered(door: Door) -> None:
    """Whoever sends a second request too early still reads the answer to the first, and then the end."""
    async with open_door(door):
        with await asyncio.to_thread(door.line) as line:
            await asyncio.to_thread(line.sendall, b"GET /v1/small HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
            answer = b""
            while piece := await asyncio.to_thread(line.recv, 65536):
                answer += piece
    assert answer.count(b"HTTP/1.1 200") == 1


WEBSOCKET_FLOODS = {
    "pings": (b"", masked(9, b"p" * 125) * 2000),
    "empty pings": (b"", masked(9, b"") * 40_000),
    "messages": (b"", masked(1, b"m") * 30_000),
    "empty fragments": (masked(1, b"m", last=False), masked(0, b"", last=False) * 40_000),
    "not UTF-8": (b"", masked(1, b"\xff")),
}
"""What is sent first, and what then again and again."""


@pytest.mark.parametrize("kind", WEBSOCKET_FLOODS)
async def test_a_websocket_that_only_sends_is_let_go(
    door: Door, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pongs that nobody reads, messages and fragments that nobody can take: bounded memory, and the line ends."""
    monkeypatch.setattr(lines, "UNREAD_SECONDS", 2)
    async with open_door(door):
        with await asyncio.to_thread(door.line) as line:
            await asyncio.to_thread(line.sendall, UPGRADE)
            assert b"101" in await asyncio.to_thread(line.recv, 4096)
            before = held()
            first, piece = WEBSOCKET_FLOODS[kind]
            pieces = iter([first, *[piece] * (64 * MIB // max(len(piece), PIECE))])
            sent = await asyncio.to_thread(pour, line, pieces, 12.0)
            assert held() - before < GROWTH_MAX
            # A few thousand fragments are in its first bytes: what is taken beyond them lies in two kernels.
            assert sent < (12 if kind == "empty fragments" else 32) * MIB
        assert await door.answers()
    assert "Traceback" not in caplog.text


async def test_an_event_stream_that_is_not_read_ends(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's side of an unread stream is closed after the stated time."""
    monkeypatch.setattr(lines, "UNREAD_SECONDS", 2)
    async with open_door(door):
        with await asyncio.to_thread(door.line) as line:
            await asyncio.to_thread(line.sendall, UPGRADE.replace(b"events", b"news"))
            await asyncio.sleep(6)
            line.settimeout(5)

            def rest() -> bool:
                with contextlib.suppress(OSError):
                    while line.recv(MIB):
                        pass
                    return True
                return not isinstance(line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), str)

            began = time.monotonic()
            assert await asyncio.to_thread(rest)
            assert time.monotonic() - began < 3 * patience.crowd()


async def test_invalid_requests_fill_no_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of lines of nonsense cause a few lines a second."""
    caplog.set_level(logging.INFO)
    nonsense = (b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
    async with open_door(door):
        began = time.monotonic()
        for number in range(60):
            with await asyncio.to_thread(door.line) as line:
                await asyncio.to_thread(line.sendall, nonsense[number % 2])
                await asyncio.to_thread(line.recv, 100)
        seconds = time.monotonic() - began
    said = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert 1 <= len(said) <= refusals.REFUSALS_LOGGED_PER_SECOND * (seconds + 2)


def odd_certificate(ca: Authority, files: TlsFiles) -> None:
    """Replace a node's certificate by one that OpenSSL takes and ``cryptography`` does not: a SAN with ediPartyName."""
    key = ec.generate_private_key(ec.SECP256R1())
    old = x509.load_pem_x509_certificate(files.cert.read_bytes())
    party = bytes.fromhex("3009a507a10513037377 6d".replace(" ", ""))
    made = (
        x509.CertificateBuilder()
        .subject_name(name("odd"))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_before_utc + 2 * DAY)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), party), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    files.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def test_a_certificate_that_only_openssl_can_read_is_refused_in_a_sentence(
    door: Door, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the server a bounded line and no traceback; at the client a named fault."""
    ca = Authority()
    good, odd = ca.node(tmp_path / "good", "SN-1"), ca.node(tmp_path / "odd", "odd")
    odd_certificate(ca, odd)
    der = ssl.PEM_cert_to_DER_cert(odd.cert.read_text())
    with pytest.raises(PeerFault, match="certificate cannot be read"):
        PeerIdentity.from_der(der)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.load_cert_chain(odd.cert, odd.key)
    stranger.load_verify_locations(odd.cacert)
    door.files, door.context = good, stranger
    async with open_door(door):
        for _ in range(30):
            with await asyncio.to_thread(door.line) as line, contextlib.suppress(OSError):
                await asyncio.to_thread(line.sendall, b"GET /v1/small HTTP/1.1\r\n\r\n")
                assert await asyncio.to_thread(line.recv, 100) == b""
    assert "certificate cannot be read" in caplog.text
    assert "Traceback" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)
