"""Owns the embedded chain's disk: one SQLite file of blocks, logs, trie nodes and settings; decides nothing.

A block and all it brought (logs, trie nodes, codes) are one SQLite transaction in WAL mode with
synchronous=FULL, so after a power cut or kill -9 either all of it is there or none. Logs are stored once,
as rows, and serve both receipts and queries: the receipts root in the header therefore vouches for every
row. Nothing is pruned. Not thread-safe: the facade's lock guards it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarm.chain.embedded.block import Block, Header, Log, Receipt
from swarm.chain.embedded.errors import RpcError
from swarm.chain.embedded.tx import decode
from swarm.core.errors import LocalFault, OperatorFault

__all__ = ["FILTER_VALUES_MAX", "NODE_CACHE_ENTRIES", "Journal", "LogFilter", "LogRow"]

NODE_CACHE_ENTRIES = 16_384
"""Trie nodes kept in memory, about 10 MB; they are addressed by hash, so an entry never goes stale."""
FILTER_VALUES_MAX = 1_000
"""Addresses, or alternatives for one topic, in one log filter."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE node (hash BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE block (
  number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL,
  tx_hash BLOB UNIQUE, tx BLOB, status INTEGER,
  CHECK ((tx_hash IS NULL) = (tx IS NULL) AND (tx IS NULL) = (status IS NULL))
);
CREATE TABLE log (
  block INTEGER NOT NULL, idx INTEGER NOT NULL, address BLOB NOT NULL,
  topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
  PRIMARY KEY (block, idx)
) WITHOUT ROWID;
CREATE INDEX log_origin ON log (address, topic0, block);
"""
_LOG_COLUMNS = "l.address, l.topic0, l.topic1, l.topic2, l.topic3, l.data"
_TOPICS = ("topic0", "topic1", "topic2", "topic3")
_BLOCK_COLUMNS = "number, hash, header, tx_hash, tx, status"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs: blocks, inclusive; any of ``addresses`` (empty: all); any topic per place (None: all)."""

    first: int
    last: int
    addresses: Sequence[bytes]
    topics: Sequence[Sequence[bytes] | None]


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log with its place in the chain."""

    log: Log
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    index: int


class Journal:
    """The folder's journal, held by one process at a time."""

    def __init__(self, folder: Path, lock: int, db: sqlite3.Connection) -> None:
        self._folder = folder
        self._lock = lock
        self._db = db
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self.chain_id = 0

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Create the folder (mode 0700) if need be, lock it and open the database.

        Raises:
            OperatorFault: another process holds the folder, or it cannot be used.
            LocalFault: the file is not a sound database.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise OperatorFault(f"the chain folder {folder} cannot be used: {exc}; give a folder you own") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db = sqlite3.connect(folder / "chain.sqlite3", isolation_level=None, check_same_thread=False)
        except BlockingIOError as exc:
            os.close(lock)
            raise OperatorFault(
                f"a process already runs the embedded chain in {folder}; stop it, or give another folder"
            ) from exc
        except BaseException:
            os.close(lock)
            raise
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                with _transaction(db):
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        db.execute(statement)
        except sqlite3.Error as exc:
            db.close()
            os.close(lock)
            raise LocalFault(f"the chain's journal in {folder} cannot be read: {exc}; restore a copy") from exc
        return cls(folder, lock, db)

    def close(self) -> None:
        """Close the database (its WAL is folded in) and free the folder."""
        self._db.close()
        os.close(self._lock)

    def meta(self) -> dict[str, Any]:
        """Settings bound at genesis; empty before it."""
        return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM meta")}

    def begin(self, block: Block, nodes: Mapping[bytes, bytes], meta: Mapping[str, Any]) -> None:
        """Write genesis and its settings, or nothing."""
        self._write(block, nodes, meta)

    def append(self, block: Block, nodes: Mapping[bytes, bytes]) -> None:
        """Make a block durable, with all it brought; on return it is on disk.

        Raises:
            OperatorFault: the disk is full or broken; nothing was written.
        """
        self._write(block, nodes, {})

    def _write(self, block: Block, nodes: Mapping[bytes, bytes], meta: Mapping[str, Any]) -> None:
        tx, receipt = block.tx, block.receipt
        row = (block.number, block.hash, block.header.encode(), tx and tx.hash, tx and tx.raw)
        logs = [
            (block.number, i, log.address, *log.topics, *[None] * (4 - len(log.topics)), log.data)
            for i, log in enumerate(receipt.logs if receipt else ())
        ]
        try:
            with _transaction(self._db):
                self._db.executemany("INSERT OR IGNORE INTO node VALUES (?, ?)", sorted(nodes.items()))
                self._db.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?)", (*row, receipt and receipt.status))
                self._db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", logs)
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()])
        except sqlite3.Error as exc:
            raise OperatorFault(
                f"block {block.number} could not be written to {self._folder}: {exc}; free or mend the disk"
            ) from exc
        for key, body in nodes.items():
            self._remember(key, body)

    def node(self, key: bytes) -> bytes | None:
        """The trie node or code with this hash, or None."""
        body = self._cache.get(key)
        if body is not None:
            self._cache.move_to_end(key)
            return body
        row = self._db.execute("SELECT body FROM node WHERE hash = ?", (key,)).fetchone()
        if row is None:
            return None
        self._remember(key, row[0])
        return bytes(row[0])

    def _remember(self, key: bytes, body: bytes) -> None:
        self._cache[key] = body
        self._cache.move_to_end(key)
        while len(self._cache) > NODE_CACHE_ENTRIES:
            self._cache.popitem(last=False)

    def nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every stored node as it is on disk, past the cache."""
        yield from self._db.execute("SELECT hash, body FROM node")

    def head_number(self) -> int:
        """Number of the newest block; -1 before genesis.

        Raises:
            LocalFault: rows are missing in between.
        """
        count, last = self._db.execute("SELECT count(*), coalesce(max(number), -1) FROM block").fetchone()
        if count != last + 1:
            raise self.broken(f"it has {count} blocks, but the newest is number {last}")
        return int(last)

    def block(self, number: int) -> Block | None:
        return self._one("number = ?", number)

    def block_by_hash(self, digest: bytes) -> Block | None:
        return self._one("hash = ?", digest)

    def block_by_tx(self, tx_hash: bytes) -> Block | None:
        return self._one("tx_hash = ?", tx_hash)

    def has_tx(self, tx_hash: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM block WHERE tx_hash = ?", (tx_hash,)).fetchone() is not None

    def ancestors(self, number: int) -> Iterator[bytes]:
        """Block hashes from ``number`` back to genesis."""
        for n in range(number, -1, -1):
            yield self._db.execute("SELECT hash FROM block WHERE number = ?", (n,)).fetchone()[0]

    def logs(self, wanted: LogFilter, limit: int) -> list[LogRow]:
        """Matching logs in chain order, at most ``limit``."""
        where, values = ["l.block BETWEEN ? AND ?"], [wanted.first, wanted.last]
        bound: list[Any] = values
        columns = [("address", wanted.addresses or None), *zip(_TOPICS, wanted.topics, strict=False)]
        for column, options in columns:
            if options is not None:
                where.append(f"l.{column} IN ({', '.join('?' * len(options))})")
                bound += options
            elif column != "address":
                where.append(f"l.{column} IS NOT NULL")
        query = (
            f"SELECT {_LOG_COLUMNS}, l.block, b.hash, b.tx_hash, l.idx FROM log l "  # noqa: S608
            f"JOIN block b ON b.number = l.block WHERE {' AND '.join(where)} ORDER BY l.block, l.idx LIMIT ?"
        )
        rows = self._db.execute(query, (*bound, limit)).fetchall()
        return [LogRow(_log(row[:6]), *row[6:]) for row in rows]

    def _one(self, condition: str, value: Any) -> Block | None:
        query = f"SELECT {_BLOCK_COLUMNS} FROM block WHERE {condition}"  # noqa: S608
        row = self._db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        number, digest, raw_header, tx_hash, raw_tx, status = row
        try:
            header = Header.decode(raw_header)
            tx = None if raw_tx is None else decode(raw_tx, self.chain_id)
        except (ValueError, RpcError) as exc:
            raise self.broken(f"block {number}: {exc}") from exc
        if (header.number, header.hash) != (number, digest) or (tx.hash if tx else None) != tx_hash:
            raise self.broken(f"block {number}: its header or transaction does not have the hash of its row")
        if tx is None:
            return Block(header)
        query = f"SELECT {_LOG_COLUMNS} FROM log l WHERE l.block = ? ORDER BY l.idx"  # noqa: S608
        logs = tuple(_log(found) for found in self._db.execute(query, (number,)))
        return Block(header, tx, Receipt(status, header.gas_used, logs))

    def broken(self, what: str) -> LocalFault:
        """The error for a journal that cannot be what this program wrote."""
        return LocalFault(
            f"the chain's journal in {self._folder} was damaged or changed: {what}; "
            "restore the folder from a copy, or remove it to begin a new chain"
        )


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _log(row: Sequence[Any]) -> Log:
    return Log(row[0], tuple(topic for topic in row[1:5] if topic is not None), row[5])
