"""Which digit is it? A small convolutional network in Keras, trained at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_keras.py

The swarm needs one more callback in ``fit``. With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from digits import BATCHES_PER_EPOCH, Settings, batches, finish, load
from keras import layers
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
            keras.Input((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv1"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(10, name="out"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        # What this site reports of each merged model: its loss and accuracy on the site's own pictures.
        adsValData=(data.x, data.y),
        adsValBatchSize=256,
    )
    model.fit(
        Batches(data.x, data.y, settings.seed), epochs=settings.epochs, shuffle=False, verbose=0, callbacks=[swarm]
    )
    finish(settings, model.predict(data.x_test, verbose=0), data.y_test, swarm, platform="keras")


if __name__ == "__main__":
    main()
