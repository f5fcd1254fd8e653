"""The last reference to a file that another process replaces: let go in a thread, not in the training loop.

Owns one descriptor and the thread that closes it; who maps the file, and when the mapping goes, is the callback's.

The SL replaces the merged file at each merge, so that the mapping of the one before is all that keeps it. Were the
mapping the last reference, ``munmap`` would have the kernel free the file's blocks on disk there and then (on a
file system mounted with ``discard``, wait for the disk to take note), and Python unmaps with its lock held.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Optional

__all__ = ["LastReference"]


class LastReference:
    """Keeps at most one file open. Not for use from several threads."""

    def __init__(self) -> None:
        self._descriptor: Optional[int] = None

    def move_to(self, path: Optional[Path]) -> None:
        """Hold the file at ``path``, or none; the one before is closed in a thread, which is not waited for.

        Call it when the mapping of the one before is gone. A file that cannot be opened is not held: it costs time
        when its mapping goes, nothing else.
        """
        before, self._descriptor = self._descriptor, None if path is None else _opened(path)
        if before is None:
            return
        try:
            threading.Thread(target=os.close, args=(before,), name="swarm-file-close", daemon=True).start()
        except RuntimeError:  # no thread can be had, as when the interpreter ends
            os.close(before)


def _opened(path: Path) -> Optional[int]:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None
