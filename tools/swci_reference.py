"""Writes docs/swci-reference.md from the table of commands (services/swarm/swci/table).

    python tools/swci_reference.py [--check]

``--check`` writes nothing and exits with 1 if the page is not what would be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from swarm.swci.table import ARGUMENTS, COMMANDS, GROUPS, Command

PAGE = Path(__file__).resolve().parents[1] / "docs" / "swci-reference.md"
HEAD = """# SWCI command reference

Written by `tools/swci_reference.py` from the table of commands in `services/swarm/swci/table/`: change that, then
run it. [swci.md](swci.md) tells how to use the shell.

Keywords may be typed in any letter case; arguments stay as typed. `<name>` is an argument, `[name]` may be left out,
`<name...>` is the rest of the line. Commands without a row are of this platform; the original has them not.
"""


def page() -> str:
    parts = [HEAD]
    for group, title in GROUPS.items():
        found = [_command(command) for command in COMMANDS if command.group == group and command.syntax]
        parts += [f"\n## {title}\n", *found] if found else []
    parts.append("\n## Arguments\n\n| argument | names | what |\n| --- | --- | --- |\n")
    parts += [f"| `{name}` | {a.kind.value} | {a.told} |\n" for name, a in sorted(ARGUMENTS.items())]
    return "".join(parts)


def _command(command: Command) -> str:
    origin = f"Row {command.row}." if command.row else "Of this platform."
    needs = " Needs the role of an operator." if command.changes else ""
    arguments = {
        name: ARGUMENTS[name].told
        for syntax in command.syntax
        for name in re.findall(r"[<\[]([a-z]+)(?:\.\.\.)?[>\]]", syntax)
    }
    lines = [f"\n### {command.name}\n\n{command.told} {origin}{needs}\n\n```\n", "\n".join(command.syntax), "\n```\n"]
    lines += ["\n", *(f"- `{name}`: {told}\n" for name, told in arguments.items())] if arguments else []
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is not current")
    given = parser.parse_args()
    text = page()
    if given.check:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
