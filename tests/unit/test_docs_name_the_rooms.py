"""A newcomer finds code by the tables of rooms and modules: they name everything that is there, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services" / "swarm"


def rows(page: str, heading: str) -> str:
    """First cells of the table under a heading."""
    text = (ROOT / "docs" / page).read_text()
    section = text.split(f"{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    return "\n".join(line.split("|")[1] for line in table.group().splitlines())


def test_every_room_stands_in_the_table_of_the_architecture():
    """Each package of the services has its row in docs/architecture.md, and each row is a package that is there."""
    there = {path.parent.name for path in SERVICES.glob("*/__init__.py")}
    named = set(re.findall(r"`(?:services/swarm/)?([a-z]+)/`", rows("architecture.md", "## The house")))
    assert named - {"contracts", "tests"} == there


def test_every_module_of_the_engine_stands_in_its_table():
    """Each module of core/engine has its row in docs/engine.md, and each row is a module that is there."""
    there = {path.stem for path in (SERVICES / "core" / "engine").glob("[a-z]*.py")}
    assert set(re.findall(r"`([a-z]+)`", rows("engine.md", "# The round engine"))) == there
