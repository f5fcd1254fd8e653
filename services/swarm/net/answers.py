"""The one shape of errors that every HTTP face answers with, and the guard around every application.

    {"error": {"code": "wrong_role", "message": "one sentence"}}

Owns the shape, the bound on bodies and the last resort for exceptions; which status a node's own resource
answers with is the node's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from swarm.core.errors import ChainFault, PeerFault, SwarmFault

from .identity import PeerIdentity

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

PEER_EXTENSION = "swarm.peer"
LINGER_SECONDS = 1.0
"""How long a connection stays open after an answer that came before all of the request had."""
LINGER_BYTES_MAX = 16 * 1024 * 1024
"""What is read and thrown away meanwhile. A socket closed with bytes unread resets the line, and the peer loses
the answer that says what was wrong."""


class ApiError(Exception):
    """Raise inside a handler to answer with a status, a code for programs and a sentence for people.

    Args:
        wait: of a rate that is used up (429), seconds until the same request would be answered.
    """

    def __init__(self, status: int, code: str, message: str, *, wait: float = 0.0) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.wait = wait
        super().__init__(message)


def error_body(code: str, message: str, wait: float = 0.0) -> dict[str, dict[str, Any]]:
    told: dict[str, Any] = {"code": code, "message": message}
    if wait:
        told["wait_seconds"] = round(wait, 3)
    return {"error": told}


class ErrorSaid(BaseModel):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """The shape of all errors, for descriptions of an API."""

    error: ErrorSaid


def described_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's ``responses``: errors of these statuses, in the one shape."""
    return {status: {"model": ErrorAnswer, "description": HTTPStatus(status).phrase} for status in statuses}


def peer_of(scope: Scope) -> PeerIdentity:
    """The TLS peer of this request or WebSocket.

    Raises:
        ApiError: 401, the connection carries no certificate (a port without mutual TLS), or one that has expired since
            it was opened: a handshake looks once, and connections live long.
    """
    peer = scope.get("extensions", {}).get(PEER_EXTENSION)
    if not isinstance(peer, PeerIdentity):
        raise ApiError(401, "no_certificate", "this resource needs a client certificate")
    if peer.not_after < datetime.now(UTC):
        raise ApiError(401, "certificate_expired", f"{peer} has expired: connect again with a new certificate")
    return peer


async def send_json(
    send: Send,
    status: int,
    value: Any,
    headers: list[tuple[bytes, bytes]] | None = None,
    *,
    then: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Answer with JSON; ``then`` runs when all of it is sent and before the server may close the connection."""
    body = json.dumps(value).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": start + (headers or [])})
    await send({"type": "http.response.body", "body": body, "more_body": then is not None})
    if then is not None:
        await then()
        await send({"type": "http.response.body", "body": b""})


def json_errors(app: FastAPI) -> FastAPI:
    """Make every error of a FastAPI application answer in the one shape; returns the application."""

    def answer(status: int, code: str, message: str) -> JSONResponse:
        return JSONResponse(error_body(code, message), status)

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        headers = {"retry-after": str(math.ceil(error.wait))} if error.wait else None
        return JSONResponse(error_body(error.code, error.message, error.wait), error.status, headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        said = answer(error.status_code, code, str(error.detail))
        said.headers.update(error.headers or {})  # Allow, of a method that a path does not have
        return said

    @app.exception_handler(RequestValidationError)
    async def bad_request(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(422, "bad_request", f"{where}: {first['msg']}")

    @app.exception_handler(SwarmFault)
    async def swarm_fault(request: Request, error: SwarmFault) -> JSONResponse:
        if isinstance(error, PeerFault):
            return answer(403, "peer_fault", str(error))
        if isinstance(error, ChainFault):
            return answer(502, "chain_fault", str(error))
        # Paths and settings of this site stay in its log.
        log.error("%s %s failed: %s", request.method, request.url.path, error)
        return answer(500, "internal", "this node failed; its log says how")

    return app


class Guard:
    """Around every application: a bounded body, read in bounded time, and JSON for whatever escapes.

    The body is read before the application runs, because frameworks turn an error raised by ``receive`` into
    answers of their own.
    """

    def __init__(self, app: AsgiApp, *, body_bytes_max: int, body_seconds: float) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            body = await self._body(scope, receive)
            if body is not None:
                await self._app(scope, _replay(body, receive), send_watched)
        except ApiError as error:
            if not started:
                unread = error.status in (408, 413)
                close = [(b"connection", b"close")] if unread else []
                await send_json(
                    send,
                    error.status,
                    error_body(error.code, error.message, error.wait),
                    close,
                    then=partial(_throw_away, receive) if unread else None,
                )
        except Exception:
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            if not started:
                await send_json(send, 500, error_body("internal", "this node failed; its log says how"))

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body, or None if the peer left meanwhile."""
        too_large = ApiError(413, "too_large", f"a body here has at most {self._body_bytes_max} bytes")
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._body_bytes_max):
                raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._body_bytes_max:
                        raise too_large
        except TimeoutError:
            raise ApiError(408, "too_slow", f"the body took more than {self._body_seconds} s") from None
        return bytes(body)


async def _throw_away(receive: Receive) -> None:
    """Read what the peer still sends, within bounds: closing before would take our answer from its hands."""
    left = LINGER_BYTES_MAX
    with contextlib.suppress(TimeoutError):  # it had its answer for so long; now it is let go
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body read already, then whatever comes (a disconnect)."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
