"""Which test executes which line: one run of the tests under coverage, kept while the code is the same.

Owns the run and what it tells; which of these tests a mutant is tried with is choosing's. Each test is a context of
coverage's; what a fixture of a wider scope executes counts for every test of its file or class.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

FOLDERS = ("tests/unit", "tests/attacks", "tests/sim")
MARKS = ("slow", "torch", "keras", "geth", "anvil", "solc", "docker", "netns", "host_network", "faketime")
SELECTED = " and ".join(f"not {mark}" for mark in MARKS)
"""Tests that need no other program; those that start nodes of their own execute no line here."""
IGNORED = ("--ignore-glob=tests/unit/test_sdk_*",)
"""The SDK knows nothing of the services."""
SEEDS = "5"
"""Random days of the simulation."""
TEST_SECONDS_MAX = 30.0
"""A test that takes longer, under coverage, tries no mutant."""
CODE = ("services", "sdk/src", "tests")


class HereExecutor(futures.ThreadPoolExecutor):
    """Stands for a pool of processes, in this process: coverage sees what runs in it, and no interpreter is started."""

    def __init__(self, max_workers: int | None = None, **_: object) -> None:
        super().__init__(1)


@dataclass(frozen=True, slots=True)
class Covered:
    """Seconds of each test that passes, by file and line the tests that execute it, and what they all import."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, frozenset[str]]]
    modules: tuple[str, ...]


class Recorder:
    """The pytest plugin of the run: switches the context with each test, and keeps what became of it."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self._test = ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.passed: dict[str, bool] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._test = item.nodeid
        self._measured.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._measured.switch_context("")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        self._measured.switch_context(request.node.nodeid)
        try:
            return (yield)
        finally:
            self._measured.switch_context(self._test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        fine = report.outcome == "passed" and not hasattr(report, "wasxfail")
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and fine


def digest(root: Path) -> str:
    """Of all code that the run depends on."""
    told = hashlib.sha256(f"{coverage.__version__} ".encode() + Path(__file__).read_bytes())
    for folder in CODE:
        for file in sorted((root / folder).rglob("*.py")):
            told.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return told.hexdigest()[:16]


def record(out: Path) -> int:
    """Runs the tests of the folder that this process is in, to ``out``; in a process that has not imported the code."""
    futures.ProcessPoolExecutor = HereExecutor  # type: ignore[misc,assignment]
    measured = coverage.Coverage(data_file=str(out / "lines.sqlite"), source=["services/swarm"], config_file=False)
    measured.erase()
    recorder = Recorder(measured)
    began = time.monotonic()
    measured.start()
    try:
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-m", SELECTED, *IGNORED, *FOLDERS], plugins=[recorder])
    finally:
        measured.stop()
        measured.save()
    told = {"seconds": recorder.seconds, "passed": recorder.passed, "all_seconds": round(time.monotonic() - began)}
    told |= {"tree": str(Path.cwd()), "modules": third_party(Path.cwd())}
    (out / "tests.json").write_text(json.dumps(told, indent=0))
    return int(code)


def third_party(tree: Path) -> list[str]:
    """The modules that this process has imported, in their order, without the tree's own."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and getattr(module, "__spec__", None) and not Path(file).is_relative_to(tree):
            found.append(name)
    return found


def covered(out: Path) -> Covered:
    """What a run has recorded in ``out``."""
    told = json.loads((out / "tests.json").read_text())
    seconds = {
        test: taken for test, taken in told["seconds"].items() if told["passed"][test] and taken <= TEST_SECONDS_MAX
    }
    wide: dict[str, set[str]] = defaultdict(set)
    for test in seconds:
        file, *within = test.split("::")
        for depth in range(len(within)):
            wide["::".join([file, *within[:depth]])].add(test)
    data = coverage.CoverageData(str(out / "lines.sqlite"))
    data.read()
    lines: dict[str, dict[int, frozenset[str]]] = {}
    for file in data.measured_files():
        of_file = lines[str(Path(file).relative_to(told["tree"]))] = {}
        for line, contexts in data.contexts_by_lineno(file).items():
            tests = {one for context in contexts for one in wide.get(context, {context})}
            of_file[line] = frozenset(tests & seconds.keys())
    return Covered(seconds, lines, tuple(told["modules"]))
