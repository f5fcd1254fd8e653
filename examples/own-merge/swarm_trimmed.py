"""A merge method of one's own: each parameter is the mean of all sites' values but the lowest and the highest.

Holds against one poisoned site in three or more (Yin, Chen, Ramchandran, Bartlett: Byzantine-robust distributed
learning, 2018). Weights do not count: a heavy liar would keep its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TRIMMED_FROM = 3
"""With fewer models there is no middle: then it is the plain mean."""


class TrimmedMean:
    """What the entry point names; ``swarm.core.merge.Method`` says what its two functions must hold to."""

    name = "trimmed"

    def coefficients(self, weights: Sequence[int]) -> tuple[float, ...]:
        """The shares that stand in the round's record: all alike, since nobody knows yet who will be trimmed."""
        return (1.0 / len(weights),) * len(weights)

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: npt.NDArray[Any]
    ) -> None:
        """Element by element and in one order of additions: the same bytes however a tensor is cut into blocks."""
        ordered = np.sort(np.stack(blocks), axis=0)
        kept = ordered[1:-1] if len(blocks) >= TRIMMED_FROM else ordered
        total = np.zeros(out.shape, np.float64)
        for values in kept[1:]:  # as differences: where all sites agree, their value comes out bit for bit
            total += values.astype(np.float64) - kept[0]
        out[...] = kept[0] + total / len(kept)
