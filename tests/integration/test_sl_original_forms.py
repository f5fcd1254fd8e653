"""Programs of the original wheels' pipe forms train through whole SLs, among themselves and beside our SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lab import ADDER, PROGRAMS, Lab, Site, lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

ORIGINAL = PROGRAMS / "original.py"
BATCHES = 5
JOB = "defaultbb.cqdb.sml.hpe"
RUN_SECONDS = 120.0


def model_of(site: Site, form: str) -> dict[str, np.ndarray]:
    if form == "ours":
        arrays = tensorfile.open_arrays(site.out / "model.safetensors")
        return {name: np.array(arrays[name]) for name in arrays}
    with np.load(site.out / "result.npz") as found:
        return dict(found)


def record(swarm: Lab) -> Any:
    command = [sys.executable, "-m", "swarm.cli", "audit", JOB, "--json", "--ops", swarm.sn.ops]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environ(), check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.row("F11")
@pytest.mark.row("D20")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("forms", "is_sorted"),
    [
        (("pickle", "pickle"), False),
        (("inline", "inline"), False),
        (("pickle", "inline"), True),
        (("pickle", "ours"), False),
    ],
    ids=["2.3", "2.1-2.2", "2.3-beside-2.1", "2.3-beside-ours"],
)
def test_two_sites_of_original_programs_end_with_one_model(
    tmp_path: Path, forms: tuple[str, str], is_sorted: bool
) -> None:
    """Weights 1:3, first values 0 and 4, steps 1 and 5: the mean starts at 3 and gains 4 a batch, everywhere.

    The int64 counter, which old wheels get as float32, is a whole int64 number of all batches on the chain's side.
    """
    with lab(tmp_path, sites=2) as swarm:
        for site, form, weight, start, step in zip(swarm.sites, forms, (1, 3), (0, 4), (1, 5), strict=True):
            settings = {"WEIGHT": weight, "START": start, "STEP": step, "BATCHES": BATCHES, "EVERY": 1}
            if form == "ours":
                site.start_ml(ADDER, MIN_PEERS=2, **settings)
            else:
                site.start_ml(ORIGINAL, FORM=form, SORTED=int(is_sorted), **settings)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 2
        for site, form in zip(swarm.sites, forms, strict=True):
            model = model_of(site, form)
            assert model["w"].dtype == np.float32
            assert np.array_equal(model["w"], np.full(31, 3 + 4 * BATCHES, np.float32))
            assert model["count"] == BATCHES
        rounds = record(swarm)["rounds"]
        # initial weights, after batches 2 to 5 (row K14: N+1, then every N), and the end of training
        assert [sorted(c["weight"] for c in r["contributions"]) for r in rounds] == [[1, 3]] * 6


@pytest.mark.timeout(240)
def test_sorted_names_beside_the_programs_own_order_are_refused_in_words(tmp_path: Path) -> None:
    """A 2.1/2.2 wheel loses the order of names: beside a 2.3 one with unsorted names one of the two is refused."""
    with lab(tmp_path, sites=2) as swarm:
        settings = {"WEIGHT": 1, "START": 0, "STEP": 1, "BATCHES": BATCHES, "EVERY": 1}
        programs = []
        for site, form in zip(swarm.sites, ("pickle", "inline"), strict=True):
            programs.append(site.start_ml(ORIGINAL, FORM=form, **settings).ml)
        swarm.wait(lambda: any(p and p.poll() is not None for p in programs), seconds=RUN_SECONDS, say="a refusal")
        said = [site.log("ml") for site in swarm.sites if "SlError" in site.log("ml")]
        assert len(said) == 1
        assert "this program's model is not the swarm's" in said[0]
        assert not any((site.out / "result.npz").exists() for site in swarm.sites)
