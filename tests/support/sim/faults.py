"""Seeded bad days: which faults strike a swarm, when, and how long; and one whole simulation of a seed.

Every fault but death ends. Once the last has ended the run must complete within ``RECOVERY_SECONDS``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from .node import Plan, SimNode
from .world import World

RECOVERY_SECONDS = 1200.0
"""Virtual seconds: detection (15 s each) of several dead leaders, two calls (150 s each), and the training itself."""
FAULTS_MIN, FAULTS_MAX = 5, 10
BAD_SECONDS = 60.0
"""Faults begin within this time of the start."""
TEAR_WITHIN_ACTIONS = 25


class Fault(Enum):
    """What can go wrong in a simulation."""

    DROP = "drop"
    DELAY = "delay"
    COPY = "copy"
    PULL = "pull failure"
    CUT = "partition"
    CRASH = "crash and restart"
    TORN = "crash between two actions"
    DEATH = "crash without restart"
    FREEZE = "freeze and thaw"
    STALL = "chain stall"
    ALL_DOWN = "power loss of all"


@dataclass(slots=True)
class Outcome:
    """What one seed did."""

    seed: int
    rounds: int
    faults: Counter[Fault]
    violations: list[str]
    counts: Counter[str]
    seconds: float
    log: list[str] = field(default_factory=list)

    @property
    def replay(self) -> str:
        return f"python tests/sim --seed {self.seed} --trace"


class BadDay:
    """Draws the faults of one seed and lets them strike."""

    def __init__(self, world: World, rng: random.Random, deaths_max: int) -> None:
        self._world, self._rng, self._deaths_left = world, rng, deaths_max
        self.struck: Counter[Fault] = Counter()
        self.over_at = 0.0
        weights = {Fault.CRASH: 3, Fault.TORN: 4, Fault.FREEZE: 2, Fault.CUT: 2, Fault.DEATH: 1, Fault.ALL_DOWN: 0.5}
        for _ in range(rng.randint(FAULTS_MIN, FAULTS_MAX)):
            fault = rng.choices(list(Fault), [weights.get(f, 1) for f in Fault])[0]
            at = rng.uniform(0.0, BAD_SECONDS) ** 1.3 / BAD_SECONDS**0.3
            length = rng.choice([rng.uniform(0.5, 5), rng.uniform(5, 40)])
            self.over_at = max(self.over_at, at + length)
            world.at(at, lambda f=fault, s=length: self._strike(f, s))

    def _strike(self, fault: Fault, seconds: float) -> None:
        world, net, rng = self._world, self._world.net, self._rng
        if world.chain.over:
            return
        node = rng.choice(world.nodes)
        match fault:
            case Fault.DROP:
                net.drop = rng.uniform(0.05, 0.5)
                world.at(seconds, lambda: setattr(net, "drop", 0.0))
            case Fault.DELAY:
                net.delay_max_seconds = rng.uniform(0.1, 4.0)
                world.at(seconds, lambda: setattr(net, "delay_max_seconds", 0.01))
            case Fault.COPY:
                net.copy = rng.uniform(0.1, 0.9)
                world.at(seconds, lambda: setattr(net, "copy", 0.0))
            case Fault.PULL:
                net.pull_failure = rng.uniform(0.1, 0.9)
                world.at(seconds, lambda: setattr(net, "pull_failure", 0.0))
            case Fault.CUT:
                group = {n.address for n in rng.sample(world.nodes, rng.randint(1, max(1, len(world.nodes) // 2)))}
                net.cut(group, cut=True)
                world.at(seconds, lambda: net.cut(group, cut=False))
            case Fault.CRASH:
                node.crash()
                world.at(seconds, node.start)
            case Fault.TORN:
                if not node.up or node.tear is not None:
                    return
                node.tear = rng.randrange(TEAR_WITHIN_ACTIONS)
                world.at(seconds, lambda: self._revive(node))
            case Fault.DEATH:
                if not self._die(node):
                    return
            case Fault.FREEZE:
                node.freeze()
                world.at(seconds, node.thaw)
            case Fault.STALL:
                world.chain.stall(True)
                world.at(seconds, lambda: world.chain.stall(False))
            case Fault.ALL_DOWN:
                for one in world.nodes:
                    one.crash()
                    world.at(seconds + rng.uniform(0, 2), one.start)
        self.struck[fault] += 1
        world.trace(f"FAULT {fault.value} ({node.name}, {seconds:.1f} s)")

    def _revive(self, node: SimNode) -> None:
        node.tear = None
        node.start()

    def _die(self, node: SimNode) -> bool:
        if not self._deaths_left or not self._world.chain.view.state.started or not node.expected_to_finish:
            return False
        self._deaths_left -= 1
        node.crash()
        node.dead = True
        node.expected_to_finish = False
        return True


def make(seed: int) -> tuple[World, BadDay]:
    """The world of a seed, with its bad day drawn but nothing run."""
    rng = random.Random(seed * 7919 + 1)
    count = rng.choice([2, 3, 3, 4, 4, 5, 6, 8])
    deaths = rng.choice([0, 0, 1, (count - 1) // 2])
    min_peers = rng.randint(1, max(1, count - deaths))
    syncs = rng.randint(20, 26)
    modes = ["snapshot", "active", "inactive"]
    plans = [
        Plan(
            syncs=max(1, syncs - rng.choice([0, 0, 0, 5, 15])),
            train_seconds=rng.choice([0.1, 0.5, 1.0, 3.0]),
            load_seconds=rng.uniform(0.01, 0.3),
            min_peers=min_peers,
            weight=rng.randint(1, 100),
            mode=rng.choice(modes),
            start_after=rng.choice([0.0, rng.uniform(0, 2), rng.uniform(0, 10)]),
        )
        for _ in range(count)
    ]
    world = World(seed, plans, block_seconds=rng.choice([0.01, 0.1, 1.0]))
    return world, BadDay(world, rng, count - max(min_peers, 1) if deaths else 0)


def simulate(seed: int) -> Outcome:
    """Run one seed to its end."""
    world, day = make(seed)
    world.start()
    world.run(lambda: False, day.over_at)
    if not world.run(world.finished, RECOVERY_SECONDS):
        left = [n.name for n in world.nodes if n.expected_to_finish and n.exit_code is None]
        world.checks.broken("progress", f"not finished {RECOVERY_SECONDS:.0f} s after the last fault: {left}")
    world.checks.at_end()
    checks = world.checks
    return Outcome(seed, checks.rounds, day.struck, checks.violations, world.counts, world.now, world.lines)
