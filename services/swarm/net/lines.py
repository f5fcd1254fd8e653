"""What one connection of a listener may hold: uvicorn's two protocols with bounds, and the peer's identity.

Every request has bounded bytes that are not body (headers, chunk sizes, extensions, trailers) in bounded time; a
connection has one request at a time; what is not read by the peer has a time limit and stops reading here. Leaves
accepting and handshakes to ``server``, bodies to ``answers``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from swarm.core.errors import PeerFault
from swarm.core.limits import HTTP_BODY_BYTES_MAX

from .answers import LINGER_BYTES_MAX, LINGER_SECONDS, PEER_EXTENSION, error_body
from .identity import PeerIdentity

log = logging.getLogger(__name__)

UNREAD_SECONDS = 30
"""A peer that takes nothing of what waits for it for so long is let go (each byte it takes begins the time anew)."""
FRAGMENTS_MAX = 1024
"""Of one WebSocket message. Its bytes are bounded too, but empty fragments have none."""
QUIET_SECONDS, PROBE_SECONDS = 60, 10
"""A connection over which nothing came for so long is asked for a sign of life, and again: else a peer whose network
went away would hold its place, and what waits for it, for ever."""
MESSAGES_WAITING_MAX = 64
"""WebSocket messages of one peer that the application has not taken yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener, each with its unit."""

    body_bytes_max: int = HTTP_BODY_BYTES_MAX
    body_seconds: float = 30.0
    header_bytes_max: int = 64 * 1024
    """Of a request, whatever is not body: headers, and chunk sizes, extensions and trailers."""
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


def never_read(line: socket.socket) -> None:
    """Let the kernel end a connection whose peer is gone, or takes nothing for UNREAD_SECONDS, be it answer or pong.

    The kernel alone knows: event loops count bytes as gone once TLS has wrapped them.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT") and line.family in (socket.AF_INET, socket.AF_INET6):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, QUIET_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)


def _identity(transport: asyncio.Transport) -> PeerIdentity | None:
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return PeerIdentity.from_der(der) if der else None


class _Overlapping(Exception):
    """A request began before the last one was answered."""


class NodeHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the peer's identity, bounds in bytes and time, JSON errors."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        refused: Callable[[Any, str], None],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._refused = refused
        self.limits = limits
        self.peer: PeerIdentity | None = None
        self._extra_bytes = 0
        """Of the request under way, as far as it was read, what is not body."""
        self._header_timer: asyncio.TimerHandle | None = None
        self._linger_bytes: int | None = None  # None: still listened to
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self.peer = _identity(transport)
        except PeerFault as error:
            self._say(str(error))
            self._linger_bytes = 0
            transport.abort()
            return
        if self._crowded():
            text = f"{self.limits.peer_connections_max} connections of {self.peer} are open"
            self._say(text)
            self._reject(503, "busy", text)
            return
        self._await_headers()

    def _say(self, why: str) -> None:
        self._refused(self.transport.get_extra_info("peername"), why)

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
                self.transport.abort()
            return
        # Counted a read (256 KiB at most) at a time: what came before this one was not all of a request.
        if self._extra_bytes > self.limits.header_bytes_max:
            text = f"headers, chunk sizes and trailers of a request have at most {self.limits.header_bytes_max} bytes"
            self._reject(431, "headers_too_large", text)
            return
        self._extra_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._reject(400, "bad_request", "this node changes to no protocol but WebSocket")
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _Overlapping):
                self._hear_no_more()
            else:
                self._reject(400, "bad_request", "this is no HTTP request")

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            raise _Overlapping
        self._extra_bytes = 0
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {PEER_EXTENSION: self.peer}
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_done()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._extra_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._extra_bytes = 0
        super().on_message_complete()

    def _hear_no_more(self) -> None:
        """No client of ours sends a request before it has its answer: the first is answered, the rest is not heard."""
        self._headers_done()
        self.cycle.keep_alive = False
        self._linger_bytes = LINGER_BYTES_MAX

    def _await_headers(self) -> None:
        self._extra_bytes = 0
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _headers_done(self) -> None:
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
        if status == 400:
            self._say(message)
        self._headers_done()
        if self.cycle is not None and not self.cycle.response_complete:
            # Its handler waits for a body that nobody hears any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = json.dumps(error_body(code, message)).encode()
        head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self._linger_bytes = LINGER_BYTES_MAX
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


class NodeWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with the peer's identity in the scope, and bounds on what a peer may pile up."""

    peer: PeerIdentity | None = None
    _unread = False

    def connection_made(self, transport: Any) -> None:
        self.peer = _identity(transport)
        # uvicorn writes a line for each connection that is opened, refused or misread: strangers write those.
        self.logger = logging.getLogger("swarm.net.websocket")
        self.logger.setLevel(logging.ERROR)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """The peer does not read what it has: it is not heard until it does (each ping costs a pong)."""
        self._unread = True
        self.transport.pause_reading()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread = False
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()
        super().resume_writing()

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._end()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() >= MESSAGES_WAITING_MAX:
            self._end()
            return
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._end()
            return
        super().send_receive_event_to_app()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            super().data_received(data)
        except Exception as error:  # the libraries below answer some nonsense with an assertion
            log.debug("a WebSocket of %s ended: %r", self.peer, error)
            self._end()

    def _end(self) -> None:
        self.frames = []
        while not self.queue.empty():
            self.queue.get_nowait()
        self.transport.abort()

    async def receive(self) -> Any:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            if not self._unread:
                self.transport.resume_reading()
        return message

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[PEER_EXTENSION] = self.peer
        await super().run_asgi()
