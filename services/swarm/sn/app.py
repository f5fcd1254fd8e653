"""The SN's HTTP face on port 30304 (docs/wire-formats.md 5): paths, who may use which, one shape of errors.

Everybody with a certificate under the trusted authorities gets ``/is_up``, ``/v1/swarm``, ``/v1/join`` and the API's
description; everything else is for active members. What the answers say is decided elsewhere.
"""

# No postponed annotations here: FastAPI reads those of the handlers below, which name local types.

import asyncio
import html
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, Response

from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault, PeerFault
from swarm.core.ids import Address, to_hex
from swarm.net.answers import ApiError, error_body, json_errors, peer_of
from swarm.net.identity import PeerIdentity
from swarm.node.rates import Buckets
from swarm.node.sharing import PATH as LOGS_PATH

from .admission import Admission
from .heads import Head, Heads, Listener, TooManyListeners
from .members import Members
from .relay import Relay

log = logging.getLogger(__name__)

SEND_SECONDS_MAX = 10.0
"""A listener that does not take a wake-up for so long is dropped."""
VIEWS_PER_SECOND, VIEWS_BURST = 4.0, 100.0
"""Looks of one member at nodes, status and signs of life, its own signs included; ``swarm status`` takes two."""
CLOSE_TRY_LATER, CLOSE_NOT_MEMBER = 1013, 1008
RECHECK_SECONDS = 5.0
"""How long a listener that is no member any more may still be told that there are new heads."""


@dataclass(frozen=True, slots=True)
class Face:
    """What the application needs.

    Args:
        swarm: the answer of ``/v1/swarm``.
        down: None while this node does its work, else a code and why not.
        starting: what this node waits for before it serves others; None once it does.
        nodes: the list of ``/v1/nodes``.
        status: the answer of ``/v1/status``.
        alive: takes in a member's sign of life (PeerFault: it is none).
        living: all members' last signs of life.
        chain: what an SN needs to follow the chain; None where there is one SN only.
        welcome: takes in the chain node of the SN that is this member, from the body; the peers that it should meet.
        logs: this node's last log lines, for a member who may read them (ApiError: it may not).
    """

    swarm: Callable[[], Mapping[str, Any]]
    members: Members
    admission: Admission
    relay: Relay
    heads: Heads
    down: Callable[[], tuple[str, str] | None]
    starting: Callable[[], str | None]
    nodes: Callable[[], Awaitable[list[dict[str, Any]]]]
    status: Callable[[], Mapping[str, Any]]
    alive: Callable[[PeerIdentity, Any], Awaitable[None]]
    living: Callable[[], list[dict[str, Any]]]
    chain: Callable[[], Mapping[str, Any]]
    welcome: Callable[[Address, bytes], Awaitable[Mapping[str, Any]]]
    version: str
    logs: Callable[[PeerIdentity], Awaitable[Mapping[str, Any]]] | None = None


