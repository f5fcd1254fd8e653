"""What must hold in every task simulation, whatever the faults.

Owns judgement only: it notes what really ran on the hosts, and holds what the contract counts against it. A broken rule
becomes a line in ``violations``; the run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarm.core.ids import Address, Digest
from swarm.core.taskrun.work import Key, Result, Why, WorkState
from swarm.core.taskview import AssignmentPhase, Outcome, PairState

from .contract import Call, Contract, swop_address

if TYPE_CHECKING:
    from .host import SwopHost
    from .world import World


class Checks:
    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self._started: set[tuple[int, Key]] = set()
        self._exits: dict[tuple[int, Key], bool] = {}
        self._lost: set[tuple[int, Key]] = set()
        self._blind: set[int] = set()
        self._ended: dict[Digest, Outcome] = {}
        self._judged: set[Digest] = set()
        self._invited: set[tuple[Address, Digest]] = set()

    def broken(self, rule: str, text: str) -> None:
        line = f"{rule}: {text} (tick {self._world.now})"
        if line not in self.violations:
            self.violations.append(line)

    # ---- what hosts do

    def starts(self, host: SwopHost, key: Key) -> None:
        """A container is about to run."""
        if (host.swop, key) in self._started:
            self.broken("started twice", f"swop {host.swop}, {show(key)}")
        self._started.add((host.swop, key))
        for other, box in host.docker.pairs.items():
            alive = box.state in (WorkState.RUNNING, WorkState.STOPPING)
            if alive and other != key and other.pair == key.pair:
                self.broken("two at once", f"swop {host.swop}, {show(other)} and {show(key)}")
        if key.aid in host.seen_ends:
            self.broken("started what it saw end", f"swop {host.swop}, {show(key)}")

    def exited(self, swop: int, key: Key, ok: bool) -> None:
        self._exits[swop, key] = ok

    def lost(self, swop: int, key: Key) -> None:
        """Somebody took the container away, or its daemon died: what it did may be unknown."""
        self._lost.add((swop, key))

    def blind(self, swop: int) -> None:
        """Its daemon is away for longer than a lease: then its pairs count as failed, whatever they do."""
        self._blind.add(swop)

    def was_started(self, swop: int, key: Key) -> bool:
        return (swop, key) in self._started

    # ---- what the contract takes

    def accepted(self, call: Call, before: Contract, state: Contract) -> None:
        """A transaction was carried out."""
        if call.name == "report":
            aid, attempt, results = call.arguments
            current = before.current()
            swop = self._world.swop_of(call.by)
            if current is not None and current.aid == aid and current.busy:
                for pair, result in results:
                    self._reported(swop, Key(aid, pair, attempt), result, before, state)
        if call.name == "invite":
            aid, swop_asked, _ = call.arguments
            self._invited.add((swop_asked, aid))
        if call.name in ("reset", "abort", "expire"):
            self._ended_on_purpose(call, before)
        if call.name == "assign":
            self._assigned(before, state)
        if call.name == "start":
            self._allotted(call, before, state)
        self._judge_end(state)

    def _reported(self, swop: int, key: Key, result: Result, before: Contract, state: Contract) -> None:
        was, now = before.mine(swop), state.mine(swop)
        if was.peer is None or was.peer.attempt != key.attempt:
            self.broken("counted for another attempt", f"swop {swop}, {show(key)}")
            return
        if not was.pairs[key.pair].open:
            return  # told again
        ok = now.pairs[key.pair].state is PairState.SUCCEEDED
        if ok and self._exits.get((swop, key)) is not True:
            self.broken("false success", f"swop {swop}, {show(key)}")
        excused = (swop, key) in self._lost or swop in self._blind or self._world.is_revoked(swop)
        if not ok and self._exits.get((swop, key)) and not excused:
            self.broken("false failure", f"swop {swop}, {show(key)}: {result.why.value}")
        if result.why is Why.DAEMON_GONE and not excused:
            self.broken("gave up too early", f"swop {swop}, {show(key)}")
        if result.why is Why.STOPPED and not excused:
            self.broken("stopped though its assignment lives", f"swop {swop}, {show(key)}")

    def _ended_on_purpose(self, call: Call, before: Contract) -> None:
        aid, current = call.arguments[0], before.current()
        if current is None or current.aid != aid:
            self.broken("ended another assignment", f"{call.name} of {aid.hex()[:8]}")
        elif call.name == "expire" and current.phase is AssignmentPhase.RUNNING and self._world.prompt:
            for host in self._world.hosts:
                if any(pair.open for pair in before.mine(host.swop).pairs) and host.could_be_heard():
                    self.broken("expired though it lives", f"swop {host.swop}")

    def _assigned(self, before: Contract, state: Contract) -> None:
        current = state.current()
        known = None if current is None else before.assignment(current.aid)
        if current is not None and known is not None and known.op != current.op:
            self.broken("two assignments of one key", current.aid.hex()[:8])

    def _allotted(self, call: Call, before: Contract, state: Contract) -> None:
        """A start is for those who are members and said a word within a lease."""
        current = state.current()
        for host in self._world.hosts:
            peer, address = before.mine(host.swop).peer, swop_address(host.swop)
            if current is None or peer is None or not state.mine(host.swop).pairs:
                continue
            silent = address != call.by and current.started_time - peer.heard > self._world.lease
            if silent or not before.is_member(host.swop):
                self.broken("allotted to nobody", f"swop {host.swop}")

    def told(self, operator: int, aid: Digest, outcome: Outcome, state: Contract) -> None:
        """What an operator was told of its assignment, when all is over."""
        found = state.assignment(aid)
        if found is None or found.outcome is not outcome:
            really = "nothing" if found is None else found.outcome.name
            self.broken("told what the chain does not say", f"operator {operator}: {outcome.name}, it is {really}")

    def _judge_end(self, state: Contract) -> None:
        current = state.current()
        if current is None or current.phase is not AssignmentPhase.ENDED:
            return
        before = self._ended.setdefault(current.aid, current.outcome)
        if current.outcome is not Outcome.COMPLETE or (before is Outcome.COMPLETE and current.aid in self._judged):
            return
        self._judged.add(current.aid)
        invited = False
        for swop in range(len(self._world.hosts)):
            mine = state.mine(swop)
            attempt = 0 if mine.peer is None else mine.peer.attempt
            for pair in range(len(mine.pairs)):
                if not any(self._exits.get((swop, Key(current.aid, pair, n))) for n in range(1, attempt + 1)):
                    self.broken("false COMPLETE", f"swop {swop}, pair {pair} of {current.aid.hex()[:8]}")
            invited |= mine.peer is not None and (swop_address(swop), current.aid) in self._invited
        if current.n and not invited and current.allotted != current.n:
            self.broken("COMPLETE with another number", f"{current.allotted} pairs, {current.n} were wanted")


def show(key: Key) -> str:
    return f"{key.aid.hex()[:8]} pair {key.pair} attempt {key.attempt}"
