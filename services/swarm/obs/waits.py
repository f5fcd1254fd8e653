"""The "who is waiting for what" table (V8): every wait of a process as a row that operators can read."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ROWS_MAX = 1000
LONG_SECONDS = 60.0
"""A wait of this length is worth a line in the log; so is each doubling of it."""
LOOK_SECONDS = 5.0
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
            "since": iso(self.since),
            "until": None if self.until is None else iso(self.until),
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


class LongWaits:
    """Which waits deserve a line in the log by now: who reads only that is not left without a word either."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def due(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """One sentence for each wait that has become a minute old, or twice as old as when it was last told.

        Args:
            rows: all waits of now, as :meth:`Waits.told` tells them.
        """
        lines: list[str] = []
        told: dict[str, float] = {}
        for row in rows:
            what, age = str(row["what"]), float(row["since_seconds"])
            last = self._told.get(what, 0.0)
            last = last if last <= age else 0.0  # a younger one is another wait of that name
            if age >= max(LONG_SECONDS, 2 * last):
                whom = f" ({row['whom']})" if row["whom"] else ""
                then = f"; then {row['then']}" if row["then"] else ""
                lines.append(f"still waiting for {what}{whom}: {age:.0f} s so far{then}")
                last = age
            told[what] = max(last, told.get(what, 0.0))
        self._told = told
        return lines


async def tell_long_waits(rows: Callable[[], Iterable[Mapping[str, Any]]], say: Callable[[str], object]) -> None:
    """Say each long wait as :class:`LongWaits` finds it; for ever."""
    long = LongWaits()
    while True:
        for line in long.due(rows()):
            say(line)
        await asyncio.sleep(LOOK_SECONDS)


def timed(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A wait told in seconds (``since_seconds`` before ``now``, ``until_seconds`` after it), in the table's form."""
    until = row["until_seconds"]
    ends = None if until is None or until <= 0 else now + until  # an end that has passed is none
    return Row(row["what"], row["whom"], now - row["since_seconds"], ends, row["then"]).to_json()


def iso(seconds: float) -> str:
    """A wall clock's seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
