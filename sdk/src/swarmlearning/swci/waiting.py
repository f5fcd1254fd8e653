"""Waiting for a task runner, with a bar: a line that is written again on a terminal, a line for each change elsewhere.

Owns the waiting and what is shown of it; the clock and the client come in as arguments.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Callable, List, Optional

from .answers import NO_SUCH_PEER, Answer, one_line
from .errors import SwciError

if TYPE_CHECKING:
    from .client import Swci

BAR_CHARS = 24
PEERS_LOOKED_AT_MAX = 250
PEER_TRIES = 3
"""Of one peer of a task that failed: an SN may be away in that moment."""
BUSY = ("ASSIGNED", "RUNNING")
HOW_IT_ENDED, FIELDS_BEHIND = 3, 3
"""Of a row of HISTORY: the fields before it, and those behind."""
FIRST_SECONDS = 60.0
"""How long the first answer is waited for: an address or a name may be wrong."""
AWAY_SECONDS = 6 * 3600.0
"""How long a later one is: the task goes on without us."""


class Looking:
    """Asks a runner's status, and knows which failures are an end.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, client: "Swci", runner: str, clock: Callable[[], float]) -> None:
        self._client, self._runner, self._clock = client, one_line("trName", runner), clock
        self._since, self._answered = clock(), False
        self.trouble = ""
        """Why the last look brought nothing."""

    def look(self) -> Optional[Answer]:
        """The status; None if there is none for now.

        Raises:
            SwciError: there will be none, or there was none for too long.
        """
        try:
            found = self._client._ask(f"get taskrunner status {self._runner}")
        except SwciError as fault:
            away = self._clock() - self._since
            most = AWAY_SECONDS if self._answered else FIRST_SECONDS
            if fault.lasting:
                raise
            if away >= most:
                raise SwciError(f"{self._runner} cannot be asked since {away:.0f} s: {fault}") from None
            self.trouble = str(fault)
            return None
        self._since, self._answered, self.trouble = self._clock(), True, ""
        return found


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
    began, bar, looking = clock(), Bar(progress), Looking(client, runner, clock)
    state, counts, began_busy = "not asked yet", (0, 0), False
    try:
        while True:
            status = looking.look()
            took = clock() - began
            if status is not None:
                state, counts = state_of(status), _counts(status)
            bar.show(f"{runner}: {state}", *counts, took, looking.trouble)
            if status is not None and state == "COMPLETE":
                return status
            if status is not None and state == "IDLE" and began_busy:
                ended = _last_end(client, runner)  # somebody has reset the runner between two looks
                if ended == "complete":
                    return status
                raise SwciError(f"{runner} was reset by somebody else; the last task there: {ended}")
            began_busy = began_busy or state in BUSY
            if status is not None and state in ("ERROR", "IDLE"):
                why = _failed(client, runner, lambda: sleep(poll)) if state == "ERROR" else ["nothing is assigned"]
                raise SwciError(f"{runner} is {state}: " + ("; ".join(why) or status.value("TASK_STATE") or state))
            if timeout is not None and took >= timeout:
                last = f" (no answer now: {looking.trouble})" if looking.trouble else ""
                raise SwciError(
                    f"{runner} is {state} after {took:.0f} s{last}, and no longer is waited for; it goes on"
                )
            sleep(poll if timeout is None else min(poll, max(timeout - took, 0.0)))
    finally:
        bar.close()


def state_of(status: Answer) -> str:
    """The word behind TASK_STATE; "" if there is none."""
    line = next((line for line in status if "TASK_STATE" in line and ":" in line), ":")
    return (line.split(":")[1].split() or [""])[0].rstrip(",")


def _counts(status: Answer) -> "tuple[int, int]":
    """Peers that are done, and all of them, as far as the status tells."""

    def number(key: str) -> int:
        first = (status.value(key) or "").split(" ")[0]
        return int(first) if first.isdigit() else 0

    done = number("COMPLETED") + number("FAILED")
    return done, done + number("ACTIVE")


def _last_end(client: "Swci", runner: str) -> str:
    """How the runner's last assignment ended, as HISTORY tells it."""
    rows = client._ask(f"history {runner}")[1:]
    how = rows[0].split(", ", HOW_IT_ENDED) if rows else []
    if len(how) <= HOW_IT_ENDED:
        return "not known"
    return ", ".join(how[HOW_IT_ENDED].split(", ")[:-FIELDS_BEHIND])  # the words themselves may hold a comma


def _failed(client: "Swci", runner: str, pause: Callable[[], None]) -> List[str]:
    """What each failed peer says, in its own words."""
    found: List[str] = []
    for index in range(PEERS_LOOKED_AT_MAX):
        peer = _peer(client, runner, index, pause)
        if not peer:
            break
        if any("FAILED" in line or "ERROR" in line for line in peer):
            found.append(", ".join(line for line in peer if line))
    return found


def _peer(client: "Swci", runner: str, index: int, pause: Callable[[], None]) -> Answer:
    """The status of one peer; no line if there is none of that number."""
    for left in range(PEER_TRIES, 0, -1):
        try:
            return client._ask(f"get taskrunner peer status {runner} {index}")
        except SwciError as fault:
            if fault.lasting or NO_SUCH_PEER in str(fault) or left == 1:
                break
        pause()
    return Answer()


class Bar:
    """One line that shows how far it is."""

    def __init__(self, on: bool) -> None:
        self._stream = sys.stderr if on else None
        self._written = ""
        self._terminal = on and sys.stderr is not None and sys.stderr.isatty()
        self._handle = _notebook() if on and not self._terminal else None

    def show(self, title: str, done: int, of: int, seconds: float, trouble: str = "") -> None:
        if self._stream is None:
            return
        full = BAR_CHARS * done // of if of else 0
        text = f"{title} [{'#' * full}{'.' * (BAR_CHARS - full)}] {done} of {of or '?'} peers"
        if trouble:
            text += f", no answer now: {trouble}; asking again"
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
