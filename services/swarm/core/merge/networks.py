"""Sorting networks: fixed sequences of compare-and-exchange, pruned to the ranks that are wanted.

A network does the same steps whatever the values, so whole blocks go through it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

NETWORKS_KEPT = 64
"""Pruned networks remembered, one per (count, ranks)."""


@dataclass(frozen=True, slots=True)
class Step:
    """The smaller of two places goes to ``low``, the larger to ``high``; only what is kept needs computing."""

    low: int
    high: int
    keep_low: bool
    keep_high: bool


@lru_cache(NETWORKS_KEPT)
def selection(count: int, ranks: tuple[int, ...]) -> tuple[Step, ...]:
    """Steps after which the places ``ranks`` (from 0) of ``count`` hold the elements of these ranks."""
    wanted = set(ranks)
    steps = []
    for low, high in reversed(_merge_exchange(count)):
        if low in wanted or high in wanted:
            steps.append(Step(low, high, low in wanted, high in wanted))
            wanted |= {low, high}
    return tuple(reversed(steps))


def _merge_exchange(count: int) -> list[tuple[int, int]]:
    """Batcher's merge exchange for any count (Knuth, TAOCP vol. 3, 5.2.2, algorithm M)."""
    pairs: list[tuple[int, int]] = []
    if count < 2:
        return pairs
    top = 1 << ((count - 1).bit_length() - 1)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs
