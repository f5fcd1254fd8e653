"""One HTTP and WebSocket listener of a node: uvicorn inside the caller's event loop, behind mutual TLS.

Owns the socket, the TLS handshake (bounded, and every refusal logged with the peer's address and the field at
fault), the connection bound and the peer's identity in each request's scope. Leaves paths to the application.

uvicorn's own TLS listener is not used: asyncio drops failed handshakes without a word or an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn

from swarm.core.errors import LocalFault, OperatorFault

from .answers import AsgiApp, Guard
from .faults import tls_sentence
from .lines import Limits, NodeHttp, NodeWebSocket, never_read
from .refusals import Refusals
from .tls import alert_socket

__all__ = ["Limits", "Running", "serve"]

log = logging.getLogger(__name__)

STOP_SECONDS = 3
CLOSE_SECONDS = 0.5
"""How long a closing connection waits for the peer's goodbye: an idle client does not read, so it never comes."""
BACKLOG = 256
ACCEPT_PAUSE_SECONDS = 0.5
"""After an error such as "too many open files"."""


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
        self._refusals = Refusals(log)

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
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # it had its moment; who does not read must not hold up the end

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, address = await loop.sock_accept(self._listening)
            except OSError as error:
                log.error("cannot accept connections: %s; trying again in %s s", error, ACCEPT_PAUSE_SECONDS)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            never_read(line)
            if len(self.server_state.connections) + len(self._handshakes) >= self._limits.connections_max:
                line.close()
                self._refusals.refused(address, f"{self._limits.connections_max} connections are open")
                continue
            if list(self._handshakes.values()).count(address[0]) >= self._limits.address_handshakes_max:
                line.close()
                self._refusals.refused(
                    address, f"{self._limits.address_handshakes_max} handshakes from there are under way"
                )
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
            self._refusals.refused(address, tls_sentence(error))
        except (OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            self._refusals.refused(address, f"no TLS handshake within {seconds} s ({why})")

    def _protocol(self) -> NodeHttp:
        return NodeHttp(
            self.config, self.server_state, self.lifespan.state, limits=self._limits, refused=self._refusals.refused
        )
