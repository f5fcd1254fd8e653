"""When each step of each round happened here: for the status page, the demo's report and the benchmark."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

ROUNDS_KEPT = 2_000


class Timeline:
    """Marks (wall clock, seconds since the epoch) and durations (seconds) by round."""

    def __init__(
        self, clock: Callable[[], float] = time.time, observe: Callable[[str, float], None] = lambda _, __: None
    ) -> None:
        self._clock, self._observe = clock, observe
        self._rounds: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def _row(self, round_: int) -> dict[str, Any]:
        row = self._rounds.get(round_)
        if row is None:
            row = self._rounds[round_] = {"round": round_, "phases": {}}
            while len(self._rounds) > ROUNDS_KEPT:
                self._rounds.popitem(last=False)
        return row

    def mark(self, round_: int, name: str, value: Any = None) -> bool:
        """Note the first time ``name`` happened in a round, or a value; True if it was the first time."""
        row = self._row(round_)
        if name in row:
            return False
        row[name] = self._clock() if value is None else value
        return True

    def add(self, round_: int, phase: str, seconds: float) -> None:
        """Add time spent in a phase; ``observe`` (phase, seconds) is told as well."""
        self._observe(phase, seconds)
        phases = self._row(round_)["phases"]
        phases[phase] = round(phases.get(phase, 0.0) + seconds, 6)

    def rows(self) -> list[dict[str, Any]]:
        return [{**row, "phases": dict(row["phases"])} for row in self._rounds.values()]
