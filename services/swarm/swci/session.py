"""One shell: its counter, its context, its folder, EXIT ON FAILURE; takes lines and has commands answer them.

It acts over small interfaces (an :class:`Access` to swarms, a clock, a sleep), so it needs no network of its own. What
a command does stands in the modules of ``commands``; how lines come and answers go is a face's business.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from swarm.chain.client import ChainClient
from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.ids import Digest
from swarm.core.statements import Signature
from swarm.core.taskview import Order
from swarm.inspect.operator import Member
from swarm.store.journal import Journal

from .contexts import Context, ContextBook, Pin
from .explained import told
from .folder import Folder
from .grammar import Nothing, Refusal, Typed, parse
from .say import Say
from .table import Kind

log = logging.getLogger("swarm.swci")

EXIT_REFUSED = OperatorFault.exit_code
EXIT_TIMEOUT = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
KNOWN_MAX = 1_000
"""Names of one kind that a shell keeps for completion."""
MINUTES_DEFAULT, MINUTES_MAX = 120, 527_040
RUN_WAIT, GENERIC_WAIT, OLD_WAIT = (
    "SWCI_RUN_TASK_MAX_WAIT_TIME",
    "SWCI_GENERIC_TASK_MAX_WAIT_TIME",
    "SWCI_TASK_MAX_WAIT_TIME",
)


class TimedOut(SwarmFault):
    """A wait came to its limit."""

    exit_code = EXIT_TIMEOUT


class Access(Protocol):
    """The way to swarms."""

    async def why_down(self, url: str) -> str:
        """Why the SN there does not serve; "" if it does.

        Raises:
            OperatorFault: asking again will not help.
        """

    async def member(self, context: Context, pin: Pin) -> Member:
        """This SWCI as a member of that swarm; joins it the first time.

        Args:
            pin: which swarm that context means; set by the first look.

        Raises:
            SwarmFault: it cannot be one, or another swarm answers there now; says why.
        """

    def writing(self, member: Member) -> AbstractAsyncContextManager[tuple[ChainClient, Journal]]:
        """This operator's transactions in that swarm, one process at a time; the journal is for submit keys too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long WAIT FOR TASKRUNNER waits, in minutes; None where the user set nothing: as long as peers renew."""

    run: int | None = None
    generic: int | None = None


@dataclass(slots=True)
class Outcome:
    """Args: code: 0, or the exit code of what failed; ends: this was the session's last line."""

    code: int = 0
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """An assignment that this shell signed: a reorganisation that takes it away takes nothing that is not here."""

    aid: Digest
    order: Order
    signature: Signature


Handler = Callable[["Session", Typed, Say], Awaitable[None]]


@dataclass(slots=True)
class Session:
    """One shell. Not for two lines at once: who serves several callers queues them.

    Args:
        clock: seconds since 1970, for what is shown; steady: for differences, and set by nobody.
    """

    access: Access
    book: ContextBook
    folder: Folder
    handlers: dict[str, Handler]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    limits: Limits = field(default_factory=Limits)
    columns: int = 160
    number: int = 0
    """Commands executed so far: what the prompt shows."""
    exit_on_failure: bool = False
    leaving: bool = False
    terminated: bool = False
    """The process was asked to end (SIGTERM)."""
    viewer: bool = False
    """Its caller may only look: what sites give to operators alone is not fetched for it."""
    plain_secrets: bool = False
    """Let a task file's Username and Password pass with a warning: for files of the original's."""
    created: dict[str, Digest] = field(default_factory=dict)
    """Tasks that this shell created and has not finalized, by name."""
    assigned: dict[Digest, Digest] = field(default_factory=dict)
    """What this shell assigned last, by runner: what its WAIT follows."""
    given: dict[Digest, Given] = field(default_factory=dict)
    """The same with what was signed, by runner: to give it again."""
    known: dict[Kind, list[str]] = field(default_factory=dict)
    """Names seen lately, for completion."""
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while what runs only looks or waits: nothing is left half done when it is interrupted."""
    steady: Callable[[], float] = time.monotonic
    _work: asyncio.Future[None] | None = None
    _interrupted: bool = False

    @property
    def prompt(self) -> str:
        return f"SWCI:{self.number} > "

    async def run(self, line: str, write: Callable[[str], object], *, bare: bool = False) -> Outcome:
        """Execute one line; never raises because of what stands in it.

        Args:
            bare: without the prompt before lines that stand on it, and without indents: for programs.
        """
        found = parse(line)
        if isinstance(found, Nothing):
            return Outcome()
        say = Say(write, "", "") if bare else Say(write, self.prompt)
        try:
            if isinstance(found, Refusal):
                say.error(found.told)
                code = EXIT_REFUSED
            else:
                code = await self._act(found, say)
        finally:
            self.number += 1
        return Outcome(code, self.leaving or (code != 0 and self.exit_on_failure))

    def interrupt(self) -> bool:
        """End the command that runs; False if none does."""
        if self._work is None or self._work.done():
            return False
        self._interrupted = True
        self._work.cancel()
        return True

    def terminate(self) -> bool:
        """Let the command that runs be the last one, and end it; False if none runs."""
        self.leaving = self.terminated = True
        return self.interrupt()

    async def member(self, name: str = "") -> Member:
        """This SWCI in the swarm of a context, by default of the one in use."""
        context = self.book.get(name)
        return await self.access.member(context, self.book.pin(context.name))

    def learn(self, kind: Kind, names: Iterable[str]) -> None:
        """What exists of a kind, for completion; a list on chain may be long, and a server has many shells."""
        self.known[kind] = list(itertools.islice(names, KNOWN_MAX))

    def forget(self) -> None:
        """Another swarm is meant from now on: nothing that this shell did belongs to it."""
        for kept in (self.known, self.created, self.assigned, self.given):
            kept.clear()

    def names(self, kind: Kind) -> Iterable[str]:
        """What exists of a kind, as far as it is known without asking anybody."""
        if kind is Kind.CONTEXT:
            return self.book.names
        if kind in (Kind.FILE, Kind.FOLDER):
            return self.folder.names()
        return self.known.get(kind, [])

    async def _act(self, typed: Typed, say: Say) -> int:
        """The exit code of one command."""
        self._interrupted = False
        self.looking.clear()
        if not typed.command.changes:
            self.looking.set()
        self._work = asyncio.ensure_future(self._handled(typed, say))
        try:
            await asyncio.wait({self._work})
        except asyncio.CancelledError:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
            raise
        work, self._work = self._work, None
        if work.cancelled():
            say.error(f"{typed.command.name} was interrupted")
            return EXIT_INTERRUPTED
        error = work.exception()
        if error is None:
            return 0
        if isinstance(error, SwarmFault):
            say.error(told(error))
            return error.exit_code
        log.error("%s failed", typed.command.name, exc_info=error)
        say.error(f"{typed.command.name} failed by a fault of SWCI itself: {type(error).__name__}: {error}")
        if os.environ.get("SWARM_DEBUG"):
            raise error
        return 1

    async def _handled(self, typed: Typed, say: Say) -> None:
        await self.handlers[typed.command.name](self, typed, say)
