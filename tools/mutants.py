"""Which small changes of the code do the tests not notice? A seeded sample of mutants, run in a copy of the tree.

Owns the changes, the sample and the report; which tests belong to a module is found by who imports it. The same seed
gives the same sample as long as the code is the same. docs/mutants.md holds the verdicts.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "pki", "store", "net")
LEFT_OUT = (".git", ".venv", "node_modules", "build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache")
TESTS_MAX = 8
"""Test files that a mutant is tried with first: those that name its module most often."""
SECOND_MAX = 40
SECOND_TIMES = 6
"""What these did not notice is tried with so many more files, in so many times the time."""
NICE = 15
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,  # codespell:ignore notin
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Add,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: bytes ``start`` to ``end`` of a file become ``after``."""

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    mutant: Mutant
    verdict: str
    tests: tuple[str, ...]
    seconds: float


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


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, in its order; annotations and texts are left alone."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from walk(child)

    for node in walk(ast.parse(source)):
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
            continue
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        for other in changed(node):
            text = ast.unparse(other)
            after = text if isinstance(other, ast.stmt) else f"({text})"
            yield Mutant(
                str(path.relative_to(ROOT)), node.lineno, start, end, source[start:end].decode()[:200], after[:400]
            )


def tests_for(module: str) -> tuple[str, ...]:
    """All test files that may notice a change of a module, those that name it most often first.

    The engine's modules are seldom named: whoever runs whole swarms, or asks the engine as a whole, tests them.
    """
    dotted = module.removeprefix("services/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    ranked: list[tuple[int, str]] = []
    for folder in ("unit", "attacks", "sim"):
        for file in sorted((ROOT / "tests" / folder).glob("test_*.py")):
            text = file.read_text()
            named = 3 * text.count(dotted) + text.count(f"{name}.") * (f"from {package} import" in text)
            near = text.count(package)
            if package.startswith("swarm.core.engine") and (folder == "sim" or "engine" in file.name):
                near += 1
            if named or near:
                ranked.append((-10 * named - near, str(file.relative_to(ROOT))))
    slow = {"tests/sim/test_sim_seeds.py"}
    return tuple(path for _, path in sorted(ranked) if path not in slow)


def passes(tree: Path, tests: tuple[str, ...], limit: float) -> int | None:
    """The exit code of these tests in the copy, None if they take too long; its code is what they import."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    command += ["-m", "not slow and not torch and not keras"]
    environ = {**os.environ, "PYTHONPATH": f"{tree / 'services'}:{tree / 'sdk' / 'src'}", "SWARM_SIM_SEEDS": "5"}
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, cwd=tree, env=environ, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return child.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@functools.cache
def sound(tree: Path, tests: tuple[str, ...], limit: float) -> bool:
    """Whether these tests pass on the code as it is: else what they say of a mutant means nothing."""
    return passes(tree, tests, limit) == 0


def run(tree: Path, mutant: Mutant, tests: tuple[str, ...], limit: float) -> str:
    """``killed``, ``survived``, ``timeout``, ``untested``, or ``broken`` (the tests do not pass without it either)."""
    if not tests:
        return "untested"
    first, second = tests[:TESTS_MAX], tests[TESTS_MAX:][:SECOND_MAX]
    if not sound(tree, first, limit):
        return "broken"
    file = tree / mutant.path
    source = file.read_bytes()
    try:
        file.write_bytes(source[: mutant.start] + mutant.after.encode() + source[mutant.end :])
        code = passes(tree, first, limit)
        if code == 0 and second:
            code = passes(tree, second, SECOND_TIMES * limit)
            if code:
                # One that fails on the code as it is, or is too slow, noticed nothing.
                file.write_bytes(source)
                code = code if sound(tree, second, SECOND_TIMES * limit) else 0
        return "timeout" if code is None else "killed" if code else "survived"
    finally:
        file.write_bytes(source)


def report(found: list[Found], args: argparse.Namespace, total: int) -> str:
    counts = Counter(one.verdict for one in found)
    lines = [f"seed {args.seed}: {len(found)} of {args.count} mutants run ({total} possible); {dict(counts)}", ""]
    lines += ["| where | before | after | verdict |", "| --- | --- | --- | --- |"]
    for one in found:
        if one.verdict in ("survived", "untested"):
            shown = [text.replace("\n", " ").replace("|", "\\|")[:80] for text in (one.mutant.before, one.mutant.after)]
            lines.append(f"| {one.mutant.path}:{one.mutant.line} | `{shown[0]}` | `{shown[1]}` | {one.verdict} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument(
        "--first", type=int, default=1, help="begin at this one of the sample: the rest of an earlier run"
    )
    parser.add_argument("--minutes", type=float, default=120.0, help="stop before a mutant that would begin later")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds for the tests of one mutant")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    args = parser.parse_args()
    os.nice(NICE)
    files = [f for package in PACKAGES for f in sorted((ROOT / "services" / "swarm" / package).rglob("*.py"))]
    every = [mutant for file in files for mutant in mutants_of(file)]
    sample = random.Random(args.seed).sample(every, min(args.count, len(every)))  # noqa: S311 - a sample that can be had again
    found: list[Found] = []
    began = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT, "__pycache__"), symlinks=True)
        for number, mutant in enumerate(sample[args.first - 1 :], args.first):
            if time.monotonic() - began >= 60 * args.minutes:
                break
            at = time.monotonic()
            tests = tests_for(mutant.path)
            found.append(Found(mutant, run(tree, mutant, tests, args.limit), tests, round(time.monotonic() - at, 1)))
            print(f"{number:4} {found[-1].verdict:9} {mutant.path}:{mutant.line}", flush=True)
            (args.out / "mutants.json").write_text(json.dumps([asdict(one) for one in found], indent=1))
            (args.out / "mutants.md").write_text(report(found, args, len(every)))
    print(report(found, args, len(every)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
