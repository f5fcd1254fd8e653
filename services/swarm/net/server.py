"""One HTTP and WebSocket listener of a node: uvicorn inside the caller's event loop, behind mutual TLS.

Owns the socket, the TLS handshake (bounded, and every refusal logged with the peer's address and the field at
fault), the connection bound and the peer's identity in each request's scope. Leaves paths to the application.

uvicorn's own TLS listener is not used: asyncio drops failed handshakes without a word or an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from swarm.core.errors import LocalFault, OperatorFault, PeerFault
from swarm.core.limits import HTTP_BODY_BYTES_MAX

from .answers import LINGER_BYTES_MAX, LINGER_SECONDS, PEER_EXTENSION, AsgiApp, Guard, error_body
from .faults import tls_sentence
from .identity import PeerIdentity
from .tls import alert_socket

log = logging.getLogger(__name__)

REFUSALS_LOGGED_PER_SECOND = 5
STOP_SECONDS = 3
CLOSE_SECONDS = 0.5
"""How long a closing connection waits for the peer's goodbye: an idle client does not read, so it never comes."""
BACKLOG = 256
ACCEPT_PAUSE_SECONDS = 0.5
"""After an error such as "too many open files"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener, each with its unit."""

    body_bytes_max: int = HTTP_BODY_BYTES_MAX
    body_seconds: float = 30.0
    header_bytes_max: int = 64 * 1024
    header_seconds: float = 10.0
    handshake_seconds: float = 8.0
    keep_alive_seconds: int = 75
    connections_max: int = 512
    peer_connections_max: int = 64
    """Of one certificate key, WebSockets included: one peer must not lock the others out."""
    address_handshakes_max: int = 256
    """TLS handshakes under way from one address."""
    message_bytes_max: int = 1024 * 1024
    """Largest WebSocket message from a peer."""
    ping_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A listener that listens."""

    host: str
    port: int


@contextlib.asynccontextmanager
async def serve(
    app: Any,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    limits: Limits | None = None,
) -> AsyncIterator[Running]:
    """Serve an ASGI application until the block ends; inside it the port is open and bound.

    Leaving closes the port, lets running requests finish for a moment (3 s), then cuts them.

    Args:
        port: 0 takes any free one; ``Running.port`` says which.
        ssl_context: None is for loopback operations ports only: plain HTTP, no peer identity.

    Raises:
        OperatorFault: the host does not resolve, or the port is taken or not allowed.
        LocalFault: the application's start-up failed.
    """
    limits = limits or Limits()
    listening = _bind(host, port)
    guarded: AsgiApp = Guard(app, body_bytes_max=limits.body_bytes_max, body_seconds=limits.body_seconds)
    config = uvicorn.Config(
        cast(Any, guarded),
        http=NodeHttp,
        ws=NodeWebSocket,
        ws_max_size=limits.message_bytes_max,
        ws_ping_interval=limits.ping_seconds,
        ws_ping_timeout=limits.ping_seconds,
        ws_per_message_deflate=False,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=STOP_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config, listening, ssl_context, limits)
    running = asyncio.create_task(server.serve(), name=f"listener {host}:{port}")
    opened = asyncio.create_task(server.opened.wait())
    try:
        await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
        if not server.opened.is_set():
            await running
            raise LocalFault(f"the application for {host}:{port} ended before it served")
        address = listening.getsockname()
        yield Running(str(address[0]), int(address[1]))
    finally:
        opened.cancel()
        server.should_exit = True
        await asyncio.wait({running})
        listening.close()
    running.result()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise OperatorFault(f"cannot listen on host {host}: {error.strerror or error}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise OperatorFault(
            f"port {port} on {host} cannot be used: {error.strerror}; choose another or stop who has it"
        ) from error
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """uvicorn's life cycle with our listener, and without its signal handlers (the node has its own)."""

    def __init__(
        self, config: uvicorn.Config, listening: socket.socket, tls: ssl.SSLContext | None, limits: Limits
    ) -> None:
        super().__init__(config)
        self.opened = asyncio.Event()
        self._limits = limits
        self._tls = tls
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._listening = listening
        self._logged_second = 0
        self._logged_count = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise LocalFault("the application's start-up failed; the log above says how")
        self.servers = []
        self._listening.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept(), name="accept")
        self.started = True
        self.opened.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in (self._accepting, *self._handshakes):
            task.cancel()
        self._listening.close()
        await super().shutdown(sockets)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, address = await loop.sock_accept(self._listening)
            except OSError as error:
                log.error("cannot accept connections: %s; trying again in %s s", error, ACCEPT_PAUSE_SECONDS)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            if len(self.server_state.connections) + len(self._handshakes) >= self._limits.connections_max:
                line.close()
                self._log_refusal(address, f"{self._limits.connections_max} connections are open")
                continue
            if list(self._handshakes.values()).count(address[0]) >= self._limits.address_handshakes_max:
                line.close()
                self._log_refusal(address, f"{self._limits.address_handshakes_max} handshakes from there are under way")
                continue
            task = loop.create_task(self._open(line, address))
            self._handshakes[task] = address[0]
            task.add_done_callback(self._handshakes.pop)

    async def _open(self, line: socket.socket, address: tuple[Any, ...]) -> None:
        """Handshake, then hand the connection to its protocol."""
        seconds = self._limits.handshake_seconds if self._tls is not None else None
        goodbye = CLOSE_SECONDS if self._tls is not None else None
        alert_socket.set(line)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                line,
                ssl=self._tls,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=goodbye,
            )
        except ssl.SSLError as error:
            self._log_refusal(address, tls_sentence(error))
        except (OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            self._log_refusal(address, f"no TLS handshake within {seconds} s ({why})")

    def _protocol(self) -> NodeHttp:
        return NodeHttp(
            self.config, self.server_state, self.lifespan.state, limits=self._limits, refused=self._log_refusal
        )

    def _log_refusal(self, address: tuple[Any, ...], why: str) -> None:
        """A warning, at most a few a second: a port scan must not fill the disk."""
        second = int(time.monotonic())
        if second != self._logged_second:
            self._logged_second, self._logged_count = second, 0
        self._logged_count += 1
        if self._logged_count <= REFUSALS_LOGGED_PER_SECOND:
            log.warning("refused %s:%s: %s", address[0], address[1], why)


def _identity(transport: asyncio.Transport) -> PeerIdentity | None:
    tls = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return PeerIdentity.from_der(der) if der else None


class NodeHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the peer's identity, headers bounded in bytes and time, JSON errors."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits | None = None,
        refused: Callable[[tuple[Any, ...], str], None] | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._refused = refused
        self.limits = limits or Limits()
        self.peer: PeerIdentity | None = None
        self._header_bytes: int | None = 0  # None: not within headers
        self._header_timer: asyncio.TimerHandle | None = None
        self._linger_bytes: int | None = None  # None: not refused
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        try:
            self.peer = _identity(transport)
        except PeerFault as error:
            log.warning("refused %s: %s", transport.get_extra_info("peername"), error)
            transport.abort()
        super().connection_made(transport)
        if self._crowded():
            text = f"{self.limits.peer_connections_max} connections of {self.peer} are open"
            if self._refused is not None:
                self._refused(transport.get_extra_info("peername"), text)
            self._reject(503, "busy", text)
            return
        self._await_headers()

    def _crowded(self) -> bool:
        if self.peer is None:
            return False
        others = (getattr(c, "peer", None) for c in self.server_state.connections if c is not self)
        same = sum(1 for other in others if other is not None and other.spki == self.peer.spki)
        return same >= self.limits.peer_connections_max

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_done()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._linger_bytes is not None:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self.transport.close()
            return
        if self._header_bytes is not None:
            # Counted a read (256 KiB at most) at a time: what came before this one held no complete headers.
            if self._header_bytes > self.limits.header_bytes_max:
                text = f"headers have at most {self.limits.header_bytes_max} bytes"
                self._reject(431, "headers_too_large", text)
                return
            self._header_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {PEER_EXTENSION: self.peer}
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_done()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._reject(400, "bad_request", msg)

    def _await_headers(self) -> None:
        self._header_bytes = 0
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _headers_done(self) -> None:
        self._header_bytes = None
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        self._reject(408, "too_slow", f"no request within {self.limits.header_seconds} s")

    def _reject(self, status: int, code: str, message: str) -> None:
        """Answers and lets the peer hang up; what it still sends for a moment is thrown away."""
        if self._linger_bytes is not None or self.transport.is_closing():
            return
        self._headers_done()
        body = _json(code, message)
        head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self._linger_bytes = LINGER_BYTES_MAX
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _json(code: str, message: str) -> bytes:
    return json.dumps(error_body(code, message)).encode()


class NodeWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with the peer's identity in the scope."""

    peer: PeerIdentity | None = None

    def connection_made(self, transport: Any) -> None:
        self.peer = _identity(transport)
        super().connection_made(transport)

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[PEER_EXTENSION] = self.peer
        await super().run_asgi()
