"""SIGTERM, in each face of the shell: the command that runs ends with a word, and then the process, soon."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import patience, swci
from support.certs import Authority
from support.chains import free_port

TERMINATED = 143


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> swci.Operator:
    nobody: Any = None
    found = swci.operator(tmp_path_factory.mktemp("operator"), nobody, Authority())
    (found.usr / "init").write_text("PWD\nSLEEP 600\nPWD\n")
    return found


def ended(here: swci.Operator, folder: Path, argv: list[str], typed: bytes, until: str, **more: str) -> tuple[int, str]:
    """Exit code, and all that was said, of a shell that got SIGTERM once it had said ``until``."""
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "swarm.cli", *here.argv(*argv)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=here.environ(**more))
    assert process.stdin is not None
    try:
        process.stdin.write(typed)
        process.stdin.flush()
        limit = time.monotonic() + patience.seconds(60)
        while until not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=patience.seconds(15)), log.read_text()
    finally:
        process.kill()
        process.stdin.close()
        process.wait()


@pytest.mark.parametrize(
    ("argv", "typed"),
    [(["-c", "PWD\nSLEEP 600\nPWD"], b""), (["--script", "init"], b""), ([], b"PWD\nSLEEP 600\nPWD\n")],
)
def test_a_command_that_runs_is_ended_and_is_the_last(
    here: swci.Operator, tmp_path: Path, argv: list[str], typed: bytes
) -> None:
    """Of -c, a script and a pipe: it says that it was interrupted, and no further line is taken."""
    code, told = ended(here, tmp_path, argv, typed, "Current Directory")
    assert code == TERMINATED
    assert told.rstrip().endswith("ERROR SLEEP was interrupted")
    assert told.count("Current Directory") == 1


def test_a_shell_that_waits_for_a_line_ends(here: swci.Operator, tmp_path: Path) -> None:
    """Though the pipe that it reads stays open."""
    code, told = ended(here, tmp_path, [], b"PWD\n", "Current Directory")
    assert code == TERMINATED
    assert "Traceback" not in told


def test_a_server_ends_in_its_start_script_and_when_it_serves(here: swci.Operator, tmp_path: Path) -> None:
    """In the script as a script, later as a server: with 0."""
    web = {"SWCI_MODE": "WEB", "SWCI_WEB_PORT": str(free_port())}
    code, told = ended(here, tmp_path, ["--script", "init", "--listen", "127.0.0.1"], b"", "Current Directory", **web)
    assert code == TERMINATED
    assert told.rstrip().endswith("ERROR SLEEP was interrupted")
    code, _ = ended(here, tmp_path, ["--listen", "127.0.0.1"], b"", "SWCI serves REST", **web)
    assert code == 0
