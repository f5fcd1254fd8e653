"""Both ends of the SL's named pipes: making, opening in the right order, reading and writing without blocking.

Owns file descriptors; knows frames only as bytes. The SL opens the response pipe for writing first, then the
request pipe for reading (row F02), by asking until a reader is there: the event loop never blocks in ``open``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import stat
import sys
import termios
from collections.abc import Iterable
from pathlib import Path

from swarm.core.errors import OperatorFault

from .shared import ANYBODY, PASSABLE, make_folder

OPEN_POLL_SECONDS = 0.05
BUFFER_BYTES_MAX = 256 * 1024
"""Bytes taken from the pipe before anyone asked for them."""
READ_BYTES = 64 * 1024


class ProgramGone(Exception):
    """The program closed its end of the pipes: it finished or died."""


def make_pipe(path: Path) -> None:
    """Make a named pipe with mode 0777 (the program may run as another user), or keep the one there.

    Raises:
        OperatorFault: it cannot be made, or something else has that name.
    """
    try:
        make_folder(path.parent, PASSABLE)
        if not os.path.lexists(path):
            # Renamed when it is open to all: a program that waits for the name must not meet a pipe it may not use.
            made = path.with_name(f".{path.name}.{os.getpid()}.part")
            made.unlink(missing_ok=True)
            os.mkfifo(made)
            made.chmod(ANYBODY)
            made.rename(path)
        if not stat.S_ISFIFO(path.lstat().st_mode):
            raise OperatorFault(f"{path} exists and is not a named pipe; delete it or choose another channel")
        with contextlib.suppress(PermissionError):  # another user made it: its mode was that user's choice
            path.chmod(ANYBODY)
    except OSError as fault:
        raise OperatorFault(f"the named pipe {path} cannot be made: {fault.strerror or fault}") from fault


class Link:
    """An open pair of pipes. ``gone`` is set as soon as the program has closed one of its ends.

    What it sent before can still be read. ``told`` is the conversation's note: an error was the last thing written.
    """

    def __init__(self, read_end: int, write_end: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_end, self._write_end = read_end, write_end
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self.gone = asyncio.Event()
        self.told = False
        self._reading = False
        self._resume()
        # A pipe's writing end becomes "readable" when its last reader closes.
        self._loop.add_reader(write_end, self._on_unread)

    @classmethod
    async def open(cls, request: Path, response: Path, last: Link | None = None) -> Link:
        """Wait for a program that opened the response pipe, however long, and open both.

        Args:
            last: the last program's, at rest; the caller closes it afterwards. While it is open, a program that comes
                sees no end of a pipe, at whatever moment.
        """
        while (link := cls._try_open(request, response)) is None:
            if last is not None:
                last._drop_unheard(response)
            await asyncio.sleep(OPEN_POLL_SECONDS)
        return link

    @classmethod
    def _try_open(cls, request: Path, response: Path) -> Link | None:
        """Open both if a program has the response pipe open, else None."""
        try:
            write_end = os.open(response, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as fault:
            if fault.errno == errno.ENXIO:
                return None
            raise OperatorFault(f"{response} cannot be opened: {fault.strerror or fault}") from fault
        try:
            return cls(os.open(request, os.O_RDONLY | os.O_NONBLOCK), write_end)
        except OSError as fault:
            os.close(write_end)
            raise OperatorFault(f"{request} cannot be opened: {fault.strerror or fault}") from fault

    def _resume(self) -> None:
        if not self._reading and not self.gone.is_set():
            self._loop.add_reader(self._read_end, self._on_readable)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._read_end)
            self._reading = False

    def _on_readable(self) -> None:
        try:
            piece = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return
        if not piece:
            self._pause()
            self.gone.set()
        self._buffer += piece
        if len(self._buffer) >= BUFFER_BYTES_MAX:
            self._pause()
        self._arrived.set()

    def _on_unread(self) -> None:
        # What stands in the request pipe while nobody reads the response pipe is the old program's; a new one
        # opens the response pipe before it writes, so its words are left to the next link.
        left = int.from_bytes(fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4)), sys.byteorder)
        watch = select.poll()
        watch.register(self._write_end, 0)
        if not watch.poll(0):
            return
        self._loop.remove_reader(self._write_end)
        self._pause()
        while left > 0 and (piece := os.read(self._read_end, left)):
            self._buffer += piece
            left -= len(piece)
        self.gone.set()
        self._arrived.set()

    async def read_some(self, count: int) -> bytes:
        """One to ``count`` bytes. Raises ProgramGone at the end of the pipe. Cancelling loses nothing."""
        while not self._buffer:
            if self.gone.is_set():
                raise ProgramGone
            self._arrived.clear()
            await self._arrived.wait()
        return self.take(count)

    async def read_exactly(self, count: int) -> bytes:
        """Exactly ``count`` bytes, with ``count`` already bounded by the caller. Raises ProgramGone."""
        data = bytearray()
        while len(data) < count:
            data += await self.read_some(count - len(data))
        return bytes(data)

    async def skip_to(self, mark: bytes) -> None:
        """Throw away what comes until ``mark`` is next. Raises ProgramGone if the program goes before.

        Cancelled, it leaves nothing unread but what may be the beginning of ``mark``: a remnant of something else
        would stand before the first words of whoever comes next.
        """
        while (at := self._buffer.find(mark)) < 0:
            begun = (n for n in range(min(len(mark) - 1, len(self._buffer)), 0, -1) if self._buffer.endswith(mark[:n]))
            del self._buffer[: len(self._buffer) - next(begun, 0)]
            if self.gone.is_set():
                raise ProgramGone
            self._resume()
            self._arrived.clear()
            await self._arrived.wait()
        del self._buffer[:at]

    @property
    def unread(self) -> bool:
        """Whether the program has sent something that nobody has read yet."""
        return bool(self._buffer)

    @property
    def unheard(self) -> bool:
        """Whether something that was written to the program still waits for it."""
        return bool(int.from_bytes(fcntl.ioctl(self._write_end, termios.FIONREAD, bytes(4)), sys.byteorder))

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes of what has arrived, which stay unread."""
        return bytes(self._buffer[:count])

    def take(self, count: int) -> bytes:
        """Exactly ``count`` bytes that :meth:`peek` has shown."""
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._resume()
        return piece

    async def change(self) -> None:
        """Until the program sends something more, or goes."""
        self._arrived.clear()
        await self._arrived.wait()

    async def write(self, parts: Iterable[bytes | memoryview]) -> None:
        """Write all parts in order. Raises ProgramGone if the program closed its reading end."""
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                try:
                    rest = rest[os.write(self._write_end, rest) :]
                except BlockingIOError:
                    await self._writable()
                except BrokenPipeError:
                    raise ProgramGone from None

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_writer(self._write_end, wake)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._write_end)

    def rest(self) -> None:
        """Listen no more, and stay open, so that the pipes do not end before the next link is there."""
        self._pause()
        self._loop.remove_reader(self._write_end)
        self.gone.set()
        self._arrived.set()

    def _drop_unheard(self, response: Path) -> None:
        """Take out what the last program left unread, now that nobody has the pipe open; the next would read it."""
        if not self.unheard:
            return
        try:
            reader = os.open(response, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as fault:
            raise OperatorFault(f"{response} cannot be opened: {fault.strerror or fault}") from fault
        try:
            with contextlib.suppress(BlockingIOError):  # empty
                while os.read(reader, READ_BYTES):
                    pass
        finally:
            os.close(reader)

    def close(self) -> None:
        self.rest()
        os.close(self._read_end)  # first: who comes in between finds nobody listening, instead of a pipe without an end
        os.close(self._write_end)
