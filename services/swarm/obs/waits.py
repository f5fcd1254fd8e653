"""The "who is waiting for what" table (V8): every wait of a process as a row that operators can read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ROWS_MAX = 1000
"""Rows shown at once; the table itself holds as many as there are waits."""


@dataclass(slots=True)
class Row:
    """One wait: what for, on whom, since and until when (wall clock, seconds), and what happens then."""

    what: str
    whom: str
    since: float
    until: float | None
    then: str

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "whom": self.whom,
            "since": _iso(self.since),
            "until": None if self.until is None else _iso(self.until),
            "then": self.then,
        }


class Waits:
    """The table of one process. Safe for several threads: rows come and go by single dict operations."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ids = itertools.count()
        self._rows: dict[int, Row] = {}

    @contextmanager
    def row(self, *, what: str, whom: str = "", deadline_seconds: float | None = None, then: str = "") -> Iterator[Row]:
        """Show a wait for as long as the block runs; the row's fields may be changed while it lasts.

        Args:
            deadline_seconds: from now; None when only the other side or an operator ends it.
            then: what happens at the deadline, or what ends the wait.
        """
        now = self._clock()
        until = None if deadline_seconds is None else now + deadline_seconds
        key = next(self._ids)
        row = self._rows[key] = Row(what, whom, now, until, then)
        try:
            yield row
        finally:
            del self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)

    def told(self) -> list[dict[str, Any]]:
        """The rows with times in seconds relative to now, as an engine tells its own; at most 1000."""
        now = self._clock()
        rows = sorted(self._rows.copy().values(), key=lambda r: r.since)[:ROWS_MAX]
        return [
            {
                "what": row.what,
                "whom": row.whom,
                "since_seconds": max(0.0, now - row.since),
                "until_seconds": None if row.until is None else row.until - now,
                "then": row.then,
            }
            for row in rows
        ]

    def snapshot(self) -> list[dict[str, Any]]:
        """The rows now, longest wait first; at most 1000."""
        rows = sorted(self._rows.copy().values(), key=lambda r: r.since)
        return [row.to_json() for row in rows[:ROWS_MAX]]


def timed(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A wait told in seconds (``since_seconds`` before ``now``, ``until_seconds`` after it), in the table's form."""
    until = row["until_seconds"]
    ends = None if until is None else now + until
    return Row(row["what"], row["whom"], now - row["since_seconds"], ends, row["then"]).to_json()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
