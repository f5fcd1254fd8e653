"""Writes docs/command-reference.md from the table of commands (services/swarm/swci/table/).

    python tools/command_reference.py [--check]

``--check`` writes nothing and exits with 1 if the page is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from swarm.cli.schemas import SHAPES, adapter
from swarm.cli.sending import fields
from swarm.swci.table import COMMANDS, NOUNS, Command, Line, Option, Way
from swarm.swci.table.options import OPERATOR, SOURCE

OWN_FIELDS = ("job", "force", "options")
"""Of operators' settings, those that only one command has."""
PAGE = Path(__file__).resolve().parents[1] / "docs" / "command-reference.md"
HEAD = """# Reference of the command line

Written by `tools/command_reference.py` from the table of commands in `services/swarm/swci/table/`: change that, then
run it. [command-line.md](command-line.md) tells what all commands share: `--output`, the envelope, exit codes.

"""


def page() -> str:
    lines = [(command, line) for command in COMMANDS for line in command.lines]
    parts = [HEAD, 'Options of every command that asks an SN (its way is "asks an SN" below):\n\n']
    parts += [_option(one) for one in SOURCE]
    parts.append("\nFlags of every command that joins as an operator:\n\n")
    shell = next(line for _, line in lines if line.settings == OPERATOR)
    parts += [f"- `{', '.join(one.opt.flags)}`: {_plain(one.told)}\n" for one in fields(shell)]
    for noun, told in NOUNS.items():
        parts.append(f"\n## swarm {noun}\n\n{told}\n")
        parts += [_command(c, line) for c, line in lines if line.words.startswith(f"{noun} ")]
    parts.append("\n## Commands that stand alone\n")
    parts += [_command(c, line) for c, line in lines if " " not in line.words and line.way is not Way.RESERVED]
    parts.append("\n## Not there yet\n\nThese names are kept; typed, they say so.\n\n")
    parts += [f"- `swarm {line.words}`: {c.told}\n" for c, line in lines if line.way is Way.RESERVED]
    parts.append("\n## Answers\n\nWhat `data` holds. `swarm schema COMMAND` prints the whole JSON Schema.\n")
    parts += [_answer(name) for name in SHAPES]
    return "".join(parts)


def _command(command: Command, line: Line) -> str:
    words = " ".join(
        one.name if one.needed or one.name.endswith("...") else f"[{one.name}]"
        for one in line.options
        if one.positional
    )
    parts = [f"\n### swarm {line.words}\n\n{line.told or command.told}\n\n"]
    others = [one for one in line.spellings if one != line.words]
    parts.append(f"- Typed: `swarm {line.words}{' ' + words if words else ''}`")
    parts.append(f"; also `{'`, `'.join('swarm ' + one for one in others)}`\n" if others else "\n")
    parts.append(f"- It {line.way.value}.\n")
    parts.append(f"- Answer: {_kind(line.answer)}.\n" if line.answer else f"- Answer: none as JSON; {line.bare}.\n")
    if command.syntax:
        parts.append(f"- In the shell: `{command.syntax[0]}`\n")
    shown = [one for one in line.options if not one.old and one not in SOURCE]
    parts += [_option(one) for one in shown]
    if line.settings and line.settings != OPERATOR:
        own = fields(line)
        parts += [f"- `{', '.join(one.opt.flags)}`: {_plain(one.told)}\n" for one in own if one.name in OWN_FIELDS]
    return "".join(parts)


def _option(one: Option) -> str:
    more = f"; variable: `{one.env}`" if one.env else ""
    return f"- `{one.name}`: {_plain(one.told)}{more}\n"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("<", "\\<")


def _kind(answer: str) -> str:
    return f"[{answer}](#answer-{answer.lower()})"


def _answer(name: str) -> str:
    schema = adapter(name).json_schema()
    defs = schema.pop("$defs", {})
    parts = [f"\n### Answer {name}\n\n"]
    top, kind = schema, "an object"
    if schema.get("type") == "array":
        top, kind = schema["items"], "a list, each item"
    elif "additionalProperties" in schema and schema["additionalProperties"] is not True:
        top, kind = schema["additionalProperties"], "an object by name, each value"
    top = defs.get(top.get("$ref", "").rpartition("/")[2], top)
    parts.append(f"It is {kind}: {_first(top)}\n\n| field | type | what |\n| --- | --- | --- |\n")
    for field, one in top.get("properties", {}).items():
        parts.append(f"| `{field}` | {_type(one)} | {_plain(one.get('description', ''))} |\n")
    return "".join(parts)


def _first(schema: dict[str, object]) -> str:
    return _plain(str(schema.get("description", "")))


def _type(schema: dict[str, object]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])  # type: ignore[attr-defined]
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"  # type: ignore[arg-type]
    return str(schema.get("type", "any"))


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
