"""Benign or malignant? Logistic regression in plain numpy, trained at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_plain.py

For programs without a framework: the callback reads and sets a dict of arrays. With SWARM_LOOPBACK=true the
same program trains alone.
"""

from __future__ import annotations

import numpy as np
from biopsies import Settings, batches, finish, load
from swarmlearning.plain import SwarmCallback

LEARNING_RATE = np.float32(0.1)
MOMENTUM = np.float32(0.9)


def logits(parameters: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return x @ parameters["weights"] + parameters["bias"]


def probabilities(parameters: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits(parameters, x)))


def evaluate(parameters: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """What this site reports of each merged model: loss and accuracy on the site's own patients."""
    found = logits(parameters, x)
    loss = np.mean(np.logaddexp(0, found) - y * found)
    return float(loss), float(np.mean((found > 0) == (y > 0.5)))


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    random = np.random.default_rng(settings.seed)
    model = {
        "weights": random.normal(0, 0.1, 30).astype(np.float32),
        "bias": np.zeros((), np.float32),
    }
    speed = {name: np.zeros_like(value) for name, value in model.items()}

    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        get_parameters=lambda: model,
        set_parameters=model.update,
        evaluate=lambda merged: evaluate(merged, data.x, data.y),
    )
    swarm.on_train_begin()
    for epoch in range(swarm.resumedEpoch, settings.epochs):
        for batch in batches(len(data.x), random):
            x, y = data.x[batch], data.y[batch]
            error = (probabilities(model, x) - y) / np.float32(len(batch))
            for name, slope in {"weights": x.T @ error, "bias": error.sum()}.items():
                speed[name] = MOMENTUM * speed[name] + slope
                model[name] = model[name] - LEARNING_RATE * speed[name]
            swarm.on_batch_end()
        swarm.on_epoch_end(epoch)
    swarm.on_train_end()

    finish(settings, logits(model, data.x_test), data.y_test, model, platform="numpy")


if __name__ == "__main__":
    main()
