"""`make compat`: runs the tests that carry a row marker and prints which rows of the table they prove.

    python tests/compat/report.py [--markdown] [--write] [--results FILE] [PATH ...]

The last line is `rows proven: X of Y`. `--write` brings README.md and docs/compatibility.md up to date; `--results`
takes what `make test ARGS=--rows-json=FILE` wrote instead of running the tests again. Exit code 1 when a test that
carries a row failed, or none could run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

from support.rows import Standing, judge, load  # noqa: E402  (tests/ is no package)

PYTEST_NOTHING_COLLECTED = 5


def run_tests(paths: list[str]) -> tuple[list[tuple[str, str]], int]:
    """Runs the marked tests below `paths`; gives (check, outcome) pairs and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "row", f"--rows-json={results}", *paths]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        pairs = json.loads(results.read_text()) if results.exists() else []
    return [(check, outcome) for check, outcome in pairs], done.returncode


def as_text(standings: Iterable[Standing]) -> str:
    """A block for each section: rows proven, and rows that are not, with the checks that miss."""
    lines = []
    for section, group in groupby(standings, key=lambda standing: standing.row.section):
        lines.append(f"\n{section}")
        for standing in group:
            lines.append(f"  {standing.row.id:<4} {_verdict(standing):<10} {standing.row.title}{_missing(standing)}")
    return "\n".join(lines)


def as_markdown(standings: Iterable[Standing]) -> str:
    """The same as the README's table."""
    lines = ["| row | what | proven |", "| --- | --- | --- |"]
    lines += [
        f"| {standing.row.id} | {standing.row.title}{_missing(standing)} | {_verdict(standing)} |"
        for standing in standings
    ]
    return "\n".join(lines)


def write_documents(standings: list[Standing], proven: int, countable: int) -> None:
    """Puts all rows into docs/compatibility.md, and those with a proof, with the count, into README.md."""
    _replace_table(ROOT / "docs" / "compatibility.md", as_markdown(standings))
    some = [standing for standing in standings if standing.proven]
    _replace_table(ROOT / "README.md", as_markdown(some), f"{proven} of {countable}")


def _replace_table(page: Path, table: str, count: str | None = None) -> None:
    text, tables = re.subn(r"\| row \| what \|[^\n]*\n(?:\|[^\n]*\n)+", lambda _: table + "\n", page.read_text())
    if count is not None:
        text = re.sub(r"at present \d+ of \d+", f"at present {count}", text)
    if tables != 1:
        raise SystemExit(f"{page.name} has {tables} tables of rows; one is expected")
    page.write_text(text)


def _verdict(standing: Standing) -> str:
    if standing.row.not_applicable is not None:
        return "n/a"
    if standing.broken:
        return "broken"
    return "proven" if standing.counts else "in part" if standing.proven else "not yet"


def _missing(standing: Standing) -> str:
    if not standing.proven and not standing.broken:
        return ""
    missing = [f"{check} {text}" for check, text in standing.row.checks.items() if check not in standing.proven]
    return f" (open: {'; '.join(missing)})" if missing and len(standing.row.checks) > 1 else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Which rows of the compatibility table do the tests prove?")
    parser.add_argument("paths", nargs="*", default=[], help="folders or files of tests (default: all)")
    parser.add_argument("--markdown", action="store_true", help="print the table for the README")
    parser.add_argument("--write", action="store_true", help="bring README.md and docs/compatibility.md up to date")
    parser.add_argument("--results", type=Path, help="a file that pytest wrote for --rows-json: no test is run")
    asked = parser.parse_args()
    if asked.results is None:
        results, exit_code = run_tests(asked.paths or [str(TESTS)])
    else:
        results, exit_code = [(check, outcome) for check, outcome in json.loads(asked.results.read_text())], 0
    standings = judge(load(), results)
    print((as_markdown if asked.markdown else as_text)(standings))
    countable = [standing for standing in standings if standing.row.not_applicable is None]
    proven = sum(standing.counts for standing in countable)
    if asked.write:
        write_documents(standings, proven, len(countable))
    print(f"\nrows proven: {proven} of {len(countable)}")
    return 0 if exit_code in (0, PYTEST_NOTHING_COLLECTED) else 1


if __name__ == "__main__":
    raise SystemExit(main())
