"""The scikit-learn callback and trainer: real estimators, over real pipes against the real bridge."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model, metrics
from sklearn.base import BaseEstimator
from sklearn.cluster import MiniBatchKMeans
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarmlearning.sklearn import SwarmCallback, SwarmError, SwarmSklearnTrainer

RNG = np.random.default_rng(8)
X = RNG.normal(size=(64, 3))
Y = (X[:, 0] + 0.1 * RNG.normal(size=64) > 0).astype(int)


class Steps(BaseEstimator):  # type: ignore[misc]
    """An estimator of one's own, with attributes that nobody knows and no classes."""

    def partial_fit(self, x: Any, y: Any = None) -> Steps:
        if not hasattr(self, "theta_"):
            self.theta_, self.layers_ = np.zeros(2, np.float32), [np.zeros(2), np.zeros((1, 2))]
        self.theta_ += 1
        self.layers_[1] += 2
        return self


def estimators() -> dict[str, tuple[Any, set[str]]]:
    """name -> (a new estimator, attributes that travel)"""
    linear = {"coef_", "intercept_"}
    return {
        "sgd": (linear_model.SGDClassifier(loss="log_loss", random_state=1), linear),
        "sgd regression": (linear_model.SGDRegressor(random_state=1), linear),
        "perceptron": (linear_model.Perceptron(random_state=1), linear),
        "logistic, warm": (linear_model.LogisticRegression(warm_start=True, max_iter=50), linear),
        "least squares, one fit": (linear_model.LinearRegression(), linear),
        "no intercept": (linear_model.Ridge(fit_intercept=False), linear),
        "network": (
            MLPClassifier((4,), random_state=1),
            {"coefs_.0", "coefs_.1", "intercepts_.0", "intercepts_.1"},
        ),
        "k-means": (MiniBatchKMeans(2, random_state=1, n_init=1), {"cluster_centers_"}),
    }


@pytest.mark.parametrize("kind", sorted(estimators()))
async def test_parameters_travel_and_the_merged_ones_are_what_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Every kind of estimator: its arrays reach the SL with their types, and the last merged ones predict."""
    model, shared = estimators()[kind]
    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(2, 1, model=model, initData=(X[:8], Y[:8]), classes=[0, 1])
        )
        trainer = SwarmSklearnTrainer(swarmCallback=callback, model=model)
        await asyncio.to_thread(trainer.fit, X, Y, batch_size=16, epochs=3, classes=np.array([0, 1]))
        await place.shell.wait_ended()
    assert place.shell.endings == [None]
    assert place.shell.syncs[-1].final
    assert len(place.shell.syncs) == (2 if "one fit" in kind or kind == "no intercept" else 3 if "warm" in kind else 7)
    assert {name.partition("@")[0] for name in place.shell.models[0]} == shared
    assert {array.dtype for array in place.shell.models[0].values()} == {np.dtype(np.float64)}
    for name, merged in place.shell.merged[-1].items():
        attribute, _, index = name.partition("@")[0].partition(".")
        held = getattr(model, attribute)
        np.testing.assert_array_equal(held[int(index)] if index else held, merged)
    assert np.isfinite(model.predict(X)).all()


async def test_training_goes_on_from_the_merged_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that sets all to zero: what is handed over next is one batch away from zero, in a network too."""
    for kind in ("sgd", "network"):
        model = estimators()[kind][0].set_params(learning_rate="constant")
        folder = tmp_path / kind
        folder.mkdir()
        async with bridge_at(folder, merge=lambda _, a: a * 0) as place:
            point_at(monkeypatch, place)
            callback = await asyncio.to_thread(lambda model=model: SwarmCallback(1, 1, model=model, classes=[0, 1]))
            trainer = SwarmSklearnTrainer(callback)
            await asyncio.to_thread(trainer.fit, X, Y, 32, 2)
        first, after = place.shell.models[0], place.shell.models[2]
        assert all(np.abs(array).max() < 2 for array in after.values())
        assert any(np.abs(array).max() > 0 for array in after.values())
        assert any(not np.allclose(first[name], after[name]) for name in first)


async def test_attributes_of_ones_own_travel_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """weight_attrs names arrays and lists of arrays; the list stays the same list, of the same arrays."""
    model = Steps()
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(10)) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                5, 1, model=model, initData=(X, Y), weight_attrs=["theta_", "layers_"], weight_attrs_is_list=True
            )
        )
        held = model.layers_[1]
        await asyncio.to_thread(callback.on_train_begin)
        assert list(place.shell.models[0]) == ["theta_", "layers_.0", "layers_.1"]
        assert model.theta_.dtype == np.float32
        assert model.theta_.tolist() == [11, 11]
        assert model.layers_[1] is held
        assert held.tolist() == [[12, 12]]
        await asyncio.to_thread(callback.on_train_end)


