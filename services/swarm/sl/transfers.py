"""Brings blobs here and reads what they are: pulls from peers, looks into tensor files. Decides nothing."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmlearning import tensorfile

from swarm.core.engine.context import Held
from swarm.core.engine.events import BlobFailed, BlobMoved, BlobShown, BlobVerified, Event
from swarm.core.engine.leading import FAILED_HERE, REFUSED_HASH, REFUSED_UNREACHABLE, REFUSED_UNREADABLE
from swarm.core.errors import LocalFault, PeerFault
from swarm.core.ids import Address, BlobId, Digest, to_hex
from swarm.net import transfer
from swarm.net.faults import Unreachable
from swarm.net.uri import parse_uri
from swarm.store.blobs import BlobStore

from .directory import Members
from .modelfiles import UnusableInput
from .oddities import find_oddities

log = logging.getLogger("swarm.sl.transfers")

PULLS_AT_ONCE_MAX = 16
PROGRESS_SECONDS = 0.5
DISK_RESERVE_BYTES = 256 * 1024 * 1024
"""Disk space that no pull may use: journal and merged models need it."""


@dataclass(slots=True)
class Counters:
    """Bytes of blobs moved by this node since its start."""

    bytes_in: int = 0
    bytes_out: int = 0


def look_at(path: Path) -> Held:
    """What the engine must know of a tensor file: size, manifest digest, what is not finite.

    Raises:
        tensorfile.TensorFileError: it is not a tensor file.
    """
    header = tensorfile.read_header(path)
    try:
        odd, where = find_oddities(path)
    except UnusableInput as fault:
        raise tensorfile.TensorFileError(str(fault)) from fault
    return Held(header.file_size, Digest(hashlib.sha256(header.manifest()).digest()), odd, where)


def held_models(store: BlobStore) -> dict[BlobId, Held]:
    """What lies in the store from before; what is not what its name says any more is removed."""
    held = {}
    for blob in store.ids():
        try:
            store.verify(blob)
            held[blob] = look_at(store.path(blob))
        except (ValueError, OSError, LocalFault) as fault:
            log.warning("removing the damaged blob %s: %s", to_hex(blob), fault)
            store.remove(blob)
    return held


class Transfers:
    """Pulls blobs for the engine, several at once."""

    def __init__(
        self,
        store: BlobStore,
        members: Members,
        context: ssl.SSLContext,
        deliver: Callable[[Event], None],
        counters: Counters,
    ) -> None:
        self._store, self._members, self._context = store, members, context
        self._deliver, self._counters = deliver, counters
        self._places = asyncio.Semaphore(PULLS_AT_ONCE_MAX)
        self._running: dict[BlobId, asyncio.Task[None]] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self._showing: set[asyncio.Task[None]] = set()
        self._to_come: dict[int, int] = {}
        """Bytes of each pull under way that are not on the disk yet: they are spoken for."""
        self._pulls = itertools.count()
        for left in store.root.glob("shown-*"):  # by a process that was killed
            shutil.rmtree(left)

    def start(self, blob: BlobId, size: int, sources: tuple[Address, ...]) -> None:
        """Pull ``blob`` of ``size`` bytes from the first source that serves it; ends in an event."""
        if blob in self._running:
            return
        task = asyncio.get_running_loop().create_task(self._pull(blob, size, sources), name=f"pull {blob.hex()[:8]}")
        self._running[blob] = task
        task.add_done_callback(lambda ended: self._over(blob, ended))

    def let_show(self, blob: BlobId, size: int, peer: Address) -> None:
        """Pull ``blob`` from this peer into a place of its own, whether it is here or not; ends in a BlobShown.

        What comes goes to the store, unless that has it.
        """
        name = f"shown {blob.hex()[:8]}"
        task = asyncio.get_running_loop().create_task(self._let_show(blob, size, peer), name=name)
        self._showing.add(task)
        task.add_done_callback(lambda ended: self._shown(blob, peer, ended))

    def _shown(self, blob: BlobId, peer: Address, ended: asyncio.Task[None]) -> None:
        self._showing.discard(ended)
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            log.error("blob %s could not be shown: %r", to_hex(blob), error, exc_info=error)
            self._deliver(BlobShown(blob, peer, f"internal error: {error!r}"))

    async def _let_show(self, blob: BlobId, size: int, peer: Address) -> None:
        fault = ""
        try:
            uri = self._members.uri(peer)
            if uri is None:
                raise LocalFault(f"{to_hex(peer)}: its address is not known")
            async with self._places:
                with tempfile.TemporaryDirectory(prefix="shown-", dir=self._store.root) as folder:
                    other = BlobStore(Path(folder))
                    await self._fetch(blob, size, peer, uri, other)
                    held = await asyncio.to_thread(look_at, other.path(blob))
                    if not self._store.has(blob):
                        await asyncio.to_thread(self._store.add_file, other.path(blob), move=True)
            self._deliver(BlobVerified(blob, held.size, held.manifest, held.odd, held.where))
        except (Unreachable, PeerFault, LocalFault, OSError, tensorfile.TensorFileError) as error:
            fault = str(error) or type(error).__name__
        self._deliver(BlobShown(blob, peer, fault))

    def stop(self, blob: BlobId) -> None:
        """End a pull, if there is one; no event follows, and another one of the same blob may begin at once."""
        task = self._running.pop(blob, None)
        if task is not None:
            self._stopped.add(task)
            task.cancel()

    def _over(self, blob: BlobId, ended: asyncio.Task[None]) -> None:
        stopped = ended in self._stopped
        self._stopped.discard(ended)
        if not stopped:
            self._running.pop(blob, None)
        fault = None if ended.cancelled() else ended.exception()
        if fault is not None:
            # A bug here, or an answer nobody thought of: the engine must hear of it, or it waits for ever.
            log.error("pulling blob %s failed: %r", to_hex(blob), fault, exc_info=fault)
            if not stopped:
                self._deliver(BlobFailed(blob, REFUSED_UNREACHABLE, f"internal error: {fault!r}"))

    def running(self) -> set[BlobId]:
        """What is being pulled now."""
        return set(self._running)

    async def aclose(self) -> None:
        tasks = [*self._running.values(), *self._stopped, *self._showing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, blob: BlobId, size: int, sources: tuple[Address, ...]) -> None:
        reason, texts = REFUSED_UNREACHABLE, []
        async with self._places:
            for source in sources:
                uri = self._members.uri(source)
                if uri is None:
                    texts.append(f"{to_hex(source)}: its address is not known")
                    continue
                try:
                    await self._fetch(blob, size, source, uri, self._store)
                    held = await asyncio.to_thread(look_at, self._store.path(blob))
                except Unreachable as fault:
                    texts.append(str(fault))
                    continue
                except PeerFault as fault:
                    reason = REFUSED_HASH
                    texts.append(str(fault))
                    continue
                except tensorfile.TensorFileError as fault:
                    self._store.remove(blob)
                    self._deliver(BlobFailed(blob, REFUSED_UNREADABLE, str(fault)))
                    return
                except (LocalFault, OSError) as fault:
                    reason = FAILED_HERE
                    texts.append(f"this node's disk: {fault}")
                    continue
                self._deliver(BlobVerified(blob, held.size, held.manifest, held.odd, held.where))
                return
        self._deliver(BlobFailed(blob, reason, "; ".join(texts) or "nobody to get it from"))

    async def _fetch(self, blob: BlobId, size: int, source: Address, uri: str, store: BlobStore) -> None:
        host, port = parse_uri(uri)
        free, promised = shutil.disk_usage(self._store.root).free, sum(self._to_come.values())
        if size > free - promised - DISK_RESERVE_BYTES:
            raise LocalFault(
                f"a model of {size} bytes does not fit: {free} bytes are free at {self._store.root}, "
                f"{promised} of them for models on their way and {DISK_RESERVE_BYTES} for this node's own work"
            )
        loop = asyncio.get_running_loop()
        pull = next(self._pulls)
        self._to_come[pull] = size
        moved, told_at, lock, over = 0, time.monotonic(), threading.Lock(), False

        def progress(count: int) -> None:  # in the transfer's thread, which may outlive a cancelled pull a little
            nonlocal moved, told_at
            with lock:
                if over:
                    return
                moved += count
                self._to_come[pull] = max(0, size - moved)
                self._counters.bytes_in += count
                due = time.monotonic() - told_at >= PROGRESS_SECONDS
                if due:
                    told_at = time.monotonic()
            if due:
                loop.call_soon_threadsafe(self._deliver, BlobMoved(blob, moved))

        try:
            await transfer.fetch(
                host,
                port,
                self._context,
                self._members.expect(source),
                blob,
                store,
                size_max=size,
                progress=progress,
            )
        finally:
            with lock:
                over = True
                del self._to_come[pull]
