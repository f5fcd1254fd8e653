"""Merge methods through the whole stack: real processes, a poisoned minority, what the chain records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import warm
from support.lab import Lab, lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 120.0
BATCHES = 3
HONEST_STEPS, POISON = (1.0, 3.0), 1e6


def record(swarm: Lab) -> Any:
    done = warm.run(["audit", "defaultbb.cqdb.sml.hpe", "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def poisoned_run(swarm: Lab, method: str) -> tuple[list[Any], float, list[dict[str, float]]]:
    """Two honest sites and one whose batches add 1e6: rounds on chain, the final value, shares by node and round."""
    for site, step in zip(swarm.sites, (*HONEST_STEPS, POISON), strict=True):
        site.start_ml(MIN_PEERS=3, BATCHES=BATCHES, STEP=step, METHOD=method)
    assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
    assert len({site.result()["sha256"] for site in swarm.sites}) == 1
    values = tensorfile.open_arrays(swarm.sites[0].out / "model.safetensors")["w"]
    assert np.all(values == values[0])
    rounds = record(swarm)["rounds"]
    shares = [{c["node"]: c["coefficient"] for c in r["contributions"]} for r in rounds]
    return rounds, float(values[0]), shares


@pytest.mark.row("K05b")
def test_a_coordinate_median_keeps_a_poisoned_site_out(tmp_path: Path) -> None:
    """coordmedian, asked for in any case: the model stays between those of the honest sites, equal everywhere."""
    with lab(tmp_path, sites=3) as swarm:
        rounds, value, _ = poisoned_run(swarm, "CoordMedian")
        assert {r["method"] for r in rounds} == {"coordmedian"}
        assert HONEST_STEPS[0] * BATCHES <= value <= HONEST_STEPS[1] * BATCHES


@pytest.mark.row("K05c")
def test_a_geometric_median_keeps_a_poisoned_site_out(tmp_path: Path) -> None:
    """geomedian: the same, with the shares that were found in the models recorded on chain."""
    with lab(tmp_path, sites=3) as swarm:
        rounds, value, shares = poisoned_run(swarm, "GEOMEDIAN")
        assert {r["method"] for r in rounds} == {"geomedian"}
        assert HONEST_STEPS[0] * BATCHES <= value <= HONEST_STEPS[1] * BATCHES
        assert all(abs(sum(found.values()) - 1.0) < 1e-9 for found in shares)
        # on a line the median is the middle site's model alone; at start and end all sites hold the same one
        assert all(sorted(found.values()) == [0.0, 0.0, 1.0] for found in shares[1:-1])


def test_clipping_norms_and_small_windows_are_options_of_the_site(tmp_path: Path) -> None:
    """--clip-norm median bounds a mean, --norm-log shows who is far, --ram-intensive false merges the same."""
    flags = ("--clip-norm", "median", "--norm-log", "true", "--ram-intensive", "false")
    with lab(tmp_path, sites=3, sl_flags=flags) as swarm:
        rounds, value, shares = poisoned_run(swarm, "mean")
        assert {r["method"] for r in rounds} == {"mean-clipped"}
        assert value <= HONEST_STEPS[1] * BATCHES + 1e-3
        assert sum(shares[0].values()) == pytest.approx(1.0)
        assert all(0.6 < sum(found.values()) < 0.7 for found in shares[1:-1])  # the rest is the previous model's
        told = [line for site in swarm.sites for line in site.log("sl").splitlines() if "how far the contrib" in line]
        assert len(told) == len(rounds) - 1  # each round's leader; before round 0 there is no model to measure from
