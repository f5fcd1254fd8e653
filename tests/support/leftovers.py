"""What a test leaves behind fails it by name, and nothing that hangs holds the suite up for ever.

Threads, child processes and network namespaces that come up while a test runs must be gone after its teardown; what a
fixture of a wider scope has started before belongs to that fixture. A test that is far over its time, in its teardown
too, ends the run with its name and all stacks: pytest-timeout fires once, and a teardown may wait again after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep  # bound here: a test may put its own clock into the module

import pytest
from support import netlab, warm

GRACE_SECONDS = 5.0
"""For what is on its way out when a test's teardown ends."""
OVERDUE_FACTOR = 2
OVERDUE_SECONDS = 60
"""A test may take so many times its own time limit, and this on top, before the run is ended."""
LIBRARIES = ("tqdm", "tensorboard", "pytest_timeout", "QueueFeederThread", "overdue tests")
"""Beginnings of names of threads that libraries keep for the life of the process."""
HELPERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker", "multiprocessing.spawn")
"""Processes that Python keeps for the life of this one or of a pool, whichever test needed them first."""
NAMESPACES = Path("/run/netns")
OWNED: set[int] = set()
"""Processes that a fixture of a wider scope starts in the middle of a test, and ends itself."""


@dataclass(frozen=True)
class Standing:
    """What runs at a moment."""

    threads: frozenset[threading.Thread] = frozenset()
    children: frozenset[int] = frozenset()
    namespaces: frozenset[str] = frozenset()

    @classmethod
    def now(cls) -> Standing:
        threads = {
            one
            for one in threading.enumerate()
            if not one.daemon
            and one is not threading.main_thread()
            and not one.name.startswith(LIBRARIES)
            and type(one).__name__ != "_ExecutorManagerThread"  # of a process pool, which its owner closes
        }
        own = f"{netlab.NAMES}{os.getpid()}x"  # those of other runs on this machine are theirs
        names = [name for name in os.listdir(NAMESPACES) if name.startswith(own)] if NAMESPACES.is_dir() else []
        return cls(frozenset(threads), frozenset(_children()), frozenset(names))

    def beyond(self, earlier: Standing) -> list[str]:
        """One sentence for each thing that was not there earlier."""
        found = [f"the thread {one.name}: {_where(one)}" for one in self.threads - earlier.threads]
        found += [f"the process {pid}: {_command(pid)}" for pid in sorted(self.children - earlier.children)]
        return found + [f"the network namespace {name}" for name in sorted(self.namespaces - earlier.namespaces)]


def _children() -> list[int]:
    """Living child processes; those that have ended and only wait to be asked for do not count."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += [int(pid) for pid in task.read_text().split()]
    living = [pid for pid in found if _state(pid) not in ("", "Z", "X")]
    living = [pid for pid in living if pid != warm.forker_pid() and pid not in OWNED]
    return [pid for pid in living if not any(name in _command(pid) for name in HELPERS)]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _command(pid: int) -> str:
    if named := warm.name(pid):
        return named
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200].strip()
    except OSError:
        return "gone meanwhile"


def _where(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "ended meanwhile"


@dataclass
class Overdue:
    """Ends the run when one test hangs; a thread of its own, since the main one is what hangs."""

    name: str = ""
    until: float = float("inf")
    lock: threading.Lock = field(default_factory=threading.Lock)
    stderr: int = field(default_factory=lambda: os.dup(2))
    """As it is while pytest is configured: during tests it is captured."""

    def watch(self) -> None:
        threading.Thread(target=self._run, name="overdue tests", daemon=True).start()

    def begins(self, name: str, limit: float) -> None:
        with self.lock:
            self.name, self.until = name, monotonic() + OVERDUE_FACTOR * limit + OVERDUE_SECONDS

    def ended(self) -> None:
        with self.lock:
            self.until = float("inf")

    def _run(self) -> None:
        while True:
            sleep(1)
            with self.lock:
                late, name = monotonic() > self.until, self.name
            if late:
                os.write(self.stderr, f"\n{name} hangs, its teardown too: the run is ended. All stacks:\n".encode())
                faulthandler.dump_traceback(file=self.stderr, all_threads=True)
                os._exit(3)


class Leftovers:
    """The pytest plugin."""

    def __init__(self, default_limit: float) -> None:
        self._default = default_limit
        self._overdue = Overdue()
        self._overdue.watch()
        self._before = Standing()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker and marker.args else self._default
        self._overdue.begins(item.nodeid, limit)
        try:
            return (yield)
        finally:
            self._overdue.ended()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        self._before = Standing.now()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        answer = yield
        end = monotonic() + GRACE_SECONDS
        while (left := Standing.now().beyond(self._before)) and monotonic() < end:
            sleep(0.05)
        if left:
            for pid in Standing.now().children - self._before.children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pytest.fail(f"{item.nodeid} leaves behind " + "; ".join(left), pytrace=False)
        return answer

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """A thread that still runs would keep the interpreter from ending; each has failed its test already."""
        left = [one.name for one in Standing.now().threads]
        if left:
            os.write(2, f"\nended with threads left: {', '.join(left)}\n".encode())
            sys.stdout.flush()
            os._exit(1)


def bound_executors() -> None:
    """Closing an event loop waits for its worker threads without a bound (asyncio, below 3.12); here it does not."""

    async def shut_down(loop: asyncio.BaseEventLoop, timeout: float | None = None) -> None:
        loop._executor_shutdown_called = True  # type: ignore[attr-defined]
        executor = loop._default_executor  # type: ignore[attr-defined]
        if executor is None:
            return
        executor.shutdown(wait=False)
        end = monotonic() + GRACE_SECONDS
        while any(one.is_alive() for one in executor._threads) and monotonic() < end:
            await asyncio.sleep(0)
            sleep(0.005)  # noqa: ASYNC251 - the clock of the loop may be a test's, and stand still

    asyncio.BaseEventLoop.shutdown_default_executor = shut_down  # type: ignore[method-assign,assignment]
