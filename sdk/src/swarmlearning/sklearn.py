"""Swarm callback and trainer for scikit-learn: an estimator's array attributes are shared, dtypes kept.

Owns which attributes of an estimator are its parameters, and how a mini-batch loop goes; reading and setting arrays
in a session is ``plain``'s. Classes and column names travel as a fingerprint in the parameters' names, so that sites
that mean other labels or columns are told so before the first merge.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NoReturn, Optional

import numpy as np
import numpy.typing as npt

from ._optional import framework
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SwarmError
from .plain import SwarmCallback as _PlainCallback

with framework("swarmlearning.sklearn", "sklearn", install="scikit-learn"):
    from sklearn import metrics
    from sklearn.pipeline import Pipeline

    from ._sklearnstate import read_elsewhere, settable, unsettable

__all__ = ["SwarmCallback", "SwarmError", "SwarmSklearnTrainer"]

KNOWN_ATTRIBUTES = ("coef_", "intercept_", "coefs_", "intercepts_", "cluster_centers_")
"""Shared if an estimator has them; what an average of other attributes means, only the program can know."""
BATCH_SIZE_DEFAULT = 32
FINGERPRINT_CHARS = 12
PROBABILITY_METRICS = ("log_loss", "brier_score_loss", "roc_auc_score", "average_precision_score", "d2_log_loss_score")
"""Functions of sklearn.metrics that judge probabilities, not labels."""


class SwarmCallback(_PlainCallback):
    """Call ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end()`` and ``on_train_end()`` around ``partial_fit``.

    Args:
        syncFrequency: batches (calls of ``partial_fit`` or ``fit``) between two syncs.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        model: the estimator. ``coef_``, ``intercept_``, ``coefs_``, ``intercepts_`` and ``cluster_centers_`` are
            shared; a generalized linear model, a multi-layer perceptron and mini-batch k-means need no more. An
            estimator that predicts from anything else (support vectors, trees, neighbours) is refused by name.
        weight_attrs: names of the attributes that are shared instead: arrays, numbers, or lists of arrays.
        initData: (X, y) of a few samples; an estimator that was never fitted has no parameters to share, and is
            fitted to them first.
        classes: all labels that any site may have, in one order everywhere.
        adsValData: validation data: (X, y), a list of such pairs, or a generator of them, which is read once.
        lossFunction, lossFunctionArgs: name of a function in sklearn.metrics, or a function of (y, predicted), and
            its arguments; without it ``log_loss`` or, for regressors, ``mean_squared_error``, and NaN for
            classifiers that give no probabilities.
        metricFunction, metricFunctionArgs: the same; without it the estimator's own ``score``.
        kwargs: the arguments all callbacks share, see SwarmCallbackBase. ``weight_attrs_is_list`` is found out.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _own_arguments = frozenset(
        {
            "classes",
            "initData",
            "lossFunction",
            "lossFunctionArgs",
            "metricFunction",
            "metricFunctionArgs",
            "model",
            "weight_attrs",
            "weight_attrs_is_list",
        }
    )

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        self.model: Any = kwargs.get("model")
        self._looked = False
        self.classes = kwargs.get("classes")
        self.weightAttributes: Optional[Sequence[str]] = kwargs.get("weight_attrs")
        self.lossFunction, self.lossFunctionArgs = kwargs.get("lossFunction"), kwargs.get("lossFunctionArgs") or {}
        self.metricFunction = kwargs.get("metricFunction")
        self.metricFunctionArgs = kwargs.get("metricFunctionArgs") or {}
        super().__init__(
            syncFrequency,
            minPeers,
            trainingContract,
            get_parameters=self._parameters,
            set_parameters=self._take,
            evaluate=self._scores,
            **kwargs,
        )

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        super()._verifyAndSetPlatformContext(params)
        if isinstance(self.model, Pipeline):
            self._logAndRaiseError(
                "model is a Pipeline: its earlier steps hold figures of one site's data. Hand over the last step,"
                " and prepare the data with steps that are the same at every site."
            )
        if not hasattr(self.model, "fit") and not hasattr(self.model, "partial_fit"):
            self._logAndRaiseError(f"model is {type(self.model).__name__}, it must be a scikit-learn estimator.")
        if getattr(self.model, "average", False):
            self._logAndRaiseError(
                "model averages its own steps (average=True) and then trains on other weights than it shows:"
                " leave average out, the swarm averages."
            )
        for name in (self.lossFunction, self.metricFunction):
            if name is not None and not callable(name) and not hasattr(metrics, str(name)):
                self._logAndRaiseError(f"lossFunction or metricFunction is {name!r}: sklearn.metrics has no {name}.")
        data = params.get("initData")
        if data is not None and not self.initialised:
            self.initialise(*_pairs(data)[0])

    @property
    def initialised(self) -> bool:
        """Whether the estimator has parameters to share."""
        return any(settable(self.model, name) for name in self.weightAttributes or KNOWN_ATTRIBUTES)

    def _attributes(self) -> list[str]:
        """Names of the attributes that travel."""
        if self.weightAttributes is None:
            return [name for name in KNOWN_ATTRIBUTES if settable(self.model, name)]
        return list(self.weightAttributes)

    def initialise(self, x: Any, y: Any) -> None:
        """Fit a few samples, so that the estimator's parameters exist."""
        model = self.model
        if not hasattr(model, "partial_fit"):
            model.fit(x, y)
        elif self.classes is not None and _takes_classes(model):
            model.partial_fit(x, y, classes=np.asarray(self.classes))
        else:
            model.partial_fit(x, y)

    def _parameters(self) -> dict[str, npt.NDArray[Any]]:
        found: dict[str, npt.NDArray[Any]] = {}
        mark, kind = self._fingerprint(), type(self.model).__name__
        for attribute in self._attributes():
            value = getattr(self.model, attribute, None)
            if value is None:
                self._none_of(kind, attribute)
            if unsettable(self.model, attribute):
                self._logAndRaiseError(
                    f"{attribute} of {kind} is worked out of others and cannot be set: name those it predicts from."
                )
            for place, array in _leaves(value):
                if array.dtype.kind not in "fiub":
                    self._logAndRaiseError(
                        f"{attribute} of {kind} is {type(value).__name__} of {array.dtype},"
                        " not an array of numbers: it cannot be shared (a sparse one after densify() can)."
                    )
                found[f"{attribute}{place}{mark}"] = array
        if not self._looked:
            self._look(kind, found)
        if not found:
            self._none_of(kind, ", ".join(KNOWN_ATTRIBUTES))
        return found

    def _none_of(self, kind: str, names: str) -> NoReturn:
        self._logAndRaiseError(
            f"{kind} has none of {names}: pass initData=(X, y) of a few samples (and classes), or name its arrays with"
            " weight_attrs=[...]."
        )

    def _look(self, kind: str, found: Mapping[str, object]) -> None:
        """Refuse an estimator that would go on predicting from what this site alone has learnt."""
        others = read_elsewhere(self.model, self._attributes())
        if others:
            shared = ", ".join(self._attributes()) or "nothing"
            self._logAndRaiseError(
                f"{kind} predicts from {', '.join(others)}, and {shared} would be shared: after a merge each site would"
                " predict something else. If averages of all of these mean something, name them with weight_attrs;"
                " if not, this estimator cannot be trained in a swarm (linear models, SGD, networks and k-means can)."
            )
        if found:
            self._looked = True
            if others is None:
                self.logger.warning(
                    "Whether %s predicts from anything that is not shared could not be found out.", kind
                )

    def _fingerprint(self) -> str:
        """What labels and columns mean here, as part of each name; empty if the estimator knows neither."""
        meaning = {
            name: np.asarray(getattr(self.model, name)).tolist()
            for name in ("classes_", "feature_names_in_")
            if isinstance(getattr(self.model, name, None), np.ndarray)
        }
        if not meaning:
            return ""
        text = json.dumps(meaning, sort_keys=True, default=str)
        return f"@{hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARS]}"

    def _take(self, merged: Mapping[str, npt.NDArray[Any]]) -> None:
        mark = self._fingerprint()
        own = self._parameters()
        for name, array in own.items():
            if name not in merged or merged[name].shape != array.shape:
                self._logAndRaiseError(
                    f"the merged model has no {name} of shape {list(array.shape)}: the members run different programs,"
                    " or other classes or columns."
                )
        for attribute in self._attributes():
            value = getattr(self.model, attribute, None)
            leaves = [merged[f"{attribute}{place}{mark}"] for place, _ in _leaves(value)] if value is not None else []
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value[...] = leaves[0]  # in place: optimisers hold on to the arrays
            elif isinstance(value, (list, tuple)):
                for index, array in enumerate(leaves):
                    value[index][...] = array
            elif leaves:
                setattr(self.model, attribute, leaves[0] if isinstance(value, np.ndarray) else leaves[0][()])

    def _optimizerState(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """``t_``, which learning rates that fall over time go by."""
        steps = getattr(self.model, "t_", None)
        return ({"optimizer/t_": np.asarray(steps)} if steps is not None else {}), {}

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        if "optimizer/t_" not in arrays:
            return False
        setattr(self.model, "t_", arrays["optimizer/t_"][()])  # noqa: B010 - model is of any class
        return True

    # ---- how good it is

    def _scores(self, merged: object) -> tuple[float, float]:
        if self.valData is None:
            return math.nan, math.nan
        self.valData = pairs = _pairs(self.valData)  # a generator is read once
        if len(pairs) > 1:
            x, y = (np.concatenate([np.asarray(pair[part]) for pair in pairs]) for part in (0, 1))
        else:
            x, y = pairs[0]
        model = self.model
        loss = self.lossFunction
        if loss is None and hasattr(model, "classes_"):
            loss = "log_loss" if hasattr(model, "predict_proba") else None
        elif loss is None and hasattr(model, "predict"):
            loss = "mean_squared_error"
        value = math.nan if loss is None else self._judge(loss, self.lossFunctionArgs, x, y)
        if self.metricFunction is not None:
            return value, self._judge(self.metricFunction, self.metricFunctionArgs, x, y)
        return value, float(model.score(x, y)) if hasattr(model, "score") else math.nan

    def _judge(self, function: Any, arguments: Mapping[str, Any], x: Any, y: Any) -> float:
        model = self.model
        judge: Callable[..., Any] = function if callable(function) else getattr(metrics, function)
        given = dict(arguments)
        if getattr(judge, "__name__", "") not in PROBABILITY_METRICS:
            return float(judge(y, model.predict(x), **given))
        if hasattr(model, "predict_proba"):
            predicted = model.predict_proba(x)
        elif judge.__name__ in ("roc_auc_score", "average_precision_score") and hasattr(model, "decision_function"):
            predicted = model.decision_function(x)
        else:
            self._logAndRaiseError(
                f"{judge.__name__} needs probabilities, {type(model).__name__} has no predict_proba."
            )
        if judge.__name__ in ("log_loss", "d2_log_loss_score"):
            given.setdefault("labels", model.classes_)  # a small set may lack a label
        elif predicted.ndim == 2 and predicted.shape[1] == 2:
            predicted = predicted[:, 1]
        elif judge.__name__ == "roc_auc_score" and predicted.ndim == 2:
            given = {"multi_class": "ovr", "labels": model.classes_, **given}
        return float(judge(y, predicted, **given))


class SwarmSklearnTrainer:
    """Trains an estimator in mini-batches with the hooks called for you.

    Args:
        swarmCallback: the callback, made for the same estimator.
        model: the estimator; the callback's if not given.
    """

    def __init__(self, swarmCallback: SwarmCallback, model: Any = None) -> None:
        self.swarmCallback = swarmCallback
        self.model: Any = swarmCallback.model if model is None else model
        if self.model is not swarmCallback.model:
            raise SwarmError("model is not the estimator that the callback was made with: hand over the same object.")

    def fit(
        self,
        X: Any,
        y: Any = None,
        batch_size: int = BATCH_SIZE_DEFAULT,
        epochs: int = 1,
        classes: Any = None,
        shuffle: bool = True,
        random_state: Any = None,
    ) -> Any:
        """Train until the swarm has finished; returns the estimator, with the swarm's final model.

        An estimator with ``partial_fit`` sees ``epochs`` passes in batches. One without is fitted once an epoch to
        all data: with ``warm_start=True`` from the merged model on, else only its one fit is merged.

        Args:
            X, y: samples and labels; ``y`` may be left out for clustering.
            batch_size: samples in a batch.
            classes: all labels that any site may have; the callback's if not given.
            shuffle, random_state: order of the samples.

        Raises:
            SwarmError: see SwarmCallback.
        """
        callback, model = self.swarmCallback, self.model
        if classes is not None:
            callback.classes = classes
        random = np.random.default_rng(random_state)
        in_batches = hasattr(model, "partial_fit")
        size = len(X) if not hasattr(X, "shape") else X.shape[0]
        if not callback.initialised:
            callback.initialise(*_rows(X, y, np.arange(min(size, batch_size) if in_batches else size)))
        callback._sees_training_data(X)
        callback.on_train_begin()
        again = in_batches or getattr(model, "warm_start", False)
        for _ in range(callback.resumedEpoch, epochs if again else 0):
            order = random.permutation(size) if shuffle else np.arange(size)
            for start in range(0, size, batch_size if in_batches else size):
                if callback.isSwarmTrainingOver:
                    break
                self._step(*_rows(X, y, order[start : start + batch_size] if in_batches else order))
                callback.on_batch_end()
            callback.on_epoch_end()
        callback.on_train_end()
        return model

    def _step(self, x: Any, y: Any) -> None:
        if hasattr(self.model, "partial_fit"):
            self.model.partial_fit(x, y)
        else:
            self.model.fit(x, y)


def _takes_classes(model: Any) -> bool:
    return "classes" in inspect.signature(model.partial_fit).parameters


def _rows(x: Any, y: Any, rows: npt.NDArray[Any]) -> tuple[Any, Any]:
    taken = x.iloc[rows] if hasattr(x, "iloc") else x[rows] if hasattr(x, "shape") else np.asarray(x)[rows]
    return taken, None if y is None else np.asarray(y)[rows]


def _leaves(value: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield f".{index}", np.asarray(one)
    else:
        yield "", np.asarray(value)


def _pairs(data: Any) -> list[tuple[Any, Any]]:
    """(X, y) pairs of any form that is allowed."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and not _is_pair(data[0]):
        return [(data[0], data[1])]
    if isinstance(data, (tuple, list, Iterator)):
        found = list(data)
        if found and all(_is_pair(one) for one in found):
            return [(x, y) for x, y in found]
    raise SwarmError(f"data is {type(data).__name__}, it must be (X, y), or a list or generator of such pairs.")


def _is_pair(one: Any) -> bool:
    """(X, y), and not one row of samples."""
    return isinstance(one, (tuple, list)) and len(one) == 2 and np.ndim(one[0]) == 2
