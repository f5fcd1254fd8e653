"""An ML program with a real framework, for tests of what survives kill -9: a small regression with Adam.

Everything comes from the environment: FRAMEWORK (torch or keras), EPOCHS, BATCHES (of an epoch), EVERY, MIN_PEERS,
BATCH_SECONDS, OUT (folder). The loop is as a user writes it, with ``resumedEpoch`` for PyTorch and nothing for Keras.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS, BATCHES = int(os.environ.get("EPOCHS", 6)), int(os.environ.get("BATCHES", 3))
PAUSE = float(os.environ.get("BATCH_SECONDS", 0.0))
ARGUMENTS: dict[str, Any] = {
    "syncFrequency": os.environ.get("EVERY", "1"),
    "minPeers": os.environ.get("MIN_PEERS", "2"),
    "totalEpochs": EPOCHS,
}
X = np.random.default_rng(1).normal(size=(BATCHES * 8, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def with_torch() -> dict[str, Any]:
    import torch
    from swarmlearning.pyt import SwarmCallback

    torch.manual_seed(2)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    swarm = SwarmCallback(model=model, **ARGUMENTS)
    swarm.on_train_begin()
    for epoch in range(swarm.resumedEpoch, EPOCHS):
        for batch in range(BATCHES):
            time.sleep(PAUSE)
            rows = slice(8 * batch, 8 * batch + 8)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(torch.from_numpy(X[rows])), torch.from_numpy(Y[rows])).backward()
            optimizer.step()
            swarm.on_batch_end()
        swarm.on_epoch_end(epoch)
    swarm.on_train_end()
    steps = {int(state["step"]) for state in optimizer.state_dict()["state"].values()}
    return {
        "values": [np.asarray(one.detach()) for one in model.state_dict().values()],
        "optimiser_steps": max(steps, default=0),
        "epochs": swarm.epochsCompleted,
        "began_at_epoch": swarm.resumedEpoch,
    }


def with_keras() -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    from swarmlearning.tf import SwarmCallback

    class Slowly(keras.callbacks.Callback):  # type: ignore[misc]
        epochs: list[int] = []  # noqa: RUF012 - one instance

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epochs.append(epoch)

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            time.sleep(PAUSE)

    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    swarm, slowly = SwarmCallback(**ARGUMENTS), Slowly()
    model.fit(X, Y, batch_size=8, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[slowly, swarm])
    return {
        "values": model.get_weights(),
        "optimiser_steps": int(np.asarray(model.optimizer.iterations)),
        "epochs": swarm.epochsCompleted,
        "began_at_epoch": slowly.epochs[0] if slowly.epochs else EPOCHS,
    }


def main() -> None:
    told = {"torch": with_torch, "keras": with_keras}[os.environ["FRAMEWORK"]]()
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in told.pop("values")))
    out = Path(os.environ["OUT"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps({"sha256": digest.hexdigest(), **told}))


if __name__ == "__main__":
    main()
