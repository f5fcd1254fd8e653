"""Tests abreast: each worker has its own network, a marked test the machine's; the rows of all workers arrive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tools import ROOT

MODULE = """
import os, socket, subprocess, threading
import pytest

PLACE = os.environ["PLACE_FOLDER"]

def note(name):
    with open(os.path.join(PLACE, name), "w") as out:
        out.write(os.readlink("/proc/thread-self/ns/net"))

@pytest.mark.row("F04")
def test_own():
    with socket.create_server(("127.0.0.1", 30304)):  # every worker's own
        with socket.create_connection(("127.0.0.1", 30304)):
            note("{name}-own")
    found = subprocess.run(["readlink", "/proc/self/ns/net"], capture_output=True, text=True).stdout.strip()
    assert found == os.readlink("/proc/thread-self/ns/net")

@pytest.mark.host_network
def test_outside():
    worker = threading.Thread(target=note, args=("{name}-outside",))
    worker.start()
    worker.join()

def test_own_again():
    note("{name}-again")
"""


@pytest.mark.netns
def test_each_worker_has_a_network_of_its_own(tmp_path: Path) -> None:
    """Two files abreast: one port in both, a marked test in the network that pytest was started in; all rows arrive."""
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(MODULE.replace("{name}", name))
    folder, rows = tmp_path / "places", tmp_path / "rows.json"
    folder.mkdir()
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}", f"--rows-json={rows}", str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PLACE_FOLDER": str(folder), "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    seen = {path.name: path.read_text() for path in folder.iterdir()}
    here = os.readlink("/proc/thread-self/ns/net")
    assert seen["one-outside"] == seen["two-outside"] == here
    assert len({here, seen["one-own"], seen["two-own"]}) == 3
    assert seen["one-again"] == seen["one-own"]
    assert json.loads(rows.read_text()) == [["F04", "passed"], ["F04", "passed"]]
