"""One loss and one metric for a round, out of those its contributors reported (rows D08).

Each contributor evaluates the merged model of the round before on its own validation data and tells the figures in
its check-in; the combined figure is their mean, with the weights that count in the merge (:mod:`.weights`). Observers
and nodes that reported nothing do not count. Figures are int64 multiples of 1e-6 as in the statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..chain_view import Stats
from ..checkinflags import behind_of
from ..limits import NOT_REPORTED
from ..statements import CheckIn
from .weights import Weighing

FIXED_MAX = 2**63 - 1
"""An infinite figure travels as this, or as its negative."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one contributor reported: the weight that it claims, figures in fixed point, rounds that it is behind."""

    weight: int
    loss: int
    metric: int
    behind: int = 0

    @staticmethod
    def of(said: CheckIn | Stats) -> Told:
        """What a check-in tells, or what the chain recorded of it."""
        return Told(said.weight, said.loss, said.metric, behind_of(said.flags))


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


def combine(told: Iterable[Told], weighing: Weighing) -> Combined:
    """The means, weighted as the merge is, rounded to the nearest 1e-6, halves away from zero."""
    known = [t for t in told if t.weight > 0]
    counted = weighing.counted([t.weight for t in known], [t.behind for t in known])
    return Combined(
        _mean([(w, t.loss) for w, t in zip(counted, known, strict=True)]),
        _mean([(w, t.metric) for w, t in zip(counted, known, strict=True)]),
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
