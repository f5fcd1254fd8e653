"""The Keras callback: fit() drives it, weights go by name in get_weights order; over real pipes with real Keras."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

pytestmark = [pytest.mark.keras, pytest.mark.timeout(240)]
RNG = np.random.default_rng(5)
X = RNG.normal(size=(80, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


def network(keras: Any, **compile_options: Any) -> Any:
    keras.utils.set_random_seed(6)
    model = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy", **{"metrics": ["accuracy"], **compile_options})
    return model


def fit(model: Any, callback: Any, *, epochs: int = 1, batches: int = 8) -> None:
    model.fit(X, Y, batch_size=len(X) // batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[callback])


@pytest.mark.row("K01a")
@pytest.mark.row("K11")
@pytest.mark.row("K14")
async def test_fit_syncs_evaluates_and_keeps_the_merged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    """N=4, 14 batches: merges at 0, 5, 9, 13 and the end; loss item 0, metric item 1; BatchNorm statistics too."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)
        model = network(keras)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(4, 1, adsValData=(X, Y), adsValBatchSize=40, totalEpochs=2)
        )
        initial = [weight.copy() for weight in model.get_weights()]
        await asyncio.to_thread(fit, model, callback, epochs=2, batches=7)
        shell = place.shell
        await shell.wait_ended()
        assert shell.endings == [None]
        assert [call.final for call in shell.syncs] == [False, False, False, False, True]
        assert shell.headers[0].platform == "keras"
        assert len(shell.models[0]) == 8
        for sent, held in zip(shell.models[0].values(), initial, strict=True):
            np.testing.assert_array_equal(sent, held)
        for merged, held in zip(shell.merged[-1].values(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(merged, held)
        loss, accuracy = model.evaluate(X, Y, verbose=0)
        assert shell.reports[-1].loss == pytest.approx(loss, rel=1e-5)
        assert shell.reports[-1].metric == pytest.approx(accuracy, rel=1e-5)
        assert [(r.epochs_done, r.epochs_total) for r in shell.reports] == [(0, 2), (0, 2), (1, 2), (1, 2), (2, 2)]
        assert not any("#" in name for name in shell.models[0])


@pytest.mark.row("K11")
@pytest.mark.row("K16")
async def test_a_swarm_that_is_over_stops_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """trainingOver at the second sync sets stop_training: of 50 epochs one runs; KillSession(OK) ends it."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path, over_after=2) as place:
        point_at(monkeypatch, place)
        model = network(keras)
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1))
        await asyncio.to_thread(fit, model, callback, epochs=50)
        await place.shell.wait_ended()
        assert callback.epochsCompleted <= 1
        assert len(place.shell.syncs) == 2
        assert place.shell.endings == [None]
        for merged, held in zip(place.shell.merged[-1].values(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(merged, held)


@pytest.mark.row("K11")
@pytest.mark.parametrize("kind", ["triple", "list", "dataset", "generator", "sequence"])
async def test_validation_data_of_every_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, kind: str
) -> None:
    """(x, y, weights), a list, a tf.data dataset, a one-shot generator and a PyDataset are evaluated each time."""
    import tensorflow as tf
    from swarmlearning.tf import SwarmCallback

    class Batches(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return X[index * 40 : index * 40 + 40], Y[index * 40 : index * 40 + 40]

    data: Any = {
        "triple": lambda: (X, Y, np.ones(len(X), np.float32)),
        "list": lambda: [X, Y],
        "dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(40),
        "generator": lambda: ((X[i : i + 20], Y[i : i + 20]) for i in range(0, 80, 20)),
        "sequence": Batches,
    }[kind]()
    async with bridge_at(tmp_path, evaluations=2) as place:
        point_at(monkeypatch, place)
        model = network(keras)
        model.trainable = True
        callback = await asyncio.to_thread(lambda: SwarmCallback(100, 1, adsValData=data))
        callback.set_model(model)
        await asyncio.to_thread(callback.on_train_begin)
        loss, accuracy = model.evaluate(X, Y, verbose=0)
        for report in place.shell.reports:
            assert report.loss == pytest.approx(loss, rel=1e-4)
            assert report.metric == pytest.approx(accuracy, rel=1e-4)
        await asyncio.to_thread(callback.on_train_end)


async def test_a_model_without_metrics_reports_its_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    """evaluate() then returns a bare number: the metric is NaN, not known."""
    from swarmlearning.tf import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = network(keras, metrics=[])
        callback = await asyncio.to_thread(lambda: SwarmCallback(100, 1, adsValData=(X, Y)))
        callback.set_model(model)
        await asyncio.to_thread(callback.on_train_begin)
        assert place.shell.reports[0].loss > 0
        assert math.isnan(place.shell.reports[0].metric)
        await asyncio.to_thread(callback.on_train_end)


def test_names_do_not_depend_on_the_models_number(monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """Keras numbers the models of a process; a site that built one more still shares the same names."""
    from swarmlearning.tf import SwarmCallback

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    names = []
    for _ in range(2):
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="hidden")])
        callback = SwarmCallback(1, 1)
        callback.set_model(model)
        callback.on_train_begin()
        names.append(list(callback._saveModelWeightsToDict()))
    assert names == [["hidden/kernel", "hidden/bias"]] * 2


@pytest.mark.row("K10b")
async def test_a_graph_of_tensorflow_1_is_trained_in_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    """ml_platform TF with tf and sess: trainable variables and moving averages travel and are set, the rest stays."""
    import tensorflow as tf
    from swarmlearning.tf import SwarmCallback

    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (None, 3))
        kernel = v1.get_variable("dense/kernel", initializer=np.full((3, 1), 0.5, np.float32))
        v1.get_variable("norm/moving_mean", initializer=np.full(1, 7.0, np.float32), trainable=False)
        steps = v1.get_variable("global_step", initializer=np.int64(0), trainable=False)
        train = v1.train.MomentumOptimizer(0.1, 0.9).minimize(v1.reduce_mean((x @ kernel - 1.0) ** 2), steps)
        start = v1.global_variables_initializer()
    graph.finalize()
    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)
        with v1.Session(graph=graph) as session:
            session.run(start)

            def loop() -> None:
                swarm = SwarmCallback(2, 1, ml_platform="TF", tf=tf, sess=session)
                swarm.on_train_begin()
                assert session.run(kernel).tolist() == [[0.25]] * 3
                for batch in range(3):
                    session.run(train, {x: X[:8]})
                    swarm.on_batch_end(batch)
                swarm.on_epoch_end()
                swarm.on_train_end()

            await asyncio.to_thread(loop)
            await place.shell.wait_ended()
            assert len(place.shell.syncs) == 3
            assert place.shell.headers[0].platform == "keras"
            assert list(place.shell.models[0]) == ["dense/kernel:0", "norm/moving_mean:0"]
            assert place.shell.models[0]["norm/moving_mean:0"].tolist() == [7.0]
            np.testing.assert_array_equal(session.run(kernel), place.shell.merged[-1]["dense/kernel:0"])
            assert session.run(steps) == 3


@pytest.mark.parametrize(
    ("options", "text"),
    [({"ml_platform": "TF"}, "needs tf=tensorflow"), ({"ml_platform": "PYTORCH"}, "for KERAS")],
)
def test_other_platforms_are_refused(
    monkeypatch: pytest.MonkeyPatch, keras: Any, options: dict[str, Any], text: str
) -> None:
    """A graph without its session is refused in words; so is a platform of another callback."""
    from swarmlearning.tf import SwarmCallback, SwarmError

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    with pytest.raises(SwarmError, match=text):
        SwarmCallback(1, 1, **options)
