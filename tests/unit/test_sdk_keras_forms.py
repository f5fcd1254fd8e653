"""Keras models and programs of every shape that people have: real Keras, over real pipes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

pytestmark = [pytest.mark.keras, pytest.mark.timeout(240)]
RNG = np.random.default_rng(7)
X = RNG.normal(size=(64, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


def plain(keras: Any) -> Any:
    keras.utils.set_random_seed(8)
    model = keras.Sequential(
        [keras.layers.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def branched(keras: Any) -> Any:
    """Two inputs, two outputs."""
    keras.utils.set_random_seed(9)
    left, right = keras.layers.Input((3,), name="left"), keras.layers.Input((3,), name="right")
    both = keras.layers.Concatenate()([left, right])
    outputs = [keras.layers.Dense(1, name="first")(both), keras.layers.Dense(1, name="second")(both)]
    model = keras.Model([left, right], outputs)
    model.compile("sgd", ["mse", "mse"])
    return model


def subclassed(keras: Any) -> Any:
    class Net(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = keras.layers.Dense(4), keras.layers.BatchNormalization()
            self.out = keras.layers.Dense(1)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.out(self.norm(self.inner(x), training=training))

    model = Net()
    model.compile("adam", "mse")
    return model


def half(keras: Any) -> Any:
    keras.utils.set_random_seed(8)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, dtype="bfloat16")])
    model.compile("sgd", "mse")
    return model


def frozen(keras: Any) -> Any:
    model = plain(keras)
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    return model


def shared_layer(keras: Any) -> Any:
    left, right = keras.layers.Input((3,)), keras.layers.Input((3,))
    tower = keras.layers.Dense(2, name="tower")
    model = keras.Model([left, right], keras.layers.Dense(1)(keras.layers.Add()([tower(left), tower(right)])))
    model.compile("sgd", "mse")
    return model


MODELS = {
    "two inputs, two outputs": (branched, [X, X], [Y, Y], 4),
    "subclassed, not built": (subclassed, X, Y, 8),
    "bfloat16": (half, X, Y, 2),
    "partly frozen": (frozen, X, Y, 4),
    "a layer used twice": (shared_layer, [X, X], Y, 4),
}


@pytest.mark.row("K20")
@pytest.mark.parametrize("kind", sorted(MODELS))
async def test_models_of_every_kind_train_and_end_with_the_merged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, kind: str
) -> None:
    """fit() of each kind: each weight travels once, with its type, and what was merged last is in the model."""
    from swarmlearning.tf import SwarmCallback

    make, x, y, weights = MODELS[kind]
    merge: Any = (lambda _, a: a * a.dtype.type(0.5)) if kind != "bfloat16" else (lambda _, a: a)
    async with bridge_at(tmp_path, merge=merge) as place:
        point_at(monkeypatch, place)
        model = make(keras)
        callback = await asyncio.to_thread(lambda: SwarmCallback(3, 1, adsValData=(x, y), adsValBatchSize=16))
        await asyncio.to_thread(
            lambda: model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False, callbacks=[callback])
        )
        await place.shell.wait_ended()
        assert place.shell.endings == [None]
        assert len(place.shell.syncs) == 4
        assert [len(model) for model in place.shell.models] == [weights] * 4
        assert [spec.dtype for spec in place.shell.headers[0].tensors] == [
            "BF16" if kind == "bfloat16" else "F32"
        ] * weights
        for held, merged in zip(model.get_weights(), place.shell.merged[-1].values(), strict=True):
            raw = held.view(np.uint16) if kind == "bfloat16" else held
            np.testing.assert_array_equal(raw, merged)
        loss = model.evaluate(x, y, verbose=0)
        loss = loss[0] if isinstance(loss, list) else loss
        assert place.shell.reports[-1].loss == pytest.approx(float(loss), rel=1e-2 if kind == "bfloat16" else 1e-4)


@pytest.mark.row("K20")
async def test_frozen_layers_do_not_train_but_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    """A layer that is not trainable keeps its start through local training, and takes what the swarm makes of it."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        model = frozen(keras)
        start = model.layers[0].get_weights()[0].copy()
        callback = await asyncio.to_thread(lambda: SwarmCallback(2, 1))
        await asyncio.to_thread(lambda: model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback]))
        syncs = len(place.shell.syncs)
        np.testing.assert_allclose(model.layers[0].get_weights()[0], start + syncs, rtol=1e-5)
        assert not model.layers[0].trainable


