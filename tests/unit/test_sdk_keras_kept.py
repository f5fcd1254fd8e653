"""What a merge must leave as it was in a Keras fit(), and what it must change beside weights; real Keras and pipes."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

pytestmark = [pytest.mark.keras, pytest.mark.timeout(240)]
RNG = np.random.default_rng(11)
X = RNG.normal(3.0, 2.0, size=(64, 3)).astype(np.float32)
Y = (X[:, :1] > 3).astype(np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


def still(keras: Any, **compiled: Any) -> Any:
    """A model that does not learn: what an epoch tells is known beforehand."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.0), "loss": "mse", "metrics": ["mae"], **compiled})
    return model


def lone(keras: Any, layers: list[Any]) -> Any:
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    return model


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING)


def logged() -> logging.Logger:
    logger = logging.getLogger("swarm.test")
    logger.propagate = True
    return logger


@pytest.mark.parametrize("fails", [False, True])
async def test_an_epochs_loss_and_metrics_are_not_those_of_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, fails: bool
) -> None:
    """Syncs in mid-epoch and after its last batch: history is that of a fit() without a swarm, also if one fails."""
    from swarmlearning.tf import SwarmCallback

    class Own(keras.metrics.Metric):  # type: ignore[misc,name-defined]
        """Counts in Python what variables do not hold."""

        def __init__(self) -> None:
            super().__init__(name="batches")
            self.seen = 0

        def update_state(self, *_: Any, **__: Any) -> None:
            self.seen += 1

        def result(self) -> Any:
            return keras.ops.convert_to_tensor(float(self.seen))

        def reset_state(self) -> None:
            self.seen = 0

    def history(callbacks: list[Any]) -> Any:
        model = still(keras, metrics=["mae", Own()], run_eagerly=True)
        return model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history

    alone = await asyncio.to_thread(history, [])
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        data = (X[:8] + 9, Y[:8])
        ours = await asyncio.to_thread(lambda: SwarmCallback(1, 1, adsValData=data))
        if fails:
            evaluated = ours._evaluated

            def torn(*given: Any) -> Any:
                evaluated(*given)
                raise OSError("the disk with adsValData is gone")

            monkeypatch.setattr(ours, "_evaluated", torn)
        beside = await asyncio.to_thread(history, [ours])
        assert {name: pytest.approx(values, rel=1e-5) for name, values in alone.items()} == beside
        assert alone["batches"] == [4.0, 4.0]
        assert math.isnan(place.shell.reports[-1].loss) == fails


@pytest.mark.parametrize("loss", [None, "added", "own step"])
async def test_only_a_model_with_a_loss_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, caplog: pytest.LogCaptureFixture, loss: str | None
) -> None:
    """compile() without a loss: unknown, in one line. A loss that layers add or the model computes itself counts."""
    from swarmlearning.tf import SwarmCallback

    class Net(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(1, activity_regularizer="l2" if loss == "added" else None)

        def call(self, x: Any) -> Any:
            return self.inner(x)

        def train_step(self, *_: Any) -> Any:
            return {"loss": keras.ops.convert_to_tensor(1.0)}

    if loss == "own step":
        Net.test_step = lambda self, *_: {"loss": keras.ops.convert_to_tensor(2.5)}
    model = Net()
    model(X)
    model.compile("sgd")
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        ours = await asyncio.to_thread(lambda: SwarmCallback(9, 1, adsValData=(X, Y), logger=logged()))
        await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=[ours]))
        assert math.isnan(place.shell.reports[0].loss) == (loss is None)
        assert ("without a loss" in said(caplog)) == (loss is None)


async def test_an_adaptive_interval_needs_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """useAdaptiveSync with a model without a loss is refused before the first merge."""
    from swarmlearning.tf import SwarmCallback, SwarmError

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = still(keras, loss=None, metrics=None)
        asked = {"adsValData": (X, Y), "useAdaptiveSync": True}
        ours = await asyncio.to_thread(lambda: SwarmCallback(9, 1, **asked))
        with pytest.raises(SwarmError, match="useAdaptiveSync needs a loss"):
            await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=[ours]))
        assert place.shell.syncs == []


