"""What a node promised, durably: keys and values in one SQLite file; owns atomicity, no meaning."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from swarm.core.errors import LocalFault, OperatorFault

from .files import FILE_MODE, lock, private_folder

KEY_BYTES_MAX = 512
VALUE_BYTES_MAX = 8 * 1024 * 1024
"""Largest value: a proposal of 250 check-ins is 2 MiB."""


class Journal:
    """A durable map from text keys to bytes. Every call that returns has reached the disk.

    Safe for several threads; one process at a time (a lock file beside it holds that).

    Raises:
        OperatorFault: the folder is not writable, another process holds the journal, or it is not a journal.
        LocalFault: (any method) closed, a bound exceeded, or the disk failed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        private_folder(path.parent)
        self._mutex = threading.Lock()
        self._lock = lock(path.with_name(path.name + ".lock"), str(path.parent), "give this node its own state folder")
        try:
            self._db: sqlite3.Connection | None = _open(path)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, sqlite3.Error):
                raise OperatorFault(f"{path} cannot be used as a journal: {error}") from error
            raise

    def put(self, key: str, value: bytes) -> None:
        self.batch({key: value})

    def get(self, key: str) -> bytes | None:
        rows = self._run([("SELECT value FROM entries WHERE key = ?", (_key(key),))])
        return bytes(rows[0][0]) if rows else None

    def delete(self, key: str) -> None:
        """Remove a key; unknown keys are fine."""
        self.batch({}, [key])

    def items(self, prefix: str = "") -> list[tuple[str, bytes]]:
        """All entries whose key starts with ``prefix``, ascending by the key's UTF-8 bytes."""
        low = prefix.encode()
        high = low + b"\xff"  # no UTF-8 text contains this byte, so it is above every key with the prefix
        query = "SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key"
        rows = self._run([(query, (low, high))])
        return [(bytes(key).decode(), bytes(value)) for key, value in rows]

    def batch(self, puts: Mapping[str, bytes], deletes: Iterable[str] = ()) -> None:
        """All of it or none of it, as one durable transaction; deletes happen first."""
        steps: list[tuple[str, tuple[object, ...]]] = [
            ("DELETE FROM entries WHERE key = ?", (_key(key),)) for key in deletes
        ]
        for key, value in puts.items():
            if len(value) > VALUE_BYTES_MAX:
                raise LocalFault(f"journal entry {key} has {len(value)} bytes, above {VALUE_BYTES_MAX}")
            steps.append(("INSERT OR REPLACE INTO entries VALUES (?, ?)", (_key(key), value)))
        self._run(steps)

    def close(self) -> None:
        """Give the lock back; closing twice is fine."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
                self._db = None
                os.close(self._lock)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: list[tuple[str, tuple[object, ...]]]) -> list[tuple[bytes, bytes]]:
        rows: list[tuple[bytes, bytes]] = []
        with self._mutex:
            if self._db is None:
                raise LocalFault(f"the journal {self.path} is closed")
            try:
                with self._db:  # commits, or rolls all back
                    for statement, values in steps:
                        rows = self._db.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise LocalFault(f"the journal {self.path} failed: {error}") from error
        return rows


def _key(key: str) -> bytes:
    raw = key.encode()
    if not 1 <= len(raw) <= KEY_BYTES_MAX:
        raise LocalFault(f"a journal key has 1 to {KEY_BYTES_MAX} bytes, this one has {len(raw)}")
    return raw


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    db = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns after the log is on disk, so a promise survives a power cut, not only a kill.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        db.commit()
    except sqlite3.Error:
        db.close()
        raise
    return db
