"""A warm start on a swarm of real processes: retraining begins from the final model of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.lab import lab
from support.operators import audit, job, operator
from swarm.core.blobid import ChunkList, chunk_hash
from swarm.core.ids import to_hex

pytestmark = pytest.mark.timeout(300)

RUN_SECONDS = 90


def chunk_root(path: Path) -> str:
    """The name of a small file as a blob."""
    data = path.read_bytes()
    return to_hex(ChunkList(len(data), (chunk_hash(data),)).root())


def test_the_next_run_begins_from_the_last_ones_final_model(tmp_path: Path) -> None:
    """Also at a site that was not in that run, and whatever its program would begin with; the chain shows it."""
    with lab(tmp_path, sites=2) as here:
        for site in here.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=4, EVERY=2, START=5)
        assert here.run(seconds=RUN_SECONDS) == [(0, 0)] * 2
        first = here.sites[0].result()["merged"][-1]
        final = chunk_root(here.sites[0].out / "model.safetensors")
        assert first > 5

        done = operator(here, "reset")
        assert done.returncode == 0, done.stderr
        done = job(here, "--options", json.dumps({"warmStart": {"run": 1}}))
        assert done.returncode == 0, done.stderr
        here.add_site()
        for site in here.sites:
            site.start_sl().start_ml(MIN_PEERS=3, BATCHES=4, EVERY=2, START=-100)
        assert here.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        results = [site.result() for site in here.sites]
        assert {r["merged"][0] for r in results} == {first}
        assert len({r["sha256"] for r in results}) == 1
        record = audit(here)
        assert record["run"] == 2
        assert record["rounds"][0]["merged"] == final
        assert {c["blob"] for c in record["rounds"][0]["contributions"]} == {final}
        assert record["final"] != final


def test_a_run_that_cannot_begin_as_asked_tells_each_program(tmp_path: Path) -> None:
    """There was no run 7."""
    with lab(tmp_path, sites=1) as here:
        done = job(here, "--options", '{"warmStart": {"run": 7}}')
        assert done.returncode == 0, done.stderr
        here.sites[0].start_ml(MIN_PEERS=1)
        assert here.run(seconds=60) == [(1, 1)]
        assert "warm start: run 7 of this job has no final model: there is no such run" in here.sites[0].log("ml")
