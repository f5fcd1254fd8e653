"""docs/run-scripts.md: its table is the code's, and each of its commands is one that the scripts take."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import scripts
from support.tools import ROOT

PAGE = ROOT / "docs" / "run-scripts.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
LINES = [line for block in BLOCKS for line in block.splitlines()]


def test_the_flags_of_the_page_are_those_of_the_code() -> None:
    """Written by the tool from the table of flags: run it after a change."""
    tool = [sys.executable, "tools/run_scripts_page.py", "--check"]
    assert subprocess.run(tool, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("line", [one for one in LINES if "/run-" in one])
def test_each_command_of_the_page_is_taken(line: str, tmp_path: Path) -> None:
    """By the real script, as typed, with --dry-run."""
    script, *words = shlex.split(line)
    done = scripts.run(Path(script).name, [*words, "--dry-run"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (ROOT / script).resolve() == scripts.BIN / Path(script).name
    assert "container create" in done.stdout


@pytest.mark.docker
def test_the_other_commands_of_the_page_do_what_they_say(tmp_path: Path) -> None:
    """Certificates and logs are made for real; what would stop or remove is asked what it would do."""
    tried = []
    (tmp_path / "workspace" / "fraud-detection").mkdir(parents=True)
    for line in LINES:
        script, *words = shlex.split(line)
        name = Path(script).name
        if "/run-" in line:
            continue
        if name == "ln":
            subprocess.run([name, *words], cwd=tmp_path, check=True)
            continue
        done = scripts.run(name, [*words, *(["--dry-run"] if name in ("stop-swarm", "uninstall") else [])], tmp_path)
        assert done.returncode == 0, done.stderr
        tried.append(name)
    assert tried == ["gen-cert", "swarmLogCollector", "stop-swarm", "uninstall"]
    assert (tmp_path / "cert" / "sn-1-key.pem").is_file()
    assert list((tmp_path / "logs").glob("*.tar.gz"))


def test_the_page_is_not_empty() -> None:
    """There are commands in it to try."""
    assert len(LINES) >= 6