def sn_app(face: Face) -> FastAPI:
    app = FastAPI(
        title="Swarm network node",
        version=face.version,
        description="Gateway to the swarm's chain, for its members. Mutual TLS; see docs/wire-formats.md.",
        docs_url=None,
        redoc_url=None,
    )
    json_errors(app)

    def peer(request: Request) -> PeerIdentity:
        return peer_of(request.scope)

    async def member(request: Request) -> PeerIdentity:
        found = peer_of(request.scope)
        why = face.starting()
        if why is not None:
            # Other SNs compare heads with this one while it starts; all others are better served elsewhere.
            try:
                await _sn_of(face, found)
            except (ApiError, ChainFault):
                raise ApiError(503, "starting", f"this SN is starting: {why}") from None
        elif await face.members.active(found.spki) is None:
            raise ApiError(
                403,
                "not_a_member",
                f"{found} is not an active member of this swarm; a node joins by its start (swarm sl, swarm job)",
            )
        return found

    views = Buckets(VIEWS_PER_SECOND, VIEWS_BURST)

    async def viewer(found: Annotated[PeerIdentity, Depends(member)]) -> PeerIdentity:
        wait = views.take(found.spki)
        if wait:
            raise ApiError(
                429, "too_many_requests", f"this node looks more often than is shown; wait {wait:.1f} s", wait=wait
            )
        return found

    async def sn(request: Request) -> Address:
        return await _sn_of(face, peer_of(request.scope))

    Peer = Annotated[PeerIdentity, Depends(peer)]
    MemberPeer = Annotated[PeerIdentity, Depends(member)]
    ViewingPeer = Annotated[PeerIdentity, Depends(viewer)]
    SnPeer = Annotated[Address, Depends(sn)]

    @app.get("/is_up", summary="Whether this node serves its chain")
    async def is_up() -> JSONResponse:
        why = face.down()
        return JSONResponse({"status": "UP"}) if why is None else _down(*why)

    @app.get("/v1/swarm", summary="Which swarm this is, and where its contracts are")
    async def swarm(_: Peer) -> Mapping[str, Any]:
        return face.swarm()

    @app.post("/v1/join", summary="Ask to be admitted, with proofs of both keys")
    async def join(request: Request, asker: Peer) -> JSONResponse:
        why = face.starting()
        if why is not None:
            raise ApiError(503, "starting", f"this SN is starting: {why}; ask again, or ask another SN")
        status, answer = await face.admission.ask(asker, await request.body())
        return JSONResponse(answer, status)

    @app.post("/v1/rpc", summary="Filtered JSON-RPC 2.0 of the chain, single or batch")
    async def rpc(request: Request, asker: MemberPeer) -> Response:
        answer = await face.relay.answer(asker.spki, await request.body())
        return Response(answer, media_type="application/json")

    @app.get("/v1/nodes", summary="All members ever admitted, and when this node last heard of them")
    async def nodes(_: ViewingPeer) -> list[dict[str, Any]]:
        return await face.nodes()

    @app.get("/v1/status", summary="Health of this node in detail")
    async def status(_: ViewingPeer) -> Mapping[str, Any]:
        return face.status()

    @app.get(LOGS_PATH, summary="For operators, if this site shares them: the last log lines of this node")
    async def logs(asker: MemberPeer) -> Mapping[str, Any]:
        if face.logs is None:
            raise ApiError(404, "not_found", "this node keeps no log lines")
        return await face.logs(asker)

    @app.get("/v1/chain", summary="For SNs: the chain's genesis and block period")
    async def chain(_: SnPeer) -> Mapping[str, Any]:
        return face.chain()

    @app.post("/v1/chain/peers", summary="For SNs: tell the own chain node's enode; answered with those to meet")
    async def welcome(request: Request, asker: SnPeer) -> Mapping[str, Any]:
        return await face.welcome(asker, await request.body())

    @app.post("/v1/alive", summary="A member's sign of life: what it does and whom it waits for")
    async def alive(request: Request, asker: ViewingPeer) -> Mapping[str, Any]:
        try:
            await face.alive(asker, json.loads(await request.body()))
        except (ValueError, PeerFault) as error:
            raise ApiError(400, "bad_sign_of_life", str(error)) from error
        return {}

    @app.get("/v1/alive", summary="The last sign of life of every member")
    async def living(_: ViewingPeer) -> list[dict[str, Any]]:
        return face.living()

    @app.websocket("/v1/events")
    async def events(socket: WebSocket) -> None:
        try:
            asker = peer_of(socket.scope)
            why = face.starting()
            if why is not None:
                raise ApiError(503, "starting", f"this SN is starting: {why}")
            refusal = None if await face.members.active(asker.spki) else (403, "not_a_member", f"{asker} is no member")
        except ApiError as error:
            refusal = (error.status, error.code, error.message)
        except ChainFault as error:
            refusal = (502, "chain_fault", str(error))
        if refusal is not None:
            await socket.send_denial_response(JSONResponse(error_body(*refusal[1:]), refusal[0]))
            return
        try:
            with face.heads.listen(asker.spki) as listener:
                await socket.accept()
                await _tell(socket, face, asker, listener)
        except TooManyListeners as error:
            await socket.send_denial_response(JSONResponse(error_body("busy", str(error)), 503))

    @app.get("/docs", include_in_schema=False)
    async def docs(_: Peer) -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()))

    return app


