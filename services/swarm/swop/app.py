"""The SWOP's server for operators of the swarm: its last log lines, and what programs wrote before they failed.

Owns two paths over mutual TLS. Who may read is :mod:`swarm.node.sharing`'s rule; whether texts are shared is the site's
policy, whether its own lines are, its setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarm.core import failuretext
from swarm.net.answers import ApiError, Receive, Scope, Send, error_body, peer_of, send_json
from swarm.net.identity import PeerIdentity
from swarm.node.sharing import NOT_SHARED, PATH, SharedLogs

from .texts import Texts


class OperatorApp:
    """The ASGI application.

    Args:
        texts: those that are kept; None while this node is not a member yet.
        shares: whether the site's policy lets operators of the swarm read them, as it is now.
    """

    def __init__(self, logs: SharedLogs, texts: Callable[[], Texts | None], shares: Callable[[], bool]) -> None:
        self._logs, self._texts, self._shares = logs, texts, shares

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            if scope["method"] == "GET" and scope["path"] == "/is_up":
                await send_json(send, 200, {"status": "UP"})
            elif scope["method"] == "GET" and scope["path"] == PATH:
                await send_json(send, 200, await self._told(peer_of(scope), scope["query_string"]))
            else:
                raise nothing()
        except ApiError as error:
            await send_json(send, error.status, error_body(error.code, error.message, error.wait))

    async def _told(self, peer: PeerIdentity, query: bytes) -> dict[str, Any]:
        try:
            key = failuretext.key_in(query)
        except ValueError as error:
            raise ApiError(422, "bad_query", str(error)) from None
        if key is None:
            return await self._logs.answer(peer)
        await self._logs.admit(peer)
        if not self._shares():
            raise ApiError(403, NOT_SHARED, "this site does not share what programs wrote (share_logs of its policy)")
        texts = self._texts()
        lines = None if texts is None else texts.lines(key)
        if lines is None:
            raise nothing()
        return {"lines": lines, "gone": 0}


def nothing() -> ApiError:
    return ApiError(404, "not_found", "nothing here for you")