@pytest.mark.parametrize("nested", [False, True])
async def test_a_normalization_computes_with_what_was_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, nested: bool
) -> None:
    """Mean and variance of adapt() are the swarm's in predict(), evaluate() and the next steps, compiled before."""
    from swarmlearning.tf import SwarmCallback

    norm = keras.layers.Normalization()
    norm.adapt(X)
    front = [keras.layers.Input((3,)), norm]
    if nested:
        front = [keras.layers.Input((3,)), keras.Sequential(front)]
    model = lone(keras, [*front, keras.layers.Dense(1, kernel_initializer="ones", trainable=False)])
    model.predict(X, verbose=0)
    model.evaluate(X, Y, verbose=0)
    changes = {"mean": 100.0, "variance": 4.0}

    def merge(name: str, array: Any) -> Any:
        which = name.split("/")[-1].split("@")[0]
        return np.full_like(array, changes[which]) if which in changes else array

    async with bridge_at(tmp_path, merge=merge) as place:
        point_at(monkeypatch, place)
        ours = await asyncio.to_thread(lambda: SwarmCallback(2, 1, adsValData=(X, Y)))
        steps = await asyncio.to_thread(
            lambda: model.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0, callbacks=[ours]).history
        )
    expected = (X - 100.0).sum(axis=1, keepdims=True) / 2.0
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4)
    assert steps["loss"][0] == pytest.approx(float(((expected - Y) ** 2).mean()), rel=1e-3)
    assert place.shell.reports[0].loss == pytest.approx(float(((expected - Y) ** 2).mean()), rel=1e-3)


def name_lists(monkeypatch: pytest.MonkeyPatch, models: list[Any]) -> list[list[str]]:
    from swarmlearning.tf import SwarmCallback

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    found = []
    for model in models:
        ours = SwarmCallback(1, 1)
        ours.set_model(model)
        ours.on_train_begin()
        found.append(list(ours._saveModelWeightsToDict()))
    return found


def tables(keras: Any) -> dict[str, list[Any]]:
    """Per kind of layer: two that mean the same, and one that does not."""
    layers = keras.layers

    def adapted(layer: Any, data: Any) -> Any:
        layer.adapt(data)
        return layer

    ints = [[1.0], [2.0], [3.0], [4.0]]
    return {
        "Discretization": [layers.Discretization(bin_boundaries=b) for b in ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0])],
        "Discretization adapted": [
            adapted(layers.Discretization(num_bins=2), np.array(d) * f) for d, f in ((ints, 1), (ints, 1), (ints, 5))
        ],
        "IntegerLookup": [layers.IntegerLookup(vocabulary=v) for v in ([7, 8], [7, 8], [8, 7])],
        "Hashing": [layers.Hashing(num_bins=9, salt=s) for s in (1, 1, 2)],
        "Normalization": [layers.Normalization(mean=m, variance=1.0) for m in (0.0, 0.0, 5.0)],
    }


@pytest.mark.parametrize(
    "kind", ["Discretization", "Discretization adapted", "IntegerLookup", "Hashing", "Normalization"]
)
def test_tables_that_are_not_weights_are_compared(monkeypatch: pytest.MonkeyPatch, keras: Any, kind: str) -> None:
    """Sites with the same bins, vocabulary, salt or given mean have the same names; others are told apart."""
    models = []
    for layer in tables(keras)[kind]:
        whole = kind in ("IntegerLookup", "Hashing")
        start = keras.layers.Input((1,), dtype="int64" if whole else "float32")
        inside = keras.ops.cast(layer(start), "float32")
        models.append(keras.Model(start, keras.layers.Dense(1)(inside)))
    one, same, other = name_lists(monkeypatch, models)
    assert one == same
    assert one != other