async def test_callbacks_beside_ours_do_their_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """EarlyStopping, ModelCheckpoint, ReduceLROnPlateau before ours: all act, and the swarm's model is what remains."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.9)) as place:
        point_at(monkeypatch, place)
        model = plain(keras)
        ours = await asyncio.to_thread(lambda: SwarmCallback(3, 1))
        beside = [
            keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", monitor="loss", save_weights_only=True),
            keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1e9, factor=0.5),
        ]
        await asyncio.to_thread(lambda: model.fit(X, Y, batch_size=16, epochs=9, verbose=0, callbacks=[*beside, ours]))
        await place.shell.wait_ended()
        assert beside[0].stopped_epoch > 0
        assert (tmp_path / "best.weights.h5").exists()
        assert float(model.optimizer.learning_rate) < 0.01
        for held, merged in zip(model.get_weights(), place.shell.merged[-1].values(), strict=True):
            np.testing.assert_array_equal(held, merged)


async def test_a_second_fit_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """The same callback in another fit(): a named error before anything is trained."""
    from swarmlearning.tf import SwarmCallback, SwarmError

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = plain(keras)
        ours = await asyncio.to_thread(lambda: SwarmCallback(3, 1))
        await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=[ours]))
        kept = [one.copy() for one in model.get_weights()]
        with pytest.raises(SwarmError, match="fits=2"):
            await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=[ours]))
        for held, before in zip(model.get_weights(), kept, strict=True):
            np.testing.assert_array_equal(held, before)


async def test_two_fits_can_be_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """fits=2, with layers set free in between: one session, a merge as each begins, and the end after the second."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)
        model = frozen(keras)
        ours = await asyncio.to_thread(lambda: SwarmCallback(100, 1, fits=2))
        await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=[ours]))
        assert [call.final for call in place.shell.syncs] == [False]
        model.trainable = True
        model.compile("sgd", "mse")
        await asyncio.to_thread(lambda: model.fit(X, Y, epochs=2, verbose=0, callbacks=[ours]))
        await place.shell.wait_ended()
        assert [call.final for call in place.shell.syncs] == [False, False, True]
        assert len(place.shell.sessions) == 1
        assert ours.epochsCompleted == 3
        for held, merged in zip(model.get_weights(), place.shell.merged[-1].values(), strict=True):
            np.testing.assert_array_equal(held, merged)


@pytest.mark.row("X09")
@pytest.mark.parametrize("kind", ["nested lists", "generator of lists", "generator with a length", "datasets"])
async def test_validation_data_in_nested_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, kind: str
) -> None:
    """Nested lists, generators for two inputs and outputs, a generator that knows its length, a list of datasets."""
    import tensorflow as tf
    from swarmlearning.tf import SwarmCallback

    class Sized(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
        """As the image generators of Keras: batches by index, and an iterator that never ends."""

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return X[index * 16 : index * 16 + 16], Y[index * 16 : index * 16 + 16]

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return self[0]

    def pairs(low: int, high: int) -> Any:
        return tf.data.Dataset.from_tensor_slices((X[low:high], Y[low:high])).batch(16)

    two = kind == "generator of lists"
    data: Any = {
        "nested lists": lambda: [X.tolist(), Y.tolist()],
        "generator of lists": lambda: (
            ([X[i : i + 16], X[i : i + 16]], [Y[i : i + 16], Y[i : i + 16]]) for i in range(0, 64, 16)
        ),
        "generator with a length": Sized,
        "datasets": lambda: [pairs(0, 16), pairs(16, 64)],
    }[kind]()
    async with bridge_at(tmp_path, evaluations=2) as place:
        point_at(monkeypatch, place)
        model = branched(keras) if two else plain(keras)
        callback = await asyncio.to_thread(lambda: SwarmCallback(100, 1, adsValData=data))
        callback.set_model(model)
        await asyncio.to_thread(callback.on_train_begin)
        scores = model.evaluate([X, X], [Y, Y], verbose=0) if two else model.evaluate(X, Y, verbose=0)
        for report in place.shell.reports:
            assert report.loss == pytest.approx(scores[0], rel=1e-4)
            assert report.metric == pytest.approx(scores[1], rel=1e-4)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K07")
async def test_adaptive_sync_is_asked_for_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    """useAdaptiveSync reaches the SL, data is evaluated in adsValBatchSize, and the swarm's interval is kept to."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, interval=2) as place:
        point_at(monkeypatch, place)
        model = plain(keras)
        sizes: list[Any] = []
        evaluate = model.evaluate
        monkeypatch.setattr(model, "evaluate", lambda *a, **k: sizes.append(k["batch_size"]) or evaluate(*a, **k))
        ours = await asyncio.to_thread(
            lambda: SwarmCallback(7, 1, useAdaptiveSync=True, adsValData=(X, Y), adsValBatchSize=32)
        )
        await asyncio.to_thread(lambda: model.fit(X, Y, batch_size=8, verbose=0, callbacks=[ours]))
        assert place.shell.sessions[0].adaptive is True
        assert len(place.shell.syncs) == 5  # at 0, 3, 5, 7 and the end
        assert set(sizes) == {32}
