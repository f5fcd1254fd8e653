"""Random bad days: whatever strikes, no rule breaks, and once faults stop the run completes."""

from __future__ import annotations

import os

import pytest
from support.sim.faults import FAULTS_MIN, make, simulate

SEEDS = int(os.environ.get("SWARM_SIM_SEEDS", "20"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_bad_day_breaks_nothing(seed: int) -> None:
    """V1, V2, V4, V7 and the promises hold at every step of the seed, and its run completes."""
    outcome = simulate(seed)
    assert not outcome.violations, "\n".join([f"replay: {outcome.replay}", *outcome.violations, *outcome.log[-40:]])
    assert outcome.rounds >= 2


def test_a_seed_is_the_same_every_time() -> None:
    """A replay shows what happened: the same seed gives the same log."""
    first, second = simulate(3), simulate(3)
    assert first.log == second.log
    assert len(first.log) > 20


def test_a_bad_day_is_bad() -> None:
    """Each seed draws at least five faults."""
    for seed in range(5):
        _, day = make(seed)
        assert day.drawn >= FAULTS_MIN
