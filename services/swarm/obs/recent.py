"""The last log lines of this process, in memory, for those whom the site lets read them.

Owns bounds and form: a line is what the log shows, its secrets struck out (:mod:`.log`), and has no control characters.
Who may read is the node's affair.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import log as obs_log

LINES_MAX = 500
BYTES_MAX = 128 * 1024
"""Of all lines that are kept, and so of an answer."""
LINE_BYTES_MAX = 4 * 1024


class Recent(logging.Handler):
    """Keeps the newest lines of whatever is logged; the oldest give way."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(obs_log.formatter(human=True))
        self._lines: deque[bytes] = deque()
        self._bytes = self._gone = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        for line in text.splitlines()[-LINES_MAX:]:
            self._keep(obs_log.one_line(line).encode("utf-8", "replace")[:LINE_BYTES_MAX])

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        while len(self._lines) > LINES_MAX or self._bytes > BYTES_MAX:
            self._bytes -= len(self._lines.popleft())
            self._gone += 1

    def told(self) -> dict[str, Any]:
        """The lines, oldest first, and how many were before them."""
        self.acquire()
        try:
            lines, gone = list(self._lines), self._gone
        finally:
            self.release()
        return {"lines": [line.decode("utf-8", "replace") for line in lines], "gone": gone}


@contextmanager
def kept(on: bool) -> Iterator[Recent | None]:
    """Keep lines while the block runs, if the site wants that; None if not."""
    if not on:
        yield None
        return
    recent, root = Recent(), logging.getLogger()
    root.addHandler(recent)
    try:
        yield recent
    finally:
        root.removeHandler(recent)
