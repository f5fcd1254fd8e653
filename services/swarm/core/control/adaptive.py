"""Adaptive sync: how many batches until the next merge (rows K07, D06).

While training alone between two merges does no harm, nodes may train longer before the next one; when the merged
model gets worse, they drifted too far apart and merge sooner. The rule is multiplicative with bounds, in the spirit
of additive-increase rules for congestion, and looks at two committed rounds only, so that a late joiner needs no
more history than the last commit to check a proposal:

    g = (before - now) / max(|before|, 1e-6)        relative gain of the combined validation loss
    g >= -0.01          interval grows by half
    -0.05 <= g < -0.01  interval stays
    g < -0.05           interval is halved

bounded by half and four times what the program asked for. Without two losses the interval stays.
"""

from __future__ import annotations

from .combined import FIXED_MAX

SHRINK_BELOW_PERCENT, KEEP_BELOW_PERCENT = -5, -1
LOWEST_DIVISOR, HIGHEST_FACTOR = 2, 4


def bounds(requested: int) -> tuple[int, int]:
    """Least and greatest interval, batches, for a program that asked for ``requested`` (1 or more)."""
    return max(1, -(-requested // LOWEST_DIVISOR)), HIGHEST_FACTOR * requested


def next_interval(requested: int, last: int, before: int | None, now: int | None) -> int:
    """Batches until the merge after the one that is being proposed.

    Args:
        requested: what the program asked for.
        last: the interval that the commit before set, 0 or less for none yet.
        before, now: combined losses (1e-6) of the committed round before and of the proposed one.
    """
    low, high = bounds(requested)
    last = min(high, max(low, last if last > 0 else requested))
    if before is None or now is None:
        return last
    if abs(now) >= FIXED_MAX or abs(before) >= FIXED_MAX:
        return max(low, last // 2) if now >= FIXED_MAX else last
    scale, gain = max(abs(before), 1), 100 * (before - now)
    if gain < SHRINK_BELOW_PERCENT * scale:
        return max(low, last // 2)
    if gain < KEEP_BELOW_PERCENT * scale:
        return last
    return min(high, last + (last + 1) // 2)
