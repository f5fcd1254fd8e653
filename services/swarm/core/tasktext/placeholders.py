"""``<NAME>`` in a text: which ones were left in, and giving them values before the text is read.

This is what users do with ``sed "s+<NAME>+value+g"``: the whole text, comments too, without regard to YAML. Unlike
sed it is done in one go, so a value is never searched for further names, and it knows what was not found.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from ruamel.yaml.error import YAMLError

from ..errors import OperatorFault
from .bounds import PROFILE_BYTES_MAX, REPLACEMENT_BYTES_MAX, REPLACEMENTS_MAX
from .findings import Findings, Weight, meant, quoted
from .yamltree import Node, Unreadable, decoded, tree

_LEFT_IN = re.compile(r"(?<![<\w/])<([A-Za-z][A-Za-z0-9_.-]*(?: [A-Za-z0-9_.-]+)*)>|(?<=[\w/])<([A-Z][A-Za-z0-9_.-]+)>")
_IN_STEPS = re.compile(r"(?<!<)<([A-Z][A-Z0-9]*(?:[_.-][A-Z0-9]+)*|[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)+)>(?!>)")
"""In a Dockerfile and in commands there are tags, templates and redirections too: capitals, or words with - or _."""
VALUES_MAX = 2 * REPLACEMENTS_MAX + 10


def left_in(text: str, *, program: bool = False) -> list[str]:
    """Names of the placeholders in one value, each once.

    Args:
        program: the text is a command or a step, in which ``<p>`` may mean something else.
    """
    pattern = _IN_STEPS if program else _LEFT_IN
    names = [next(group for group in match.groups() if group) for match in pattern.finditer(text)]
    return list(dict.fromkeys(name for name in names if len(name) > 1))


def filled(text: str, values: Mapping[str, str], found: Findings) -> str:
    """The text with each ``<NAME>`` as ``values`` says. A key that begins with ``<`` is looked for as it is written.

    Names that are not in the text are warned about.

    Raises:
        OperatorFault: a name or value that cannot be.
    """
    if not values:
        return text
    if len(values) > REPLACEMENTS_MAX:
        raise OperatorFault(f"{len(values)} placeholders are given values, at most {REPLACEMENTS_MAX}")
    sought: dict[str, str] = {}
    for name, value in values.items():
        if not name or not name.isprintable():
            raise OperatorFault(f"{quoted(name)!r} is no name of a placeholder: write NAME=VALUE")
        if (
            not all(c.isprintable() for c in value)
            or len(value.encode("utf-8", "surrogatepass")) > REPLACEMENT_BYTES_MAX
        ):
            raise OperatorFault(
                f"the value of <{quoted(name)}> has line breaks or control characters, or more than"
                f" {REPLACEMENT_BYTES_MAX:,} bytes"
            )
        sought[_form(name)] = value
    # The longest first: <CURRENT-PATH>/examples before <CURRENT-PATH>.
    forms = sorted(sought, key=len, reverse=True)
    used: set[str] = set()

    def put(match: re.Match[str]) -> str:
        used.add(match.group())
        return sought[match.group()]

    there = left_in(text)[:REPLACEMENTS_MAX]
    done = re.sub("|".join(map(re.escape, forms)), put, text)
    for form in forms:
        if form not in used:
            name = form.strip("<>")
            found.add(Weight.WARNING, 0, 0, f"{quoted(form)} is given a value and not in the text{meant(name, there)}")
    return done


def present(text: str, values: Mapping[str, str]) -> dict[str, str]:
    """Those of the values that this text has a place for."""
    return {name: value for name, value in values.items() if _form(name) in text}


def given(pairs: Iterable[str]) -> dict[str, str]:
    """``--set NAME=VALUE`` as it is typed, several times; the last of one name counts.

    Raises:
        OperatorFault: no ``=`` or no name.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        # A form like <A>/b=c: the name ends at the first = behind its bracket.
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise OperatorFault(f"--set {quoted(pair)}: write --set NAME=VALUE")
        values[_bare(name.strip())] = value
    return values


def from_file(raw: bytes) -> dict[str, str]:
    """A file of values: a map ``NAME: value``, on its own or below ``vars:``. Values are texts as they are written.

    Raises:
        OperatorFault: it is something else; names the line.
    """
    found = Findings()
    try:
        top = tree(decoded(raw, PROFILE_BYTES_MAX, found), VALUES_MAX, found)
    except (Unreadable, YAMLError):
        raise OperatorFault("; ".join(str(one) for one in found.sorted())) from None
    if top.kind == "map" and [key.text for key, _ in top.pairs] == ["vars"]:
        top = top.pairs[0][1]
    if top.kind != "map":
        raise OperatorFault(f"line {top.line}: {top.shown} stands where NAME: value is expected")
    values: dict[str, str] = {}
    for key, value in top.pairs:
        if value.kind != "scalar":
            found.add(Weight.ERROR, value.line, value.column, f"{quoted(key.text)} is {value.shown}, not a text")
        values[_bare(key.text)] = value.text
    if found.refused:
        raise OperatorFault("; ".join(str(one) for one in found.sorted()))
    return values


def name_them(node: Node, found: Findings, *, program: frozenset[str] = frozenset(), key: str = "") -> None:
    """A defect for each placeholder in the values of a tree.

    Args:
        program: keys whose values are commands or steps.
    """
    if node.kind == "scalar":
        for name in left_in(node.text, program=key in program):
            fix = f"give it a value, by --set {shlex.quote(name + '=VALUE')}"
            if " " not in name:
                fix += f" or, in the shell, SET CONTEXT ENV {name} VALUE"
            found.add(Weight.DEFECT, node.line, node.column, f"the placeholder <{quoted(name)}> was left in: {fix}")
    for item in node.items:
        name_them(item, found, program=program, key=key)
    for inner, value in node.pairs:
        name_them(inner, found)
        name_them(value, found, program=program, key=inner.text)


def _form(name: str) -> str:
    return name if name.startswith("<") else f"<{name}>"


def _bare(name: str) -> str:
    return name[1:-1] if re.fullmatch(r"<[^<>]+>", name) else name
