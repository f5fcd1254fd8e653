"""A host of a task simulation: a SWOP that crashes, freezes and comes back, and the containers that live without it.

The SWOP is the product's pass (:mod:`swarm.core.taskrun.passes`); owned here is what its shell and its Docker do, and
what is noted for the judge.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarm.core.ids import Digest
from swarm.core.taskrun import actions as do
from swarm.core.taskrun.passes import Lately, Offer, Refusal, Rules, Sight, remember, take_pass
from swarm.core.taskrun.work import Key, Memory, Result, Work, WorkState

from . import contract as calls

if TYPE_CHECKING:
    from .ledger import Block, Sn
    from .world import World

GRACE_TICKS_MAX = 20
TRAINING_TICKS_MAX = 40
PASS_TICKS = 2
HEARD_SPARE_BLOCKS = 16
STUCK_TICKS = 400
OVER_TICKS = 60
"""A program that hangs, until somebody stops it."""


@dataclass(slots=True)
class Container:
    state: WorkState
    ends: int = 0
    result: Result | None = None


@dataclass(slots=True)
class Docker:
    """The pairs of one host. ``until``: the daemon does not answer before that tick."""

    pairs: dict[Key, Container] = field(default_factory=dict)
    until: int = 0


class SwopHost:
    """One SWOP and its host. ``dies_at``: the tick after which it never comes back."""

    def __init__(self, world: World, swop: int, offer: int, sns: list[Sn], dies_at: int | None, revoked_at: int | None):
        self.world, self.swop, self.offer, self.dies_at, self.revoked_at = world, swop, offer, dies_at, revoked_at
        self.docker = Docker()
        self.memory = Memory()
        self.up = True
        self.frozen_until = 0
        self.seen_ends: set[Digest] = set()
        self.heard_blocks = 0
        """Blocks in a row in which it could have been heard."""
        self._bad = False
        self._sns, self._sn = sns, 0
        self._lately = Lately()
        self._judged: dict[Digest, Offer | Refusal] = {}
        self._todo: list[do.Action] = []
        self._next_pass = 0
        self._rng = random.Random(f"{world.seed} swop {swop}")

    @property
    def dead(self) -> bool:
        return self.dies_at is not None and self.world.now >= self.dies_at

    def could_be_heard(self) -> bool:
        """Whether it lived, and saw the chain, for so long that its renewals must have got in."""
        alive = not self.dead and not self.world.is_revoked(self.swop)
        return alive and self.heard_blocks > self.world.lease + self.world.lease // 4 + HEARD_SPARE_BLOCKS

    def runs_what_is_over(self) -> list[Key]:
        """Pairs that run although their assignment ended long ago, and this SWOP could have known."""
        deep, bound = self.world.deep().state, OVER_TICKS
        over = []
        for key, box in self.docker.pairs.items():
            found = deep.assignment(key.aid)
            if box.state is not WorkState.RUNNING or found is None or found.busy:
                continue
            if min(self.heard_blocks, self.world.now - max(found.ended_time, self.docker.until)) > bound:
                over.append(key)
        return over

    def a_block(self) -> None:
        """A block was made since the last tick."""
        self.heard_blocks = 0 if self._bad else self.heard_blocks + 1
        self._bad = False

    # ---- the host

    def containers_live(self) -> None:
        """A tick in which programs train, end, and end in their grace."""
        now, world = self.world.now, self.world
        for key, box in list(self.docker.pairs.items()):
            if box.state is WorkState.STOPPING and now >= box.ends:
                box.state, box.result = WorkState.EXITED, Result(False, exit_code=143)
            elif box.state is WorkState.RUNNING and now >= box.ends and not world.waits_for_others(key):
                ok = self._rng.random() >= world.failing
                box.state, box.result = WorkState.EXITED, Result(ok, exit_code=0 if ok else 1)
                world.checks.exited(self.swop, key, ok)

    def loses_a_container(self) -> None:
        """Somebody removes one by hand."""
        if self.docker.pairs:
            key = self._rng.choice(sorted(self.docker.pairs))
            del self.docker.pairs[key]
            self.world.checks.lost(self.swop, key)

    def daemon_goes(self, ticks: int, *, kills: bool) -> None:
        self.docker.until = self.world.now + ticks
        for key, box in self.docker.pairs.items():
            if kills and box.state in (WorkState.RUNNING, WorkState.STOPPING):
                box.state, box.result = WorkState.EXITED, Result(False, exit_code=137)
                self.world.checks.lost(self.swop, key)
        if ticks >= self.world.lease:
            self.world.checks.blind(self.swop)

    # ---- the process

    def crash(self) -> None:
        self.up, self._todo, self._lately = False, [], Lately()
        self._judged = {}

    def live(self) -> None:
        """A tick of the process: go on with the last pass, or take the next one."""
        now, faulty = self.world.now, self.world.faulty
        if self.dead:
            if self.up:
                self.crash()
            self._bad = True
            return
        if not self.up:
            self._bad = True
            if not faulty or self._rng.random() < 0.1:
                self.up = True
            return
        if faulty and self.frozen_until > now:
            self._bad = True
            return
        while True:
            while self._todo:
                if faulty and self._interrupted():
                    return
                self._carry_out(self._todo.pop(0))
            if now < self._next_pass:
                return
            again = self._look()
            self._next_pass = now if again else now + PASS_TICKS
            if not self._todo:
                return

    def _interrupted(self) -> bool:
        """Before any action the process may die, or stand still and go on with it much later."""
        drawn = self._rng.random()
        if drawn < 0.004:
            self.crash()
        elif drawn < 0.008:
            self.frozen_until = self.world.now + self._rng.randint(1, 60)
        return drawn < 0.008

    def _look(self) -> bool:
        world, now = self.world, self.world.now
        if world.faulty and self._rng.random() < 0.02:
            self._sn = 1 - self._sn
        blocks = self._sns[self._sn].blocks(now)
        sight = self._sight(blocks)
        works = None if now < self.docker.until else self._works()
        rules = Rules(world.lease, world.fresh)
        found = take_pass(now, rules, sight, works, self.memory, self._lately, self._judged)
        self._lately, self._todo = found.lately, list(found.actions)
        if any(isinstance(action, do.TurnSn) for action in found.actions):
            self._bad = True
        else:
            self.memory = self.memory.at(sight.number)
            self.seen_ends |= sight.ended & sight.ended_deep
        return found.again

    def _sight(self, blocks: list[Block]) -> Sight:
        head, deep = blocks[-1], blocks[max(-len(blocks), -1 - self.world.ledger.depth)]
        mine, mine_deep = head.state.mine(self.swop), deep.state.mine(self.swop)
        here = {key.aid for key in self.docker.pairs}
        here |= {view.current.aid for view in (mine, mine_deep) if view.current is not None}
        return Sight(
            mine,
            mine_deep,
            head.number,
            float(self.world.now - head.time),
            float(self.world.now),
            frozenset(filter(head.state.ended, here)),
            frozenset(filter(deep.state.ended, here)),
            deep.state.is_member(self.swop),
        )

    def _works(self) -> Iterable[Work]:
        return [Work(key, box.state, box.result) for key, box in sorted(self.docker.pairs.items())]

    def _carry_out(self, action: do.Action) -> None:
        world, now, pairs = self.world, self.world.now, self.docker.pairs
        self.memory = remember(self.memory, action)
        gone = now < self.docker.until
        match action:
            case do.TurnSn():
                self._sn = 1 - self._sn
            case do.Create(key) if not gone and key not in pairs:
                pairs[key] = Container(WorkState.CREATED)
            case do.Start(key) if not gone and key in pairs and pairs[key].state is WorkState.CREATED:
                world.checks.starts(self, key)
                stuck = world.stuck and self._rng.random() < 0.2
                ticks = STUCK_TICKS if stuck else self._rng.randint(1, TRAINING_TICKS_MAX)
                pairs[key] = Container(WorkState.RUNNING, now + ticks)
            case do.Stop(key) if not gone and key in pairs and pairs[key].state is WorkState.RUNNING:
                pairs[key] = Container(WorkState.STOPPING, now + self._rng.randint(1, GRACE_TICKS_MAX))
            case do.Remove(key) if not gone:
                pairs.pop(key, None)
            case do.Judge(aid, _):
                self._judged[aid] = self.verdict(aid)
            case do.Enrol(aid, offer):
                self._send(calls.enrol(self.swop, aid, offer))
            case do.Decline(aid, fault, _):
                self._send(calls.decline(self.swop, aid, fault))
            case do.StartAssignment(aid):
                self._send(calls.start(self.swop, aid))
            case do.Renew(aid, bits):
                self._send(calls.renew(self.swop, aid, bits))
            case do.Report(aid, attempt, results):
                self._send(calls.report(self.swop, aid, attempt, results))
            case _:
                pass

    def verdict(self, aid: Digest) -> Offer | Refusal:
        """What this site's policy says; the same each time it is asked."""
        refuses = self.world.declining and random.Random(f"{self.world.seed} {self.swop} {aid.hex()}").random() < 0.15
        return Refusal("policy") if refuses else Offer(self.offer)

    def _send(self, call: calls.Call) -> None:
        self.world.send(("swop", self.swop), call)
