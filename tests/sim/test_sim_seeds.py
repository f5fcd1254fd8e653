"""Random bad days: whatever strikes, no rule breaks, and once faults stop the run completes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from support.sim.faults import FAULTS_MIN
from support.sim.liar import Lie
from support.sim.seeds import ROUNDS_MIN, WORKERS, Outcome, make, quick, simulate

SEEDS = int(os.environ.get("SWARM_SIM_SEEDS", "50"))
CHUNK = 25
PAIRS = 10
FIRSTS = range(0, SEEDS, CHUNK)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as made:
        yield made


def told(outcome: Outcome) -> str:
    return "\n".join([f"replay: {outcome.replay}", *outcome.violations, *outcome.log[-40:]])


@pytest.mark.parametrize("first", FIRSTS)
def test_bad_days_break_nothing(first: int, pool: ProcessPoolExecutor) -> None:
    """V1 to V5, V7 and the promises hold at every step of 25 seeds, and their runs complete."""
    for outcome in pool.map(quick, range(first, min(first + CHUNK, SEEDS))):
        assert not outcome.violations, told(outcome)
        assert outcome.rounds >= ROUNDS_MIN
        assert sum(outcome.faults.values()) >= FAULTS_MIN


def test_two_nodes_survive_bad_days(pool: ProcessPoolExecutor) -> None:
    """The smallest swarm, where each is half of every majority."""
    for outcome in pool.map(quick, range(PAIRS), [True] * PAIRS):
        assert not outcome.violations, told(outcome)


def test_a_seed_is_the_same_every_time() -> None:
    """A replay shows what happened: the same seed gives the same log."""
    first, second = simulate(3), simulate(3)
    assert first.log == second.log
    assert len(first.log) > 20


def test_a_bad_day_is_bad() -> None:
    """Each seed draws at least five faults for three to eight nodes, and some of the nodes of some seeds lie."""
    liars = 0
    for seed in range(20):
        world, day = make(seed)
        assert day.drawn >= FAULTS_MIN
        assert 3 <= len(world.nodes) <= 8
        liars += world.liars
    assert liars
    assert len(Lie) >= 9
