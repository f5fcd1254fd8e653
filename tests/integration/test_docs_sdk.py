"""The first program of docs/sdk.md runs as the page says: the very text, by the very command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.snprocess import clean_environ

ROOT = Path(__file__).resolve().parents[2]
SITES = 2


def block(language: str) -> str:
    """The page's first block of code in ``language``."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "sdk.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.torch
@pytest.mark.timeout(600)
def test_the_first_program_trains_in_a_swarm_by_the_pages_command(tmp_path: Path) -> None:
    """Two sites end with the model that the chain names, and the swarm is better than either site alone."""
    (tmp_path / "first.py").write_text(block("python"))
    command = shlex.split(block("sh").replace("$PWD", str(tmp_path)))
    assert command[0] == ".venv/bin/swarm"
    run = [sys.executable, "-m", "swarm.cli", *command[1:], "--out", str(tmp_path / "out")]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, env=clean_environ(), check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["accuracy"]["swarm"] > max(report["accuracy"]["alone"])
    models = {(tmp_path / "out" / f"site{n}" / "out" / "model.safetensors").read_bytes() for n in range(1, SITES + 1)}
    assert len(models) == 1
