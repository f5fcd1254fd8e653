"""The weighted coordinate median: element by element, the value with half of the weight on either side.

Definition, for values x sorted ascending with shares c that sum to 1: the lower median is the first x whose shares
up to and including it reach 1/2, the upper median the first where they exceed 1/2; the result is their mid-point.
They differ only where a prefix has exactly half of the weight; with equal weights that is every even count, and the
result is the usual median. Source: the weighted median that minimises sum c_i |x_i - m| (F. Y. Edgeworth, 1888; e.g.
Cormen et al., Introduction to Algorithms, problem 9-2), whose minimisers are the interval from lower to upper median;
coordinate-wise for models: Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning", ICML 2018.
As long as more than half of the weight is honest, each element lies between honest values (breakdown point 1/2).

Floats are compared by their bits as integers (-0.0 below +0.0): no machine's minimum or maximum decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .method import Block, shares
from .networks import selection

TIE = 2.0**-43
"""Shares within this of 1/2 are a half. With up to 250 uint32 weights a sum that is not exactly half is at least
2**-41 away, and rounding of the shares moves it by less than 2**-44: ties are exact."""
SCRATCH_BYTES = 512 * 1024
"""What all inputs' pieces take together, of the second-level cache; a piece has at least PIECE_ELEMENTS."""
PIECE_ELEMENTS = 1024

Keys = npt.NDArray[Any]


class CoordinateMedian:
    """Weighted coordinate median, mid-point where half of the weight lies on either side."""

    name = "coordmedian"

    def coefficients(self, weights: Sequence[int]) -> tuple[float, ...]:
        return shares(weights)

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: Block
    ) -> None:
        used = [(block, share) for block, share in zip(blocks, coefficients, strict=True) if share > 0.0]
        for block, share in used:
            if share > 0.5 + TIE or len(used) == 1:
                np.copyto(out, block)
                return
        step = max(PIECE_ELEMENTS, SCRATCH_BYTES // (len(used) * out.itemsize))
        equal = len({share for _, share in used}) == 1
        for start in range(0, out.size, step):
            part = slice(start, start + step)
            keys = [_to_keys(block[part]) for block, _ in used]
            low, high = _middle(keys) if equal else _weighted_middle(keys, [share for _, share in used])
            _midpoint(low, high, out[part])


def lower_median(blocks: Sequence[Block], out: Block) -> None:
    """The lower middle value of each element, weights apart; of 0.0 and -0.0 either may come out."""
    places = [block.copy() for block in blocks]
    rank = (len(places) - 1) // 2
    _exchange(places, (rank,))
    np.copyto(out, places[rank])


def _to_keys(block: Block) -> Keys:
    """Integers in the order of the floats; a copy."""
    kind: Any = np.int32 if block.itemsize == 4 else np.int64
    return _mirrored(block.view(kind))


def _from_keys(keys: Keys, dtype: np.dtype[Any]) -> Block:
    floats: Block = _mirrored(keys).view(dtype)
    return floats


def _mirrored(bits: Keys) -> Keys:
    """Two's complement for sign and magnitude, and back."""
    mask: Keys = np.right_shift(bits, 8 * bits.itemsize - 1)
    mask &= bits.dtype.type(2 ** (8 * bits.itemsize - 1) - 1)
    mask ^= bits
    return mask


def _midpoint(low: Keys, high: Keys, out: Block) -> None:
    below = _from_keys(low, out.dtype)
    if low is high:
        np.copyto(out, below)
        return
    above = _from_keys(high, out.dtype)
    half = out.dtype.type(0.5)
    np.multiply(below, half, out=out)  # halves first: the sum of two large values would overflow
    out += above * half
    np.copyto(out, below, where=low == high)


def _middle(keys: list[Keys]) -> tuple[Keys, Keys]:
    low, high = (len(keys) - 1) // 2, len(keys) // 2
    _exchange(keys, (low, high) if low != high else (low,))
    return keys[low], keys[high]


def _exchange(places: list[Block], ranks: tuple[int, ...]) -> None:
    spare = np.empty_like(places[0])
    for step in selection(len(places), ranks):
        one, two = places[step.low], places[step.high]
        if step.keep_low and step.keep_high:
            np.minimum(one, two, out=spare)
            np.maximum(one, two, out=two)
            places[step.low], spare = spare, one
        elif step.keep_low:
            np.minimum(one, two, out=one)
        else:
            np.maximum(one, two, out=two)


def _weighted_middle(keys: list[Keys], coefficients: Sequence[float]) -> tuple[Keys, Keys]:
    """Sort each element's keys with the number of the input they come from, then add shares from below."""
    count, size = len(keys), keys[0].size
    numbers = [np.full(size, i, np.uint16) for i in range(count)]
    spare, swap = np.empty_like(keys[0]), np.empty(size, np.bool_)
    moved = np.empty(size, np.uint16)
    for step in selection(count, tuple(range(count))):
        i, j = step.low, step.high
        np.greater(keys[i], keys[j], out=swap)
        np.minimum(keys[i], keys[j], out=spare)
        np.maximum(keys[i], keys[j], out=keys[j])
        keys[i], spare = spare, keys[i]
        np.bitwise_xor(numbers[i], numbers[j], out=moved)
        moved *= swap
        numbers[i] ^= moved
        numbers[j] ^= moved
    table = np.array(coefficients, np.float64)
    below, share = np.zeros(size), np.empty(size)
    low, high = keys[0].copy(), keys[0].copy()
    for key, number in zip(keys, numbers, strict=True):
        _take_where(low, key, below < 0.5 - TIE, spare)
        _take_where(high, key, below < 0.5 + TIE, spare)
        np.take(table, number, out=share, mode="clip")  # never out of range; "raise" would copy to check
        below += share
    return low, high


def _take_where(target: Keys, source: Keys, where: npt.NDArray[np.bool_], spare: Keys) -> None:
    """copyto(target, source, where=where), several times as fast: no branch on each element."""
    np.bitwise_xor(target, source, out=spare)
    spare *= where
    target ^= spare
