"""Model files on disk, named by their chunk root; owns atomic arrival, resume and space, not transfer.

root/blobs/<hex>        complete, verified, never written again
root/lists/<hex>        its chunk list (binary); written before the blob's own name appears
root/parts/<hex>.part   a transfer in progress; its chunks are verified again before they count
root/scratch/           same file system, so that results and arrivals can be renamed in
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import struct
import uuid
from pathlib import Path

from swarm.core.blobid import BLOB_BYTES_MAX, CHUNK_BYTES, ChunkList, chunk_hash
from swarm.core.errors import LocalFault, PeerFault
from swarm.core.ids import BlobId

from .files import FILE_MODE, private_folder, sync_folder, write_private

LIST_HEAD = struct.Struct(">BQII")
"""algorithm, size, chunk bytes, count: the same head that the root hashes."""


class BlobStore:
    """Blobs under one folder; safe for several threads of one process.

    Raises:
        OperatorFault: the folder cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self.root = private_folder(root)
        self._blobs = private_folder(root / "blobs")
        self._lists = private_folder(root / "lists")
        self._parts = private_folder(root / "parts")
        self._scratch = private_folder(root / "scratch")

    def scratch(self, name: str) -> Path:
        """A path in the store's file system for a file that :meth:`add_file` will move in."""
        if not name or name in {".", ".."} or "/" in name or "\x00" in name:
            raise LocalFault(f"a scratch file needs a plain name, not {name!r}")
        return self._scratch / name

    def sweep(self) -> None:
        """At a process's start, before anything else: remove what a killed one left in scratch, and stray lists."""
        for path in self._scratch.iterdir():
            path.unlink(missing_ok=True)
        for path in self._lists.iterdir():
            if not (self._blobs / path.name).exists():
                path.unlink(missing_ok=True)

    def add_file(self, path: Path, *, move: bool) -> tuple[BlobId, ChunkList]:
        """Hash a file and take it in, durably and atomically; adding the same bytes twice is harmless.

        Args:
            move: take the file itself (its old name is gone); else copy it.

        Raises:
            LocalFault: the file is empty or above 64 GiB (it stays where it was), or somebody still writes to it.
        """
        size = path.stat().st_size
        if not 1 <= size <= BLOB_BYTES_MAX:
            raise LocalFault(f"{path} has {size} bytes; a blob has 1 to {BLOB_BYTES_MAX}")
        mine = self._scratch / f"{uuid.uuid4().hex}.in"
        try:
            # Out of reach of whoever knows the old name before it is hashed.
            _take(path, mine, move=move)
            chunks = _hash_and_sync(mine)
            blob_id = chunks.root()
            self._publish(blob_id, chunks, mine)
        finally:
            mine.unlink(missing_ok=True)
        return blob_id, chunks

    def has(self, blob_id: BlobId) -> bool:
        return self._blob(blob_id).is_file()

    def path(self, blob_id: BlobId) -> Path:
        """Where the verified bytes are.

        Raises:
            LocalFault: this store does not hold the blob.
        """
        found = self._blob(blob_id)
        if not found.is_file():
            raise LocalFault(f"blob {blob_id.hex()} is not in {self._blobs}")
        return found

    def verify(self, blob_id: BlobId) -> None:
        """Read a blob's bytes again.

        Raises:
            LocalFault: not held, or the disk has changed them: they are not what the id names.
        """
        path = self.path(blob_id)
        try:
            same = path.stat().st_size > 0 and _hash_and_sync(path).root() == blob_id
        except OSError as error:
            raise LocalFault(f"blob {blob_id.hex()} cannot be read: {error}") from error
        if not same:
            raise LocalFault(f"blob {blob_id.hex()} in {self._blobs} is damaged: its bytes have another hash")

    def chunks(self, blob_id: BlobId) -> ChunkList:
        """The chunk list of a blob held here.

        Raises:
            LocalFault: not held, or its list on disk is damaged.
        """
        self.path(blob_id)
        try:
            chunks = _unpack((self._lists / blob_id.hex()).read_bytes())
        except (OSError, ValueError, struct.error) as error:
            raise LocalFault(f"the chunk list of blob {blob_id.hex()} cannot be read: {error}") from error
        if chunks.root() != blob_id:
            raise LocalFault(f"the chunk list of blob {blob_id.hex()} in {self._lists} is damaged")
        return chunks

    def begin(self, blob_id: BlobId, chunks: ChunkList) -> Partial:
        """Start or resume receiving a blob.

        Raises:
            PeerFault: the list is not the one that the id names; nothing was written.
        """
        if chunks.root() != blob_id:
            raise PeerFault(
                f"the chunk list sent for blob {blob_id.hex()} has root {chunks.root().hex()}, "
                "so it describes another blob"
            )
        return Partial(self, blob_id, chunks, self._parts / f"{blob_id.hex()}.part")

    def remove(self, blob_id: BlobId) -> None:
        """Forget a blob, its list and a part of it that was set aside; unknown ids are fine."""
        for path in (self._blob(blob_id), self._lists / blob_id.hex(), self._aside(blob_id)):
            path.unlink(missing_ok=True)

    def set_part_aside(self, blob_id: BlobId) -> None:
        """Give up what has arrived of a blob; :meth:`remove` frees its space. Not while somebody receives it."""
        part = self._parts / f"{blob_id.hex()}.part"
        if part.exists():
            part.replace(self._aside(blob_id))

    def ids(self) -> list[BlobId]:
        """All complete blobs, ascending."""
        return sorted(BlobId(bytes.fromhex(p.name)) for p in self._blobs.iterdir() if len(p.name) == 64)

    def partials(self) -> list[BlobId]:
        """Blobs of which a part lies here, under way or given up, ascending."""
        names = (p.name.removesuffix(".part") for p in self._parts.iterdir())
        return sorted(BlobId(bytes.fromhex(name)) for name in names if len(name) == 64)

    def usage(self) -> tuple[int, int]:
        """Complete blobs, and bytes on disk of everything in the store."""
        folders = (self._blobs, self._lists, self._parts, self._scratch)
        sizes = [[_size(path) for path in folder.iterdir()] for folder in folders]
        return len(sizes[0]), sum(map(sum, sizes))

    def _blob(self, blob_id: BlobId) -> Path:
        if len(blob_id) != 32:
            raise LocalFault(f"a blob id has 32 bytes, this one has {len(blob_id)}")
        return self._blobs / blob_id.hex()

    def _aside(self, blob_id: BlobId) -> Path:
        return self._scratch / f"{blob_id.hex()}.gone"

    def _publish(self, blob_id: BlobId, chunks: ChunkList, complete: Path) -> None:
        """List first, then the blob's name: a blob that is visible always has its list."""
        write_private(self._lists / blob_id.hex(), _pack(chunks))
        complete.replace(self._blob(blob_id))
        sync_folder(self._blobs)


