"""How many samples training data has, for nodes that weigh by them; data is looked at, never read through."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Optional

from .arguments import SAMPLES, weightage, whole

__all__ = ["SAMPLES_MAX", "Weight", "samples_of"]

SAMPLES_MAX = 2**32 - 1
"""A weight is a uint32 on chain."""
HINT = "pass samples=<their number>"


class Weight:
    """How much this node's models count: a number, or as many as it has samples.

    Args:
        params: the callback's keyword arguments; nodeWeightage, samples and trainData are read.

    Raises:
        ValueError: one of them cannot be.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.asked: Any = weightage(params.get("nodeWeightage", 1))
        samples, data = params.get("samples"), params.get("trainData")
        self._samples: Optional[int] = None
        self._why = "this callback cannot see the training data"
        if samples is not None:
            self._samples = whole("samples", samples, 1, SAMPLES_MAX)
        elif data is not None:
            self._samples = samples_of(data)

    @property
    def at_first(self) -> int:
        """What is said when the session opens."""
        return 1 if self.asked == SAMPLES else int(self.asked)

    def sees(self, data: Any) -> None:
        """The framework's own training data, which counts if nothing was given."""
        if self.asked == SAMPLES and self._samples is None:
            try:
                self._samples = samples_of(data)
            except ValueError as fault:
                self._why = str(fault)

    def counted(self) -> int:
        """The number of samples. Raises ValueError: it is not known; says why, and how to tell."""
        if self._samples is None:
            raise ValueError(
                f"nodeWeightage is {SAMPLES!r} but their number is not known ({self._why}): pass samples=<number>, or"
                " trainData=<the data>."
            )
        return self._samples


def samples_of(data: Any) -> int:
    """Samples in a DataLoader (its sampler's), a Dataset, an array, a data frame, a list, (x, y) or named columns.

    Raises:
        ValueError: it does not say how many it has, or its parts disagree.
    """
    kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(data).__mro__}
    if kinds & {"keras.PyDataset", "keras.Sequence"} or hasattr(data, "cardinality"):
        raise ValueError(f"a {type(data).__name__} tells its batches, not its samples: {HINT}.")
    if hasattr(data, "batch_sampler") and hasattr(data, "dataset"):
        sampler = getattr(data, "sampler", None)
        own = sampler is not None and hasattr(sampler, "__len__") and data.batch_sampler is not None
        return _length(sampler if own else data.dataset)
    if isinstance(data, (tuple, Mapping)):
        parts = list(data.values()) if isinstance(data, Mapping) else [one for one in data if one is not None]
        counts = {_length(one) for one in parts}
        if len(counts) != 1:
            raise ValueError(f"the parts of the training data have {sorted(counts)} samples: {HINT}.")
        return counts.pop()
    return _length(data)


def _length(data: Any) -> int:
    shape = getattr(data, "shape", None)
    try:
        if not shape and not isinstance(data, Sized):
            raise TypeError
        found = int(shape[0]) if shape else len(data)
    except (TypeError, NotImplementedError):
        raise ValueError(f"a {type(data).__name__} does not say how many samples it has: {HINT}.") from None
    return whole("the number of training samples", found, 1, SAMPLES_MAX)
