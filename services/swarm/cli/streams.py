"""stdout and stderr while a command runs: what cannot be written there is noticed, whoever wrote it and at which layer.

Owns how a command ends when nobody can be told; what is said is :mod:`.output`'s.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from .output import EXIT_UNSAID

ERRORS = "backslashreplace"
"""What an encoding lacks is shown by its number: what was done is done, and a trace would hide it."""


class Unsaid(BaseException):
    """stdout takes nothing any more. No Exception: what handles a fault of a file must not take it for one."""


class _Raw(io.FileIO):
    """A descriptor, and how writing to it failed. Args: must: it has to succeed; closed: it cannot."""

    def __init__(self, place: int | str, *, must: bool, closed: bool = False) -> None:
        super().__init__(place, "wb", closefd=isinstance(place, str))
        self.lost: OSError | None = None
        self.over = False
        self._must, self._closed = must, closed

    def write(self, data: Any, /) -> int:
        if self.over:  # what is left in a buffer is let go
            return len(data)
        try:
            if self._closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.lost = error
            if self._must:
                raise Unsaid from error
            return len(data)


def spoken(act: Callable[[], Any]) -> Any:
    """What ``act`` comes to, said to the last byte; EXIT_UNSAID if stdout could not be written.

    That stderr cannot be written changes nothing: the code says it too.
    """
    kept = sys.stdout, sys.stderr
    sys.stdout, out = _over(sys.stdout, must=True)
    sys.stderr, err = _over(sys.stderr, must=False)
    code: Any = None
    try:
        try:
            code = act()
        finally:
            sys.stdout.flush()
    except BaseException:
        if out is None or out.lost is None:
            raise
    finally:
        if out is not None and out.lost is not None and out.lost.errno != errno.EPIPE:
            sys.stderr.write(f"swarm: stdout cannot be written: {out.lost.strerror}\n")
        sys.stderr.flush()
        for raw in (out, err):
            if raw is not None:
                raw.over = raw.lost is not None
        sys.stdout, sys.stderr = kept
    return code if out is None or out.lost is None else EXIT_UNSAID


def _over(stream: TextIO | None, *, must: bool) -> tuple[TextIO, _Raw | None]:
    """The same stream over a descriptor that notices; one that has none as it is."""
    if stream is None:  # the process was started without it, and its number may be another file's by now
        raw = _Raw(os.devnull, must=must, closed=True)
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", ERRORS, write_through=True), raw
    try:
        stream.flush()
        raw = _Raw(stream.fileno(), must=must)
    except (OSError, ValueError):  # a text in memory
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
        return stream, None
    at_once = bool(getattr(stream, "write_through", False))
    below: Any = raw if at_once else io.BufferedWriter(raw)
    by_line = bool(getattr(stream, "line_buffering", False))
    made = io.TextIOWrapper(below, stream.encoding, ERRORS, "\n", line_buffering=by_line, write_through=at_once)
    return made, raw
