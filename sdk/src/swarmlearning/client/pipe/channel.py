"""The ML program's ends of the two named pipes: finding, opening and using them, never for ever.

Owns file descriptors, waiting and its log lines; what the messages mean is up to ``session``. The SL opens
its ends in the order that lets programs with blocking opens through (F02); here nothing blocks in open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import stat
import time
from pathlib import Path
from typing import Any, Callable, Optional

from .frames import HEADER_BYTES, FrameError, decode_body, decode_header, frame
from .messages import MessageType

__all__ = ["Channel", "ChannelError", "SlAbsent", "SlLost"]

POLL_SECONDS = 0.05
PROGRESS_SECONDS = 10.0
REMINDER_SECONDS = 60.0
STALE_BYTES = 64 * 1024
ALONE_SECONDS = 5.0
"""How long a program that ends may take until the next one gets its pipes."""


class ChannelError(RuntimeError):
    """The pipe to the SL cannot be used; the text says whose fault it is and what to do."""


class SlLost(ChannelError):
    """The SL went away; it may come back, and then a session can be opened anew."""


class SlAbsent(ChannelError):
    """No SL was there in time."""


class Channel:
    """Both pipes, open. ``receive`` waits for the SL as long as it lives: rounds may take hours.

    Args:
        request: pipe that the program writes.
        response: pipe that the program reads.
        wait_seconds: bound on the wait for the SL to appear.

    Raises:
        SlAbsent: the pipes are not there, or nobody listens, in time.
        ChannelError: they are not pipes, or another program uses them.
    """

    def __init__(
        self,
        request: Path,
        response: Path,
        *,
        wait_seconds: float,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._logger, self._clock, self._sleep = logger, clock, sleep
        self._read = self._write = -1
        self.note = ""
        """Whom the swarm waits for, as the SL said; the reminder of a wait repeats it."""
        started = clock()
        self._deadline, self._started, self._next_note = (
            started + wait_seconds,
            started,
            started + PROGRESS_SECONDS,
        )
        try:
            for path, variable in ((request, "SL_REQUEST_CHANNEL"), (response, "SL_RESPONSE_CHANNEL")):
                while not self._is_there(path, variable):
                    self._pause(f"for the SL to create {path}", f"Start the SL, or correct {variable}.")
            self._read = os.open(response, os.O_RDONLY | os.O_NONBLOCK)
            self._be_the_only_one(response)
            while self._write < 0:
                self._write = self._try_write(request)
            self._forget_stale()
        except BaseException:
            self.close()
            raise

    def _is_there(self, path: Path, variable: str) -> bool:
        """Whether this user may use the pipe; an SL that makes pipe and folders opens them to others a moment later."""
        try:
            mode = path.stat().st_mode
            if not stat.S_ISFIFO(mode):
                raise ChannelError(f"{path} ({variable}) is not a named pipe: delete it and restart the SL.")
            ours = os.access(path, os.R_OK | os.W_OK)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError:
            ours = False
        if ours:
            return True
        if self._clock() >= self._started + ALONE_SECONDS:
            raise ChannelError(
                f"{path} ({variable}) cannot be opened by user id {os.geteuid()}. Run SL and program as one user, or"
                " let this user pass through the folders above it (chmod o+x) and use the pipes (chmod o+rw)."
            )
        self._sleep(POLL_SECONDS)
        return False

    def _be_the_only_one(self, response: Path) -> None:
        """Two readers of one pipe would each get half of every answer; the lock ends with its process."""
        until = self._clock() + ALONE_SECONDS
        while True:
            try:
                fcntl.flock(self._read, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self._clock() >= until:
                    raise ChannelError(
                        f"another program uses {response} already, and an SL serves one at a time: stop that one,"
                        " or give this one an SL and pipes of its own."
                    ) from None
            except OSError as fault:  # ENOLCK, ENOTSUP: some network and user-space file systems
                self._logger.warning(
                    "The file system of %s cannot lock (%s): see to it yourself that no second program uses this SL.",
                    response,
                    fault.strerror,
                )
                return
            self._sleep(POLL_SECONDS)

    def _forget_stale(self) -> None:
        """What stands in the pipe was said to an earlier session: forked children can keep a pipe alive."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, STALE_BYTES):
                pass

    def _try_write(self, request: Path) -> int:
        try:
            return os.open(request, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as fault:
            if fault.errno != errno.ENXIO:
                raise ChannelError(f"{request} cannot be opened for writing: {fault}") from fault
        self._pause("for the SL to open the pipes", "The pipes are there but no SL listens: start the SL.")
        return -1

    def _pause(self, what: str, fix: str) -> None:
        now = self._clock()
        if now >= self._deadline:
            raise SlAbsent(
                f"waited {now - self._started:.0f} s {what}, in vain. {fix}"
                " SWARM_CHANNEL_WAIT_SECONDS sets how long to wait."
            )
        if now >= self._next_note:
            self._next_note = now + PROGRESS_SECONDS
            self._logger.info(
                "Waiting %s: %.0f s so far, giving up after %.0f s",
                what,
                now - self._started,
                self._deadline - self._started,
            )
        self._sleep(POLL_SECONDS)

    @property
    def stirred(self) -> bool:
        """Whether something can be read now: a message, or the end of the pipe. None is due between requests."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        return bool(poll.poll(0))

    def _unheard(self) -> bool:
        """Whether nobody has the request pipe open for reading any more."""
        poll = select.poll()
        poll.register(self._write, 0)
        return bool(poll.poll(0))

    def try_send(self, kind: MessageType, message: Any) -> bool:
        """Write a small message at once, or not at all: False if the pipe is full.

        Raises:
            SlLost: the SL has gone.
        """
        whole = b"".join(frame(kind, message))
        if len(whole) > select.PIPE_BUF:
            raise ChannelError(f"a message of {len(whole)} bytes cannot be written at once")
        try:
            os.write(self._write, whole)
        except BlockingIOError:
            return False
        except BrokenPipeError as fault:
            raise SlLost("the SL closed the pipe: it stopped or crashed; its log says why") from fault
        return True

    def send(self, kind: MessageType, message: Any) -> None:
        """Write header, then body.

        Raises:
            SlLost: the SL has gone.
        """
        whole = b"".join(frame(kind, message))
        for part in [whole] if len(whole) <= select.PIPE_BUF else frame(kind, message):  # no half of a small one
            rest = memoryview(part)
            while rest:
                try:
                    rest = rest[os.write(self._write, rest) :]
                except BlockingIOError:
                    select.select([], [self._write], [])
                except BrokenPipeError as fault:
                    raise SlLost("the SL closed the pipe: it stopped or crashed; its log says why") from fault

    def receive(
        self, waiting: str, *, seconds: Optional[float] = None, each: Optional[Callable[[], object]] = None
    ) -> tuple[MessageType, Any]:
        """The next message; ``waiting`` says what for, in a reminder each minute.

        Args:
            seconds: give up after this long; None waits as long as the SL lives.
            each: called with each reminder.

        Raises:
            SlLost: the SL closed the pipe, or did not answer in ``seconds``.
            ChannelError: it sent what is no message.
        """
        until = None if seconds is None else self._clock() + seconds
        try:
            header = decode_header(self._exactly(HEADER_BYTES, waiting, until, each))
            return header.type, decode_body(header.type, self._exactly(header.size, waiting, until, each))
        except FrameError as fault:
            raise ChannelError(f"the SL sent an unreadable message: {fault}") from fault

    def _exactly(self, count: int, waiting: str, until: Optional[float], each: Optional[Callable[[], object]]) -> bytes:
        data = bytearray()
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.register(self._write, 0)  # an SL that ends before it has the other pipe open shows its end only here
        started = self._clock()
        while len(data) < count:
            patience = REMINDER_SECONDS if until is None else min(REMINDER_SECONDS, until - self._clock())
            if patience <= 0:
                raise SlLost(f"the SL gave no answer within {self._clock() - started:.0f} s")
            if not poll.poll(patience * 1000):
                if until is None:
                    self._logger.info(
                        "Still waiting %s: %.0f s so far%s",
                        *(waiting, self._clock() - started, f"; {self.note}" if self.note else ""),
                    )
                    if each is not None:
                        each()
                continue
            try:
                piece = os.read(self._read, count - len(data))
            except BlockingIOError:
                if not self._unheard():
                    continue
                piece = b""
            if not piece:
                raise SlLost(
                    f"the SL closed the pipe while this program waited {waiting}: it stopped or crashed;"
                    " its log says why"
                )
            data += piece
        return bytes(data)

    def close(self) -> None:
        """Close both ends; safe to repeat. The lock goes at once, also if a forked child holds the pipe."""
        if self._read >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(self._read, fcntl.LOCK_UN)
        for descriptor in (self._write, self._read):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = -1
