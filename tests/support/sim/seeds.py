"""What a seed means: its swarm, its bad day, and one whole simulation with everything that must hold at its end.

Once the faults have ended the run must complete within ``RECOVERY_SECONDS`` and ``RECOVERY_ROUNDS``.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context

from swarm.core.control.joboptions import canonical
from swarm.core.limits import JOIN_DEPTH_BLOCKS

from .faults import BadDay
from .liar import Liar, Lie
from .node import Plan
from .rows import Row
from .world import World, base_config

RECOVERY_SECONDS = 1200.0
"""Virtual seconds: detection (15 s each) of several dead leaders, two calls (150 s each), and the training itself."""
RECOVERY_ROUNDS = 8
"""Rounds after the last fault beyond those that the slowest program has still to train: a node that comes back
joins, watches, and signs its end in rounds of its own."""
RECOVERY_ROUNDS_NERVOUS = 16
"""The same where nodes take each other for dead within a second or two, rightly or not: each time that befalls the
slowest one, a round closes without it."""
DAY_SECONDS = 3600.0
ROUNDS_MIN, ROUNDS_SPREAD = 20, 5
ROWS_NEED_SEEDS = 500
"""From so many seeds on every row of the failure table must have been exercised."""
WORKERS = 2
CHUNK_SEEDS = 5
STALENESS: tuple[dict[str, object], ...] = ({}, {"alpha": 0.5}, {}, {"method": "hinge", "a": 2, "b": 1})
"""What a late model counts for, one seed after the other."""
OUTERS = ("", "momentum", "", "nesterov", "")
"""Outer optimiser of the job, one seed after the other."""
NODES = (3, 3, 4, 4, 5, 5, 6, 7, 8)
NERVOUS_NODES = (3, 4, 5, 5)


@dataclass(slots=True)
class Outcome:
    """What one seed did. ``faults`` and ``rows`` count by name."""

    seed: int
    rounds: int
    faults: Counter[str]
    rows: Counter[Row]
    violations: list[str]
    counts: Counter[str]
    seconds: float
    pair: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def replay(self) -> str:
        pair = " --pairs" if self.pair else ""
        return f"python tests/sim --seed {self.seed}{pair} --trace"


def make(seed: int, *, nervous: bool | None = None, pair: bool = False) -> tuple[World, BadDay]:
    """The world of a seed, with its bad day drawn but nothing run.

    Args:
        nervous: nodes suspect each other within a few seconds on a slow, lossy network, so that several leaders
            contend for one round (None: one seed in four).
        pair: two nodes instead of three to eight.
    """
    rng = random.Random(seed * 7919 + (2 if pair else 1))
    drawn = rng.random() < 0.25
    nervous = drawn if nervous is None else nervous
    count = 2 if pair else rng.choice(NERVOUS_NODES if nervous else NODES)
    liars = min(rng.choice([0, 0, 1, 3]), (count - 1) // 2)
    if liars:
        deaths = rng.randint(0, (count - 1) // 2 - liars)
        min_peers = rng.randint(liars + 1, count - deaths - liars)
    else:
        deaths = rng.choice([0, 1, (count - 1) // 2, max(0, count - 2)])
        min_peers = rng.randint(1, max(1, count - deaths))
    forks = rng.random() < 0.4
    plans = _plans(rng, count, deaths + liars, min_peers)
    config = replace(base_config(), join_depth_blocks=JOIN_DEPTH_BLOCKS if forks else 0)
    if nervous:
        config = replace(config, live_seconds=rng.uniform(0.5, 3.0), pulse_seconds=0.5, pulse_others_seconds=1.0)
    world = World(
        seed,
        plans,
        block_seconds=rng.choice([0.01, 0.1, 1.0]),
        config=config,
        sns=rng.choice([1, 2, 3, 3]),
        forks=forks,
        liars=liars,
    )
    outer = OUTERS[seed % len(OUTERS)]
    late = STALENESS[seed % len(STALENESS)]
    if outer or late:
        wanted = {"outer": {"method": outer, "mu": 0.9, "eta": 0.7}} if outer else {}
        world.chain.options = canonical({**wanted, "staleness": late} if late else wanted)
        world.chain.view = replace(world.chain.view, options=world.chain.options)
    for node in world.nodes:
        node.drift(rng.uniform(0.99, 1.01))
    day = BadDay(world, rng, deaths)
    if nervous:
        world.net.calm_delay_seconds = world.net.delay_max_seconds = rng.uniform(0.2, 2.0)
        world.net.calm_drop = world.net.drop = rng.uniform(0.1, 0.5)
    return world, day


def _plans(rng: random.Random, count: int, lost: int, min_peers: int) -> list[Plan]:
    """One program a node: those that end early are so few that a long one survives whoever is lost."""
    syncs = ROUNDS_MIN + rng.randint(0, ROUNDS_SPREAD)
    early = set(rng.sample(range(count), rng.randint(0, max(0, count - lost - 1))))
    plans = []
    for index in range(count):
        plans.append(
            Plan(
                syncs=max(1, syncs - rng.choice([5, 15])) if index in early else syncs,
                train_seconds=rng.choice([0.1, 0.5, 1.0, 3.0]),
                load_seconds=rng.uniform(0.01, 0.3),
                min_peers=min_peers,
                weight=rng.randint(1, 100),
                mode=rng.choice(["snapshot", "active", "inactive"]),
                nan_at=rng.choice([(), (), (), (rng.randint(1, 10),)]),
                start_after=rng.choice([0.0, rng.uniform(0, 2), rng.uniform(0, 10)]),
            )
        )
    return plans


def simulate(
    seed: int,
    *,
    stop_at_violation: bool = False,
    nervous: bool | None = None,
    pair: bool = False,
    keep_log: bool = True,
    lies: Sequence[Lie] = (),
) -> Outcome:
    """Run one seed to its end, or to the first broken rule; its liars, if any, tell ``lies`` all day."""
    world, day = make(seed, nervous=nervous, pair=pair)
    checks = world.checks
    for liar in [n for n in world.nodes if isinstance(n, Liar)]:
        liar.lies.update(dict.fromkeys(lies, math.inf))
    world.start()

    def stop() -> bool:
        return stop_at_violation and bool(checks.violations)

    world.run(lambda: stop() or day.over, DAY_SECONDS)
    world.calm()
    left = max((n.script.plan.syncs + 1 - n.script.answered for n in world.nodes), default=0)
    rounds_max = checks.rounds + left + (RECOVERY_ROUNDS_NERVOUS if world.nervous else RECOVERY_ROUNDS)
    if not world.run(lambda: stop() or world.finished(), RECOVERY_SECONDS):
        unfinished = [n.name for n in world.nodes if n.expected_to_finish and n.exit_code is None]
        checks.broken("progress", f"not finished {RECOVERY_SECONDS:.0f} s after the last fault: {unfinished}")
    if not stop():
        checks.at_end()
        if checks.rounds > rounds_max:
            checks.broken("progress", f"{checks.rounds} rounds, {rounds_max} should have been enough")
    log = world.lines if keep_log or checks.violations else []
    return Outcome(
        seed, checks.rounds, day.struck, world.rows.counts, checks.violations, world.counts, world.now, pair, log
    )


def quick(seed: int, pair: bool = False) -> Outcome:
    """One seed, with its log only if a rule broke: what a worker process sends back."""
    return simulate(seed, pair=pair, keep_log=False)


def simulate_all(seeds: Iterable[int], *, pair: bool = False, workers: int = WORKERS) -> Iterator[Outcome]:
    """Many seeds, spread over processes; outcomes in the order of the seeds."""
    work = partial(quick, pair=pair)
    if workers == 1:
        yield from map(work, seeds)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(work, seeds, chunksize=CHUNK_SEEDS)
    finally:
        pool.shutdown(cancel_futures=True)
