"""Real Keras and real PyTorch in one job: the odd one out is told, by name, and the others finish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.lab import Site, lab
from swarmlearning import tensorfile

EXAMPLES = Path(__file__).parents[2] / "examples" / "breast-cancer"
EPOCHS = 60
"""120 rounds: enough for TensorFlow to start meanwhile."""


def rounds_of(site: Site) -> int:
    return int(site.status().get("round", 0))


@pytest.mark.torch
@pytest.mark.keras
@pytest.mark.timeout(420)
def test_a_keras_program_among_pytorch_programs_is_refused_by_name(tmp_path: Path) -> None:
    """The same network in Keras, after round 1: both its processes fail; the PyTorch programs end with one model."""
    shares = tmp_path / "shares"
    command = [sys.executable, str(EXAMPLES / "shares.py"), "--out", str(shares), "--nodes", "3"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with lab(tmp_path, sites=3) as swarm:
        odd = swarm.sites[2]
        settings = [{"DATA": shares / f"share{n}.npz", "MIN_PEERS": 2, "SEED": n} for n in (1, 2, 3)]
        for site, mine in zip(swarm.sites[:2], settings, strict=False):
            site.start_ml(EXAMPLES / "train_pyt.py", **mine, EPOCHS=EPOCHS, SYNC_FREQUENCY=5)
        swarm.wait(lambda: rounds_of(swarm.sites[0]) >= 1, seconds=120, say="round 1")
        odd.start_ml(EXAMPLES / "train_keras.py", **settings[2], EPOCHS=2)
        codes = swarm.run(seconds=300)
        assert codes[:2] == [(0, 0)] * 2
        assert codes[2][0] != 0
        assert codes[2][1] != 0
        assert not (odd.out / "result.json").exists()
        said = odd.log("ml")
        assert "same model" in said
        models = [tensorfile.read_header(site.out / "model.safetensors") for site in swarm.sites[:2]]
        assert {model.platform for model in models} == {"pytorch"}
        assert len({(site.out / "model.safetensors").read_bytes() for site in swarm.sites[:2]}) == 1
