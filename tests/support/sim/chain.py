"""The simulator's chain: the contract model behind blocks that take time, may stall, and may be orphaned.

Owns blocks, the pool of waiting transactions and reorganisations; what a node sees of it is :mod:`.sn`'s business.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from support.model.training import Event, MembershipModel, TrainingModel, Tx
from swarm.core.bundle import Bundle
from swarm.core.chain_view import Phase, Role
from swarm.core.control.combined import Committed, Told, combine
from swarm.core.control.joboptions import JobOptions
from swarm.core.control.weights import Weighing
from swarm.core.engine.events import ChainView, Origin
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, Digest, job_id, sha256
from swarm.core.roster import Roster

from .keys import Key, Keys

__all__ = ["ADMIN", "JOB", "Key", "Keys", "SimChain"]

if TYPE_CHECKING:
    from .world import World

JOB = job_id(DEFAULT_JOB)
FAR = 4_000_000_000
"""An expiry that no simulation reaches, seconds."""
EPOCH_SECONDS = 1_700_000_000
HEARTBEAT_SECONDS = 5.0
BLOCKS_KEPT = 16
"""Blocks whose state before is kept: a reorganisation or a late SN goes back at most so far."""
TRAP_SECONDS = 0.05
"""From a trapped block to its orphaning."""
ADMIN = Address(sha256(b"admin")[:20])

Call = Callable[[Tx], list[Event]]
Done = Callable[[Reverted | None], None]


@dataclass(slots=True)
class Transaction:
    """``done`` is told once, when it is first mined; an orphaned one is mined again. Held back until ``not_before``."""

    sender: Address
    kind: str
    call: Call
    done: Done | None
    not_before: float = 0.0


@dataclass(slots=True)
class Block:
    """``before``: the state of the contracts that this block began with, pickled; ``view``: what it led to."""

    view: ChainView
    before: bytes
    bundles_before: dict[tuple[int, int], Bundle]
    transactions: list[Transaction]


@dataclass(frozen=True, slots=True)
class Trap:
    """A block with a transaction of ``kind`` is orphaned once it is ``depth`` deep; ``sprung`` is told."""

    kind: str
    depth: int
    hold_seconds: float
    sprung: Callable[[], None]


class SimChain:
    """Blocks appear ``block_seconds`` after the first waiting transaction, and as heartbeats in between.

    ``kinds`` counts the small transactions that were mined without a refusal.
    """

    def __init__(self, world: World, nodes: Sequence[Address], block_seconds: float) -> None:
        self._world, self._block_seconds = world, block_seconds
        self.members = MembershipModel(ADMIN)
        self.model = TrainingModel(self.members, world.keys, world.domain)
        self.number, self.time = 1, EPOCH_SECONDS
        self.stalled = False
        self.reorgs = 0
        self.skew_seconds = 0.0
        self.bundles: dict[tuple[int, int], Bundle] = {}
        self.options = ""
        """The job's options, as an operator set them before the run."""
        self.origin: Origin | None = None
        """The earlier run's final model that those options name."""
        self._figures: dict[Digest, Committed] = {}
        self.blocks: deque[Block] = deque(maxlen=BLOCKS_KEPT)
        self.kinds: Counter[str] = Counter()
        self._pending: list[Transaction] = []
        self._mining = False
        self._traps: list[Trap] = []
        tx = Tx(ADMIN, 0, EPOCH_SECONDS)
        self.members.admit(tx, ADMIN, sha256(b"admin's key"), ZERO32, ZERO32, Role.SN, FAR)
        for node in nodes:
            self.members.admit(tx, node, sha256(node), ZERO32, ZERO32, Role.SL, FAR)
        self.view = self._look()
        world.at(HEARTBEAT_SECONDS, self._heartbeat)

    # ---- transactions --------------------------------------------------------------------------------

    def send(self, sender: Address, call: Call, done: Done | None, kind: str = "") -> None:
        """A signed transaction: once here it is mined some day, whatever becomes of its sender."""
        self._pending.append(Transaction(sender, kind, call, done))
        self._wake()

    def commit(self, sender: Address, bundle: Bundle, done: Done) -> None:
        def call(tx: Tx) -> list[Event]:
            before = self.model.state(JOB)
            events = self.model.commit(tx, [bundle])
            self.bundles[(bundle.name.run, bundle.name.round)] = bundle
            self._world.checks.committed(bundle, before, self.model.state(JOB))
            self._world.rows.committed(bundle)
            return events

        self.send(sender, call, done, "commit")

    def admit(self, node: Address) -> None:
        def call(tx: Tx) -> list[Event]:
            return self.members.admit(tx, node, sha256(node), ZERO32, ZERO32, Role.SL, FAR)

        self.send(ADMIN, call, None, "admit")

    def succeed(self, old: Address, heir: Address) -> None:
        """A node without its state comes back under its certificate."""
        self.send(ADMIN, lambda tx: self.members.succeed(tx, old, heir, FAR), None, "succeed")

    def revoke(self, node: Address) -> None:
        self.send(ADMIN, lambda tx: self.members.revoke(tx, node), None, "revoke")

    def transaction(self, sender: Address, kind: str, args: Sequence[Any], run: int) -> Call:
        """The contract call behind one of the engine's small transactions."""
        model = self.model
        match kind:
            case "join":
                return lambda tx: model.join(tx, JOB, "https://node:30305", args[0], args[1])
            case "leave":
                return lambda tx: model.leave(tx, JOB)
            case "call":
                return lambda tx: model.call(tx, JOB, run, args[0], args[1])
            case "here":
                return lambda tx: model.here(tx, JOB, args[0], args[1])
            case "settle":
                return lambda tx: model.settle(tx, JOB, args[0])
            case "close":
                return lambda tx: model.close(tx, JOB, run, 0, 0)
        raise AssertionError(f"the engine asked for an unknown transaction {kind}")

    # ---- blocks --------------------------------------------------------------------------------------

    def stall(self, stalled: bool) -> None:
        self.stalled = stalled
        if not stalled:
            self._world.rows.stall_ends()
            self._wake()

    def trap(self, trap: Trap) -> None:
        """Orphan the next block with a transaction of that kind; it comes back late."""
        self._traps.append(trap)

    def reorganise(self, depth: int, hold: str = "", hold_seconds: float = 0.0) -> None:
        """Orphan the last ``depth`` blocks: their transactions are mined again, in another order, or fail then.

        Those of kind ``hold`` wait for ``hold_seconds``, with all later ones of their sender.
        """
        depth = min(depth, len(self.blocks))
        if not depth or self.stalled:
            return
        orphans = [self.blocks.pop() for _ in range(depth)][::-1]
        first = orphans[0]
        members, self.model._jobs = pickle.loads(first.before)
        vars(self.members).update(members)
        lost = set(self.bundles) - set(first.bundles_before)
        self.bundles = dict(first.bundles_before)
        self.number -= depth
        self.reorgs += 1
        self._world.trace(f"the last {depth} blocks are orphaned")
        self._world.count("reorganisation")
        self._world.checks.orphaned(self.bundles)
        again = [t for block in orphans for t in block.transactions]
        self._world.rows.orphaned(again, lost)
        for tx in again:
            if hold and tx.kind == hold:
                tx.not_before = self._world.now + hold_seconds
        self._pending = self._shuffled(again) + self._pending
        for _ in range(depth):
            self._mine()

    def _shuffled(self, transactions: list[Transaction]) -> list[Transaction]:
        """Any order that keeps each sender's own (nonces ascend)."""
        by_sender: dict[Address, list[Transaction]] = {}
        for tx in transactions:
            by_sender.setdefault(tx.sender, []).append(tx)
        turns = [tx.sender for tx in transactions]
        self._world.rng.shuffle(turns)
        return [by_sender[sender].pop(0) for sender in turns]

    def _wake(self) -> None:
        if not self._pending or self._mining or self.stalled:
            return
        wait = min(tx.not_before for tx in self._pending) - self._world.now
        if wait > 0:
            self._world.at(wait, self._wake)
            return
        self._mining = True
        self._world.at(self._block_seconds * self._world.rng.uniform(0.5, 1.5), self._mine)

    def _heartbeat(self) -> None:
        if not self._mining and not self.stalled:
            self._mine()
        self._world.at(HEARTBEAT_SECONDS, self._heartbeat)

    def _ready(self) -> list[Transaction]:
        """What the next block takes; a held transaction holds back the later ones of its sender."""
        ready: list[Transaction] = []
        waiting: list[Transaction] = []
        held: set[Address] = set()
        for tx in self._pending:
            if tx.not_before > self._world.now:
                held.add(tx.sender)
            (waiting if tx.sender in held else ready).append(tx)
        self._pending = waiting
        return ready

    def _mine(self) -> None:
        self._mining = False
        if self.stalled:
            return
        batch = self._ready()
        before = pickle.dumps((vars(self.members), self.model._jobs)) if self._world.forks else b""
        bundles_before = dict(self.bundles) if self._world.forks else {}
        self.number += 1
        self.time = max(self.time, EPOCH_SECONDS + int(self._world.now + self.skew_seconds))
        for tx in batch:
            self._execute(tx)
        self.view = self._look()
        self.blocks.append(Block(self.view, before, bundles_before, batch))
        self._world.block()
        self._wake()
        self._spring({tx.kind for tx in batch})

    def _execute(self, tx: Transaction) -> None:
        fault: Reverted | None = None
        try:
            self._world.rows.mined(tx.call(Tx(tx.sender, self.number, self.time)))
            self.kinds[tx.kind] += 1
        except Reverted as reverted:
            fault = reverted
        done, tx.done = tx.done, None
        if done is not None:
            self._world.at(self._world.rng.uniform(0.001, 0.02), lambda: done(fault))

    def _spring(self, kinds: set[str]) -> None:
        for trap in [t for t in self._traps if t.kind in kinds]:
            self._traps.remove(trap)
            trap.sprung()
            if trap.depth > 1:
                self._mine()
            self._world.at(TRAP_SECONDS, partial(self.reorganise, trap.depth, trap.kind, trap.hold_seconds))

    def _look(self) -> ChainView:
        state = self.model.state(JOB)
        roster = self.model.roster_of(JOB) if state.started else Roster(())
        joiners = {j.node: j for j in self.model.joiners_of(JOB)}
        everybody = set(joiners) | set(roster.addresses)
        active = frozenset(n for n in everybody if self.members.is_active(n, self.time))
        barred = frozenset(
            n for n in joiners if n not in roster and 0 < self.members.counts_after(n) >= state.opened_block
        )
        history = tuple(self._committed(self.bundles[(state.run, r)]) for r in range(state.round))
        return ChainView(
            state,
            roster,
            joiners,
            active,
            self.number,
            self.time,
            self.reorgs,
            history=history,
            barred=barred,
            options=self.options,
            origin=self.origin,
        )

    @property
    def weighing(self) -> Weighing:
        return JobOptions.from_text(self.options).weighing

    def enough(self) -> bool:
        """The job's stop rule holds on what was committed before the open round."""
        rule = JobOptions.from_text(self.options).stop
        return rule is not None and rule.reached(self.view.history) is not None

    def _committed(self, bundle: Bundle) -> Committed:
        """What a round leaves for the rules, as an SL computes it from the events."""
        key = bundle.result.inputs
        if key not in self._figures:
            said = (i.check_in for i in bundle.items)
            combined = combine(map(Told.of, said), self.weighing)
            self._figures[key] = Committed(bundle.result.interval, combined.loss, combined.metric)
        return self._figures[key]

    @property
    def waiting(self) -> list[Address]:
        """Senders of the transactions that are not mined yet."""
        return [tx.sender for tx in self._pending]

    def waits_for(self, kind: str) -> bool:
        """Whether a transaction of this kind is not mined yet."""
        return any(tx.kind == kind for tx in self._pending)

    @property
    def over(self) -> bool:
        return self.view.state.phase is Phase.COMPLETE
