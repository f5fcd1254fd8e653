"""An SL's start on a disk that has changed a kept model's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from swarm.sl.transfers import held_models
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile


def test_a_model_that_rotted_on_disk_is_not_taken_up_again(tmp_path: Path) -> None:
    """It still reads as a finite tensor file; loaded, this site alone would train on from another model.

    The simulator's disks do the same at a restart (support.sim.node).
    """
    store = BlobStore(tmp_path / "store")
    for value in (1.0, 2.0):
        tensorfile.write(tmp_path / "model", {"w": np.full(1000, value, np.float32)}, {"platform": "numpy"})
        blob, _ = store.add_file(tmp_path / "model", move=True)
    good, rotten = sorted(set(store.ids()) - {blob})[0], blob
    with store.path(rotten).open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(3.0).tobytes())
    assert set(held_models(store)) == {good}
    assert store.ids() == [good]
