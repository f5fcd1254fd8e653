"""Operators of a task simulation: each wants some assignments run on the one runner, and gives up waiting at last."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.chain.names import RunnerError
from swarm.core.ids import Digest
from swarm.core.taskrun.asking import Step, next_step
from swarm.core.taskview import AssignmentPhase, Outcome

from . import contract as calls

if TYPE_CHECKING:
    from .world import World

PATIENCE_TICKS = 260
"""Then RESET TASKRUNNER ... FORCE."""


@dataclass(frozen=True, slots=True)
class Wish:
    """By number (``needed``), or by name."""

    needed: int
    named: tuple[int, ...] = ()


class SimOperator:
    def __init__(self, world: World, number: int, wishes: list[Wish]) -> None:
        self.number, self.wishes = number, wishes
        self.outcomes: list[Outcome] = []
        self.begun: list[int] = []
        self._world = world
        self._frozen_until = 0
        self._since: int | None = None
        self._reset = False
        self._rng = random.Random(f"{world.seed} operator {number}")

    @property
    def finished(self) -> bool:
        return len(self.outcomes) >= len(self.wishes)

    def live(self) -> None:
        world, now = self._world, self._world.now
        if world.faulty and self._rng.random() < 0.02:
            self._frozen_until = now + self._rng.randint(1, 50)
        if self.finished or (world.faulty and now < self._frozen_until):
            return
        head, deep = world.ledger.head, world.deep()
        mine = len(self.outcomes)
        aid = calls.aid_of(self.number, mine)
        found, settled, current = head.state.assignment(aid), deep.state.assignment(aid), head.state.current()
        match next_step(found, settled, current, head.state.lease, head.time, head.number):
            case Step.ASSIGN:
                wish = self.wishes[mine]
                call = calls.assign(self.number, mine, wish.needed, wish.named, len(world.hosts))
                if self._never(call):
                    self.outcomes.append(Outcome.NONE)
                    return
                self._send(call)
            case Step.SUSPECT if current is not None:
                self._send(calls.suspect(current.aid, self.number))
            case Step.EXPIRE if current is not None:
                self._send(calls.expire(current.aid, self.number))
            case Step.DONE if found is not None:
                if current is not None and current.aid == aid and self._rng.random() < 0.7:
                    self._send(calls.reset(self.number, aid, force=False))
                self.outcomes.append(found.outcome)
                self._since = None
                return
            case _:
                pass
        if found is not None and found.phase is not AssignmentPhase.ENDED:
            if self._since is None:
                self._since = now
                self.begun.append(found.assigned_time)
            if now - self._since > PATIENCE_TICKS:
                self._send(calls.reset(self.number, aid, force=True))
            elif self._rng.random() < 0.1:
                self._invites(aid)
            elif world.faulty and self._rng.random() < (0.05 if world.impatient else 0.003):
                end = calls.reset(self.number, aid, force=True)
                self._send(end if self._rng.random() < 0.5 else calls.abort(self.number, aid))

    def _invites(self, aid: Digest) -> None:
        """Have one SWOP try its failed pairs again, or let one join; sometimes what makes no sense."""
        state, swop = self._world.ledger.head.state, self._rng.randrange(len(self._world.hosts))
        peer = state.mine(swop).peer
        attempt = 1 if peer is None else peer.attempt + 1
        failed = peer is not None and peer.failed and not peer.open
        if failed or (self._world.faulty and self._rng.random() < 0.1):
            self._send(calls.invite(self.number, aid, swop, attempt))

    def _never(self, call: calls.Call) -> bool:
        """As a shell asks before it sends: whether the contract refuses this for a reason that no waiting mends."""
        head = self._world.ledger.head
        try:
            head.state.after(call, head.time + 1, head.number + 1)
        except calls.Refused as refusal:
            return refusal.name != RunnerError.BUSY
        return False

    def _send(self, call: calls.Call) -> None:
        self._world.send(("operator", self.number), call)
