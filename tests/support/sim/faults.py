"""Seeded bad days: which faults strike a swarm, when, and how long; and one whole simulation of a seed.

Every fault but death ends. Once the last has ended the run must complete within ``RECOVERY_SECONDS``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum

from swarm.core.ids import ZERO32

from .node import Plan, SimNode
from .world import World, base_config

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
    PROGRAM = "program fails"
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
        self.drawn = rng.randint(FAULTS_MIN, FAULTS_MAX)
        for _ in range(self.drawn):
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
                world.at(seconds, lambda: setattr(net, "drop", net.calm_drop))
            case Fault.DELAY:
                net.delay_max_seconds = rng.uniform(0.1, 4.0)
                world.at(seconds, lambda: setattr(net, "delay_max_seconds", net.calm_delay_seconds))
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
            case Fault.DEATH | Fault.PROGRAM:
                if not self._die(node, fault):
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

    def _spared(self, node: SimNode) -> bool:
        """Somebody else keeps every model that is or may become the merged one: no protocol brings back lost bytes."""
        needed = {self._world.chain.view.state.prev} - {ZERO32}
        context = node.engine.state.context
        if context is not None:
            needed |= {m.result.merged for m in context.results.values()}
        others = [n for n in self._world.nodes if n is not node and n.expected_to_finish]
        return len(self._world.chain.view.roster) > 1 and all(any(b in n.disk for n in others) for b in needed)

    def _die(self, node: SimNode, fault: Fault) -> bool:
        if fault is Fault.PROGRAM and (not node.up or node.frozen or node.script.ended):
            return False
        if not self._deaths_left or not self._world.chain.view.state.started or not node.expected_to_finish:
            return False
        if not self._spared(node):
            return False
        self._deaths_left -= 1
        if fault is Fault.DEATH:
            node.crash()
            node.dead = True
        else:
            node.script.fail("the program raised ValueError")
        node.expected_to_finish = False
        return True


def make(seed: int, *, nervous: bool | None = None) -> tuple[World, BadDay]:
    """The world of a seed, with its bad day drawn but nothing run.

    ``nervous``: nodes suspect each other within a few seconds on a slow, lossy network, so that several leaders
    contend for one round (None: one seed in four).
    """
    rng = random.Random(seed * 7919 + 1)
    drawn = rng.random() < 0.25
    nervous = drawn if nervous is None else nervous
    count = rng.choice([3, 4, 5, 5] if nervous else [2, 3, 3, 4, 4, 5, 6, 8])
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
            nan_at=rng.choice([(), (), (), (rng.randint(1, 10),)]),
            start_after=rng.choice([0.0, rng.uniform(0, 2), rng.uniform(0, 10)]),
        )
        for _ in range(count)
    ]
    config = base_config()
    if nervous:
        config = replace(config, live_seconds=rng.uniform(0.5, 3.0), pulse_seconds=0.5, pulse_others_seconds=1.0)
    world = World(seed, plans, block_seconds=rng.choice([0.01, 0.1, 1.0]), config=config)
    day = BadDay(world, rng, count - max(min_peers, 1) if deaths else 0)
    if nervous:
        world.net.calm_delay_seconds = world.net.delay_max_seconds = rng.uniform(0.2, 2.0)
        world.net.calm_drop = world.net.drop = rng.uniform(0.1, 0.5)
        world.at(day.over_at, world.net.calm)
    return world, day


def simulate(seed: int, *, stop_at_violation: bool = False, nervous: bool | None = None) -> Outcome:
    """Run one seed to its end, or to the first broken rule."""
    world, day = make(seed, nervous=nervous)
    world.start()

    def broken() -> bool:
        return stop_at_violation and bool(world.checks.violations)

    world.run(broken, day.over_at)
    if not world.run(lambda: broken() or world.finished(), RECOVERY_SECONDS):
        left = [n.name for n in world.nodes if n.expected_to_finish and n.exit_code is None]
        world.checks.broken("progress", f"not finished {RECOVERY_SECONDS:.0f} s after the last fault: {left}")
    if not broken():
        world.checks.at_end()
    checks = world.checks
    return Outcome(seed, checks.rounds, day.struck, checks.violations, world.counts, world.now, world.lines)
