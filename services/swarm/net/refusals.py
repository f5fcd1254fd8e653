"""The one bound on log lines that a stranger can cause at a port; what is said is the caller's affair."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

REFUSALS_LOGGED_PER_SECOND = 5


class Refusals:
    """Warnings about one port's callers, a few a second: a port scan must not fill the disk.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._second = 0
        self._count = 0
        self._unsaid = 0

    def refused(self, address: Any, why: str) -> None:
        """A warning with the caller's address; lines above the bound are counted in the next one."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > REFUSALS_LOGGED_PER_SECOND:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more that were not logged)" if self._unsaid else ""
        self._unsaid = 0
        host, port = (address[0], address[1]) if isinstance(address, tuple) and len(address) > 1 else (address, "?")
        self._log.warning("refused %s:%s: %s%s", host, port, why, more)
