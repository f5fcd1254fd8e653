"""Result files of real programs in a real swarm: the same model everywhere, and who trained in vain says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.lab import Site, lab
from swarmlearning import tensorfile
from swarmlearning.client.result import FINAL_NAME, OWN_NAME, RESULT_NAME

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 120.0


def page_of(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site.out / RESULT_NAME).read_text())
    return found


def test_every_node_keeps_the_same_final_model_and_a_page_about_it(tmp_path: Path) -> None:
    """Three sites, one of which only poisons its model: equal SHA-256 of the final file and of what the page says,
    weights (numbers of samples, in all of the chain's uint32) and shares as merged, own last models apart; in strict
    mode the site that trained in vain ends with 1."""
    with lab(tmp_path, sites=3, sl_flags=("--full-quorum-wait", "2")) as swarm:
        one, two, vain = swarm.sites
        common = {"MIN_PEERS": 3, "EVERY": 2, "BATCHES": 3}
        one.start_ml(**common, SWARM_RESULT_DIR=one.out, WEIGHT="samples", SAMPLES=3_000_000_000, STEP=1)
        two.start_ml(**common, SWARM_RESULT_DIR=two.out, WEIGHT="samples", SAMPLES=1_000_000_000, STEP=3)
        poisoned = {**common, "EVERY": 50, "BATCHES": 1, "NAN_AT_BATCH": 1}
        vain.start_ml(**poisoned, SWARM_RESULT_DIR=vain.out, SWARM_STRICT=1)
        codes = swarm.run(seconds=RUN_SECONDS)
        assert [code for code, _ in codes] == [0, 0, 1]
        nodes = [page["node"] for page in map(page_of, swarm.sites)]
    pages = [page_of(site) for site in (one, two, vain)]
    files = {hashlib.sha256((site.out / FINAL_NAME).read_bytes()).hexdigest() for site in (one, two, vain)}
    assert len(files) == 1
    assert {page["final"]["sha256"] for page in pages} == files
    assert {page["final"]["verified"] for page in pages} == {True}
    assert len({page["final"]["blob"] for page in pages}) == 1
    last = pages[0]["rounds"] - 1
    assert [page["took_part"] for page in pages] == [[[0, last]], [[0, last]], [[0, 0]]]
    assert [page["verdict"] for page in pages] == ["in_swarm", "in_swarm", "alone"]
    shares = {c["node"]: (c["weight"], c["share"]) for c in pages[2]["contributors"]}
    assert shares == {nodes[0]: (3_000_000_000, 0.75), nodes[1]: (1_000_000_000, 0.25)}
    assert tensorfile.open_arrays(one.out / OWN_NAME)["w"][0] == one.result()["last_local"]
    assert tensorfile.open_arrays(two.out / OWN_NAME)["w"][0] == two.result()["last_local"]
    log = vain.log("ml")
    assert "ERROR : This program trained alone" in log
    assert "SwarmError" in log
