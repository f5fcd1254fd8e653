"""How much longer than alone a test may wait for something that must come, where others run beside it.

For bounds that only keep a test from hanging. What must happen within a time is measured against that time itself.
"""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""With n files abreast each has, at worst, the n-th part of the machine."""


def seconds(alone: float) -> float:
    return alone * FACTOR
