"""What the three training programs of this folder share: settings, data, batches, and how a result is written.

Nothing in here knows of the swarm. Features are scaled by the ranges that the data set's own description
publishes: every site can do that without seeing anybody's data, and label skew cannot bend it, as it would
bend a mean taken over one site's patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from swarmlearning import tensorfile

BATCHES_PER_EPOCH = 10
"""The same at every site, so that sites with unequal shares reach each synchronisation together."""

# fmt: off
LOW = np.array([
    6.981, 9.71, 43.79, 143.5, 0.053, 0.019, 0.0, 0.0, 0.106, 0.05,
    0.112, 0.36, 0.757, 6.802, 0.002, 0.002, 0.0, 0.0, 0.008, 0.001,
    7.93, 12.02, 50.41, 185.2, 0.071, 0.027, 0.0, 0.0, 0.156, 0.055,
])
HIGH = np.array([
    28.11, 39.28, 188.5, 2501.0, 0.163, 0.345, 0.427, 0.201, 0.304, 0.097,
    2.873, 4.885, 21.98, 542.2, 0.031, 0.135, 0.396, 0.053, 0.079, 0.03,
    36.04, 49.54, 251.2, 4254.0, 0.223, 1.058, 1.252, 0.291, 0.664, 0.208,
])
# fmt: on


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
    """Scaled features (n, 30) float32 and labels (n,) float32, 1 = benign; the hold-out is common to all sites."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(path: Path) -> Data:
    with np.load(path) as file:
        return Data(
            _scaled(file["x"]),
            file["y"].astype(np.float32),
            _scaled(file["x_test"]),
            file["y_test"].astype(np.float32),
        )


def _scaled(x: np.ndarray) -> np.ndarray:
    return (4 * (x - LOW) / (HIGH - LOW) - 1).astype(np.float32)


def batches(size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of one epoch in random order, in ten batches; a share below ten rows repeats some."""
    order = np.resize(random.permutation(size), max(size, BATCHES_PER_EPOCH))
    yield from np.array_split(order, BATCHES_PER_EPOCH)


def area_under_curve(scores: np.ndarray, y: np.ndarray) -> float:
    """How often a benign biopsy scores above a malignant one; a tie counts half."""
    benign, malignant = scores[y > 0.5][:, None], scores[y < 0.5][None, :]
    return float(np.mean(benign > malignant) + np.mean(benign == malignant) / 2)


def finish(
    settings: Settings, scores: np.ndarray, y: np.ndarray, parameters: Mapping[str, np.ndarray], platform: str
) -> None:
    """Write model.safetensors and result.json into OUT, and say how good the model is on the hold-out.

    Args:
        scores: logits (n,) on the hold-out.
        parameters: in the order in which the program sends them to the swarm, so that the file is byte for
            byte the merged model of the swarm's last round.
        platform: as the swarm callback names it.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    tensorfile.write(settings.out / "model.safetensors", parameters, {"platform": platform})
    accuracy = float(np.mean((scores > 0) == (y > 0.5)))
    auc = area_under_curve(scores, y)
    (settings.out / "result.json").write_text(json.dumps({"accuracy": accuracy, "auc": auc}) + "\n")
    print(f"hold-out of {len(y)} biopsies: accuracy {accuracy:.4f}, AUC {auc:.4f}")
