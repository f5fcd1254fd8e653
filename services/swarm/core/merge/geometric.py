"""The weighted geometric median: the point with the smallest weighted sum of distances to the models.

It lies in the models' convex hull, so it is a weighted mean whose shares are all that has to be found; they follow
from the inner products of the models' differences to any one point. Weiszfeld's iteration (E. Weiszfeld, "Sur le point
pour lequel la somme des distances de n points donnes est minimum", Tohoku Math. J. 43, 1937) with the step of Y. Vardi
and C.-H. Zhang ("The multivariate L1-median and associated data depth", PNAS 97, 2000) where an iterate meets a model,
and their test that a model itself is the median. All floating-point tensors together are one vector; integers and
booleans take no part in the distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .mean import plain
from .median import TIE
from .method import Anchor, Block, shares

STEP_TOLERANCE = 1e-10
"""The iteration ends with a step below this part of the mean distance; far below the 1e-6 to which recorded shares
are checked, so that where it ends by a step more or less on another machine does not matter."""
ITERATIONS_MAX = 10_000
OSCILLATIONS_MAX = 5
"""Steps in a row without a smaller sum of distances: rounding is all that moves; the best point counts."""
MEETS = 1e-14
"""A point meets a model when it is closer to it than this part of the models' extent."""
ON_LINE = 1e-9
"""Points are on a line when they lie aside of it by less than this part of its length."""
PIECE_ELEMENTS = 16 * 1024

Floats = npt.NDArray[np.float64]


class GeometricMedian:
    """Weighted geometric median of whole models."""

    name = "geomedian"
    anchor = Anchor.MEDIAN
    pairs = True

    def coefficients(self, weights: Sequence[int]) -> None:
        shares(weights)

    def solve(self, weights: Sequence[int], gram: Floats) -> tuple[float, ...]:
        return _shares_of_distinct(shares(weights), gram)

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: Block
    ) -> None:
        """b_r - sum c_i (b_r - b_i) in float64, in input order, r = the first with the largest share.

        Not from the first input: an outlier there would cost the others their digits.
        """
        base = max(range(len(blocks)), key=lambda i: coefficients[i])
        others = [
            (block, share) for i, (block, share) in enumerate(zip(blocks, coefficients, strict=True)) if i != base
        ]
        for start in range(0, out.size, PIECE_ELEMENTS):
            part = slice(start, start + PIECE_ELEMENTS)
            first = blocks[base][part].astype(np.float64)
            total, step = first.copy(), np.empty_like(first)
            with np.errstate(over="ignore", invalid="ignore"):
                for block, share in others:
                    np.copyto(step, block[part])
                    np.subtract(first, step, out=step)
                    step *= share
                    total -= step
            bad = ~np.isfinite(total)
            if bad.any():
                total[bad] = plain([block[part][bad] for block in blocks], coefficients)
            out[part] = total


def _shares_of_distinct(weights: Sequence[float], gram: Floats) -> tuple[float, ...]:
    """Equal models (their inner products are equal to the bit) count as one that has their weight together."""
    first = [
        next(j for j in range(i + 1) if gram[j, j] == gram[i, j] == gram[i, i] and (gram[j] == gram[i]).all())
        for i in range(len(weights))
    ]
    kept = sorted(set(first))
    together = {j: sum(w for w, k in zip(weights, first, strict=True) if k == j) for j in kept}
    found = geometric_shares([together[j] for j in kept], coordinates(gram[np.ix_(kept, kept)]))
    of = dict(zip(kept, found, strict=True))
    return tuple(of[k] * (w / together[k]) for w, k in zip(weights, first, strict=True))


