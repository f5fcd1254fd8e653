"""The suite's own guard: what a test leaves behind fails it by name, and a test that hangs ends the run by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

LEAVING = """
import asyncio, subprocess, threading, time
import pytest

def test_a_thread():
    threading.Thread(target=time.sleep, args=(600,), name="sleeper").start()

def test_a_process():
    subprocess.Popen(["sleep", "600"])

async def test_a_worker_of_its_loop():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)

@pytest.fixture(scope="module")
def server():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()

def test_a_wider_fixture_may_keep_its_process(server):
    assert server.poll() is None

def test_a_process_that_ended_is_none():
    subprocess.Popen(["true"])
"""

HANGING = """
import time
import pytest

@pytest.fixture
def stuck():
    yield
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

@pytest.mark.timeout(1)
def test_whose_teardown_hangs(stuck):
    pass
"""

CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
from support import leftovers
leftovers.GRACE_SECONDS, leftovers.OVERDUE_SECONDS = 0.5, 1

def pytest_configure(config):
    leftovers.bound_executors()
    config.pluginmanager.register(leftovers.Leftovers(5.0), "leftovers")
"""


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """pytest on one file, in a process of its own with the guard and short times."""
    (folder / "conftest.py").write_text(CONFTEST.format(tests=str(TESTS)))
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nfilterwarnings = ignore::DeprecationWarning\n")
    (folder / "test_it.py").write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)


def test_what_is_left_behind_fails_its_test_by_name(tmp_path: Path) -> None:
    """A thread, a process, a worker of an event loop: each fails its own test, and the run ends all the same."""
    done = run(tmp_path, LEAVING)
    assert done.returncode != 0
    assert "test_a_thread leaves behind the thread sleeper" in done.stdout
    assert "test_a_process leaves behind the process" in done.stdout
    assert "test_a_worker_of_its_loop leaves behind the thread asyncio_0" in done.stdout
    assert "5 passed, 3 errors" in done.stdout


def test_a_test_that_hangs_in_its_teardown_ends_the_run_by_name(tmp_path: Path) -> None:
    """pytest-timeout fires once; whoever goes on waiting is named with all stacks, and the run is over."""
    done = run(tmp_path, HANGING)
    assert done.returncode == 3
    assert "test_it.py::test_whose_teardown_hangs hangs, its teardown too" in done.stderr
    assert "in stuck" in done.stderr


STRICT = """
from swarmlearning.client.unfinished import WATCH
from pathlib import Path

class Program:
    def _ended_early(self, kind):
        print("this program ended early")
        return True

def test_that_leaves_a_strict_program_open():
    WATCH.begins(Program(), (Path("a"), Path("b")))
"""


def test_a_program_that_a_test_leaves_open_does_not_end_the_run(tmp_path: Path) -> None:
    """A strict program that never ended exits with 1: not the run of tests that had it, whose tests all passed."""
    (tmp_path / "test_it.py").write_text(STRICT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    plugin = ["-p", "conftest", str(tmp_path / "test_it.py")]
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([*command, *plugin], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert "ended early" not in done.stdout
