"""Which tensors are running statistics, told by the names that frameworks give them.

They are averaged like everything else, but take no outer step, and a variance below zero is no variance: the layer that
holds it computes NaN. Names are all that travels, whatever the framework.
"""

from __future__ import annotations

import re
from collections.abc import Collection

VARIANCES = frozenset({"running_var", "moving_variance", "var_"})
"""Last parts of the names of variances (PyTorch, Keras, scikit-learn)."""
STATISTICS = VARIANCES | {"running_mean", "moving_mean", "mean", "variance", "mean_", "theta_"}
"""Last parts of the names of running statistics."""

_PARTS = re.compile(r"[./]")
_SUFFIX = re.compile(r"[#@:]")
"""What a client adds to a name: a number for one of several, a mark, the output's number of Keras 2."""


def takes_step(name: str) -> bool:
    """Whether a floating-point tensor of this name takes the outer step: all but running statistics."""
    return _last(name) not in STATISTICS


def variances(names: Collection[str]) -> list[str]:
    """Those that are variances. One called just ``variance`` needs a ``mean`` beside it, as a Normalization has."""
    means = {_before(name) for name in names if _last(name) == "mean"}
    return [
        name for name in names if _last(name) in VARIANCES or (_last(name) == "variance" and _before(name) in means)
    ]


def _last(name: str) -> str:
    return _PARTS.split(_SUFFIX.split(name)[0])[-1]


def _before(name: str) -> str:
    own = _SUFFIX.split(name)[0]
    return own[: len(own) - len(_last(name))]
