"""The peer server on 30305: pulses and blobs for members of the job, as a bare ASGI application.

Owns who is let in: a TLS peer whose key the chain binds to an active member. What a member may read or say is
the engine's answer. "Not found" and "not yours" are one answer.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from swarm.core.engine.messages import Pulse
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.net.answers import ApiError, Receive, Scope, Send, error_body, peer_of, send_json
from swarm.net.blobserve import BlobApp, BlobSource
from swarm.net.identity import PeerIdentity

NOT_HERE = ApiError(404, "not_found", "nothing here for you")


class Taking(Protocol):
    """The part of a job's runtime that peers reach."""

    job: Digest

    async def holder(self, spki: Digest) -> Address | None: ...

    async def pulse(self, sender: Address, pulse: Pulse) -> Pulse: ...

    def may_read(self, reader: Address, blob: BlobId) -> bool: ...


class PeerApp:
    """The ASGI application; ``taking`` gives the job this node takes part in, or None."""

    def __init__(self, store: BlobSource, taking: Callable[[], Taking | None], moved: Callable[[int], None]) -> None:
        self._taking = taking
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
            else:
                raise NOT_HERE
        except ApiError as error:
            await send_json(send, error.status, error_body(error.code, error.message))

    async def _member(self, peer: PeerIdentity) -> tuple[Taking, Address]:
        taking = self._taking()
        node = await taking.holder(peer.spki) if taking is not None else None
        if taking is None or node is None:
            raise NOT_HERE
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
        try:
            pulse = Pulse.from_json(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "bad_pulse", f"the body is not JSON: {error}") from error
        except PeerFault as fault:
            raise ApiError(400, "bad_pulse", str(fault)) from fault
        if pulse.node != node:
            raise ApiError(403, "not_you", "node: a pulse is about its sender, and this certificate is another's")
        if pulse.job != taking.job:
            raise NOT_HERE
        return await taking.pulse(node, pulse)


async def _body(receive: Receive) -> bytes:
    """The whole body; its bound is the server's (net.server.Limits)."""
    body = bytearray()
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "cut", "the request ended early")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
