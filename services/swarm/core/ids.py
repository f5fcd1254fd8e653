"""Identifiers that every room uses, as plain bytes; hex text only at borders."""

from __future__ import annotations

import hashlib
from typing import NewType

from eth_hash.auto import keccak

Address = NewType("Address", bytes)
"""20 bytes: a node's Ethereum address."""
Digest = NewType("Digest", bytes)
"""32 bytes: any hash."""
BlobId = NewType("BlobId", bytes)
"""32 bytes: chunk root of a blob (see :mod:`swarm.core.blobid`)."""

ZERO32 = bytes(32)
NO_DIGEST = Digest(ZERO32)
DEFAULT_JOB = "defaultbb.cqdb.sml.hpe"
"""The training contract that always exists (row K02)."""

JOB_NAME_BYTES_MAX = 160

DEFAULT_RUNNER = "defaulttaskbb.taskdb.sml.hpe"
"""The task runner that always exists (row C20)."""
ROOT_TASK = "ROOTTASK"
"""The task that always exists, the first prerequisite of all (row T01)."""


def job_id(name: str) -> Digest:
    """keccak256 of the job's UTF-8 name: the key of a job in every contract and statement.

    Raises:
        ValueError: the name is empty or longer than 160 bytes.
    """
    raw = name.encode("utf-8")
    if not 1 <= len(raw) <= JOB_NAME_BYTES_MAX:
        raise ValueError(f"a job name has 1 to {JOB_NAME_BYTES_MAX} bytes, this one has {len(raw)}")
    return Digest(keccak(raw))


def sha256(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def to_hex(value: bytes) -> str:
    return "0x" + value.hex()


def from_hex(text: str, size: int) -> bytes:
    """Parse 0x-prefixed lower- or upper-case hex of exactly ``size`` bytes.

    Raises:
        ValueError: wrong prefix, length or digit.
    """
    if not isinstance(text, str) or not text.startswith("0x") or len(text) != 2 + 2 * size:
        raise ValueError(f"expected 0x and {2 * size} hex digits, got {text!r:.80}")
    found = bytes.fromhex(text[2:])
    if len(found) != size:  # fromhex skips white space
        raise ValueError(f"expected 0x and {2 * size} hex digits, got {text!r:.80}")
    return found


def address(text: str) -> Address:
    return Address(from_hex(text, 20))
