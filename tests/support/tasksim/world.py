"""One task simulation: hosts, operators, a chain and a bad day, drawn from a seed; then a time without faults.

Once the faults have ended every operator must come to its end, no runner may stay busy, nothing may be left running.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from swarm.core.ids import Address
from swarm.core.taskrun.work import Key, WorkState
from swarm.core.taskview import AssignmentPhase
from swarm.core.taskview import Outcome as Ending

from . import contract as calls
from .checks import Checks, show
from .contract import Call, Contract
from .host import SwopHost
from .ledger import Block, Ledger, Sn
from .operators import SimOperator, Wish

LEASE_TICKS, FRESH_TICKS = 24, 8
DEPTH_BLOCKS = 2
OPERATORS = 2
HEARTBEAT_TICKS = 2
"""Of an embedded chain that somebody's time must go on for."""
CALM_TICKS = 2600
"""After the faults: all must be over by then."""
SETTLED_TICKS = 60


@dataclass(slots=True)
class Outcome:
    seed: int
    violations: list[str]
    outcomes: Counter[Ending]
    faults: Counter[str]
    calls: Counter[str]
    ticks: int
    log: list[str] = field(default_factory=list)


class World:
    """Everything of one seed. A tick is a second of block time and of every clock."""

    def __init__(self, seed: int) -> None:
        self.seed, self.now = seed, 0
        rng = self._rng = random.Random(f"{seed} world")
        self.faults_end = rng.randint(60, 400)
        self.geth = rng.random() < 0.7
        self.lease = LEASE_TICKS
        self.fresh: float | None = FRESH_TICKS if self.geth else None
        self.failing = rng.choice([0.0, 0.0, 0.2])
        self.declining = rng.random() < 0.3
        self.coupled = rng.random() < 0.5
        self.slow = rng.random() < 0.3
        self.stuck = rng.random() < 0.3
        self.impatient = rng.random() < 0.3
        self.reorganising = rng.choice([0.05, 0.3])
        self.faults: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        """Transactions that the contract carried out."""
        self.log: list[str] = []
        self.checks = Checks(self)
        count = rng.choice([1, 2, 2, 3, 3])
        offers = [rng.choice([1, 1, 2]) for _ in range(count)]
        start = Contract.fresh(offers, operators=OPERATORS, lease_seconds=LEASE_TICKS)
        self.ledger = Ledger(start, DEPTH_BLOCKS if self.geth else 0, rng, self._accepted)
        sns = [Sn(self.ledger), Sn(self.ledger)]
        self._sns = sns
        self.hosts = [
            SwopHost(
                self,
                swop,
                offers[swop],
                sns,
                rng.randint(0, self.faults_end) if rng.random() < 0.15 else None,
                rng.randint(0, self.faults_end) if rng.random() < 0.1 else None,
            )
            for swop in range(count)
        ]
        self.operators = [SimOperator(self, o, self._wishes(offers)) for o in range(OPERATORS)]

    def _wishes(self, offers: list[int]) -> list[Wish]:
        rng, everybody = self._rng, range(len(offers))
        return [
            Wish(rng.randint(1, sum(offers)))
            if rng.random() < 0.7
            else Wish(0, tuple(sorted(rng.sample(everybody, rng.randint(1, len(offers))))))
            for _ in range(rng.randint(1, 3))
        ]

    @property
    def faulty(self) -> bool:
        return self.now < self.faults_end

    def deep(self) -> Block:
        return self.ledger.blocks[max(-len(self.ledger.blocks), -1 - self.ledger.depth)]

    def is_revoked(self, swop: int) -> bool:
        at = self.hosts[swop].revoked_at
        return at is not None and self.now >= at

    @property
    def prompt(self) -> bool:
        """Whether what is sent gets in within a bounded number of blocks."""
        return not self.slow and self.reorganising < 0.1

    def swop_of(self, address: Address) -> int:
        return next(host.swop for host in self.hosts if calls.swop_address(host.swop) == address)

    def waits_for_others(self, key: Key) -> bool:
        """Where sites train one model no program ends before all have begun."""
        state = self.ledger.head.state
        current = state.current()
        if not self.coupled or current is None or current.aid != key.aid:
            return False
        if current.phase is not AssignmentPhase.RUNNING:
            return False
        for host in self.hosts:
            mine = state.mine(host.swop)
            attempt = 0 if mine.peer is None else mine.peer.attempt
            for number, pair in enumerate(mine.pairs):
                if pair.open and not self.checks.was_started(host.swop, Key(key.aid, number, attempt)):
                    return True
        return False

    def send(self, who: object, call: Call) -> None:
        rng = self._rng
        delay = rng.choice([0, 0, 1, 3, rng.randint(0, 25 if self.slow else 6)]) if self.faulty else 0
        self.ledger.send(who, call, self.now, delay)
        if self.faulty and rng.random() < 0.03:
            self.faults["repeated"] += 1
            self.ledger.send(("again", who), call, self.now, delay + rng.randint(0, 40))

    def _accepted(self, call: Call, before: Contract, state: Contract) -> None:
        self.log.append(f"{self.now} {call}")
        again = call.name == "invite" and call.arguments[2] > 1
        self.calls["retry" if again else call.name] += 1
        self.checks.accepted(call, before, state)

    # ---- time

    def run(self) -> Outcome:
        end = self.faults_end + CALM_TICKS
        while self.now < end:
            self._tick()
            over = all(operator.finished for operator in self.operators)
            if over and self.now > self.faults_end + SETTLED_TICKS and not self._left():
                break
        self._conclude()
        outcomes = Counter(o for operator in self.operators for o in operator.outcomes)
        return Outcome(self.seed, self.checks.violations, outcomes, self.faults, self.calls, self.now, self.log)

    def _tick(self) -> None:
        self.now += 1
        if self.faulty:
            self._bad_luck()
        if self.ledger.tick(self.now, heartbeat=HEARTBEAT_TICKS, part=0.8 if self.faulty else 1.0):
            for host in self.hosts:
                host.a_block()
        for host in self.hosts:
            if host.revoked_at is not None and self.now == host.revoked_at:
                self.ledger.send("admitter", calls.revoke(host.swop), self.now, 0)
        for host in self.hosts:
            host.containers_live()
            host.live()
            for key in host.runs_what_is_over():
                self.checks.broken("runs what is over", f"swop {host.swop}, {show(key)}")
        for operator in self.operators:
            operator.live()

    def _bad_luck(self) -> None:
        rng = self._rng
        if rng.random() < 0.01:
            self.faults["chain stops"] += 1
            self.ledger.stopped_until = self.now + rng.randint(5, 60)
        if self.geth and rng.random() < self.reorganising and self.now >= self.ledger.stopped_until:
            self.faults["reorganised"] += 1
            self.ledger.reorganise(rng.choice([1, 1, 2]), self.now)
        for sn in self._sns:
            if rng.random() < 0.02:
                self.faults["SN behind"] += 1
                sn.falls_behind(self.now, rng.randint(1, 60))
        for host in self.hosts:
            drawn = rng.random()
            if drawn < 0.01:
                self.faults["crash"] += 1
                host.crash()
            elif drawn < 0.02:
                self.faults["freeze"] += 1
                host.frozen_until = self.now + rng.randint(1, 60)
            elif drawn < 0.023:
                self.faults["container lost"] += 1
                host.loses_a_container()
            elif drawn < 0.026:
                self.faults["daemon gone"] += 1
                host.daemon_goes(rng.randint(1, 2 * LEASE_TICKS), kills=rng.random() < 0.5)

    # ---- the end

    def _left(self) -> list[str]:
        return [
            f"swop {host.swop} {key.pair}"
            for host in self.hosts
            if host.up and not host.dead
            for key, box in host.docker.pairs.items()
            if box.state in (WorkState.CREATED, WorkState.RUNNING, WorkState.STOPPING)
        ]

    def _conclude(self) -> None:
        broken, current = self.checks.broken, self.ledger.head.state.current()
        if current is not None and current.busy:
            broken("busy for ever", f"{current}")
        for operator in self.operators:
            for wish, outcome in enumerate(operator.outcomes):
                if outcome is not Ending.NONE:
                    self.checks.told(
                        operator.number, calls.aid_of(operator.number, wish), outcome, self.ledger.head.state
                    )
            if not operator.finished:
                broken("waits for ever", f"operator {operator.number} after {len(operator.outcomes)}")
        if self._left():
            broken("left running", ", ".join(self._left()))
        if not (self.failing or self.declining or self.stuck) and not any(
            h.dies_at or h.revoked_at for h in self.hosts
        ):
            for operator in self.operators:
                for begun, outcome in zip(operator.begun, operator.outcomes, strict=False):
                    if begun > self.faults_end + SETTLED_TICKS and outcome is not Ending.COMPLETE:
                        broken("no COMPLETE after the faults", f"operator {operator.number}: outcome {outcome}")


def simulate(seed: int) -> Outcome:
    return World(seed).run()
