"""Reads every task file and SWOP profile below the folders that are given, prints and reads each back: by hand.

For files of other projects, which are never kept here: `python tools/corpus.py FOLDER...`. A file counts as a task
when it has a TaskType, as a profile when it has nodes. The exit code is 0 if all were taken and came back alike.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from swarm.core.tasktext.findings import Finding
from swarm.core.tasktext.layout import slots
from swarm.core.tasktext.profile import read_profile
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.typed import from_lines
from swarm.core.tasktext.written import to_text


def main(folders: list[str]) -> int:
    """Read all of them; print what is found, then the counts."""
    counts: Counter[str] = Counter()
    for file in sorted(f for folder in folders for f in Path(folder).rglob("*") if f.suffix in (".yaml", ".yml")):
        raw = file.read_bytes()
        if b"TaskType" in raw:
            _task(file, raw, counts)
        elif b"slnodedef" in raw and b"$schema" not in raw:
            _profile(file, raw, counts)
    print(*(f"{count:6} {what}" for what, count in sorted(counts.items())), sep="\n")
    return 1 if any(what.startswith("BAD") for what in counts) else 0


def _task(file: Path, raw: bytes, counts: Counter[str]) -> None:
    reading = read(raw)
    _show(file, reading.findings, counts)
    counts["tasks"] += 1
    if reading.value is None:
        counts["BAD tasks refused"] += 1
        return
    task = reading.value
    again = from_lines(task.header, slots(task))
    counts["tasks read back alike" if again.value == task else "BAD tasks read back otherwise"] += 1
    written = read(to_text(task))
    counts["tasks written and read alike" if written.value == task else "BAD tasks written otherwise"] += 1


def _profile(file: Path, raw: bytes, counts: Counter[str]) -> None:
    reading = read_profile(raw)
    _show(file, reading.findings, counts)
    counts["profiles"] += 1
    counts["profiles read" if reading.value is not None else "BAD profiles refused"] += 1


def _show(file: Path, findings: tuple[Finding, ...], counts: Counter[str]) -> None:
    for one in findings:
        print(f"{file}:{one.line}:{one.column}: {one.weight.value}: {one.text}")
        counts[f"{one.weight.value}s"] += 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
