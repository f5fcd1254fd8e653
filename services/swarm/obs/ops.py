"""The operations port: health, waits, status and metrics of one process, as a small ASGI app for loopback.

No login of its own: whoever may open a port of this host's loopback (or of the network that the site chose)
may read it. It shows no secret and changes nothing. Further read-only POST handlers come from the process.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, Any]
"""HTTP status and the JSON value of the body."""

BODY_BYTES_MAX = 1024 * 1024


def ops_app(
    *,
    waits: Callable[[], Sequence[Mapping[str, Any]]],
    registry: CollectorRegistry,
    status: Callable[[], Mapping[str, Any]],
    healthy: Callable[[], str | None],
    gets: Mapping[str, Callable[[], Any]] | None = None,
    posts: Mapping[str, Callable[[bytes], Awaitable[Answer]]] | None = None,
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI app.

    Args:
        waits: the rows of ``GET /v1/waits``, longest first (all of the process: see V8).
        status: what ``GET /v1/status`` shows; must not block.
        healthy: None when the process does its work, else why not; ``GET /healthz`` is 200 or 503.
        gets: further paths that show a JSON value; must not block.
        posts: further paths that take a body (at most 1 MiB).
    """
    more, shown = dict(posts or {}), dict(gets or {})

    def get(path: str) -> tuple[int, str, bytes] | None:
        if path == "/healthz":
            fault = healthy()
            return _json(200 if fault is None else 503, {"healthy": fault is None, "reason": fault})
        if path == "/v1/waits":
            return _json(200, waits())
        if path == "/v1/status":
            return _json(200, status())
        if path in shown:
            return _json(200, shown[path]())
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
        return None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the operations port speaks plain HTTP, not {scope['type']}")
        method, path = scope["method"], scope["path"]
        if _from_a_web_page(scope):
            answer = _error(403, "origin", "the operations port is not for web pages; type its IP address")
        elif method in ("GET", "HEAD"):
            answer = get(path) or _error(404, "not-found", f"no {path} here")
        elif method == "POST" and path in more:
            body = await _body(receive)
            if body is None:
                answer = _error(413, "too-large", f"a body has at most {BODY_BYTES_MAX} bytes")
            else:
                code, value = await more[path](body)
                answer = _json(code, value)
        else:
            answer = _error(405, "method", f"{method} {path} is not offered")
        code, kind, content = answer
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})

    return app


def _from_a_web_page(scope: Scope) -> bool:
    """A web page in a browser of this host must not read the port, across origins or by DNS rebinding.

    After a rebinding the page's requests are of its own origin and carry no Origin; but their Host is its domain
    name, where a person types an address or localhost. Programs that scrape by name are no browsers.
    """
    headers = dict(scope["headers"])
    if b"origin" in headers:
        return True
    if not headers.get(b"user-agent", b"").startswith(b"Mozilla/"):
        return False
    host = ""
    try:
        host = urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname or ""
        ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost"
    return False


async def _body(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _json(code: int, value: Any) -> tuple[int, str, bytes]:
    return code, "application/json", json.dumps(value, default=str).encode() + b"\n"


def _error(code: int, name: str, message: str) -> tuple[int, str, bytes]:
    return _json(code, {"error": {"code": name, "message": message}})