def coordinates(gram: Floats) -> Floats:
    """Points (a row each) with these inner products: Cholesky with the largest pivot first, so that points near
    each other keep their distances beside one that is far away.
    """
    left = np.array(gram, np.float64)
    count = len(left)
    points = np.zeros((count, count))
    free = list(range(count))
    for column in range(count):
        pivot = max(free, key=lambda i: float(left[i, i]))
        height = float(left[pivot, pivot])
        if height <= 0.0:
            break
        # No entry of a pivot's row exceeds the largest pivot, but for rounding, which must not be blown up.
        axis = np.clip(left[:, pivot], -height, height) / np.sqrt(height)
        mask = np.zeros(count, np.bool_)
        mask[free] = True
        points[mask, column] = axis[mask]
        left -= np.outer(axis, axis)
        free.remove(pivot)
    return points


def geometric_shares(weights: Sequence[float], points: Floats) -> tuple[float, ...]:
    """Shares of the points (a row each) in their weighted geometric median.

    On a line it is the weighted median with its mid-point (two models of equal weight: their mean); elsewhere the
    geometric median is unique.
    """
    w = np.array(weights, np.float64)
    extent = float(np.abs(points).max(initial=0.0))
    if extent == 0.0:
        return tuple(weights)
    points = points / extent
    along = _line(points)
    if along is not None:
        return _middle_of_line(along.tolist(), weights)
    for k in range(len(w)):
        away = _distances(points, points[k])
        meets = away <= MEETS
        pull = _sum(_over(w, away, meets)[:, None] * (points - points[k]))
        own = float(_sum(w * meets))
        if float(np.sqrt(_sum(pull * pull))) <= own * (1.0 + 1e-12):
            return tuple((w * meets / own).tolist())
    best = share = w.copy()
    least, stalled = np.inf, 0
    point = _sum(share[:, None] * points)
    for _ in range(ITERATIONS_MAX):
        away = _distances(points, point)
        total = float(_sum(w * away))
        if total < least:
            best, least, stalled = share, total, 0
        else:
            stalled += 1
            if stalled >= OSCILLATIONS_MAX:
                break
        share = _step(w, points, point, away)
        onward = _sum(share[:, None] * points)
        moved = float(np.sqrt(_sum((onward - point) ** 2)))
        point = onward
        if moved <= STEP_TOLERANCE * total:
            if float(_sum(w * _distances(points, point))) <= least:
                best = share
            break
    return tuple(best.tolist())


def _line(points: Floats) -> Floats | None:
    """Where the points lie on their common line, or None if there is none."""
    away = points - points[0]
    lengths = _distances(points, points[0])
    far = int(np.argmax(lengths))
    axis = away[far] / lengths[far]
    along: Floats = _sum((away * axis).T)
    aside = away - along[:, None] * axis
    return along if float(np.abs(aside).max()) <= ON_LINE * float(lengths[far]) else None


def _middle_of_line(along: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    low = high = 0
    below = 0.0
    for i in sorted(range(len(along)), key=lambda i: along[i]):
        low = i if below < 0.5 - TIE else low
        high = i if below < 0.5 + TIE else high
        below += weights[i]
    found = [0.0] * len(along)
    found[low] += 0.5
    found[high] += 0.5
    return tuple(found)


def _step(w: Floats, points: Floats, point: Floats, away: Floats) -> Floats:
    """Shares of the next iterate."""
    meets = away <= MEETS
    pull = _over(w, away, meets)
    share = pull / float(_sum(pull))
    if not meets.any():
        return share
    # Vardi and Zhang: the models met hold the point back as strongly as their weight.
    own = float(_sum(w * meets))
    force = _sum(pull[:, None] * (points - point))
    strength = float(np.sqrt(_sum(force * force)))
    hold = min(1.0, own / strength) if strength > 0.0 else 1.0
    held: Floats = (1.0 - hold) * share + hold * (w * meets / own)
    return held


def _over(w: Floats, away: Floats, meets: npt.NDArray[np.bool_]) -> Floats:
    found: Floats = np.where(meets, 0.0, w / np.where(meets, 1.0, away))
    return found


def _distances(points: Floats, point: Floats) -> Floats:
    found: Floats = np.sqrt(_sum(((points - point) ** 2).T))
    return found


def _sum(rows: Floats) -> Any:
    """Sum over the first axis, row after row."""
    total = np.zeros(rows.shape[1:])
    for row in rows:
        total = total + row
    return total