class Partial:
    """A blob on its way in. Chunks arrive in any order; only bytes that match their hash reach the disk."""

    def __init__(self, store: BlobStore, blob_id: BlobId, chunks: ChunkList, part: Path) -> None:
        self.blob_id = blob_id
        self.chunks = chunks
        self._store = store
        self._part = part
        if store.has(blob_id):
            self._missing: set[int] = set()
            return
        handle = os.open(part, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            self._missing = {i for i in range(len(chunks.hashes)) if not self._holds(handle, i)}
        finally:
            os.close(handle)

    def missing(self) -> list[int]:
        """Chunks still to come, ascending."""
        return sorted(self._missing)

    def write_chunk(self, index: int, data: bytes | memoryview) -> None:
        """Verify, then write one chunk.

        Raises:
            PeerFault: the bytes do not match the hash of chunk ``index``; nothing was written.
            LocalFault: the disk is full or failed.
        """
        start, end = self.chunks.span(index)
        if len(data) != end - start or chunk_hash(data) != self.chunks.hashes[index]:
            raise PeerFault(
                f"chunk {index} of blob {self.blob_id.hex()} ({len(data)} bytes, expected {end - start}) "
                "does not match its announced hash"
            )
        if index not in self._missing:
            return
        try:
            _write_at(self._part, start, memoryview(data))
        except OSError as error:
            raise LocalFault(f"chunk {index} cannot be written to {self._part}: {error.strerror}") from error
        self._missing.discard(index)

    def finish(self) -> Path:
        """Make the blob durable and visible.

        Raises:
            LocalFault: chunks are missing still.
        """
        if self._missing:
            raise LocalFault(f"blob {self.blob_id.hex()} lacks chunks {self.missing()[:8]}: it cannot be finished")
        if not self._store.has(self.blob_id):
            handle = os.open(self._part, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            self._store._publish(self.blob_id, self.chunks, self._part)
        return self._store.path(self.blob_id)

    def _holds(self, handle: int, index: int) -> bool:
        start, end = self.chunks.span(index)
        data = os.pread(handle, end - start, start)
        return len(data) == end - start and chunk_hash(data) == self.chunks.hashes[index]


def _size(path: Path) -> int:
    """Bytes of a file, 0 if it has gone meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _take(source: Path, target: Path, *, move: bool) -> None:
    if move:
        try:
            source.replace(target)
            target.chmod(FILE_MODE)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, target)
            source.unlink()
    else:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with source.open("rb") as read, os.fdopen(handle, "wb") as write:
        shutil.copyfileobj(read, write, min(CHUNK_BYTES, os.fstat(read.fileno()).st_size + 1))


def _write_at(path: Path, start: int, data: memoryview) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, FILE_MODE)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], start + done)
    finally:
        os.close(handle)


def _hash_and_sync(path: Path) -> ChunkList:
    hashes: list[bytes] = []
    size = 0
    with path.open("rb", buffering=0) as file:
        claimed = os.fstat(file.fileno()).st_size
        # No larger than the file: what a worker thread once used stays in its heap.
        buffer = memoryview(bytearray(min(CHUNK_BYTES, claimed)))
        while size < claimed:
            filled = 0
            while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
                filled += count
            if not filled:
                break
            hashes.append(hashlib.sha256(buffer[:filled]).digest())
            size += filled
        os.fsync(file.fileno())
        now = os.fstat(file.fileno()).st_size
    if not size == claimed == now:
        raise LocalFault(
            f"{path} changed its size while it was read: {claimed} bytes at first, {size} read, {now} now; "
            "write it whole before it is handed over"
        )
    return ChunkList(size, tuple(hashes))


def _pack(chunks: ChunkList) -> bytes:
    head = LIST_HEAD.pack(chunks.algorithm, chunks.size, chunks.chunk_bytes, len(chunks.hashes))
    return head + b"".join(chunks.hashes)


def _unpack(data: bytes) -> ChunkList:
    algorithm, size, chunk_bytes, count = LIST_HEAD.unpack_from(data)
    body = data[LIST_HEAD.size :]
    if len(body) != 32 * count:
        raise ValueError(f"{len(body)} bytes of hashes for {count} chunks")
    hashes = tuple(body[i : i + 32] for i in range(0, len(body), 32))
    return ChunkList(size, hashes, chunk_bytes, algorithm)
