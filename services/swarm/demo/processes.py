"""The demo's processes: started in sessions of their own, watched, and none left behind.

Owns starting and stopping; which processes there are is ``plan``'s, what they do together ``runner``'s.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from swarm.chain.parent import ends_with
from swarm.core.errors import SwarmFault

from .plan import Command

STOP_SECONDS = 15.0
"""From SIGTERM to SIGKILL; a geth needs some seconds to write its state."""
LOG_LINES_SHOWN = 15
LOG_BYTES_READ = 16 * 1024
COMMAND_CHARS_SHOWN = 80


class DemoFailed(SwarmFault):
    """The demo did not succeed; the text names the process at fault.

    Attributes:
        detail: lines that explain it: the end of a log, or what each site waits for.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Running:
    """A started process."""

    command: Command
    process: Process
    endless: bool
    """It must not end by itself."""

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode

    def failure(self) -> DemoFailed:
        """What to say when it ended as it must not."""
        code = self.exit_code
        how = (
            f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"
        )
        return DemoFailed(f"{self.command.name} {how}; its log is {self.command.log}", last_lines(self.command.log))


class Processes:
    """All processes of one demo; leaving the block ends every one of them, last started first."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Shielded: a second Ctrl-C must not leave processes behind.
        stopping = asyncio.ensure_future(self._stop_all())
        while not stopping.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(stopping)

    async def start(self, command: Command, *, endless: bool = False) -> Running:
        """Start a process; its output goes to the command's log, Ctrl-C does not reach it directly,
        and a demo that is killed takes it along."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                cwd=command.cwd,
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=ends_with(os.getpid()),
            )
        running = Running(command, process, endless)
        self._running.append(running)
        return running

    async def finish(self, command: Command, *, seconds_max: float) -> None:
        """Run a process to its end.

        Raises:
            DemoFailed: it did not end with 0, or not in time.
        """
        running = await self.start(command)
        try:
            async with asyncio.timeout(seconds_max):
                await running.process.wait()
        except TimeoutError:
            raise DemoFailed(
                f"{command.name} is not done after {seconds_max:.0f} s; its log is {command.log}",
                last_lines(command.log),
            ) from None
        if running.exit_code != 0:
            raise running.failure()

    def check(self) -> None:
        """Look whether all is well.

        Raises:
            DemoFailed: a process ended with a code other than 0, or an endless one ended at all; all are named.
        """
        ended = [running for running in self._running if running.exit_code is not None]
        bad = [running for running in ended if running.exit_code != 0 or running.endless]
        if bad:
            failures = [(running, running.failure()) for running in bad]
            raise DemoFailed(
                "; ".join(str(failure) for _, failure in failures),
                "\n".join(f"the end of {one.command.name}'s log:\n{failure.detail}" for one, failure in failures),
            )

    async def _stop_all(self) -> None:
        for running in reversed(self._running):
            if running.exit_code is None:
                with suppress(ProcessLookupError):
                    running.process.terminate()
        waits = [asyncio.ensure_future(running.process.wait()) for running in self._running]
        if waits:
            await asyncio.wait(waits, timeout=STOP_SECONDS)
        for running in self._running:
            # The whole session, so that a child of a process that died by a signal goes too.
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
        for wait in waits:
            await wait


def last_lines(path: Path, count: int = LOG_LINES_SHOWN) -> str:
    """The end of a log, indented; a sentence if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES_READ))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"  (no log: {error})"
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (it wrote nothing)"


def left_of(out: Path) -> dict[int, str]:
    """Processes of an earlier demo in this folder that still run, with the beginnings of their command lines.

    Each process of a demo leads a session of its own and names the folder in its command line or its environment;
    a shell that stands in the folder or reads a log in it does not. Empty where there is no /proc.
    """
    name = os.fsencode(os.path.abspath(out)) + b"/"
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(entry.name)
            command = (entry / "cmdline").read_bytes()
            if os.getsid(pid) == pid and (name in command or name in (entry / "environ").read_bytes()):
                found[pid] = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:COMMAND_CHARS_SHOWN]
        except OSError:
            continue  # ended meanwhile, or another user's
    return found
