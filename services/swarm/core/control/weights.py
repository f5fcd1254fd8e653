"""What a contributor's own word on its weight counts for: the same for every method, the figures and all nodes.

Nobody can check a site's nodeWeightage or its number of samples. So a round counts what is plausible beside the others'
words, or what the job's options allow; who is counted for less than it says is told by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIMES_MEDIAN_MAX = 100
"""A weight counts at most so many times the round's median weight: nodeWeightage, 1 to 100, always counts as given."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """Args:
    most: no weight counts for more than this; None: for no more than 100 times the round's median weight.
    equal: every weight counts as 1.
    """

    most: int | None = None
    equal: bool = False

    def counted(self, weights: Sequence[int]) -> tuple[int, ...]:
        """What each weight counts for; 0, an observer's, stays 0 and has no say in the median."""
        known = sorted(weight for weight in weights if weight)
        if not known:
            return tuple(weights)
        if self.equal:
            return tuple(min(weight, 1) for weight in weights)
        # Of an even number the lower one in the middle: half of the sites are then no majority.
        most = TIMES_MEDIAN_MAX * known[(len(known) - 1) // 2] if self.most is None else self.most
        return tuple(min(weight, most) for weight in weights)

    @property
    def rule(self) -> str:
        """Why a weight counts for less, in a few words."""
        if self.equal:
            return "the job's option equalWeights"
        if self.most is not None:
            return f"the job's option maxWeight {self.most}"
        return f"at most {TIMES_MEDIAN_MAX} times the round's median weight"


PLAIN = Weighing()
"""Without options."""
