"""Random bad days: whatever strikes, no rule breaks, and once faults stop the run completes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from support.sim.faults import FAULTS_MIN
from support.sim.liar import Lie
from support.sim.rows import Row
from support.sim.seeds import ROUNDS_MIN, ROWS_NEED_SEEDS, WORKERS, Outcome, make, quick, simulate

SEEDS = int(os.environ.get("SWARM_SIM_SEEDS", "50"))
CHUNK = 25
PAIRS = 10
FIRSTS = range(0, SEEDS, CHUNK)

pytestmark = pytest.mark.timeout(600)  # 50 seeds need half a minute of two idle cores: the machine may be busy


class Runs:
    """Simulations in two processes, each seed once however many tests ask for it."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._asked: dict[tuple[int, bool], Future[Outcome]] = {}

    def of(self, seeds: range, *, pair: bool = False) -> Iterator[Outcome]:
        """The outcomes in the order of the seeds; those behind them are begun meanwhile."""
        for seed in range(seeds.start, seeds.stop if pair else min(seeds.stop + CHUNK, SEEDS)):
            if (seed, pair) not in self._asked:
                self._asked[seed, pair] = self._pool.submit(quick, seed, pair)
        return (self._asked[seed, pair].result() for seed in seeds)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
    try:
        yield Runs(pool)
    finally:
        pool.shutdown(cancel_futures=True)


def told(outcome: Outcome) -> str:
    return "\n".join([f"replay: {outcome.replay}", *outcome.violations, *outcome.log[-40:]])


@pytest.mark.parametrize("first", FIRSTS)
def test_bad_days_break_nothing(first: int, runs: Runs) -> None:
    """V1 to V5, V7 and the promises hold at every step of 25 seeds, and their runs complete."""
    for outcome in runs.of(range(first, min(first + CHUNK, SEEDS))):
        assert not outcome.violations, told(outcome)
        assert outcome.rounds >= ROUNDS_MIN
        assert sum(outcome.faults.values()) >= FAULTS_MIN


@pytest.mark.parametrize("seed", [161, 230])
def test_a_start_that_was_taken_back_may_have_other_founders(seed: int, runs: Runs) -> None:
    """None of the first roster acknowledges round 0 then: it stood still, since nobody believed the others' commit."""
    (outcome,) = list(runs.of(range(seed, seed + 1), pair=False)) if seed < SEEDS else [quick(seed, False)]
    assert not outcome.violations, told(outcome)


@pytest.mark.skipif(SEEDS < ROWS_NEED_SEEDS, reason=f"only with SWARM_SIM_SEEDS={ROWS_NEED_SEEDS} or more")
@pytest.mark.timeout(1200)
def test_every_row_of_the_failure_table_was_exercised(runs: Runs) -> None:
    """What the bad days do reaches each answer that the protocol has to a failure."""
    rows: Counter[Row] = Counter()
    for outcome in runs.of(range(SEEDS)):
        rows += outcome.rows
    assert [row.value for row in Row if not rows[row]] == []


def test_two_nodes_survive_bad_days(runs: Runs) -> None:
    """The smallest swarm, where each is half of every majority."""
    for outcome in runs.of(range(PAIRS), pair=True):
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
    assert len(Lie) >= 10
