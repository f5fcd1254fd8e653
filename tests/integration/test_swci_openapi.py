"""SWCI's REST face is what its OpenAPI description says: schemathesis calls it with what fits and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import patience, swci
from support.lab import lab
from support.swci import BUILD
from support.swop import swop

CONFIG = Path(__file__).parents[1] / "support" / "schemathesis.toml"
SEED = 20261130
FEW, MANY = 4, 40
"""Calls of one resource in a phase."""
RUN_SECONDS = 100.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[swci.Operator, int]]:
    """A SWCI in front of a real SN, whose swarm has a task, a contract of ours and an assignment that goes on."""
    folder = tmp_path_factory.mktemp("openapi")
    with lab(tmp_path_factory.mktemp("swarm")) as swarm:
        here = swci.operator(folder, swarm.sn, swarm.ca)
        (here.usr / "task.yaml").write_text(BUILD)
        (here.usr / "init").write_text("\n".join([*here.enter(), "CREATE TASK FROM task.yaml"]))
        with swop(swarm.sn, swarm.ca, folder, "open-1"), swci.web(here, SWCI_STARTUP_SCRIPT="init") as port:
            yield here, port


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_the_description_holds(served: tuple[swci.Operator, int], tmp_path: Path, examples: int) -> None:
    """All checks of the tool, in all its phases, with a fixed seed; over mutual TLS."""
    here, port = served
    files = here.files
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    trust = ["--request-cert", str(files.cert), "--request-cert-key", str(files.key), "--tls-verify", "false"]
    bounds = ["--seed", str(SEED), "--max-examples", str(examples), "--generation-database", "none", "--workers", "2"]
    done = subprocess.run(
        [*command, *trust, *bounds, f"https://127.0.0.1:{port}/openapi.json"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=patience.seconds(RUN_SECONDS) * examples / FEW,
        check=False,
    )
    print(done.stdout[-20_000:], done.stderr[-3000:])
    assert done.returncode == 0
