"""Which tests may notice a mutant, in two goes: those of the files that say most about its module, then the others.

Owns the choice; who executes what is told by covering. What runs at import (a bound, a default) belongs to no test:
then the tests count that execute a reader of what it defines.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from changes import Mutant, Place, walked
from covering import Covered

FIRST_FILES = 6
FIRST_SECONDS = 8.0
"""The first go: the imports of few files, and the tests of these that take no longer together."""
SECONDS_MAX = 60.0
"""The tests of one mutant take no longer on unchanged code (under coverage), both goes together."""
NUMBERS = ("tests/unit/test_security_numbers.py", "tests/unit/test_docs_numbers.py")
"""Hold the documents' tables to the code's bounds; they execute no reader of a bound."""

LINES = 10_000
"""More than a file has."""

Span = tuple[str, int, int]
"""File, first line, last line."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """``left``: tests that execute the place and did not fit into the time."""

    goes: tuple[tuple[str, ...], ...] = ()
    left: int = 0


@dataclass(slots=True)
class Readers:
    """Of each name of the code: the lines in functions that read it, and what is defined at import from it."""

    lines: dict[str, set[Span]] = field(default_factory=lambda: defaultdict(set))
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, sources: Iterable[tuple[str, bytes]]) -> Readers:
        found = cls()
        for path, source in sources:
            for node, place in walked(ast.parse(source), Place()):
                match node:
                    case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
                        found._add(name, path, node.lineno, place)
        return found

    def _add(self, name: str, path: str, line: int, place: Place) -> None:
        if not place.at_import:
            self.lines[name].add((path, line, line))
        elif place.body:
            self.lines[name].add((path, *place.body))
        else:
            self.names[name].update(place.names)

    def all(self, names: Iterable[str]) -> set[Span]:
        """The lines that read one of the names, or what is made from it."""
        seen, todo = set[str](), list(names)
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo += self.names.get(one, ())
        return {span for one in seen for span in self.lines.get(one, ())}


@dataclass(frozen=True, slots=True)
class Chooser:
    covered: Covered
    readers: Readers
    texts: dict[str, str]
    """The test files."""

    @classmethod
    def of(cls, covered: Covered, root: Path) -> Chooser:
        code = sorted((root / "services" / "swarm").rglob("*.py"))
        files = {test.partition("::")[0] for test in covered.seconds}
        return cls(
            covered,
            Readers.of((str(file.relative_to(root)), file.read_bytes()) for file in code),
            {file: (root / file).read_text() for file in sorted(files)},
        )

    def tests(self, mutant: Mutant) -> frozenset[str]:
        """All that may notice it."""
        if not mutant.at_import:
            return self._on((mutant.path, mutant.line, mutant.last)) or self._on((mutant.path, *mutant.statement))
        spans = {(mutant.path, *mutant.body)} if mutant.body else self.readers.all(mutant.names)
        found = set[str]().union(*map(self._on, spans)) or set(self._on((mutant.path, 1, LINES)))
        named = re.compile(rf"\b({'|'.join(mutant.names)})\b") if mutant.names else None
        says = {file for file, text in self.texts.items() if named and named.search(text)}
        found |= {test for test in self.covered.seconds if test.partition("::")[0] in says.union(NUMBERS)}
        return frozenset(found)

    def chosen(self, mutant: Mutant) -> Chosen:
        seconds = self.covered.seconds
        tests = self.tests(mutant) & seconds.keys()
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in sorted(tests, key=lambda one: (seconds[one], one)):
            by_file[test.partition("::")[0]].append(test)
        says = {file: self._says(file, mutant) for file in by_file}
        near = sorted(by_file, key=lambda file: (-says[file], -len(by_file[file]), file))[:FIRST_FILES]
        numbers = [file for file in NUMBERS if file in by_file]
        first, used = taken([test for file in near + numbers for test in by_file[file]], seconds, FIRST_SECONDS)
        rest, _ = taken(tests - set(first), seconds, SECONDS_MAX - used)
        return Chosen(tuple(go for go in (first, rest) if go), len(tests) - len(first) - len(rest))

    def _on(self, span: Span) -> frozenset[str]:
        path, line, last = span
        lines = self.covered.lines.get(path, {})
        return frozenset().union(*(lines.get(one, frozenset()) for one in range(line, last + 1)))

    def _says(self, file: str, mutant: Mutant) -> int:
        """How often a test file names a module: whole, or imported from its package."""
        dotted = mutant.path.removeprefix("services/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        package, _, name = dotted.rpartition(".")
        text = self.texts[file]
        return 3 * text.count(dotted) + text.count(f"{name}.") * (f"from {package} import" in text)


def taken(tests: Iterable[str], seconds: dict[str, float], most: float) -> tuple[tuple[str, ...], float]:
    """The shortest of them that take no longer together, files together; and what they take."""
    found, used = list[str](), 0.0
    for test in sorted(set(tests), key=lambda one: (seconds[one], one)):
        if found and used + seconds[test] > most:
            break
        found.append(test)
        used += seconds[test]
    return tuple(sorted(found, key=lambda one: (round(seconds[one]), one.partition("::")[0], seconds[one]))), used
