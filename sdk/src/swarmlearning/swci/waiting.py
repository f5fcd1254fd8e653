"""Waiting for a task runner, with a bar: a line that is written again on a terminal, a line for each change elsewhere.

Owns the waiting and what is shown of it; the clock and the client come in as arguments.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Callable, List, Optional

from .answers import Answer
from .errors import SwciError

if TYPE_CHECKING:
    from .client import Swci

BAR_CHARS = 24
PEERS_LOOKED_AT_MAX = 250


def wait(
    client: "Swci",
    runner: str,
    timeout: Optional[float],
    poll: float,
    progress: bool,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Answer:
    """As :meth:`Swci.wait_for_taskrunner`."""
    began, bar = clock(), Bar(progress)
    while True:
        status = client.getTaskRunnerStatus(runner)
        if not status:
            bar.close()
            raise SwciError(client.getErrors() or f"no answer about {runner}")
        state = (status.value("TASK_STATE") or "").split(" ")[0].rstrip(":,")
        took = clock() - began
        bar.show(f"{runner}: {state}", *_counts(status), took)
        if state == "COMPLETE":
            bar.close()
            return status
        if state in ("ERROR", "IDLE"):
            bar.close()
            why = _failed(client, runner) if state == "ERROR" else ["nothing is assigned"]
            raise SwciError(f"{runner} is {state}: " + ("; ".join(why) or status.value("TASK_STATE") or state))
        if timeout is not None and took >= timeout:
            bar.close()
            raise SwciError(f"{runner} is {state} after {took:.0f} s, and no longer is waited for; it goes on")
        sleep(poll if timeout is None else min(poll, max(timeout - took, 0.0)))


def _counts(status: Answer) -> "tuple[int, int]":
    """Peers that are done, and all of them, as far as the status tells."""

    def number(key: str) -> int:
        first = (status.value(key) or "").split(" ")[0]
        return int(first) if first.isdigit() else 0

    done = number("COMPLETED") + number("FAILED")
    return done, done + number("ACTIVE")


def _failed(client: "Swci", runner: str) -> List[str]:
    """What each failed peer says, in its own words."""
    found: List[str] = []
    for index in range(PEERS_LOOKED_AT_MAX):
        try:
            peer = client.getTaskRunnerPeerStatus(runner, index)
        except SwciError:  # a client that raises errors: there is no further peer
            break
        if not peer:
            break
        if any("FAILED" in line or "ERROR" in line for line in peer):
            found.append(", ".join(line for line in peer if line))
    return found


class Bar:
    """One line that shows how far it is."""

    def __init__(self, on: bool) -> None:
        self._stream = sys.stderr if on else None
        self._written = ""
        self._terminal = on and sys.stderr is not None and sys.stderr.isatty()
        self._handle = _notebook() if on and not self._terminal else None

    def show(self, title: str, done: int, of: int, seconds: float) -> None:
        if self._stream is None:
            return
        full = BAR_CHARS * done // of if of else 0
        text = f"{title} [{'#' * full}{'.' * (BAR_CHARS - full)}] {done} of {of or '?'} peers"
        if self._terminal:
            line = f"{text}, {seconds:.0f} s"
            self._stream.write("\r" + line.ljust(len(self._written)))
            self._written = line
            self._stream.flush()
        elif self._handle is not None:
            self._handle.update(f"{text}, {seconds:.0f} s")
        elif text != self._written:
            self._written = text
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        if self._stream is not None and self._terminal:
            self._stream.write("\n")
            self._stream.flush()


class _Cell:
    """A line in a notebook's cell that is shown anew in its place."""

    def __init__(self, display: Callable[..., object]) -> None:
        self._display = display
        self._shown: Optional[object] = None

    def update(self, text: str) -> None:
        value = {"text/plain": text}
        if self._shown is None:
            self._shown = self._display(value, raw=True, display_id=True)
        else:
            self._shown.update(value, raw=True)  # type: ignore[attr-defined]


def _notebook() -> Optional[_Cell]:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    if running is None or not hasattr(running, "kernel"):
        return None
    from IPython.display import display  # only where a notebook runs it is there

    return _Cell(display)
