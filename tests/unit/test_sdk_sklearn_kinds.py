"""Every estimator of scikit-learn is right in a swarm or refused by name: two of one shared state predict alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model, naive_bayes, svm
from sklearn.base import is_regressor
from sklearn.utils import all_estimators
from swarmlearning.sklearn import SwarmCallback, SwarmError

ASKS = ("predict", "predict_proba", "decision_function", "score_samples")
SHARED_IN_A_SWARM = {
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "HuberRegressor",
    "KMeans",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "MiniBatchKMeans",
    "Perceptron",
    "PoissonRegressor",
    "Ridge",
    "RidgeClassifier",
    "SGDClassifier",
    "SGDRegressor",
}
"""Those that must stay usable, whatever the look into an estimator finds."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_LOOPBACK", "true")


def samples(seed: int) -> tuple[Any, Any, Any]:
    """Positive features, two classes, a target: unlike for each seed."""
    random = np.random.default_rng(seed)
    x = np.abs(random.normal(size=(40, 3)))
    x[:, seed % 3] += 1
    return x, (x[:, 0] > np.median(x[:, 0])).astype(int), x[:, 0] + 1


def fitted(kind: Any, seed: int) -> Any:
    x, classes, target = samples(seed)
    model = kind()
    return model.fit(x, target if is_regressor(model) else classes)


def pairs() -> Iterator[tuple[str, Any, Any]]:
    for name, kind in all_estimators():
        try:
            yield name, fitted(kind, 1), fitted(kind, 2)
        except Exception:
            continue


def test_two_estimators_of_one_state_predict_alike_or_the_kind_is_refused() -> None:
    """All kinds that two sites can fit: what one shares makes the other predict the same, or both are refused."""
    accepted, refused = set(), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, mine, theirs in pairs():
            here, there = SwarmCallback(1, 1, model=mine), SwarmCallback(1, 1, model=theirs)
            try:
                state = here._saveModelWeightsToDict()
                there._saveModelWeightsToDict()
                there._loadModelWeightsFromDict(state)
            except SwarmError as fault:
                refused[name] = str(fault)
                continue
            accepted.add(name)
            x = samples(3)[0]
            for ask in ASKS:
                if hasattr(mine, ask):
                    np.testing.assert_allclose(getattr(mine, ask)(x), getattr(theirs, ask)(x), err_msg=f"{name}.{ask}")
    assert accepted >= SHARED_IN_A_SWARM
    assert len(refused) >= 80
    for name in ("SVC", "NuSVC", "SVR", "OneClassSVM", "GaussianNB", "RandomForestClassifier", "PLSRegression"):
        assert f"{name} predicts from " in refused[name]


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
def test_support_vectors_are_refused_whatever_the_kernel(kernel: str) -> None:
    """SVC shares an intercept, and predicts from its vectors; with a linear kernel its coef_ cannot even be set."""
    x, y, _ = samples(1)
    model = svm.SVC(kernel=kernel).fit(x, y)
    with pytest.raises(SwarmError, match=r"SVC predicts from _dual_coef_, .*support_vectors_, and intercept_ would be"):
        SwarmCallback(1, 1, model=model)._saveModelWeightsToDict()
    with pytest.raises(SwarmError, match="coef_ of SVC is worked out of others" if kernel == "linear" else "has none"):
        SwarmCallback(1, 1, model=svm.SVC(kernel=kernel).fit(x, y), weight_attrs=["coef_"])._saveModelWeightsToDict()


def test_named_attributes_must_be_all_that_predict_reads() -> None:
    """weight_attrs that leave out what predicting needs are refused; the whole set is taken, and predicts alike."""
    x, y, _ = samples(1)
    with pytest.raises(SwarmError, match="GaussianNB predicts from class_prior_, var_, and theta_ would be shared"):
        SwarmCallback(1, 1, model=naive_bayes.GaussianNB().fit(x, y), weight_attrs=["theta_"])._saveModelWeightsToDict()
    whole = ["theta_", "var_", "class_prior_"]
    mine, theirs = fitted(naive_bayes.GaussianNB, 1), fitted(naive_bayes.GaussianNB, 2)
    state = SwarmCallback(1, 1, model=mine, weight_attrs=whole)._saveModelWeightsToDict()
    other = SwarmCallback(1, 1, model=theirs, weight_attrs=whole)
    other._saveModelWeightsToDict()
    other._loadModelWeightsFromDict(state)
    np.testing.assert_allclose(mine.predict_proba(x), theirs.predict_proba(x))


def test_a_subclass_that_predicts_from_more_is_refused() -> None:
    """A known estimator whose predict was overridden is looked at as it is, not by its family."""

    class Scaled(linear_model.LinearRegression):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            self.means_ = np.asarray(x).mean(0)
            return super().fit(x - self.means_, y)

        def predict(self, x: Any) -> Any:
            return super().predict(x - self.means_)

    with pytest.raises(SwarmError, match="Scaled predicts from means_"):
        SwarmCallback(1, 1, model=fitted(Scaled, 1))._saveModelWeightsToDict()


def test_the_look_leaves_the_estimator_as_it_is() -> None:
    """No attribute is changed, added or replaced by it."""
    model = fitted(linear_model.SGDClassifier, 1)
    before = dict(vars(model))
    SwarmCallback(1, 1, model=model)._saveModelWeightsToDict()
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
