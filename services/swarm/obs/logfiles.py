"""Log lines in files of a folder that the user names (LOGS_DIR), beside what goes to standard error.

Owns names and bounds: each process has a file that no other one writes, and a full one gives way to the next.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from . import log as obs_log

FILE_BYTES_MAX = 10 * 1024 * 1024
"""Of one file; the one before it stays."""
PROCESSES_MAX = 64
"""Nodes of one kind that write to one folder."""


def keep(folder: Path, node: str) -> Path:
    """Write all further lines also into ``<node>.log``, or ``<node>-2.log`` if another process has that one.

    Raises:
        OSError: the folder cannot be made or written, or it has files of PROCESSES_MAX processes that live.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, PROCESSES_MAX + 1):
        path = folder / (f"{node}.log" if number == 1 else f"{node}-{number}.log")
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        handler = _Bounded(path, lock)
        handler.setFormatter(obs_log.formatter(human=True))
        logging.getLogger().addHandler(handler)
        return path
    raise OSError(errno.EBUSY, f"{PROCESSES_MAX} processes write there")


class _Bounded(RotatingFileHandler):
    """Its files are their user's alone. Args: lock: held as long as this process lives."""

    def __init__(self, path: Path, lock: int) -> None:
        self._lock = lock
        super().__init__(path, maxBytes=FILE_BYTES_MAX, backupCount=1, encoding="utf-8", errors="replace")

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding=self.encoding, errors=self.errors)

    def close(self) -> None:
        super().close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