async def test_labels_and_columns_are_part_of_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that mean other labels or other columns hand over other names, which the SL refuses before a merge."""
    pandas_like = {"a": [0, 1], "b": [1, 2], "c": ["benign", "malignant"]}
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    names = {}
    for key, classes in pandas_like.items():
        model = linear_model.SGDClassifier()
        y = np.asarray(classes)[Y]
        callback = SwarmCallback(1, 1, model=model, initData=(X, y), classes=classes)
        names[key] = tuple(callback._saveModelWeightsToDict())
    again = SwarmCallback(1, 1, model=linear_model.SGDClassifier(), initData=(X[:1], Y[:1]), classes=[0, 1])
    assert tuple(again._saveModelWeightsToDict()) == names["a"]
    assert len(set(names.values())) == 3
    again.model.feature_names_in_ = np.array(["x", "y", "z"], object)
    assert tuple(again._saveModelWeightsToDict()) != names["a"]


@pytest.mark.row("X09")
@pytest.mark.parametrize("kind", ["tuple", "list", "pairs", "generator"])
async def test_validation_data_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """(X, y), lists, lists of pairs and a one-shot generator give the same loss and metric at each evaluation."""
    data: Any = {
        "tuple": (X, Y),
        "list": [X.tolist(), Y.tolist()],
        "pairs": [(X[:20], Y[:20]), (X[20:], Y[20:])],
        "generator": ((X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)),
    }[kind]
    model = linear_model.SGDClassifier(loss="log_loss", random_state=1).fit(X, Y)
    async with bridge_at(tmp_path, evaluations=2) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                9, 1, model=model, adsValData=data, lossFunction="log_loss", metricFunction="roc_auc_score"
            )
        )
        await asyncio.to_thread(callback.on_train_begin)
        probabilities = model.predict_proba(X)
        for report in place.shell.reports:
            assert report.loss == pytest.approx(metrics.log_loss(Y, probabilities), rel=1e-5)
            assert report.metric == pytest.approx(metrics.roc_auc_score(Y, probabilities[:, 1]), rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.parametrize(
    ("model", "options", "loss", "metric"),
    [
        (linear_model.SGDClassifier(), {}, math.nan, metrics.accuracy_score),
        (linear_model.LinearRegression(), {}, metrics.mean_squared_error, metrics.r2_score),
        (
            linear_model.SGDClassifier(),
            {"lossFunction": "hamming_loss", "metricFunction": lambda y, p: float((y == p).sum())},
            metrics.hamming_loss,
            lambda y, p: float((y == p).sum()),
        ),
        (
            linear_model.LinearRegression(),
            {"metricFunction": "mean_pinball_loss", "metricFunctionArgs": {"alpha": 0.9}},
            metrics.mean_squared_error,
            lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.9),
        ),
    ],
)
def test_losses_and_metrics(
    monkeypatch: pytest.MonkeyPatch, model: Any, options: dict[str, Any], loss: Any, metric: Any
) -> None:
    """What is judged where nothing is asked for, by name with arguments, and by a function."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    model.fit(X, Y)
    callback = SwarmCallback(1, 1, model=model, adsValData=(X, Y), **options)
    found = callback._calculateLocalLossAndMetrics()
    wanted = [one if isinstance(one, float) else one(Y, model.predict(X)) for one in (loss, metric)]
    np.testing.assert_allclose(found, wanted)


@pytest.mark.row("K16")
async def test_the_trainer_stops_when_the_swarm_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over at the second sync: no batch more is trained, the last merged model is what remains."""
    model = linear_model.SGDClassifier(random_state=1)
    async with bridge_at(tmp_path, merge=lambda _, a: a * 0 + 1, over_after=2) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(lambda: SwarmCallback(1, 1, model=model, classes=[0, 1]))
        await asyncio.to_thread(SwarmSklearnTrainer(callback).fit, X, Y, batch_size=16, epochs=50)
        await place.shell.wait_ended()
    assert len(place.shell.syncs) == 2
    assert model.coef_.tolist() == [[1, 1, 1]]
    assert model.t_ == 16 * 3 + 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "model is NoneType, it must be a scikit-learn estimator"),
        ({"model": make_pipeline(StandardScaler(), linear_model.SGDClassifier())}, "Hand over the last step"),
        ({"model": linear_model.SGDClassifier(average=True)}, "leave average out"),
        ({"model": linear_model.SGDClassifier(), "lossFunction": "no_loss"}, "sklearn.metrics has no no_loss"),
        ({"model": linear_model.SGDClassifier(), "initData": 3}, r"it must be \(X, y\)"),
    ],
)
def test_wrong_arguments_are_named(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str) -> None:
    """Each wrong argument is refused by name, in loop-back mode too."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    with pytest.raises(SwarmError, match=text):
        SwarmCallback(4, 1, **options)


def test_an_estimator_without_parameters_is_told_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never fitted, or with unknown attributes, or sparse: the sentence says what to pass."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    with pytest.raises(SwarmError, match=r"pass initData=.*weight_attrs"):
        SwarmCallback(1, 1, model=linear_model.SGDClassifier())._saveModelWeightsToDict()
    sparse = linear_model.SGDClassifier().fit(X, Y).sparsify()
    with pytest.raises(SwarmError, match="densify"):
        SwarmCallback(1, 1, model=sparse)._saveModelWeightsToDict()
    with pytest.raises(SwarmError, match="the same object"):
        SwarmSklearnTrainer(SwarmCallback(1, 1, model=sparse), linear_model.SGDClassifier())
