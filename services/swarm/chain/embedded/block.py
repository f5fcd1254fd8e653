"""Owns what a block is: header, logs, receipt and encodings, all pure; leaves state to evm, disk to journal.

Headers are ordinary London headers, so a block's hash is the usual keccak of its RLP and binds parent,
number, time, state root, the transaction (transactions root) and its status, gas and logs (receipts root).
With one transaction a block both tries hold a single leaf, and their roots are computed directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_bloom.bloom import BloomFilter
from eth_hash.auto import keccak

from swarm.chain.embedded.tx import Tx

__all__ = [
    "BLOCK_GAS",
    "COINBASE",
    "DIFFICULTY",
    "EMPTY_ROOT",
    "UNCLES_HASH",
    "Block",
    "Header",
    "Log",
    "Receipt",
    "single_root",
]

BLOCK_GAS = 0x3938700
"""Gas limit of every block: 60 million, as in the geth genesis."""
DIFFICULTY = 1
COINBASE = keccak(b"swarm embedded chain: tips")[12:]
"""Receives all tips; nobody holds its key."""
EMPTY_ROOT = keccak(rlp.encode(b""))
UNCLES_HASH = keccak(rlp.encode([]))
_HEADER_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Log:
    """One event: ``address`` 20 bytes, up to four ``topics`` of 32 bytes each, ``data`` of any length."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Receipt:
    """What a transaction did: ``status`` 1 or 0, ``gas_used`` after refunds, ``logs`` (none if reverted)."""

    status: int
    gas_used: int
    logs: tuple[Log, ...]

    @cached_property
    def bloom(self) -> bytes:
        """The 256-byte bloom filter over addresses and topics."""
        bloom = BloomFilter()
        for log in self.logs:
            bloom.add(log.address)
            bloom.extend(log.topics)
        return int(bloom).to_bytes(256, "big")

    def encode(self, kind: int) -> bytes:
        """The receipt's consensus encoding for a transaction of type ``kind`` (0 or 2)."""
        logs = [[log.address, list(log.topics), log.data] for log in self.logs]
        body: bytes = rlp.encode([self.status, self.gas_used, self.bloom, logs])
        return body if kind == 0 else bytes([kind]) + body


@dataclass(frozen=True)
class Header:
    """A London header; ``encode`` fills in what never varies here (difficulty, base fee 0, no uncles)."""

    parent: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    number: int
    gas_used: int
    time: int
    extra: bytes

    def encode(self) -> bytes:
        fields: list[Any] = [
            self.parent,
            UNCLES_HASH,
            COINBASE,
            self.state_root,
            self.transactions_root,
            self.receipts_root,
            self.bloom,
            DIFFICULTY,
            self.number,
            BLOCK_GAS,
            self.gas_used,
            self.time,
            self.extra,
            bytes(32),
            bytes(8),
            0,
        ]
        raw: bytes = rlp.encode(fields)
        return raw

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """Parse ``encode``'s output.

        Raises:
            ValueError: not a header of this chain (wrong fields, or constants that differ).
        """
        try:
            fields: Sequence[bytes] = rlp.decode(raw)
        except rlp.exceptions.RLPException as exc:
            raise ValueError(f"not a block header: {exc}") from exc
        if len(fields) != _HEADER_FIELDS or any(not isinstance(field, bytes) for field in fields):
            raise ValueError("not a block header of this chain: wrong number of fields")
        number, gas_used, time = (int.from_bytes(fields[i], "big") for i in (8, 10, 11))
        header = cls(fields[0], fields[3], fields[4], fields[5], fields[6], number, gas_used, time, fields[12])
        if header.encode() != raw:
            raise ValueError("not a block header of this chain: a constant field differs")
        return header

    @cached_property
    def hash(self) -> bytes:
        return keccak(self.encode())


@dataclass(frozen=True)
class Block:
    """A sealed block: its header and, unless it is genesis or a heartbeat, its transaction with receipt."""

    header: Header
    tx: Tx | None = None
    receipt: Receipt | None = None

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def hash(self) -> bytes:
        return self.header.hash

    @classmethod
    def seal(
        cls, parent: Block, time: int, state_root: bytes, extra: bytes, tx: Tx | None, receipt: Receipt | None
    ) -> Block:
        """The child of ``parent`` that holds ``tx`` and its ``receipt`` (or neither)."""
        quiet = Receipt(1, 0, ())
        header = Header(
            parent=parent.hash,
            state_root=state_root,
            transactions_root=EMPTY_ROOT if tx is None else single_root(tx.raw),
            receipts_root=EMPTY_ROOT if tx is None or receipt is None else single_root(receipt.encode(tx.kind)),
            bloom=(receipt or quiet).bloom,
            number=parent.number + 1,
            gas_used=(receipt or quiet).gas_used,
            time=time,
            extra=extra,
        )
        return cls(header, tx, receipt)

    def faults(self, parent: Block) -> list[str]:
        """Names of the facts that do not follow from parent and contents; empty if the block is sound."""
        head, tx, receipt = self.header, self.tx, self.receipt
        if (tx is None) != (receipt is None):
            return ["the transaction without a receipt, or the reverse"]
        again = Block.seal(parent, head.time, head.state_root, head.extra, tx, receipt).header
        names = {
            "parent": "parent hash",
            "number": "number",
            "transactions_root": "transaction",
            "receipts_root": "status, gas or logs",
            "bloom": "log bloom",
            "gas_used": "gas used",
        }
        wrong = [text for name, text in names.items() if getattr(head, name) != getattr(again, name)]
        if head.time < parent.header.time:
            wrong.append("time (it is before the parent's)")
        if tx is None and head.state_root != parent.header.state_root:
            wrong.append("state root (an empty block changes no state)")
        return wrong


def single_root(value: bytes) -> bytes:
    """Root of a Merkle-Patricia trie that holds only ``value`` under index 0 (key 0x80)."""
    return keccak(rlp.encode([b"\x20\x80", value]))
