"""Token buckets, one a peer: what a member may ask for in a second, so that no one starves the others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

PEERS_MAX = 4096


class Buckets:
    """Args: per_second: tokens that flow in; burst: most a bucket holds; clock: seconds, monotonic."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, peer: bytes, tokens: float = 1.0) -> float:
        """Take tokens: 0 if they were there, else the seconds until they will be (and nothing is taken)."""
        now = self._clock()
        level, at = self._levels.get(peer, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_second)
        tokens = min(tokens, self._burst)
        wait = 0.0 if level >= tokens else (tokens - level) / self._per_second
        self._levels[peer] = (level if wait else level - tokens, now)
        self._levels.move_to_end(peer)
        while len(self._levels) > PEERS_MAX:
            # The least recently seen has had the longest time to fill up again.
            self._levels.popitem(last=False)
        return wait
