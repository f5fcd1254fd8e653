"""The small changes that make mutants: a comparison, an operator, a constant, a condition, a call left out.

Owns what is changed, and where each change stands in its file; texts and annotations are left alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,  # codespell:ignore notin
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Add,
}  # fmt: skip
LEFT_ALONE = ("annotation", "returns", "decorator_list")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: bytes ``start`` to ``end`` of a file, on the lines ``line`` to ``last``, become ``after``.

    ``statement`` are the first and last line of the statement (without a body) that it stands in. What is executed
    at import has in ``names`` what the statement defines, or in ``body`` the lines of the function that it belongs to.
    """

    path: str
    line: int
    last: int
    start: int
    end: int
    before: str
    after: str
    statement: tuple[int, int]
    at_import: bool = False
    names: tuple[str, ...] = ()
    body: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its statement, and, outside of functions, what that defines."""

    statement: tuple[int, int] = (0, 0)
    at_import: bool = True
    names: tuple[str, ...] = ()
    body: tuple[int, int] | None = None


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    other = copy.deepcopy(node)
    match other:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            other.ops = [COMPARED[type(op)]()]
            yield other
        case ast.BoolOp():
            other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
            yield other
        case ast.BinOp() if type(other.op) in COMPUTED:
            other.op = COMPUTED[type(other.op)]()
            yield other
        case ast.UnaryOp(op=ast.Not()):
            yield other.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not other.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(other.value + 1)
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()


def mutants_of(source: bytes, path: str) -> Iterator[Mutant]:
    """All mutants of a file, in its order."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, place in walked(ast.parse(source), Place()):
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
            continue
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        for other in changed(node):
            text = ast.unparse(other)
            after = text if isinstance(other, ast.stmt) else f"({text})"
            before = source[start:end].decode()
            yield Mutant(
                path, node.lineno, node.end_lineno, start, end, before, after,
                place.statement, place.at_import, place.names, place.body,
            )  # fmt: skip


def walked(node: ast.AST, place: Place) -> Iterator[tuple[ast.AST, Place]]:
    if isinstance(node, ast.stmt):
        place = standing(node, place)
    yield node, place
    for name, value in ast.iter_fields(node):
        if name in LEFT_ALONE or isinstance(node, ast.JoinedStr):
            continue
        inner = place
        if isinstance(node, FUNCTIONS) and name == "body":
            inner = Place(place.statement, at_import=False)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walked(child, inner)


def standing(node: ast.stmt, outside: Place) -> Place:
    """The place of what a statement executes itself: of one with a body, its head."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    last = node.end_lineno or node.lineno
    if body:
        last = max(node.lineno, getattr(body[0], "lineno", node.lineno + 1) - 1)
    lines = (node.lineno, last)
    if not outside.at_import:
        return Place(lines, at_import=False)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return Place(lines, body=(node.body[0].lineno, node.end_lineno or last))
    return Place(lines, names=defined(node) or outside.names)


def defined(node: ast.stmt) -> tuple[str, ...]:
    """The names that a statement defines."""
    match node:
        case ast.Assign(targets=targets):
            return tuple(one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.ClassDef(name=name):
            return (name,)
    return ()


def apply(file: Path, mutant: Mutant) -> None:
    source = file.read_bytes()
    file.write_bytes(source[: mutant.start] + mutant.after.encode() + source[mutant.end :])
