"""Tries tests in a copy of the tree: each go in one forked child of this process, which has third-party imports loaded.

Owns the copy, the child and its bounds. The child imports the code and the tests afresh, so that a change in the copy
is what they run; this process never imports them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import pytest
from changes import Mutant, apply
from covering import SEEDS, HereExecutor

LEFT_OUT = (".git", ".venv", "node_modules", "build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache")
TEST_SECONDS, TEST_TIMES = 8.0, 5.0
"""A test may take so long, and so many times its time on unchanged code, until it counts as hanging."""
GO_SECONDS, GO_TIMES = 90.0, 3.0
"""The like for a go, with the imports of its files."""
MEMORY_BYTES_MAX = 6 << 30
"""A change may let a loop collect for ever."""
OURS = ("swarm", "swarmlearning", "tests", "support", "conftest", "test_", "__m")
SAID_MAX = 300
PLUGINS = ["--disable-plugin-autoload"]
"""Looking for them takes longer than many a test."""
for _name in ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin"):
    PLUGINS += ["-p", _name]
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Ended:
    """``test`` failed first, if any did; ``how`` begins with what failed. ``late``: it, or the whole go, hung."""

    failed: bool
    test: str = ""
    how: str = ""
    late: bool = False


class Picked:
    """The pytest plugin of a go: these tests in this order, each with a time of its own, and who failed first."""

    def __init__(self, seconds: dict[str, float], tell: Callable[[str, str], None]) -> None:
        self._seconds = seconds
        self._tell = tell

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        # A failure is enough: no smaller example of it is looked for.
        steady = settings.get_profile("steady")
        settings.register_profile("mutants", steady, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = {test: number for number, test in enumerate(self._seconds)}
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])
        for item in items:
            limit = TEST_SECONDS + TEST_TIMES * self._seconds[item.nodeid]
            item.add_marker(pytest.mark.timeout(limit), append=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell(report.nodeid, report.longreprtext)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell(report.nodeid, report.longreprtext)


def copied(root: Path, tree: Path) -> None:
    """A copy of the tree's code; pycache comes with the first run."""
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*LEFT_OUT, "__pycache__"), symlinks=True)


def warm(modules: Iterable[str]) -> None:
    """Imports what tests need and does not belong to this tree; what cannot be had again is left to the child."""
    for name in modules:
        if not name.startswith(OURS):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    # A child that looks through all objects for garbage would copy the memory of this process.
    gc.collect()
    gc.freeze()


def in_child(
    tree: Path, log: Path, act: Callable[[Callable[..., None]], int], limit: float | None
) -> tuple[int | None, str]:
    """Runs ``act`` in a forked child whose code is the copy.

    Returns:
        The child's exit code, None when it was over its time, and the first that ``act`` told.
    """
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            os.close(read_end)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
            opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for descriptor in (1, 2):
                os.dup2(opened, descriptor)
            os.chdir(tree)
            paths = [str(tree / "services"), str(tree / "sdk" / "src")]
            sys.path[:0] = paths
            sys.argv = ["pytest"]
            os.environ.update({"PYTHONPATH": ":".join(paths), "SWARM_SIM_SEEDS": SEEDS})
            futures.ProcessPoolExecutor = HereExecutor  # type: ignore[misc,assignment]
            code = act(lambda *said: os.write(write_end, json.dumps(said).encode() + b"\n"))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as told, os.fdopen(os.pidfd_open(child), "rb", closefd=True) as ending:
        in_time = bool(select.select([ending], [], [], limit)[0])
        if not in_time:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        end_what_is_left()
        said = told.readline().decode() if select.select([told], [], [], 1.0)[0] else ""
    return (os.waitstatus_to_exitcode(status) if in_time else None), said


def end_what_is_left() -> None:
    """Ends what tests started and left: it is this process's own child once its parent has ended."""
    while left := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for pid in map(int, left):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def go(tree: Path, log: Path, tests: dict[str, float]) -> Ended:
    """These tests, with their seconds, up to the first that fails."""
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    command = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", *PLUGINS, *files]

    def act(tell: Callable[..., None]) -> int:
        picked = Picked(tests, lambda test, text: tell(test, text[-SAID_MAX:]))
        return int(pytest.main(command, plugins=[picked]))

    code, said = in_child(tree, log, act, GO_SECONDS + GO_TIMES * sum(tests.values()))
    test, how = json.loads(said) if said else ("", "")
    if code is None:
        return Ended(True, test, "the go took too long", late=True)
    failed = code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    return Ended(failed, test, how or f"exit code {code}", late=failed and "Timeout (>" in how)


@contextlib.contextmanager
def applied(tree: Path, mutant: Mutant) -> Iterator[None]:
    """The copy with this change. Its compiled form goes too: size and second of a change may be those of another."""
    file = tree / mutant.path
    source = file.read_bytes()
    compiled = Path(importlib.util.cache_from_source(str(file)))
    try:
        compiled.unlink(missing_ok=True)
        apply(file, mutant)
        yield
    finally:
        file.write_bytes(source)
        compiled.unlink(missing_ok=True)
