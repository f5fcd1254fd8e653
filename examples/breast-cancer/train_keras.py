"""Benign or malignant? A small Keras network, trained at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_keras.py

The swarm needs one more callback in ``fit``. With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from biopsies import BATCHES_PER_EPOCH, Settings, batches, finish, load
from swarmlearning.tf import SwarmCallback


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Ten random batches an epoch, whatever the size of the share."""

    def __init__(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        super().__init__()
        self._x, self._y = x, y
        self._random = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return BATCHES_PER_EPOCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._epoch[index]
        return self._x[rows], self._y[rows]

    def on_epoch_end(self) -> None:
        self._epoch = list(batches(len(self._x), self._random))


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    keras.utils.set_random_seed(settings.seed)

    model = keras.Sequential(
        [
            keras.Input((30,)),
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=1e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        # What this site reports of each merged model: loss and accuracy on the site's own patients.
        adsValData=(data.x, data.y),
        adsValBatchSize=64,
    )
    model.fit(
        Batches(data.x, data.y, settings.seed),
        epochs=settings.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[swarm],
    )

    scores = model.predict(data.x_test, verbose=0)[:, 0]
    parameters = {variable.path.split("/", 1)[-1]: np.asarray(variable) for variable in model.weights}
    finish(settings, scores, data.y_test, parameters, platform="keras")


if __name__ == "__main__":
    main()
