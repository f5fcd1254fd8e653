"""V3 end to end: what the chain says was merged gives the merged model's bytes again, from inputs that sites keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import warm
from support.lab import lab
from support.snprocess import clean_environ
from swarm.core.blobid import ChunkList, chunk_hash
from swarm.core.ids import BlobId, from_hex, to_hex
from swarm.core.limits import KEEP_ROUNDS
from swarm.core.merge import get as merge_method
from swarm.sl.merging import merge_files
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile


def record(ops: str, *more: str) -> dict[str, Any]:
    done = warm.run(["audit", "defaultbb.cqdb.sml.hpe", "--json", "--ops", ops, *more], clean_environ(), seconds=60)
    assert done.returncode == (5 if "--recompute" in more else 0), done.stderr  # some rounds' files are at the others
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def values(path: Path) -> np.ndarray:
    return np.array(tensorfile.open_arrays(path)["w"], np.float64)


@pytest.mark.timeout(120)
def test_a_committed_round_is_merged_again_from_kept_inputs(tmp_path: Path) -> None:
    """Inputs and shares as recorded give the recorded hash, and the numbers that plain arithmetic gives."""
    with lab(tmp_path, sites=2) as swarm:
        for number, site in enumerate(swarm.sites, 1):
            site.start_ml(MIN_PEERS=2, BATCHES=6, STEP=number, WEIGHT=number * 3)
        assert swarm.run(seconds=90) == [(0, 0)] * 2
        found = record(swarm.sn.ops)
        own = [record(swarm.sn.ops, "--recompute", "--state-dir", str(s.folder / "state")) for s in swarm.sites]
    stores = [BlobStore(site.folder / "state" / "store") for site in swarm.sites]

    def kept(blob: str) -> Path | None:
        wanted = BlobId(from_hex(blob, 32))
        return next((store.path(wanted) for store in stores if store.has(wanted)), None)

    again = 0
    for one in found["rounds"]:
        used = [c for c in one["contributions"] if c["weight"]]
        inputs = [path for c in used if (path := kept(c["blob"])) is not None]
        if len(inputs) < len(used):
            continue  # an older round: its inputs were let go when it was final
        out = tmp_path / f"again-{one['round']}"
        merge_files(inputs, [c["coefficient"] for c in used], out, merge_method(one["method"]))
        data = out.read_bytes()
        assert to_hex(ChunkList(len(data), (chunk_hash(data),)).root()) == one["merged"]
        models = [values(path) for path in inputs]
        plain: Any = sum(c["weight"] * m for c, m in zip(used, models, strict=True)) / sum(c["weight"] for c in used)
        np.testing.assert_allclose(values(out), plain, rtol=1e-6)
        again += len({float(m[0]) for m in models}) > 1
    assert again >= 1
    # The command says the same on each host, for the rounds that its SL led.
    rows = [{row["round"]: row["found"] for row in one["recomputed"]} for one in own]
    assert {found for one in rows for found in one.values()} == {"equal", "not here"}
    last = len(found["rounds"])
    assert all(any(one[number] == "equal" for one in rows) for number in range(last - KEEP_ROUNDS, last))
