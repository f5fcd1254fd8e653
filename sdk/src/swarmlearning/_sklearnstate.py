"""What a scikit-learn estimator predicts from: which of its attributes can be set, and which are read that are not
shared.

Owns the look into an estimator; which attributes are shared, and what is said, is the callback's. An attribute is
read if predicting without it fails: each is taken away in turn, on a copy that shares the arrays and is thrown away.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, Optional

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import LabelBinarizer, LabelEncoder

__all__ = ["read_elsewhere", "settable", "unsettable"]

PREDICTING = ("predict", "predict_proba", "decision_function", "score_samples")
OTHERWISE = ("transform",)
"""Asked of what does not predict."""
NO_STATE = ("classes_", "feature_names_in_", "n_features_in_")
"""Compared between sites as part of the names, or by the shapes."""
DEPTH_MAX = 4


class _Gone:
    """Stands in an attribute's place: any use of it as a number, a list or an object fails."""

    def _used(self, *_: object, **__: object) -> Any:
        raise TypeError("this attribute is not shared")

    __getattr__ = __getitem__ = __iter__ = __len__ = __bool__ = __call__ = __array__ = __float__ = __index__ = _used
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _used
    __truediv__ = __rtruediv__ = __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pow__ = __rpow__ = __abs__ = _used


def settable(model: Any, name: str) -> bool:
    """Whether the attribute is there, and is the estimator's own: not worked out of others that would stay."""
    if name in vars(model):
        return vars(model)[name] is not None
    found = getattr(type(model), name, None)
    return isinstance(found, property) and found.fset is not None and getattr(model, name, None) is not None


def unsettable(model: Any, name: str) -> bool:
    """Whether the attribute is worked out of others: it has a value, and cannot be given one."""
    return not settable(model, name) and getattr(model, name, None) is not None


def read_elsewhere(model: Any, shared: Iterable[str]) -> Optional[list[str]]:
    """Fitted attributes that predicting reads, and that are not in ``shared``; None: it cannot be found out.

    Args:
        model: a fitted estimator; it is left as it is.
        shared: names of attributes that travel.
    """
    asks = list(_asks(model))
    if not asks:
        return None
    given = set(shared) | set(NO_STATE) | set(getattr(model, "get_params", dict)())
    found = []
    for name, value in vars(model).items():
        if name in given or not _holds_figures(value, DEPTH_MAX):
            continue
        other = copy.copy(model)
        vars(other)[name] = _Gone()
        if not all(_works(ask, other) for ask in asks):
            found.append(name)
    return sorted(found)


def _asks(model: Any) -> Iterator[Callable[[Any], object]]:
    """Calls that predict for a made-up sample, as far as this estimator has them and they work."""
    width = getattr(model, "n_features_in_", None)
    if not isinstance(width, (int, np.integer)):
        return
    names = [name for name in PREDICTING if hasattr(model, name)] or [
        name for name in OTHERWISE if hasattr(model, name)
    ]
    for sample in (np.ones((2, int(width))), np.zeros((2, int(width)))):
        usable = []
        for name in names:

            def ask(one: Any, name: str = name, sample: Any = sample) -> object:
                return getattr(one, name)(sample)

            if _works(ask, model):
                usable.append(ask)
        if usable:
            yield from usable
            return


def _works(ask: Callable[[Any], object], model: Any) -> bool:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            ask(model)
        except Exception:  # an estimator may fail in any way: that it does is the answer
            return False
    return True


def _holds_figures(value: Any, depth: int) -> bool:
    """Whether a value can hold what was learnt: arrays and fractions do, names, counts and settings do not."""
    if value is None or isinstance(value, (bool, int, str, bytes, type, np.integer, LabelBinarizer, LabelEncoder)):
        return False
    if isinstance(value, (float, np.ndarray, np.floating, BaseEstimator)) or hasattr(value, "toarray"):
        return True
    if callable(value) or depth == 0 or type(value).__module__.startswith("sklearn._loss"):
        return False
    if isinstance(value, Mapping):
        return any(_holds_figures(one, depth - 1) for one in value.values())
    if isinstance(value, (list, tuple, set)):
        return any(_holds_figures(one, depth - 1) for one in value)
    if hasattr(value, "__dict__"):
        return any(_holds_figures(one, depth - 1) for one in vars(value).values())
    return True  # of an extension: a tree, an index
