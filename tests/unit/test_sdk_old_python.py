"""The SDK's source is what Python 3.8 and numpy 1.21 can import; ``test_sl_older_clients.py`` runs it there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[2] / "sdk"
SOURCES = sorted(SDK.rglob("*.py"))
GENERIC = {"dict", "list", "tuple", "set", "frozenset", "type", "np.ndarray", "np.dtype"}
"""Cannot be subscripted there at run time."""
PLAIN_MODULES = {"collections", "collections.abc", "contextlib", "concurrent.futures", "queue", "os", "re"}
NEWER = {"removeprefix", "removesuffix", "is_relative_to", "readlink", "randbytes", "lcm", "nextafter", "with_stem"}
"""Attributes and functions that came with Python 3.9 or later."""


def newer_than_38(source: str) -> list[str]:
    """What Python 3.8 or numpy 1.21 stumble over at import, or know no such name of."""
    tree = ast.parse(source, feature_version=(3, 8))
    generic, found = set(GENERIC), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in PLAIN_MODULES:
            generic |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Attribute) and node.attr in NEWER:
            found.append(f"line {node.lineno}: .{node.attr}")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {one.arg for one in node.keywords}
            if (name == "zip" and "strict" in given) or (name.endswith("dataclass") and given & {"slots", "kw_only"}):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            if name in {"isinstance", "issubclass"} and isinstance(node.args[-1], ast.BinOp):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")

    def evaluated(node: ast.AST) -> None:
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns"}:  # texts, by the future import
                continue
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.Subscript) and ast.unparse(one.value) in generic:
                    found.append(f"line {one.lineno}: {ast.unparse(one)}")
                if isinstance(one, ast.AST):
                    evaluated(one)

    evaluated(tree)
    if (
        not any(isinstance(one, ast.ImportFrom) and one.module == "__future__" for one in tree.body)
        and len(tree.body) > 1
    ):
        found.append("no from __future__ import annotations")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SDK)))
def test_python_3_8_can_import_it(path: Path) -> None:
    """Each module of the SDK, and what its wheel brings beside it."""
    assert newer_than_38(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "class Bits(np.ndarray[Any, Any]): ...",
        "State = tuple[int, int]",
        "from collections.abc import Mapping\nArrays = Mapping[str, int]",
        "class Views(dict[str, int]): ...",
        "name.removeprefix('a')",
        "zip(a, b, strict=True)",
        "isinstance(a, int | str)",
        "def f(a: int) -> list[int]: return cast(list[int], a)",
    ],
)
def test_the_check_finds_what_is_too_new(line: str) -> None:
    """One line of each kind that was there, or could come."""
    assert newer_than_38(f"from __future__ import annotations\n{line}")
