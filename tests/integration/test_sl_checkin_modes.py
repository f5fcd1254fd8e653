"""What a program that has finished contributes while others still train, on real processes (row K06)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.lab import lab

pytestmark = pytest.mark.timeout(180)

LAST_LOCAL = 16.0
TRAINED = [2, 1, 1, 1, 1, 1, 0]
"""What the late program adds before its merge at batch 2 (row K14), 3, 4, 5, 6, 7, and at its end."""


def snapshot(merged: float, added: float) -> float:
    return (3 * LAST_LOCAL + merged + added) / 4


def active(merged: float, added: float) -> float:
    return (3 * merged + merged + added) / 4


def inactive(merged: float, added: float) -> float:
    return merged + added


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(snapshot, marks=pytest.mark.row("K06a")),
        pytest.param(active, marks=pytest.mark.row("K06b")),
        pytest.param(inactive, marks=pytest.mark.row("K06c")),
    ],
)
def test_a_finished_program_contributes_by_its_mode(tmp_path: Path, share: Callable[[float, float], float]) -> None:
    """snapshot: its last local model each round; active: the last merged one; inactive: nothing. Checked by value."""
    with lab(tmp_path, sites=2) as swarm:
        early, late = swarm.sites
        early.start_ml(MIN_PEERS=2, BATCHES=2, EVERY=2, STEP=8, WEIGHT=3, MODE=share.__name__)
        late.start_ml(MIN_PEERS=2, BATCHES=7, EVERY=1, STEP=1, BATCH_SECONDS=0.2)
        assert swarm.run(seconds=120) == [(0, 0)] * 2
        assert early.result()["sha256"] == late.result()["sha256"]
        assert early.result()["last_local"] == LAST_LOCAL
        expected = [0.0]
        for added in TRAINED:
            expected.append(share(expected[-1], added))
        assert late.result()["merged"] == pytest.approx(expected, rel=1e-6)
