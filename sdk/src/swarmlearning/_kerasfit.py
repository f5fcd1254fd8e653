"""What goes on in a Keras ``fit()`` around the swarm's callback: its metrics and history, and its other callbacks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["as_if_not_evaluated", "has_loss", "later_restorers"]

RESTORERS = frozenset({"SwapEMAWeights", "BackupAndRestore"})
"""Callbacks of Keras that put weights into the model by other ways than those of ``PUTTERS``."""
PUTTERS = frozenset({"set_weights", "load_weights"})
HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_batch_end", "on_train_batch_end")
FRAMES_MAX = 12
"""How far above a hook Keras' list of callbacks is looked for."""


@contextlib.contextmanager
def as_if_not_evaluated(model: Any) -> Iterator[None]:
    """``evaluate()`` in the middle of an epoch, without a trace: the epoch's own loss, metrics and history go on.

    Keras has one set of metrics for training and evaluation, and Keras 2 hangs evaluation's history at the model.
    """
    metrics = _metrics(model)
    kept = [(one, _state(one)) for one in metrics]
    history = {name: vars(model)[name] for name in ("history",) if name in vars(model)}
    try:
        yield
    finally:
        for one, (values, own) in kept:
            if len(one.variables) != len(values):  # made by this evaluation: nothing was counted before
                one.reset_state()
                continue
            for variable, value in zip(one.variables, values):  # noqa: B905
                variable.assign(value)
            vars(one).update(own)
        for one in _metrics(model):
            if all(one is not other for other in metrics):
                one.reset_state()
        for name, value in history.items():
            setattr(model, name, value)


def _metrics(model: Any) -> list[Any]:
    """The model's metrics, and what they are made of: Keras 3 holds the compiled ones in one."""
    found = list(getattr(model, "metrics", ()))
    for one in found:
        found += [inner for inner in getattr(one, "metrics", ()) if all(inner is not other for other in found)]
    return found


def _state(metric: Any) -> tuple[list[Any], dict[str, Any]]:
    """Values of a metric's variables, and numbers and arrays that it holds itself."""
    values = [np.array(_numbers(one)) for one in metric.variables]
    own = {
        name: np.array(value) if isinstance(value, np.ndarray) else value
        for name, value in vars(metric).items()
        if isinstance(value, (bool, int, float, np.ndarray, np.generic))
    }
    return values, own


def _numbers(variable: Any) -> Any:
    value = getattr(variable, "value", variable)
    value = value() if callable(value) else value
    return value.detach().cpu() if hasattr(value, "detach") else value


def has_loss(model: Any) -> bool:
    """Whether evaluate() has a loss to tell: compiled in, added by layers, or of the model's own making."""
    if not hasattr(model, "evaluate"):
        return False
    own = any(
        not getattr(getattr(type(model), name, None), "__module__", "keras").startswith(("keras", "tf_keras", "tensor"))
        for name in ("evaluate", "test_step", "compute_loss")
    )
    compiled = getattr(model, "compiled", getattr(model, "_is_compiled", False))
    loss = getattr(model, "loss", None)
    given = any(one is not None for one in loss) if isinstance(loss, (list, tuple)) else loss is not None
    return own or (bool(compiled) and (given or bool(getattr(model, "losses", ()))))


def later_restorers(callback: Any) -> list[str]:
    """Class names of the callbacks after ``callback`` in its fit() that may put weights into the model.

    Keras shows a callback no list of the others, so the list that is calling it is looked for above the hook.
    """
    frame = sys._getframe(1)
    for _ in range(FRAMES_MAX):
        owner = frame.f_locals.get("self")
        listed = getattr(owner, "callbacks", None)
        if isinstance(listed, list) and any(one is callback for one in listed):
            at = next(place for place, one in enumerate(listed) if one is callback)
            return [type(one).__name__ for one in listed[at + 1 :] if _restores(one)]
        if frame.f_back is None:
            break
        frame = frame.f_back
    return []


def _restores(callback: Any) -> bool:
    if any(kind.__name__ in RESTORERS for kind in type(callback).__mro__):
        return True
    if not getattr(callback, "restore_best_weights", True):
        return False
    hooks = (getattr(callback, name, None) for name in HOOKS)
    codes = (getattr(getattr(one, "__func__", one), "__code__", None) for one in hooks)
    return any(code is not None and not PUTTERS.isdisjoint(code.co_names) for code in codes)
