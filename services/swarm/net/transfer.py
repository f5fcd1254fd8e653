"""Fetching a blob from a peer: one blocking connection in a thread, each chunk verified before it is written.

A blocking ``readinto`` reader because httpx takes more than twice the CPU per byte. There are no socket
time-outs on bulk reads (they change the TLS read path); a watchdog shuts the socket instead, so no peer can hold
the thread. What has arrived stays in the store: the next call goes on at the first missing chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from swarm.core.blobid import BLOB_BYTES_MAX, CHUNK_BYTES, ChunkList, chunk_count
from swarm.core.errors import PeerFault
from swarm.core.ids import BlobId

from . import probe
from .faults import BadAnswer, Cut, TimedOut, TlsRefused, Unreachable, tls_error_in, tls_sentence
from .identity import Expect

READ_BYTES = 256 * 1024
WATCH_SECONDS = 0.25
CANCEL_SECONDS = 2.0
LIST_ITEM_BYTES = 70
"""JSON bytes of one hash in a chunk list, quotes and separator included."""
LIST_HEAD_BYTES = 1024
ERROR_BYTES_MAX = 4096


class PartialBlob(Protocol):
    """A blob on its way into a store."""

    @property
    def chunks(self) -> ChunkList: ...
    def missing(self) -> list[int]: ...
    def write_chunk(self, index: int, data: bytes | memoryview) -> None: ...
    def finish(self) -> Path: ...


class BlobSink(Protocol):
    """What fetching needs of a store."""

    def has(self, blob_id: BlobId) -> bool: ...
    def path(self, blob_id: BlobId) -> Path: ...
    def begin(self, blob_id: BlobId, chunks: ChunkList) -> PartialBlob: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """When a peer is too slow to wait for.

    Attributes:
        idle_seconds: nothing at all arrived for this long.
        rate_bytes_min: bytes per second, measured over each ``rate_seconds``; 0 allows any.
    """

    idle_seconds: float = 15.0
    rate_bytes_min: int = 16 * 1024
    rate_seconds: float = 30.0


class Cancelled(Unreachable):
    """The caller gave up the transfer; what has arrived is kept."""


def fetch_blob(
    host: str,
    port: int,
    ssl_context: ssl.SSLContext,
    expect: Expect,
    blob_id: BlobId,
    store: BlobSink,
    *,
    size_max: int,
    progress: Callable[[int], None] | None = None,
    cancel: threading.Event | None = None,
    pace: Pace | None = None,
) -> Path:
    """Bring a blob into the store, or finish bringing it; blocks.

    Args:
        size_max: bytes; a list that claims more is refused before anything is allocated for it.
        progress: called with the number of bytes that just arrived (at most 256 KiB a call), in this thread.
        cancel: set it from another thread to end the call within half a second (connecting: five).

    Raises:
        PeerFault: the peer is not who ``expect`` wants; its list is not this blob's or is above ``size_max``;
            a chunk does not match its hash (names the chunk).
        Refused, TimedOut, TlsRefused, Cut, Cancelled: the connection; what arrived is kept for the next call.
        BadAnswer: an error status (404: unknown there, or not for us), or no chunk list.
    """
    if store.has(blob_id):
        return store.path(blob_id)
    url = f"https://{host}:{port}/v1/blobs/{blob_id.hex()}"
    cancel = cancel or threading.Event()
    secured = probe.connect(host, port, ssl_context, expect)
    secured.settimeout(None)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = secured
    connection.auto_open = 0  # a second connection would not have been checked
    with _Watchdog(secured, cancel, pace or Pace()) as watchdog:
        try:
            call = _Call(connection, url, watchdog, progress)
            chunks = call.chunk_list(blob_id, size_max)
            with watchdog.own_work():  # verifying what an earlier call left
                partial = store.begin(blob_id, chunks)
            call.chunks(partial)
        except (OSError, http.client.HTTPException, EOFError) as error:
            raise _explain(error, url, watchdog, ssl_context) from error
        finally:
            connection.close()
    return partial.finish()


async def fetch(
    host: str,
    port: int,
    ssl_context: ssl.SSLContext,
    expect: Expect,
    blob_id: BlobId,
    store: BlobSink,
    *,
    size_max: int,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> Path:
    """:func:`fetch_blob` in a thread of its own (the shared pool is for short work).

    Cancelling shuts the connection; what has arrived is kept. ``progress`` is called in the thread.
    """
    cancel = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    running = asyncio.get_running_loop().run_in_executor(
        pool,
        lambda: fetch_blob(
            host,
            port,
            ssl_context,
            expect,
            blob_id,
            store,
            size_max=size_max,
            progress=progress,
            cancel=cancel,
            pace=pace,
        ),
    )
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancel.set()
        await asyncio.wait({running}, timeout=CANCEL_SECONDS)
        if running.done() and not running.cancelled():
            running.exception()  # seen: the caller asked for the end, however it came
        raise
    finally:
        pool.shutdown(wait=False)


class _Call:
    """The requests of one fetch over one connection."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        url: str,
        watchdog: _Watchdog,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._connection = connection
        self._url = url
        self._path = url[url.index("/v1/") :]
        self._watchdog = watchdog
        self._progress = progress

    def chunk_list(self, blob_id: BlobId, size_max: int) -> ChunkList:
        # The bound may be a peer's own claim: no list is longer than the largest blob's.
        size_max = min(size_max, BLOB_BYTES_MAX)
        body_max = LIST_HEAD_BYTES + LIST_ITEM_BYTES * chunk_count(size_max)
        answer = self._ask("/chunks", {})
        if answer.length is None or answer.length > body_max:
            raise PeerFault(
                f"{self._url}: its chunk list has {answer.length} bytes; "
                f"a blob of at most {size_max} bytes has a list of at most {body_max}"
            )
        data = answer.read()
        self._watchdog.moved(len(data))
        try:
            value = json.loads(data)
            size = value["size"]
            if not isinstance(size, int) or size > size_max:
                raise PeerFault(f"{self._url}: the peer claims {size!r:.40} bytes; at most {size_max} are accepted")
            hashes = tuple(bytes.fromhex(text) for text in value["hashes"])
            chunks = ChunkList(size, hashes, value["chunk_bytes"], value["algorithm"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PeerFault(f"{self._url}: what the peer sent is no chunk list: {error}") from error
        return chunks

    def chunks(self, partial: PartialBlob) -> None:
        """All missing chunks, one Range request for each row of neighbours."""
        # No larger than the blob: what a worker thread once used stays in its heap.
        buffer = memoryview(bytearray(min(CHUNK_BYTES, partial.chunks.size)))
        for first, last in _rows(partial.missing()):
            start, end = partial.chunks.span(first)[0], partial.chunks.span(last)[1]
            answer = self._ask("", {"Range": f"bytes={start}-{end - 1}"})
            if answer.status != 206 or answer.length != end - start:
                raise BadAnswer(
                    self._url,
                    answer.status,
                    "",
                    f"{answer.length} bytes for a range of {end - start}: no Range there",
                )
            for index in range(first, last + 1):
                low, high = partial.chunks.span(index)
                piece = buffer[: high - low]
                self._fill(answer, piece)
                partial.write_chunk(index, piece)

    def _fill(self, answer: http.client.HTTPResponse, piece: memoryview) -> None:
        filled = 0
        while filled < len(piece):
            count = answer.readinto(piece[filled : filled + READ_BYTES])
            if not count:
                raise EOFError("the peer ended the connection in the middle of a chunk")
            filled += count
            self._watchdog.moved(count)
            if self._progress is not None:
                self._progress(count)

    def _ask(self, below: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request("GET", self._path + below, headers=headers)
        answer = self._connection.getresponse()
        self._watchdog.moved(1)
        if answer.status not in (200, 206):
            text = answer.read(ERROR_BYTES_MAX)
            try:
                told = json.loads(text)["error"]
                raise BadAnswer(self._url, answer.status, str(told["code"])[:100], str(told["message"])[:500])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise BadAnswer(self._url, answer.status, "", text[:200].decode("utf-8", "replace")) from None
        return answer


class _Watchdog:
    """Shuts the socket when the caller cancels or the peer is too slow; the blocked reader then ends."""

    def __init__(self, sock: socket.socket, cancel: threading.Event, pace: Pace) -> None:
        self._sock = sock
        self._cancel = cancel
        self._pace = pace
        self._bytes = 0
        self._last = time.monotonic()
        self._over = threading.Event()
        self._own_work = False
        self.verdict: str | None = None
        self._thread = threading.Thread(target=self._watch, name="fetch-watchdog", daemon=True)

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    def moved(self, count: int) -> None:
        self._bytes += count
        self._last = time.monotonic()

    @contextlib.contextmanager
    def own_work(self) -> Iterator[None]:
        """Time that is ours, not the peer's."""
        self._own_work = True
        try:
            yield
        finally:
            self._last = time.monotonic()
            self._own_work = False

    def __enter__(self) -> _Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        begun, bytes_then = time.monotonic(), 0
        while not self._over.wait(WATCH_SECONDS):
            now = time.monotonic()
            if self._cancel.is_set():
                self.verdict = "the transfer was cancelled"
            elif self._own_work:
                begun, bytes_then = now, self._bytes
            elif now - self._last > self._pace.idle_seconds:
                self.verdict = f"nothing arrived for {self._pace.idle_seconds} s"
            elif now - begun >= self._pace.rate_seconds:
                rate = (self._bytes - bytes_then) / (now - begun)
                if rate < self._pace.rate_bytes_min:
                    self.verdict = (
                        f"{rate:.0f} bytes/s over {self._pace.rate_seconds} s, "
                        f"below the least of {self._pace.rate_bytes_min}"
                    )
                begun, bytes_then = now, self._bytes
            if self.verdict is not None:
                _shut(self._sock)
                return


def _shut(sock: socket.socket) -> None:
    """Wake the reader. Not ``SSLSocket.shutdown``: that takes the TLS object from under it."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # closed already: there is no reader left to wake


def _explain(error: Exception, url: str, watchdog: _Watchdog, context: ssl.SSLContext) -> Unreachable:
    if watchdog.cancelled:
        return Cancelled(url, "the transfer was cancelled; what arrived is kept")
    if watchdog.verdict is not None:
        return TimedOut(url, watchdog.verdict)
    tls = tls_error_in(error)
    if tls is not None:
        return TlsRefused(url, tls_sentence(tls, probe.own_certificate(context)))
    return Cut(url, f"the transfer was cut: {str(error) or type(error).__name__}; what arrived is kept")


def _rows(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours in an ascending list."""
    first = last = None
    for number in numbers:
        if last is not None and first is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last
