"""The peer server on 30305: pulses, data schemas and blobs for members of the job, as a bare ASGI application.

Log lines are for operators of the swarm, if the site shares them (:mod:`swarm.node.sharing`).

Owns who is let in: a TLS peer whose key the chain binds to an active member that is joined to the job. What such a
member may read or say is the engine's answer. "Not found" and "not yours" are one answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from swarm.core.dataschema import TEXT_BYTES_MAX
from swarm.core.engine.messages import Pulse
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.limits import HTTP_BODY_BYTES_MAX
from swarm.net.answers import ApiError, Receive, Scope, Send, error_body, peer_of, send_json
from swarm.net.blobserve import BlobApp, BlobSource
from swarm.net.identity import PeerIdentity
from swarm.node.rates import Buckets
from swarm.node.sharing import PATH as LOGS_PATH
from swarm.node.sharing import SharedLogs

PULSES_PER_SECOND, PULSES_BURST = 50.0, 400.0
"""Pulses of one member that are heard. An honest node sends a few a round, and says everything again."""
PULSE_TOKEN_BYTES = 32 * 1024
"""A large pulse costs more: one of 2 MiB counts as 65."""
PULSES_AT_ONCE_MAX = 4
"""Of one member, waiting for the engine."""
SCHEMAS_PER_SECOND, SCHEMAS_BURST = 1.0, 20.0
"""Data schemas of one member that are answered; an honest one asks once a session of its program, and a few times
until its join is seen."""
SCHEMA_BODY_BYTES_MAX = 4 * TEXT_BYTES_MAX
"""Of a request: another site's JSON may be written less tightly."""
SCHEMA_ERROR_CHARS_MAX = 300


def not_here() -> ApiError:
    """A new one each time: an exception that is raised again keeps the frames, and bodies, of all times before."""
    return ApiError(404, "not_found", "nothing here for you")


class Taking(Protocol):
    """The part of a job's runtime that peers reach."""

    job: Digest

    async def holder(self, spki: Digest) -> Address | None: ...

    def takes_part(self, node: Address) -> bool: ...

    async def pulse(self, sender: Address, pulse: Pulse) -> Pulse: ...

    def schema(self, sender: Address, body: Any) -> dict[str, Any]: ...

    def may_read(self, reader: Address, blob: BlobId) -> bool: ...


class PeerApp:
    """The ASGI application; ``taking`` gives the job this node takes part in, or None."""

    def __init__(
        self,
        store: BlobSource,
        taking: Callable[[], Taking | None],
        moved: Callable[[int], None],
        logs: SharedLogs | None = None,
    ) -> None:
        self._taking, self._logs = taking, logs
        self._paces = Buckets(PULSES_PER_SECOND, PULSES_BURST)
        self._taken: Counter[Address] = Counter()
        self._schemas = Buckets(SCHEMAS_PER_SECOND, SCHEMAS_BURST)
        self._blobs: Callable[[Scope, Receive, Send], Awaitable[None]] = BlobApp(store, self._may_read, moved=moved)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            path: str = scope["path"]
            if path.startswith("/v1/blobs/"):
                await self._blobs(scope, receive, send)
            elif path == "/is_up" and scope["method"] == "GET":
                await send_json(send, 200, {"status": "UP"})
            elif path == "/v1/pulse" and scope["method"] == "POST":
                await send_json(send, 200, (await self._pulse(scope, receive)).to_json())
            elif path == "/v1/schema" and scope["method"] == "POST":
                await send_json(send, 200, await self._schema(scope, receive))
            elif path == LOGS_PATH and scope["method"] == "GET" and self._logs is not None:
                await send_json(send, 200, await self._logs.answer(peer_of(scope)))
            else:
                raise not_here()
        except ApiError as error:
            await send_json(send, error.status, error_body(error.code, error.message, error.wait))

    async def _member(self, peer: PeerIdentity) -> tuple[Taking, Address]:
        taking = self._taking()
        node = await taking.holder(peer.spki) if taking is not None else None
        if taking is None or node is None or not taking.takes_part(node):
            raise not_here()
        return taking, node

    async def _may_read(self, peer: PeerIdentity, blob: BlobId) -> bool:
        try:
            taking, node = await self._member(peer)
        except ApiError:
            return False
        return taking.may_read(node, blob)

    async def _pulse(self, scope: Scope, receive: Receive) -> Pulse:
        taking, node = await self._member(peer_of(scope))
        body = await _body(receive)
        wait = self._paces.take(node, 1 + len(body) / PULSE_TOKEN_BYTES)
        if wait or self._taken[node] >= PULSES_AT_ONCE_MAX:
            raise ApiError(429, "too_many_pulses", f"this node says more than is heard; wait {wait:.1f} s", wait=wait)
        self._taken[node] += 1
        try:
            return await self._heard(taking, node, body)
        finally:
            self._taken[node] -= 1
            if not self._taken[node]:
                del self._taken[node]

    async def _schema(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        taking, node = await self._member(peer_of(scope))
        wait = self._schemas.take(node)
        if wait:
            raise ApiError(
                429, "too_many_schemas", f"this node asks more than is answered; wait {wait:.1f} s", wait=wait
            )
        body = await _body(receive, SCHEMA_BODY_BYTES_MAX)
        try:
            return taking.schema(node, json.loads(body))
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "bad_schema", str(error)[:SCHEMA_ERROR_CHARS_MAX]) from error

    async def _heard(self, taking: Taking, node: Address, body: bytes) -> Pulse:
        try:
            pulse = Pulse.from_json(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "bad_pulse", f"the body is not JSON: {error}") from error
        except PeerFault as fault:
            raise ApiError(400, "bad_pulse", str(fault)) from fault
        if pulse.node != node:
            raise ApiError(403, "not_you", "node: a pulse is about its sender, and this certificate is another's")
        if pulse.job != taking.job:
            raise not_here()
        return await taking.pulse(node, pulse)


async def _body(receive: Receive, bytes_max: int = HTTP_BODY_BYTES_MAX) -> bytes:
    """The whole body; the server has a bound of its own (net.server.Limits)."""
    body = bytearray()
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "cut", "the request ended early")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise ApiError(413, "too_large", f"the body is above {bytes_max} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
