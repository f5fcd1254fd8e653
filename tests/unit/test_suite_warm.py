"""Nodes and commands that tests fork instead of starting afresh: they are as those that a user starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import leftovers, warm
from support.snprocess import clean_environ


@pytest.mark.parametrize(
    "argv", [["--help"], ["certs", "check", "--nonsense"], ["job"], ["status", "--ops", "http://"]]
)
def test_a_forked_command_says_and_returns_what_a_fresh_one_does(argv: list[str]) -> None:
    """Output, errors and exit code of good and bad command lines are the same bytes."""
    environ = clean_environ(COLUMNS="100")
    fresh = [str(Path(sys.executable).with_name("swarm")), *argv]
    wanted = subprocess.run(fresh, capture_output=True, text=True, timeout=60, check=False, env=environ)
    done = warm.run(argv, environ, seconds=60)
    assert (done.returncode, done.stdout, done.stderr) == (wanted.returncode, wanted.stdout, wanted.stderr)


def start(folder: Path, **environ: str) -> subprocess.Popen[bytes]:
    """An operator's command that waits for an SN that is not there."""
    argv = ["ready", "sn", "--timeout", "600", "--ops", "http://127.0.0.1:9"]
    return warm.start(argv, clean_environ(**environ), folder / "log")


def test_a_forked_node_is_a_child_of_the_test_that_is_told_by_name(tmp_path: Path) -> None:
    """Popen's methods work on it; the guard of the suite would name it by its command."""
    before = leftovers.Standing.now()
    process = start(tmp_path)
    try:
        assert process.poll() is None
        assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())
        assert leftovers.Standing.now().beyond(before) == [
            f"the process {process.pid}: swarm ready sn --timeout 600 --ops http://127.0.0.1:9"
        ]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    finally:
        process.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_a_command_that_takes_too_long_is_killed() -> None:
    """Nothing of it is left when the caller is told."""
    before = leftovers.Standing.now()
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["ready", "sn", "--timeout", "600", "--ops", "http://127.0.0.1:9"], clean_environ(), seconds=0.5)
    assert leftovers.Standing.now().beyond(before) == []


def test_variables_that_only_a_fresh_process_heeds_start_one(tmp_path: Path) -> None:
    """The loader's and Python's own are read before any code: the library of another clock, hash seeds."""
    process = start(tmp_path, PYTHONHASHSEED="7")
    process.kill()
    process.wait(timeout=10)
    assert type(process) is subprocess.Popen
