"""The name of a blob: a root over its chunk hashes, so that every chunk can be checked before use.

root = sha256("swarm.blob.v1" 0x00 | algorithm u8 | size u64 | chunk_bytes u32 | count u32 | hash * count),
all numbers big-endian.
Owns the arithmetic only; files are read by ``store``, chunks travel through ``net``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from .ids import BlobId

MAGIC = b"swarm.blob.v1\x00"
ALGORITHM_SHA256 = 1
CHUNK_BYTES = 4 * 1024 * 1024
BLOB_BYTES_MAX = 64 * 1024**3
"""Largest blob: 64 GiB, hence at most 16,384 chunks in a list."""


@dataclass(frozen=True, slots=True)
class ChunkList:
    """Size and chunk hashes of one blob.

    Raises:
        ValueError: sizes out of range or the number of hashes does not fit the size.
    """

    size: int
    hashes: tuple[bytes, ...]
    chunk_bytes: int = CHUNK_BYTES
    algorithm: int = ALGORITHM_SHA256

    def __post_init__(self) -> None:
        if self.algorithm != ALGORITHM_SHA256:
            raise ValueError(f"unknown chunk hash algorithm {self.algorithm}; this node knows 1 (sha256)")
        if self.chunk_bytes != CHUNK_BYTES:
            raise ValueError(f"chunk size {self.chunk_bytes} is not {CHUNK_BYTES}")
        if not 1 <= self.size <= BLOB_BYTES_MAX:
            raise ValueError(f"blob size {self.size} is not within 1..{BLOB_BYTES_MAX} bytes")
        if len(self.hashes) != chunk_count(self.size) or any(len(h) != 32 for h in self.hashes):
            raise ValueError(f"{len(self.hashes)} chunk hashes do not fit a blob of {self.size} bytes")

    def root(self) -> BlobId:
        head = struct.pack(">BQII", self.algorithm, self.size, self.chunk_bytes, len(self.hashes))
        return BlobId(hashlib.sha256(MAGIC + head + b"".join(self.hashes)).digest())

    def span(self, index: int) -> tuple[int, int]:
        """Start and end (exclusive) of chunk ``index`` in bytes."""
        if not 0 <= index < len(self.hashes):
            raise ValueError(f"chunk {index} of {len(self.hashes)}")
        start = index * self.chunk_bytes
        return start, min(start + self.chunk_bytes, self.size)


def chunk_count(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def chunk_hash(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()
