"""examples/own-merge as its README says: one package at the SLs, one word in the programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import patience
from support.lab import lab
from swarmlearning import tensorfile
from swarmlearning.client.result import RESULT_NAME

pytestmark = pytest.mark.timeout(240)

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-merge"
RUN_SECONDS = 150.0
BATCHES = 2


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built and installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("own-merge")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(EXAMPLE)], check=True, timeout=120)
    return folder


def test_a_method_of_a_sites_own_merges_a_run(tmp_path: Path, package: Path) -> None:
    """A misspelt name is answered with all names, the site's own among them; the right one, in any case, is used and
    recorded, and keeps the poisoned third out."""
    with lab(tmp_path, sites=3, PYTHONPATH=str(package)) as swarm:
        first = swarm.sites[0]
        first.start_ml(METHOD="trimmd")
        assert first.ml is not None
        assert first.ml.wait(timeout=patience.seconds(60)) == 1
        assert "'trimmd', known on this node are coordmedian, geomedian, mean, mean-clipped, trimmed" in first.log("ml")
        for site, step in zip(swarm.sites, (1, 3, 1e6), strict=True):
            site.start_ml(MIN_PEERS=3, BATCHES=BATCHES, STEP=step, METHOD="Trimmed", SWARM_RESULT_DIR=site.out)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        values = tensorfile.open_arrays(first.out / "model.safetensors")["w"]
        assert np.all(values == values[0])
        assert 1 * BATCHES <= values[0] <= 3 * BATCHES
        page = json.loads((first.out / RESULT_NAME).read_text())
        assert page["method"] == "trimmed"
        assert [one["share"] for one in page["contributors"]] == [1 / 3] * 3


def test_the_examples_arithmetic(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    """The middle of three, the mean of the inner ones of five, the plain mean of two; cut anywhere, the same bytes."""
    monkeypatch.syspath_prepend(str(package))
    from swarm_trimmed import TrimmedMean

    method, random = TrimmedMean(), np.random.default_rng(3)

    def merged(blocks: list[np.ndarray]) -> np.ndarray:
        out = np.empty_like(blocks[0])
        method.merge_block(blocks, method.coefficients([1] * len(blocks)), out)
        return out

    blocks = [random.normal(size=999).astype(np.float32) for _ in range(5)]
    np.testing.assert_array_equal(merged(blocks[:3]), np.median(blocks[:3], axis=0))
    np.testing.assert_allclose(merged(blocks), np.sort(blocks, axis=0)[1:-1].mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(merged(blocks[:2]), np.mean(blocks[:2], axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(merged([blocks[0]] * 4), blocks[0])
    pieces = [merged([block[start : start + 1] for block in blocks]) for start in range(999)]
    np.testing.assert_array_equal(np.concatenate(pieces), merged(blocks))
