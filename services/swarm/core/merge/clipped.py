"""The weighted mean of clipped updates: none may move the model further than the round's median length.

With p the previous merged model, c_i the share of the weights, n_i = |x_i - p| over all floating-point tensors together
and m the weighted median of the n_i (mid-point, as in median.py): s_i = min(1, m / n_i) and
    merged = p + sum c_i s_i (x_i - p) = (1 - sum k_i) p + sum k_i x_i,   k_i = c_i s_i.
So the recorded shares are the k_i, and what they leave of 1 is p's; p stands in the round's name. (Clipping by norm:
e.g. Sun, Kairouz, Suresh, McMahan, "Can You Really Backdoor Federated Learning?", 2019.) Without a previous model
(round 0) it is the mean. Integers and booleans follow the same shares, with p as one more input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .mean import Mean
from .method import Anchor, Block, shares


class ClippedMean:
    """Weighted mean with each update's length clipped to their weighted median."""

    name = "mean-clipped"
    anchor = Anchor.PREVIOUS
    pairs = False

    def coefficients(self, weights: Sequence[int]) -> None:
        shares(weights)

    def solve(self, weights: Sequence[int], gram: npt.NDArray[np.float64]) -> tuple[float, ...]:
        norms = [math.sqrt(gram[i, i]) for i in range(len(weights))]
        limit = middle_of(norms, weights)
        return tuple(
            share if norm <= limit else share * (limit / norm)
            for share, norm in zip(shares(weights), norms, strict=True)
        )

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: Block
    ) -> None:
        Mean().merge_block(blocks, coefficients, out)


def middle_of(values: Sequence[float], weights: Sequence[int]) -> float:
    """The weighted median of numbers, mid-point where exactly half of the weight lies on either side."""
    total, below = sum(weights), 0
    low: float | None = None
    for value, weight in sorted(zip(values, weights, strict=True)):
        below += weight
        if low is None and 2 * below >= total:
            low = value
        if 2 * below > total:
            # Halves of the smallest numbers are 0: one and the same value is not taken in two.
            return value if low is None or low == value else 0.5 * low + 0.5 * value
    raise ValueError("a median needs a positive weight")
