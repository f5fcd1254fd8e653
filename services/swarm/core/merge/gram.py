"""Inner products of long vectors that arrive in pieces, summed in float64 in one fixed order.

The order, so that every machine gets the same bits: a vector is cut into units of UNIT elements (the last one filled
up with zeros); of a unit's products the second half is added to the first, again and again, until LANES sums are
left; these are added to the LANES sums of the units before; at the end the LANES sums are added exactly (fsum).
No BLAS, which orders sums as machine and threads suggest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNIT = 16 * 1024
"""Elements summed at a time; a part of the definition, as the pieces must be cut at multiples of it."""
LANES = 128

Floats = npt.NDArray[np.float64]


class Gram:
    """Inner products of ``count`` vectors.

    Args:
        pairs: of all pairs; else of each vector with itself only.
    """

    def __init__(self, count: int, *, pairs: bool) -> None:
        self._pairs = [(i, j) for i in range(count) for j in range(0 if pairs else i, i + 1)]
        self._count = count
        self._sums = np.zeros((len(self._pairs), LANES))
        self._products = np.empty(UNIT)

    def add(self, vectors: Sequence[Floats]) -> None:
        """The vectors' next elements: at most UNIT, and fewer only at the end of a run.

        Raises:
            ValueError: more than UNIT elements, or not one vector each.
        """
        if len(vectors) != self._count or any(v.shape != vectors[0].shape or v.size > UNIT for v in vectors):
            raise ValueError(f"{self._count} vectors of one length up to {UNIT} are due")
        size, products = vectors[0].size, self._products
        with np.errstate(over="ignore"):  # an infinite sum is the caller's to find
            for row, (i, j) in enumerate(self._pairs):
                np.multiply(vectors[i], vectors[j], out=products[:size])
                products[size:] = 0.0
                left = UNIT
                while left > LANES:
                    left //= 2
                    products[:left] += products[left : 2 * left]
                self._sums[row] += products[:LANES]

    def matrix(self) -> Floats:
        """(count, count), symmetric; without pairs a diagonal matrix. Infinite where squares left float64's range."""
        found = np.zeros((self._count, self._count))
        for (i, j), lanes in zip(self._pairs, self._sums, strict=True):
            whole = math.fsum(lanes) if np.isfinite(lanes).all() else math.inf
            found[i, j] = found[j, i] = whole
        return found
