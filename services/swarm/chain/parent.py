"""A child process that does not outlive its parent: asked of the kernel before the child becomes its program.

Owns that request; who starts and stops which process is the callers'.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def ends_with(parent: int) -> Callable[[], None] | None:
    """For ``preexec_fn``: SIGTERM when the parent dies, so that kill -9 of it leaves no child; None where none can.

    The kernel sends it when the thread that started the child ends: the event loop's, which is the process's first.
    """
    libc = _LIBC
    if libc is None:
        return None

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask
