"""What the training programs of this folder share: settings, pictures, batches, and how a result is written.

Nothing in here knows how a swarm works: every program is given the callback that its framework needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from swarmlearning import tensorfile

BATCHES_PER_EPOCH = 10
"""The same at every site, so that sites with unequal shares reach each synchronisation together."""
BRIGHTEST = 16.0
CLASSES = np.arange(10)


@dataclass(frozen=True)
class Settings:
    """From the environment: DATA (npz file), OUT (folder), EPOCHS, SYNC_FREQUENCY (batches), MIN_PEERS, SEED."""

    data: Path
    out: Path
    epochs: int
    sync_frequency: int
    min_peers: int
    seed: int

    @classmethod
    def read(cls) -> Settings:
        env = os.environ
        if "DATA" not in env:
            raise SystemExit("set DATA to a share written by shares.py, for example DATA=shares/share1.npz")
        return cls(
            data=Path(env["DATA"]),
            out=Path(env.get("OUT", ".")),
            epochs=int(env.get("EPOCHS", "20")),
            sync_frequency=int(env.get("SYNC_FREQUENCY", str(BATCHES_PER_EPOCH))),
            min_peers=int(env.get("MIN_PEERS", "2")),
            seed=int(env.get("SEED", "0")),
        )


@dataclass(frozen=True)
class Data:
    """Pictures (n, 8, 8) float32 within 0..1 and labels (n,) int64; the hold-out is common to all sites."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(path: Path) -> Data:
    with np.load(path) as file:
        x, x_test = ((file[name] / BRIGHTEST).astype(np.float32).reshape(-1, 8, 8) for name in ("x", "x_test"))
        return Data(x, file["y"].astype(np.int64), x_test, file["y_test"].astype(np.int64))


def batches(size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of one epoch in random order, in ten batches; a share below ten rows repeats some."""
    order = np.resize(random.permutation(size), max(size, BATCHES_PER_EPOCH))
    yield from np.array_split(order, BATCHES_PER_EPOCH)


def batch_size(size: int) -> int:
    """For loaders that are told a size: the one that gives ten batches an epoch, or a few less of a tiny share."""
    return max(1, -(-size // BATCHES_PER_EPOCH))


def finish(settings: Settings, scores: np.ndarray, y: np.ndarray, swarm: Any, platform: str) -> None:
    """Write model.safetensors and result.json into OUT, and say how good the model is on the hold-out.

    Args:
        scores: (n, 10), larger for a likelier digit.
        swarm: the callback: it knows the parameters' names and order, so that the file is byte for byte the merged
            model of the swarm's last round.
        platform: as the callback names it.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    tensorfile.write(settings.out / "model.safetensors", swarm._saveModelWeightsToDict(), {"platform": platform})
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    accuracy = float(np.mean(scores.argmax(axis=1) == y))
    auc = float(roc_auc_score(y, likely, multi_class="ovr", labels=CLASSES))
    (settings.out / "result.json").write_text(json.dumps({"accuracy": accuracy, "auc": auc}) + "\n")
    print(f"hold-out of {len(y)} pictures: accuracy {accuracy:.4f}, AUC {auc:.4f}")
