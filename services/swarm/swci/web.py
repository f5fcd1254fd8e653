"""The REST face (rows R01-R05): POST /exec and /uploadTaskDef behind mutual TLS, one shell for each client.

Owns paths, the allow-list's place, sessions and their bounds; what commands do is the session's business. A client is
a certificate; who shares one asks for a shell of its own by the cookie ``swci=new``, and sends back what it is given.
"""

# No postponed annotations here: FastAPI reads those of the handlers below.

import asyncio
import contextlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from swarm.core.errors import OperatorFault
from swarm.core.shown import shown
from swarm.inspect.operator import Member
from swarm.net.answers import ApiError, described_errors, json_errors, peer_of
from swarm.net.identity import PeerIdentity

from .callers import CallerRole, Callers, name_of, refusal, too_little
from .folder import FILE_BYTES_MAX, Folder
from .grammar import Typed, parse
from .resources import add_resources
from .say import ERROR
from .session import Session
from .streams import add_stream

COOKIE = "swci"
NEW = "new"
SESSIONS_MAX = 64
"""Shells at once; the one that was idle for longest gives way."""
OF_ONE_MAX = 8
"""Shells of one certificate's name: another key under it is no other caller."""
WAITING_MAX = 16
"""Commands of one shell that wait for the one before them."""
IDLE_SECONDS = 24 * 3600.0
LINES_MAX = 20_000
"""Lines of one answer."""
NAME_CHARS_MAX, NAME_BYTES_MAX = 160, 255
UPLOAD_BODY_BYTES_MAX = FILE_BYTES_MAX + 16 * 1024

STATUSES = (401, 403, 404, 408, 409, 413, 422, 502, 503)
"""Errors that a call may be answered with; what a command came to is an answer of status 200 (rows R02, R04)."""
A_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
}

Callee = Callable[[PeerIdentity], Session]


@dataclass(slots=True)
class Shell:
    """One client's shell. ``queued`` counts the commands under way and waiting."""

    session: Session
    token: str
    owner: bytes
    name: str
    used: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    queued: int = 0


class Shells:
    """All shells, by token, and each certificate's own first one.

    Args:
        fresh: makes a caller's session in the state that the start script left.
        clock: seconds, monotonic.
    """

    def __init__(self, fresh: Callee, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh, self._clock = fresh, clock
        self._shells: OrderedDict[str, Shell] = OrderedDict()
        self._first: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._shells)

    def of(self, caller: PeerIdentity, cookie: str | None) -> Shell:
        """The shell that a request means.

        Raises:
            OperatorFault: as many as may be are at work.
        """
        now, owner = self._clock(), bytes(caller.spki)
        for token, idle in list(self._shells.items()):
            if not idle.queued and now - idle.used > IDLE_SECONDS:
                self.drop(token)
        token = cookie if cookie is not None else self._first.get(owner, "")
        found = self._shells.get(token)
        if found is None or found.owner != owner:  # another's token is as good as none
            found = self._begin(caller, now)
            if cookie != NEW:
                self._first.setdefault(owner, found.token)
        found.used = now
        self._shells.move_to_end(found.token)
        return found

    def drop(self, token: str) -> None:
        gone = self._shells.pop(token, None)
        if gone is not None and self._first.get(gone.owner) == token:
            del self._first[gone.owner]

    def _begin(self, caller: PeerIdentity, now: float) -> Shell:
        owner, name = bytes(caller.spki), name_of(caller)
        mine = [shell for shell in self._shells.values() if shell.name == name]
        for crowd, most in ((mine, OF_ONE_MAX), (list(self._shells.values()), SESSIONS_MAX)):
            if len(crowd) >= most:
                idle = next((shell for shell in crowd if not shell.queued), None)
                if idle is None:
                    raise OperatorFault(f"{most} shells are at work here: try again when one has ended")
                self.drop(idle.token)
        shell = Shell(self._fresh(caller), secrets.token_urlsafe(24), owner, name, now)
        self._shells[shell.token] = shell
        return shell


@dataclass(frozen=True, slots=True)
class Web:
    """What the application needs. Args: folder: where uploads go, the root of USR_DIR."""

    callers: Callers
    shells: Shells
    folder: Path


class Content(BaseModel):
    """The lines of a command's answer; one that begins with ``ERROR `` is a failure (row R02)."""

    CONTENT: list[str]


