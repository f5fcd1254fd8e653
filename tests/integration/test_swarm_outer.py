"""An outer optimiser on a swarm of real processes: what every program loads is what plain arithmetic gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lab import Lab, Site, lab
from support.operators import audit, job
from swarm.core.blobid import ChunkList, chunk_hash
from swarm.core.ids import BlobId, from_hex, to_hex
from swarm.core.merge import get as merge_method
from swarm.core.merge import split
from swarm.sl.merging import merge_files
from swarm.store.blobs import BlobStore

pytestmark = pytest.mark.timeout(180)

BATCHES, EVERY = 8, 2
STEPS, WEIGHTS = (1.0, 4.0), (1, 3)
MEAN = float(np.average(STEPS, weights=WEIGHTS))
"""How far a batch at each site moves the merge from where all started."""


def trained(here: Lab, kind: str) -> list[dict[str, Any]]:
    """A run of two unequal sites with this step; what the programs wrote."""
    done = job(here, "--options", json.dumps({"outer": {"method": kind, "mu": 0.5, "eta": 0.75}}))
    assert done.returncode == 0, done.stderr
    for site, step, weight in zip(here.sites, STEPS, WEIGHTS, strict=True):
        site.start_ml(MIN_PEERS=2, BATCHES=BATCHES, EVERY=EVERY, STEP=step, WEIGHT=weight, MODE="inactive")
    assert here.run(seconds=90) == [(0, 0)] * 2
    return [site.result() for site in here.sites]


def expected(kind: str, rounds: int) -> list[float]:
    """The first parameter of what is loaded after each round, by the textbook, velocity and all, in float64."""
    start, model, velocity = 0.0, 0.0, 0.0
    found = [0.0]
    for number in range(1, rounds):
        merged = start + MEAN * (EVERY + 1 if number == 1 else EVERY)  # the first interval has one batch more
        if kind == "momentum":
            velocity = 0.5 * velocity + 0.75 * (merged - start)
            model = start = model + velocity
        else:
            last, model = model, start + 0.75 * (merged - start)
            start = model + 0.5 * (model - last)
        found.append(start)
    return found


def again(sites: list[Site], rounds: list[dict[str, Any]], number: int, folder: Path) -> str | None:
    """The hash of a round merged once more from what the sites keep; None if they have let its inputs go."""
    stores = [BlobStore(site.folder / "state" / "store") for site in sites]

    def kept(blob: str | None) -> Path | None:
        wanted = BlobId(from_hex(blob, 32)) if blob else None
        return next((store.path(wanted) for store in stores if wanted and store.has(wanted)), None)

    one = rounds[number]
    used = [c for c in one["contributions"] if c["weight"]]
    inputs = [kept(c["blob"]) for c in used]
    last, before = (kept(rounds[number - back]["merged"]) for back in (1, 2))
    if not all([*inputs, last, before]):
        return None
    method, outer = split(one["method"])
    assert outer is not None
    out = folder / f"again-{number}"
    paths = [path for path in inputs if path is not None]
    shares = [c["coefficient"] for c in used]
    merge_files(paths, shares, out, merge_method(method), previous=last, outer=outer, before=before)
    data = out.read_bytes()
    return to_hex(ChunkList(len(data), (chunk_hash(data),)).root())


@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_all_sites_follow_the_step_and_end_with_the_chains_model(kind: str, tmp_path: Path) -> None:
    """Equal SHA-256 and hash everywhere; loads as by the textbook; rounds are recomputed to the byte."""
    with lab(tmp_path, sites=2) as here:
        results = trained(here, kind)
        rounds = audit(here)["rounds"]
        assert len({r["sha256"] for r in results}) == 1
        assert {r["method"] for r in rounds} == {f"mean+{kind}:0.5:0.75"}
        training = [r for r in rounds if any(c["weight"] for c in r["contributions"])]
        assert len(training) >= BATCHES // EVERY
        for result in results:
            # The run's final model is loaded as it is, so the last training round's is compared below.
            np.testing.assert_allclose(result["merged"][:4], expected(kind, 4), rtol=1e-6)
            assert result["merged"][-1] == results[0]["merged"][-1]
        hashes = {n: again(here.sites, rounds, n, tmp_path) for n in range(2, len(training))}
        known = {n: one for n, one in hashes.items() if one is not None}
        assert known
        assert all(rounds[n]["merged"] == one for n, one in known.items())
