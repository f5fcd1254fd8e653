"""``swarm swci``: settings, one session over real things, and the face that the settings mean."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.node.entry import exit_with, run_node, start_logs
from swarm.node.settings import load_node_settings

from .settings import SwciSettings

if TYPE_CHECKING:
    from swarm.net.identity import PeerIdentity

    from .access import RealAccess
    from .folder import Folder
    from .session import Session

SCRIPT_BYTES_MAX = 1024 * 1024
DEFAULT_CONTEXT = "default"
NAMES_SECONDS = 5.0
"""Names for completion are at most so old."""


def main(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """The command line; the process's exit code.

    Raises:
        OperatorFault: settings, certificate, state folder, script.
    """
    settings = load_node_settings(SwciSettings, argv, environ)
    start_logs("ERROR" if settings.log_level == "INFO" else settings.log_level)
    try:
        return run_node(_run(settings))
    except BrokenPipeError:  # the reader has seen enough; nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def _run(settings: SwciSettings) -> int:
    from swarm.node.identity import state_folder

    from .session import EXIT_TERMINATED

    state = state_folder(settings)
    code = EXIT_TERMINATED
    async with opened(settings, state, _folder(settings)) as (session, access):
        try:
            with _terminable(session):
                code = await _faces(settings, session, state, access)
        except asyncio.CancelledError:
            if not session.terminated:
                raise
    if not session.terminated:
        return code
    if not sys.stdin.isatty():  # a thread that reads a pipe cannot be called off, and the loop would wait for it
        sys.stdout.flush()
        os._exit(EXIT_TERMINATED)
    return EXIT_TERMINATED


@asynccontextmanager
async def opened(settings: SwciSettings, state: Path, folder: Folder) -> AsyncIterator[tuple[Session, RealAccess]]:
    """A session over real things, in the context that the settings or the one before left."""
    from .access import RealAccess
    from .commands import HANDLERS
    from .contexts import ContextBook
    from .session import Session

    book = ContextBook(state / "contexts.json")
    access = RealAccess(settings, state)
    session = Session(access, book, folder, dict(HANDLERS), time.time, limits=settings.limits)
    session.plain_secrets = settings.plain_secrets
    session.columns = shutil.get_terminal_size((160, 40)).columns
    if settings.sn_url:
        if DEFAULT_CONTEXT not in book.names or book.get(DEFAULT_CONTEXT).url != settings.sn_url:
            book.create(DEFAULT_CONTEXT, settings.sn_url)
        book.switch(DEFAULT_CONTEXT)
    try:
        yield session, access
    finally:
        await access.aclose()


@contextlib.contextmanager
def _terminable(session: Session) -> Iterator[None]:
    """SIGTERM ends the command that runs, and with it the session: a container's first process has no other end."""
    import signal

    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    assert here is not None

    def end() -> None:
        if not session.terminate():
            here.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _folder(settings: SwciSettings) -> Folder:
    from .folder import Folder

    if not settings.folder.is_dir():
        raise OperatorFault(f"USR_DIR={settings.folder}: there is no such folder")
    return Folder(settings.folder)


async def _faces(settings: SwciSettings, session: Session, state: Path, access: RealAccess) -> int:
    from . import faces

    out = sys.stdout
    if settings.line is not None:
        return (
            await faces.run_lines(
                session, faces.script_lines(settings.line.encode("utf-8", "surrogateescape")), out, echo=False
            )
        ).code
    faces.banner(out.write)
    script = settings.script_path
    if script is not None:
        outcome = await faces.run_lines(session, faces.read_script(script, SCRIPT_BYTES_MAX), out)
        if outcome.ends or not (faces.is_terminal() or settings.mode == "WEB"):
            return 0 if session.leaving else outcome.code if outcome.ends else 0
    if settings.mode == "WEB":
        await serve_web(settings, session, access)
        return 0
    if faces.is_terminal():
        from .prompt import typed_lines

        lines = typed_lines(session, state, lambda: refresh(session))
        with faces.steady_interrupts(session):
            last = await faces.run_lines(session, lines, out, echo=False, steady=True)
    else:
        pipe: IO[bytes] = sys.stdin.buffer
        last = await faces.run_lines(session, faces.piped_lines(pipe), out)
    return last.code if last.ends and not session.leaving else 0


async def serve_web(settings: SwciSettings, first: Session, access: RealAccess) -> None:
    """The REST face until this process is asked to end; each client begins as the start script left ``first``."""
    import signal

    from swarm.net.server import Limits, serve
    from swarm.node.identity import tls_contexts

    from .callers import Callers, name_of
    from .folder import Folder
    from .session import Session
    from .web import UPLOAD_BODY_BYTES_MAX, Shells, Web, web_app

    context, _ = tls_contexts(settings)
    assert context.own is not None  # read with the certificate

    def fresh(caller: PeerIdentity) -> Session:
        folder = Folder(first.folder.root)
        folder.here = first.folder.here
        mine = access.of(name_of(caller))
        found = Session(mine, first.book.copy(), folder, first.handlers, first.clock, first.sleep, first.limits)
        found.plain_secrets = first.plain_secrets
        return found

    web = Web(Callers(context.own, settings.operators, settings.viewers), Shells(fresh), first.folder.root)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    limits = Limits(body_bytes_max=UPLOAD_BODY_BYTES_MAX)
    async with serve(web_app(web, "1"), settings.listen, settings.web_port, context, limits) as running:
        print(f"SWCI serves REST at https://{running.host}:{running.port}", flush=True)
        await ended.wait()


async def refresh(session: Session) -> None:
    """Names for completion, in the background; a swarm that does not answer is no trouble here."""
    from .names import learn

    while True:
        try:
            await learn(session)
        except SwarmFault:
            session.known.clear()
        await asyncio.sleep(NAMES_SECONDS)


if __name__ == "__main__":
    exit_with(main, "swarm swci")