def test_a_text_vectorization_is_compared_by_its_words(monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """Words in another order make other numbers of them."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("strings as inputs are TensorFlow's")
    models = []
    for words in (["a", "b"], ["a", "b"], ["b", "a"]):
        start = keras.layers.Input((), dtype="string")
        numbers = keras.layers.TextVectorization(vocabulary=words, output_sequence_length=3)(start)
        models.append(keras.Model(start, keras.layers.Dense(1)(keras.layers.Embedding(9, 2)(numbers))))
    one, same, other = name_lists(monkeypatch, models)
    assert one == same
    assert one != other


def builders(keras: Any) -> dict[str, Any]:
    layers = keras.layers

    class Net(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [layers.Dense(3), layers.Dense(3)]
            self.head = layers.Dense(1)
            self.scale = self.add_weight(shape=(1,))
            self.shift = self.add_weight(shape=(1,))

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.head(x) * self.scale + self.shift

    def subclassed() -> Any:
        model = Net()
        model(X)
        return model

    def nested() -> Any:
        start = layers.Input((3,))
        inner = keras.Sequential([layers.Input((3,)), layers.Dense(3), layers.BatchNormalization()])
        other = keras.Model(start, layers.Dense(3)(start))
        return keras.Model(start, layers.Dense(1)(other(inner(start))))

    def shared() -> Any:
        left, right, tower = layers.Input((3,)), layers.Input((3,)), layers.Dense(3)
        return keras.Model([left, right], layers.Dense(1)(layers.Add()([tower(left), tower(right)])))

    def recurrent() -> Any:
        start = layers.Input((3, 1))
        both = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(start)
        seen = layers.MultiHeadAttention(1, 2)(both, both)
        return keras.Model(start, layers.Dense(1)(layers.RNN([layers.LSTMCell(2), layers.LSTMCell(2)])(seen)))

    return {"subclassed": subclassed, "nested": nested, "shared": shared, "recurrent": recurrent}


@pytest.mark.parametrize("kind", ["subclassed", "nested", "shared", "recurrent"])
def test_names_do_not_depend_on_what_was_built_before(monkeypatch: pytest.MonkeyPatch, keras: Any, kind: str) -> None:
    """Keras numbers layers and nameless variables through a process; later models have the first's names."""
    build = builders(keras)[kind]
    first = build()
    keras.layers.Dense(1), keras.layers.LSTM(1), keras.Sequential()
    models = [first, build(), build()]
    one, two, three = name_lists(monkeypatch, models)
    assert one == two == three
    assert len(set(one)) == len(one)


def test_names_that_a_program_gave_keep_models_apart(monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """Equal shapes under other names stay different; a given name that looks like a number of Keras' is not lost."""

    def model(*names: str | None) -> Any:
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return keras.Sequential([keras.layers.Input((3,)), *layers])

    found = name_lists(monkeypatch, [model("a", "b"), model("b", "a"), model("a", None), model("relu", None, None)])
    assert len({tuple(one) for one in found}) == 4
    assert found[2] == ["a/kernel", "a/bias", "dense/kernel", "dense/bias"]
    assert found[3][2::2] == ["dense/kernel", "dense_1/kernel"]


@pytest.mark.parametrize("where", ["before", "after"])
async def test_callbacks_that_put_their_own_weights_back_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """After ours: EarlyStopping with its best weights, EMA, a backup, a program's own; those that only look are not."""
    from swarmlearning.tf import SwarmCallback

    class Mine(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.kept = self.model.get_weights()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights(self.kept)

    beside = [
        keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
        keras.callbacks.EarlyStopping("loss", patience=3),
        keras.callbacks.ReduceLROnPlateau("loss"),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        Mine(),
        keras.callbacks.LambdaCallback(on_train_end=lambda logs: model.set_weights(model.get_weights())),
        keras.callbacks.ModelCheckpoint(tmp_path / "one.weights.h5", monitor="loss", save_weights_only=True),
    ]
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = still(keras)
        ours = await asyncio.to_thread(lambda: SwarmCallback(9, 1, logger=logged()))
        listed = [*beside, ours] if where == "before" else [ours, *beside]
        await asyncio.to_thread(lambda: model.fit(X, Y, verbose=0, callbacks=listed))
    named = [line.split()[0] for line in said(caplog).splitlines() if "stands after" in line]
    expected = ["EarlyStopping", "BackupAndRestore", "Mine", "LambdaCallback"]
    assert named == (expected if where == "after" else [])
