"""How much longer than alone a test may wait for something that must come, where others run beside it.

For bounds that only keep a test from hanging. What must happen within a time is measured against that time itself,
stretched where more processes want the cores than there are (:func:`crowd`): then nobody's computing takes its time.
"""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""With n files abreast each has, at worst, the n-th part of the machine."""


def crowd() -> float:
    """How many processes want each core, by the last minute; 1 on a quiet machine."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def seconds(alone: float) -> float:
    wanted = crowd()
    return alone * max(FACTOR, 1 + wanted if wanted > 1 else 1)