def web_app(web: Web, version: str) -> FastAPI:
    app = FastAPI(
        title="SWCI",
        version=version,
        description="The operator's shell over HTTP. Mutual TLS; see docs/swci.md.",
        docs_url=None,
        redoc_url=None,
        responses=described_errors(*STATUSES),
    )
    json_errors(app)

    def peer(request: Request) -> PeerIdentity:
        # A browser that holds an operator's certificate shows it to whatever page makes it call here.
        origin = request.headers.get("origin")
        if origin is not None and origin != f"https://{request.headers.get('host', '')}":
            raise ApiError(403, "foreign_page", f"a page of {shown(origin)} may not use this SWCI")
        # An image or a script of such a page sends no origin, but says from where it comes.
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ApiError(403, "foreign_page", "a page of another site may not use this SWCI")
        return peer_of(request.scope)

    Peer = Annotated[PeerIdentity, Depends(peer)]

    async def listed(caller: Peer) -> PeerIdentity:
        """A caller that may look."""
        if web.callers.role(caller) is CallerRole.NONE:
            raise ApiError(403, "not_allowed", refusal(caller))
        return caller

    async def member_of(request: Request, caller: Annotated[PeerIdentity, Depends(listed)]) -> Member:
        try:
            shell = web.shells.of(caller, request.cookies.get(COOKIE))
        except OperatorFault as fault:
            raise ApiError(503, "busy", str(fault)) from fault
        try:
            return await shell.session.member()
        except OperatorFault as fault:
            raise ApiError(409, "no_swarm", str(fault)) from fault

    add_resources(app, member_of)
    add_stream(app, member_of, listed)

    @app.get("/is_up", summary="Whether this SWCI listens")
    async def is_up() -> dict[str, str]:
        return {"status": "UP"}

    @app.post("/exec", summary="Execute one command", response_model=Content)
    async def execute(request: Request, caller: Peer, cmd: Annotated[str, Query()] = "") -> JSONResponse:
        role = web.callers.role(caller)
        if role is CallerRole.NONE:
            return _content([ERROR + refusal(caller)])
        if len(cmd.splitlines()) > 1:
            return _content([ERROR + "a request holds one command: send each line by itself"])
        found = parse(cmd)
        own = isinstance(found, Typed) and (found.command.changes or found.command.operators)
        if isinstance(found, Typed) and own and role is not CallerRole.OPERATOR:
            return _content([ERROR + too_little(caller, found.command.name)])
        try:
            shell = web.shells.of(caller, request.cookies.get(COOKIE))
        except OperatorFault as fault:
            return _content([ERROR + str(fault)])
        shell.session.viewer = role is not CallerRole.OPERATOR
        if shell.queued >= WAITING_MAX:
            return _content([ERROR + f"{WAITING_MAX} commands of this shell wait already: wait for their answers"])
        answer = _content(await _run(web, shell, cmd, request))
        answer.set_cookie(COOKIE, shell.token, secure=True, httponly=True, samesite="strict")
        return answer

    @app.post(
        "/uploadTaskDef",
        summary="Hand over a task definition, for CREATE TASK FROM",
        response_class=PlainTextResponse,
        openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": A_FILE}}}},
    )
    async def upload(request: Request, caller: Peer) -> PlainTextResponse:
        role = web.callers.role(caller)
        if role is not CallerRole.OPERATOR:
            why = refusal(caller) if role is CallerRole.NONE else too_little(caller, "an upload")
            return PlainTextResponse(ERROR + why)
        try:
            async with request.form(max_files=1, max_fields=4) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    return PlainTextResponse(ERROR + "no file came: send it as the multipart field 'file'")
                data, name = await file.read(), file.filename or ""
            return PlainTextResponse(await asyncio.to_thread(save, web.folder, name, data))
        except OperatorFault as fault:
            return PlainTextResponse(ERROR + str(fault))
        except (HTTPException, MultiPartException, FormParserError, ValueError) as error:
            return PlainTextResponse(ERROR + f"the upload cannot be read: {shown(str(error))}")

    return app


async def _run(web: Web, shell: Shell, line: str, watched: Request) -> list[str]:
    """The lines of one command's answer.

    Args:
        watched: whose end ends the command once that only looks or waits: nobody is left to hear of it.
    """
    text: list[str] = []
    shell.queued += 1
    try:
        async with shell.lock:
            if await _hung_up(watched):  # before its turn: nothing was begun
                return []
            async with _ended_with(watched, shell.session):
                outcome = await shell.session.run(line, text.append, bare=True)
        if outcome.ends:
            web.shells.drop(shell.token)
    finally:
        shell.queued -= 1
        shell.used = time.monotonic()
    lines = "".join(text).splitlines()
    if len(lines) > LINES_MAX:
        # A failure is told by its line, which is the last one: without it a long answer would be a success (row R02).
        end = lines[-1:] if lines[-1].startswith(ERROR) else []
        lines = [*lines[:LINES_MAX], f"and {len(lines) - LINES_MAX - len(end)} more lines", *end]
    return lines or [line.rstrip() or "#"]  # blank lines and comments are answered by themselves


async def _hung_up(request: Request) -> bool:
    """Whether nobody waits for the answer any more. The body comes first in what is received: without reading it, the
    end behind it would not be seen."""
    try:
        await request.body()
    except ClientDisconnect:
        return True
    return await request.is_disconnected()


@contextlib.asynccontextmanager
async def _ended_with(request: Request, session: Session) -> AsyncIterator[None]:
    async def watch() -> None:
        message: Any = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await request.receive()
        await session.looking.wait()  # a change goes on, to where it only waits
        session.interrupt()

    task = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _content(lines: list[str]) -> JSONResponse:
    return JSONResponse({"CONTENT": lines})


def save(folder: Path, name: str, data: bytes) -> str:
    """Put an upload into USR_DIR, all of it or nothing; what the client is told.

    Raises:
        OperatorFault: no such name can be, or the file is too long or cannot be written.
    """
    fits = name.isprintable() and 1 <= len(name) <= NAME_CHARS_MAX and not set(name) & set("/\\,") and name[0] != "."
    if not fits or name != name.strip() or len(name.encode()) > NAME_BYTES_MAX:
        raise OperatorFault(
            f"{shown(name)!r} cannot be a file's name here: 1 to {NAME_CHARS_MAX} characters without slash and comma, "
            "not beginning with a dot"
        )
    if len(data) > FILE_BYTES_MAX:
        raise OperatorFault(f"{name} has {len(data)} bytes, a task definition at most {FILE_BYTES_MAX}")
    place = Folder(folder).root / name
    if place.is_symlink() or (place.exists() and not place.is_file()):
        raise OperatorFault(f"{name} is there already and no file: choose another name")
    before = place.exists()
    beside = place.with_name(f".{secrets.token_hex(8)}.upload")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OperatorFault(f"{name} cannot be written to {folder}: {error.strerror or error}") from error
    return f"{name} is uploaded, {len(data)} bytes" + ("; the one before is replaced" if before else "")
