"""A short soak (acceptance scenario 14, scaled): memory and files of SN and SL do not grow with the rounds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from bench_soak import soak
from swarm.core.limits import KEEP_ROUNDS

pytestmark = pytest.mark.timeout(300)

ROUNDS = 60
SAMPLE_SECONDS = 0.3
"""Often enough that one odd sample does not bend the line."""
NODES = 2
GROWTH_MB_MAX = 6.0
"""Over the later half of the run, by a straight line: what one of 30 rounds may leave behind is 0.2 MB."""
SL_DISK_MB_MAX = 8.0


def test_s14_a_long_run_leaves_memory_and_files_bounded(tmp_path: Path) -> None:
    """Scenario 14: no node's memory climbs; an SL keeps the last rounds' models and updates, no more."""
    found = soak(tmp_path, nodes=NODES, rounds=ROUNDS, hogs=0, sample_seconds=SAMPLE_SECONDS)
    half = ROUNDS / 2 / 1000
    assert found["sn_mb_per_1000_rounds"] * half < GROWTH_MB_MAX
    assert max(found["sl_mb_per_1000_rounds"].values()) * half < GROWTH_MB_MAX
    assert found["blobs_max"] <= KEEP_ROUNDS + (KEEP_ROUNDS + 2) * NODES + 2
    assert found["sl_disk_mb"]["last"] < SL_DISK_MB_MAX
    assert found["replaced_leaders"] == 0
