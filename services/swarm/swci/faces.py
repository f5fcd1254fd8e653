"""How lines come to the shell and answers go: -c, a script, a pipe, a terminal; and what the process ends with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import IO, Any, TextIO

from swarm.core.errors import OperatorFault

from .grammar import LINE_CHARS_MAX
from .session import Outcome, Session

BANNER = (
    "######################################################################",
    "##                    SWARM LEARNING SWCI NODE                      ##",
    "######################################################################",
    "##   HELP lists the commands; EXIT or Ctrl-D ends the session       ##",
    "######################################################################",
)
BOM = "\ufeff"
LINE_BYTES_MAX = 4 * (LINE_CHARS_MAX + 1)
"""Read of one line at once: a line that is cut there has too many characters, whichever they are."""


def banner(write: Callable[[str], object]) -> None:
    write("\n".join(BANNER) + "\n")


async def run_lines(
    session: Session,
    lines: Iterable[str] | AsyncIterator[str],
    out: TextIO,
    *,
    echo: bool = True,
    steady: bool = False,
) -> Outcome:
    """Execute lines until one of them ends the session; the outcome of the last command.

    Args:
        echo: print each behind the prompt first, as the original does with scripts.
        steady: Ctrl-C is looked after by :func:`steady_interrupts` already.
    """
    last = Outcome()
    async for line in _each(lines):
        if echo:
            _write(out, (session.prompt + line.rstrip()).rstrip() + "\n")
        work = session.run(line, lambda text: _write(out, text))
        outcome = await (work if steady else interruptible(session, work))
        last = outcome
        if outcome.ends:
            return outcome
    return last


async def _each(lines: Iterable[str] | AsyncIterator[str]) -> AsyncIterator[str]:
    if isinstance(lines, AsyncIterator):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


def _write(out: TextIO, text: str) -> None:
    """Names on the chain may hold what the terminal's encoding has not."""
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()


@contextlib.contextmanager
def steady_interrupts(session: Session) -> Iterator[None]:
    """Ctrl-C ends the command that runs, and between two commands nothing: a terminal's session outlives it always."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, session.interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def interruptible(session: Session, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Ctrl-C ends the command that runs, not the session."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    had = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(NotImplementedError, RuntimeError):  # not the main thread: nobody types there
        loop.add_signal_handler(signal.SIGINT, session.interrupt)
    try:
        return await task
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, had)


def script_lines(data: bytes) -> list[str]:
    """The lines of a script: LF or CRLF, with a mark of UTF-8 at its start or not, the last line ended or not."""
    text = data.decode("utf-8", "surrogateescape").removeprefix(BOM)
    return text.replace("\r\n", "\n").split("\n")[: None if text and not text.endswith("\n") else -1]


async def piped_lines(pipe: IO[bytes]) -> AsyncIterator[str]:
    """Lines of a pipe as they come; one that is too long is cut, and refused as such."""
    while True:
        data = await asyncio.to_thread(pipe.readline, LINE_BYTES_MAX)
        if not data:
            return
        yield from_bytes(data)
        while len(data) == LINE_BYTES_MAX and not data.endswith(b"\n"):  # the rest of it is no line of its own
            data = await asyncio.to_thread(pipe.readline, LINE_BYTES_MAX)


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").rstrip("\r\n").removeprefix(BOM)


def read_script(path: os.PathLike[str], bytes_max: int) -> list[str]:
    """Raises OperatorFault: it cannot be read, or is too long."""
    try:
        with open(path, "rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise OperatorFault(f"the script {os.fspath(path)} cannot be read: {error.strerror or error}") from error
    if len(data) > bytes_max:
        raise OperatorFault(f"the script {os.fspath(path)} is above {bytes_max} bytes")
    return script_lines(data)


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
