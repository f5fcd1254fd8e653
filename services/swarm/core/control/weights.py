"""What a contributor's own word on its weight counts for: the same for every method, the figures and all nodes.

Nobody can check a site's nodeWeightage or its number of samples. So a round counts what is plausible beside the others'
words, or what the job's options allow; who is counted for less than it says is told by name. A model that was trained
from an older merged model counts for less where the job's options say so (:mod:`.staleness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .staleness import ONE, Staleness

TIMES_MEDIAN_MAX = 100
"""A weight counts at most so many times the round's median weight: nodeWeightage, 1 to 100, always counts as given."""
COUNTED_MAX = 2**32 - 1
"""No counted weight is above it: shares of so many bits are told apart exactly (core/merge/median.py)."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """Args:
    most: no weight counts for more than this; None: for no more than 100 times the round's median weight.
    equal: every weight counts as 1.
    staleness: what a model that is rounds behind counts for; None: whole.
    """

    most: int | None = None
    equal: bool = False
    staleness: Staleness | None = None

    def capped(self, weights: Sequence[int]) -> tuple[int, ...]:
        """What each claimed weight counts for; 0, an observer's, stays 0 and has no say in the median."""
        known = sorted(weight for weight in weights if weight)
        if not known:
            return tuple(weights)
        if self.equal:
            return tuple(min(weight, 1) for weight in weights)
        # Of an even number the lower one in the middle: half of the sites are then no majority.
        most = TIMES_MEDIAN_MAX * known[(len(known) - 1) // 2] if self.most is None else self.most
        return tuple(min(weight, most) for weight in weights)

    def counted(self, weights: Sequence[int], behind: Sequence[int]) -> tuple[int, ...]:
        """What contributions count for beside each other, from claimed weights and rounds behind, place by place.

        Where one is discounted all are multiplied by one number, so that whole numbers tell them apart.
        """
        capped = self.capped(weights)
        if self.staleness is None:
            return capped
        discounts = [self.staleness.discount(n) if w else ONE for w, n in zip(capped, behind, strict=True)]
        if all(discount == ONE for discount in discounts):
            return capped
        found = [weight * discount for weight, discount in zip(capped, discounts, strict=True)]
        # A power of two is taken off all: halves and quarters of a weight stay exact, and with them a median's ties.
        spare = max(0, max(found).bit_length() - COUNTED_MAX.bit_length())
        half = 1 << spare >> 1
        return tuple(min(max(1, value + half >> spare), COUNTED_MAX) if value else 0 for value in found)

    def shown(self, weights: Sequence[int], behind: Sequence[int]) -> tuple[float, ...]:
        """The same for people, in units of the claimed weights; whole numbers where nothing is discounted."""
        pairs = zip(self.capped(weights), behind, strict=True)
        if self.staleness is None:
            return tuple(weight for weight, _ in pairs)
        return tuple(_told(weight * self.staleness.discount(late) / ONE) for weight, late in pairs)

    @property
    def rule(self) -> str:
        """Why a weight counts for less than its site says, in a few words."""
        if self.equal:
            return "the job's option equalWeights"
        if self.most is not None:
            return f"the job's option maxWeight {self.most}"
        return f"at most {TIMES_MEDIAN_MAX} times the round's median weight"


def _told(value: float) -> float:
    """Nine digits, and no point where there is nothing behind it."""
    short = float(f"{value:.9g}")
    return int(short) if short.is_integer() else short


PLAIN = Weighing()
"""Without options."""
