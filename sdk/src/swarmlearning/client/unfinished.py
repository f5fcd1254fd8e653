"""A program that ends, or begins anew, without having ended its swarm training.

Owns which callback of this process has a session open, what is done about it when the process ends or another callback
opens one, and the exit code then. What is said and written is the callback's.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

EXIT_CODE = 1
"""Of a strict program that ended without a word, and of one that an exception ended."""


class Watch:
    """Watches over the callbacks of this process whose session is open: at most one a pair of pipes."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, Path], Any] = {}
        self._process = 0

    def begins(self, callback: Any, pipes: tuple[Path, Path]) -> None:
        """A callback is about to open its session: an earlier one of this process lets go of these pipes."""
        if self._process != os.getpid():  # a forked child's end is not its parent's
            self._process = os.getpid()
            self._open.clear()
            atexit.register(self._program_ends)
        earlier = self._open.pop(pipes, None)
        if earlier is not None:
            earlier.logger.warning(
                "A new swarm callback takes the place of this program's earlier one, whose training had not ended."
            )
            earlier._let_go()
        self._open[pipes] = callback

    def ended(self, callback: Any) -> None:
        """Its training has ended, well or not: nothing is to be said at the end of the process."""
        for pipes in [pipes for pipes, known in self._open.items() if known is callback]:
            del self._open[pipes]

    def _program_ends(self) -> None:
        if os.getpid() != self._process:
            return
        kind = getattr(sys, "last_type", None)
        callbacks = list(self._open.values())
        self._open.clear()
        strict = [callback._ended_early(kind.__name__ if kind is not None else "") for callback in callbacks]
        if any(strict):
            _leave_with(EXIT_CODE)


def _leave_with(code: int) -> None:
    """End the process with this exit code, which nothing else can set any more; others' handlers run first."""
    atexit.unregister(WATCH._program_ends)
    with contextlib.suppress(Exception):  # as at any end: they print their own
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


WATCH = Watch()
