"""Writes docs/sdk-reference.md from the docstrings of the SDK's public modules; imports none of them.

    python tools/sdk_reference.py [--check]

``--check`` writes nothing and exits with 1 if the page is not what would be written.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "sdk" / "src" / "swarmlearning"
PAGE = ROOT / "docs" / "sdk-reference.md"
MODULES = (
    "pyt",
    "tf",
    "hf_transformers",
    "lightning",
    "sklearn",
    "plain",
    "client.swarm",
    "client.basis",
    "client.loops",
    "client.names",
    "swci.client",
    "swci.answers",
    "swci.topology",
    "swci.later",
    "swci.errors",
    "tensorfile",
)
"""Public modules in the order of the page; ``pytorch`` and ``base`` repeat ``pyt`` and ``client.swarm``."""
ROLE = re.compile(r":(?:class|func|meth|mod):(?=`)")
HEAD = """# SDK reference

Written by `tools/sdk_reference.py` from the docstrings in `sdk/src/swarmlearning`: change those, then run it.
[sdk.md](sdk.md) tells how to begin.
"""
Named = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(part for name in MODULES for part in _module(name))]).rstrip() + "\n"


def _module(name: str) -> Iterator[str]:
    tree = ast.parse((SOURCE / (name.replace(".", "/") + ".py")).read_text())
    public = _exported(tree)
    yield f"## swarmlearning.{name}\n"
    yield from _text(ast.get_docstring(tree) or "")
    for node in _top(tree):
        for own in _names(node):
            if own in public and not own.startswith("_"):
                yield from _entry(own, node, "###")
    other = sorted(public - {own for node in _top(tree) for own in _names(node)})
    if other:
        yield f"Also here: {', '.join(f'`{one}`' for one in other)}.\n"


def _exported(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return {own for node in _top(tree) for own in _names(node) if not own.startswith("_")}


def _top(tree: ast.Module) -> list[Named]:
    return [node for node in tree.body if isinstance(node, Named)]


def _names(node: Named) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _entry(own: str, node: Named, level: str) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        begin = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
        yield f"{level} {own}\n"
        yield f"```python\nclass {own}({_arguments(begin, skip_self=True) if begin else bases})\n```\n"
        yield from _text(ast.get_docstring(node) or "")
        if any("Enum" in base for base in bases.split(", ")):
            members = [name for one in node.body if isinstance(one, ast.Assign) for name in _names(one)]
            yield f"Members: {', '.join(f'`{name}`' for name in members)}.\n"
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and not one.name.startswith("_") and ast.get_docstring(one):
                yield from _entry(f"{own}.{one.name}", one, level + "#")
    elif isinstance(node, ast.FunctionDef):
        plain = [ast.unparse(one) for one in node.decorator_list]
        returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        called = "" if "property" in plain else f"({_arguments(node, skip_self='.' in own)})"
        yield f"{level} {own}\n\n```python\n{own.split('.')[-1]}{called}{returned}\n```\n"
        yield from _text(ast.get_docstring(node) or "")
    else:
        value = node.value
        yield f"{level} {own}\n\n```python\n{own} = {ast.unparse(value) if value is not None else '...'}\n```\n"


def _arguments(function: ast.FunctionDef, *, skip_self: bool) -> str:
    given = function.args
    if skip_self and given.args and given.args[0].arg in ("self", "cls"):
        given = ast.arguments(given.posonlyargs, given.args[1:], *(getattr(given, f) for f in given._fields[2:]))
    return ast.unparse(given)


def _text(docstring: str) -> Iterator[str]:
    """Markdown of a docstring: sections become lists, double back-quotes single ones."""
    if not docstring:
        return
    lines: list[str] = []
    section, depth = "", 0
    for line in ROLE.sub("", inspect.cleandoc(docstring).replace("``", "`")).splitlines():
        if line in ("Args:", "Returns:", "Raises:", "Attributes:"):
            section = line
            lines += [f"*{line[:-1]}*", ""]
        elif section and line and not line.startswith(" "):
            section = ""
            lines.append(line)
        elif section and line:
            depth = len(line) - len(line.lstrip())
            head, mark, rest = line.strip().partition(": ")
            is_item = depth == 4 and section != "Returns:" and bool(mark)
            is_item = is_item and all(word.strip("*").isidentifier() for word in head.replace(",", " ").split())
            lines.append(f"- `{head}`: {rest}" if is_item else f"  {line.strip()}" if depth > 4 else line.strip())
        else:
            lines.append(line)
    yield "\n".join(lines) + "\n"


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
