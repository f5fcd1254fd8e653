"""Every example program trains with its real framework in a swarm of processes; all sites end with one model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.lab import lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

EXAMPLES = Path(__file__).parents[2] / "examples"
EPOCHS = 3
LORA_NAMES = 14
"""Two matrices for each of six layers, and the classifier's weight and bias."""
PROGRAMS: dict[str, tuple[str, float, list[Any]]] = {
    # program: platform, the AUC to be had in three epochs, marks (the slow ones have a relative in the normal run)
    "digits/train_sklearn.py": ("numpy", 0.9, []),
    "digits/train_pyt.py": ("pytorch", 0.8, [pytest.mark.torch, pytest.mark.slow]),
    "digits/train_lightning.py": ("pytorch", 0.8, [pytest.mark.torch]),
    "digits/train_keras.py": ("keras", 0.7, [pytest.mark.keras]),
    "manual-text/train_full.py": ("pytorch", 0.6, [pytest.mark.torch]),
    "manual-text/train_peft.py": ("pytorch", 0.5, [pytest.mark.torch]),
    "breast-cancer/train_keras.py": ("keras", 0.9, [pytest.mark.keras, pytest.mark.slow]),
}


@pytest.mark.row("K20")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("program", "platform", "auc_min"),
    [pytest.param(program, platform, auc, marks=marks) for program, (platform, auc, marks) in PROGRAMS.items()],
)
def test_two_sites_train_an_example_to_one_model(tmp_path: Path, program: str, platform: str, auc_min: float) -> None:
    """Both programs and SLs end with 0; the final models are equal byte for byte, and have learned something."""
    path = EXAMPLES / program
    shares = tmp_path / "shares"
    split = [sys.executable, str(path.with_name("shares.py")), "--out", str(shares), "--nodes", "2"]
    subprocess.run(split, check=True, capture_output=True, timeout=120)
    with lab(tmp_path, sites=2) as swarm:
        for number, site in enumerate(swarm.sites, start=1):
            share = shares / f"share{number}.npz"
            site.start_ml(path, DATA=share, MIN_PEERS=2, SEED=number, EPOCHS=EPOCHS, SYNC_FREQUENCY=10)
        assert swarm.run(seconds=240) == [(0, 0)] * 2
        models = [site.out / "model.safetensors" for site in swarm.sites]
        assert models[0].read_bytes() == models[1].read_bytes()
        header = tensorfile.read_header(models[0])
        assert header.platform == platform
        results = [site.result() for site in swarm.sites]
        assert results[0] == results[1]
        assert results[0]["auc"] >= auc_min
        if program.endswith("peft.py"):
            names = [spec.name for spec in header.tensors]
            assert len(names) == LORA_NAMES
            assert all("lora_" in name or "classifier" in name for name in names)


@pytest.mark.timeout(300)
def test_one_command_prints_alone_swarm_and_pooled(tmp_path: Path) -> None:
    """What `make example` runs: each site alone, the swarm, all data pooled, in one table and in report.json."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "swarm.cli", "demo", "--examples", str(EXAMPLES / "digits"), "--nodes", "2"]
    command += ["--program", "train_sklearn.py", "--rounds", "3", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=clean_environ())
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("site 1 alone", "site 2 alone", "the swarm", "all data pooled"):
        assert line in done.stdout
    report = json.loads((out / "report.json").read_text())
    assert report["accuracy"]["swarm"] > max(report["accuracy"]["alone"])
