"""Writes the flags into docs/run-scripts.md, from the table in services/swarm/scripts/table.py.

    python tools/run_scripts_page.py [--check]

``--check`` writes nothing and exits with 1 if the page is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from swarm.scripts.pages import rows
from swarm.scripts.table import COMMON, IDENTITY, LICENCE, OWN, ROLES, Flag

PAGE = Path(__file__).resolve().parents[1] / "docs" / "run-scripts.md"
BEGIN, END = "<!-- flags: written by tools/run_scripts_page.py -->", "<!-- end of flags -->"


def page(text: str) -> str:
    """``text`` with the flags of today.

    Raises:
        ValueError: the marks are not there.
    """
    before, behind = text.index(BEGIN), text.index(END)
    parts = [f"\n### run-{role}\n\n{_table(OWN, role)}" for role in ROLES]
    parts += [f"\n### Identity, all scripts\n\n{_table(IDENTITY)}"]
    parts += [f"\n### The scripts' own switches\n\n{_table(COMMON)}"]
    parts += [f"\n### Licence server\n\n{_table(LICENCE)}"]
    return f"{text[:before]}{BEGIN}\n{''.join(parts)}\n{text[behind:]}"


def _table(flags: tuple[Flag, ...], role: str | None = None) -> str:
    lines = [f"| `{flag}` | {told} |\n" for flag, told in rows(flags, role)]
    return "".join(["| flag | what |\n| --- | --- |\n", *lines])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is another one")
    check = parser.parse_args().check
    there = PAGE.read_text(encoding="utf-8")
    wanted = page(there)
    if check:
        return int(there != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
