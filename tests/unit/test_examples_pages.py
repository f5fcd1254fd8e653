"""Each example is told in ten lines: what it shows, its one command, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = sorted(path for path in EXAMPLES.glob("*/train_*.py"))
LINES_MAX = 20


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_program_has_its_command_in_a_short_page(program: Path) -> None:
    """README.md beside it names `make example NAME=folder/name`, says what is printed, and stays short."""
    page = (program.parent / "README.md").read_text()
    assert f"make example NAME={program.parent.name}/{program.stem.removeprefix('train_')}" in page
    assert all(word in page for word in ("alone", "swarm", "pooled"))
    assert len(page.splitlines()) <= LINES_MAX