async def _tell(socket: WebSocket, face: Face, asker: PeerIdentity, listener: Listener) -> None:
    """Send heads until the peer leaves, is too slow, or is no member any more."""

    async def send() -> tuple[int, str]:
        if face.heads.latest is not None:
            await _send(socket, face.heads.latest)
        while True:
            next_head = asyncio.create_task(listener.queue.get())
            dropped = asyncio.create_task(listener.dropped.wait())
            try:
                await asyncio.wait({next_head, dropped}, timeout=RECHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if listener.dropped.is_set():
                    return CLOSE_TRY_LATER, "too slow: connect again and catch up by block numbers"
                if await face.members.active(asker.spki) is None:
                    return CLOSE_NOT_MEMBER, "not an active member any more"
                if next_head.done():
                    await _send(socket, next_head.result())
            finally:
                next_head.cancel()
                dropped.cancel()

    async def watch() -> None:
        """Whatever the peer says is ignored; that it left is not."""
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    sending, watching = asyncio.create_task(send()), asyncio.create_task(watch())
    try:
        await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and not watching.done():
            code, reason = sending.result()
            await socket.close(code, reason)
    except TimeoutError:
        log.info("%s took no wake-up in %s s and was dropped", asker, SEND_SECONDS_MAX)
    except (ChainFault, WebSocketDisconnect, RuntimeError) as error:
        log.info("the stream of heads to %s ended: %s", asker, error)
        if not watching.done() and isinstance(error, ChainFault):
            await socket.close(CLOSE_TRY_LATER, "the chain does not answer")
    finally:
        sending.cancel()
        watching.cancel()
        await asyncio.gather(sending, watching, return_exceptions=True)


async def _send(socket: WebSocket, head: Head) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await socket.send_json(head.to_json())


async def _sn_of(face: Face, peer: PeerIdentity) -> Address:
    """The active member of role SN that this peer is.

    Raises:
        ApiError: 403, it is none.
        ChainFault: the chain does not answer.
    """
    node, record = await face.members.active(peer.spki), await face.members.record(peer.spki)
    if node is None or record is None or record.role is not Role.SN:
        raise ApiError(403, "not_an_sn", f"{peer} is not an active member of role sn; this is for SNs alone")
    return node


def _down(code: str, why: str) -> JSONResponse:
    return JSONResponse({"status": "DOWN", **error_body(code, why)}, 503)


def node_row(
    node: Address, role: str, site: bytes, status: str, expires: int, last_seen: str | None, uri: str | None
) -> dict[str, Any]:
    """One line of ``/v1/nodes``."""
    return {
        "node": to_hex(node),
        "role": role,
        "site": to_hex(site),
        "status": status,
        "expires": expires,
        "last_seen": last_seen,
        "uri": uri,
    }


def _page(schema: Mapping[str, Any]) -> str:
    """The API's description as one plain page: a browser inside a site must not load scripts from outside."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(what.get('summary', ''))}</td></tr>"
        for path, methods in schema["paths"].items()
        for method, what in methods.items()
    )
    info = schema["info"]
    return (
        "<!doctype html><meta charset=utf-8><title>Swarm network node</title>"
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>"
        f"<p>{html.escape(info['description'])}</p><table>{rows}"
        "<tr><td>WS</td><td><code>/v1/events</code></td><td>A message a block: a wake-up</td></tr></table>"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a></p>'
    )
