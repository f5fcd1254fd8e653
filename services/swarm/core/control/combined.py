"""One loss and one metric for a round, out of those its contributors reported (rows D08).

Each contributor evaluates the merged model of the round before on its own validation data and tells the figures in
its check-in; the combined figure is their mean, weighted by nodeWeightage as the merge is. Observers and nodes that
reported nothing do not count. Figures are int64 multiples of 1e-6 as in the statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..limits import NOT_REPORTED

FIXED_MAX = 2**63 - 1
"""An infinite figure travels as this, or as its negative."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one contributor reported: weight as merged, figures in fixed point."""

    weight: int
    loss: int
    metric: int


@dataclass(frozen=True, slots=True)
class Combined:
    """A round's figures in fixed point, None where nobody reported one."""

    loss: int | None
    metric: int | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a committed round leaves for the rules: the interval it set, batches, and its combined figures."""

    interval: int
    loss: int | None
    metric: int | None


def combine(told: Iterable[Told]) -> Combined:
    """The weighted means, rounded to the nearest 1e-6, halves away from zero."""
    known = [t for t in told if t.weight > 0]
    return Combined(
        _mean([(t.weight, t.loss) for t in known]),
        _mean([(t.weight, t.metric) for t in known]),
    )


def _mean(values: list[tuple[int, int]]) -> int | None:
    known = [(w, v) for w, v in values if v != NOT_REPORTED]
    if not known:
        return None
    for _, value in known:
        if abs(value) >= FIXED_MAX:
            return FIXED_MAX if value > 0 else -FIXED_MAX  # one that diverged is no matter of averages
    total, weight = sum(w * v for w, v in known), sum(w for w, _ in known)
    rounded = (2 * abs(total) + weight) // (2 * weight)
    return rounded if total >= 0 else -rounded
