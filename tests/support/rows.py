"""The compatibility table: reads tests/compat/rows.toml and decides which rows a set of test results proves.

Running the tests and printing belong to tests/compat/report.py; checking markers at collection to conftest.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[1] / "compat" / "rows.toml"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what it says, its checks (id to text; itself when not split), or why it does not count."""

    id: str
    section: str
    title: str
    checks: Mapping[str, str]
    not_applicable: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A row with the checks that passed, and those whose tests failed."""

    row: Row
    proven: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """True once every check of the row is proven."""
        return self.row.not_applicable is None and set(self.proven) == set(self.row.checks)


def load(path: Path = TABLE) -> dict[str, Row]:
    """Reads the table, in file order; raises ValueError for a row that is not in its section or malformed."""
    rows: dict[str, Row] = {}
    for section, body in tomllib.loads(path.read_text()).items():
        heading = body.pop("title")
        for row_id, value in body.items():
            if not row_id.startswith(section):
                raise ValueError(f"row {row_id} stands in section {section} ({heading})")
            rows[row_id] = _row(row_id, heading, value)
    return rows


def _row(row_id: str, section: str, value: str | dict[str, str]) -> Row:
    if isinstance(value, str):
        return Row(row_id, section, value, {row_id: value})
    parts = dict(value)
    title, not_applicable = parts.pop("title"), parts.pop("na", None)
    if (not parts) == (not_applicable is None):
        raise ValueError(f"row {row_id} needs either checks or 'na'")
    if list(parts) != [chr(ord("a") + i) for i in range(len(parts))]:
        raise ValueError(f"row {row_id}: checks are lettered a, b, c ... in order, not {', '.join(parts)}")
    return Row(row_id, section, title, {row_id + letter: text for letter, text in parts.items()}, not_applicable)


def complaint(row_id: object, rows: Mapping[str, Row]) -> str | None:
    """Says what is wrong with a marker's id, or None when a test may carry it."""
    if any(row_id in row.checks for row in rows.values()):
        return None
    if isinstance(row_id, str) and row_id in rows:
        row = rows[row_id]
        if row.not_applicable is not None:
            return f"row {row_id} is a remark ({row.not_applicable}), no test can prove it"
        return f"row {row_id} is split: name one of {', '.join(row.checks)}"
    return f"no row {row_id!r} in {TABLE.name}"


def claimed(tests: Path) -> set[str]:
    """Checks that a test below ``tests`` carries; those of the files that test the markers themselves do not count."""
    return {
        check
        for file in tests.rglob("test_*.py")
        if file.name != "test_compat_rows.py"
        for named in re.findall(r"mark\.row\(([^)]*)\)", file.read_text())
        for check in re.findall(r"\w+", named)
    }


def judge(rows: Mapping[str, Row], results: Iterable[tuple[str, str]]) -> list[Standing]:
    """Weighs (check id, outcome) pairs, outcome being passed, failed or skipped.

    A check is proven when a test that carries it passed and none failed; skipped tests prove nothing.
    """
    passed: set[str] = set()
    failed: set[str] = set()
    for check, outcome in results:
        if outcome == "passed":
            passed.add(check)
        elif outcome == "failed":
            failed.add(check)
    return [
        Standing(
            row,
            tuple(check for check in row.checks if check in passed - failed),
            tuple(check for check in row.checks if check in failed),
        )
        for row in rows.values()
    ]
