"""Seeded bad days: which faults strike a swarm, when, and how long. Every fault but death ends.

Owns the faults; the worlds they strike, and what must hold afterwards, are :mod:`.seeds`' business.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from enum import Enum

from swarm.core.bundle import Bundle
from swarm.core.ids import ZERO32, BlobId
from swarm.core.merge.outer import split
from swarm.core.statements import method_name

from .chain import Trap
from .liar import Liar, Lie
from .node import SimNode
from .world import World

FAULTS_MIN, FAULTS_MAX = 5, 12
BAD_SECONDS = 60.0
"""Faults begin when their round is open, at the latest so long after the start."""
BAD_ROUNDS = 17
"""Rounds by which every fault has begun."""
WATCH_SECONDS = 0.1
REDRAWS_MAX = 20
"""A fault that cannot strike now (nobody may die any more, say) makes place for another one, so often."""
TEAR_WITHIN_ACTIONS = 25
LONG_SECONDS = 150.0
"""Long enough for a call to be settled."""


class Fault(Enum):
    """What can go wrong in a simulation; the value names it in a report."""

    DROP = "drop"
    DELAY = "delay"
    COPY = "duplicate"
    LATE = "reorder"
    CLOG = "clogged links"
    CUT_ONE_WAY = "one-way partition"
    CUT = "two-way partition"
    PULL = "pull failure"
    SLOW_PULL = "slow pulls"
    DAMAGE = "blob damaged on its way"
    ROT = "blob rotten on disk"
    LOST_MODEL = "merged model lost by all"
    TORN_JOIN = "torn join"
    TORN_REFORM = "torn reform"
    CRASH = "crash and restart"
    TORN = "crash between two actions"
    TORN_WRITE = "torn write"
    FREEZE = "freeze and thaw"
    LEADERS = "two leaders in a row down"
    MAJORITY = "majority down"
    ALL_DOWN = "power loss of all"
    DEATH = "crash without restart"
    PROGRAM = "program fails"
    LOST_DISK = "restart without disk"
    SLOW_DISK = "slow disk"
    DISK_FULL = "disk full"
    NODE_CLOCK = "node's clock drifts"
    BLOCK_CLOCK = "block time jumps"
    STALL = "chain stall"
    REORG_ONE = "one-block reorg"
    REORG_TWO = "two-block reorg"
    SN_DOWN = "SN loss"
    SN_LATE = "SN runs late"
    REVOKE = "member revoked"
    LIES = "lying peer"


WEIGHTS: dict[Fault, float] = {
    Fault.CRASH: 3,
    Fault.TORN: 4,
    Fault.FREEZE: 2,
    Fault.CUT: 1.5,
    Fault.ROT: 2,
    Fault.LEADERS: 1.5,
    Fault.TORN_REFORM: 0.5,
    Fault.ALL_DOWN: 0.7,
    Fault.MAJORITY: 0.5,
    Fault.REVOKE: 1.5,
    Fault.LOST_MODEL: 1.5,
    Fault.LIES: 6,
    Fault.REORG_ONE: 2,
    Fault.REORG_TWO: 2,
}
"""How often a fault is drawn; 1 unless named here."""


def _kept(blob: BlobId, nodes: list[SimNode]) -> bool:
    return any(blob in n.disk - n.rotten for n in nodes)


class BadDay:
    """Draws the faults of one seed and lets them strike, one for each round and time drawn.

    Args:
        deaths_max: members that may be lost for good.
    """

    def __init__(self, world: World, rng: random.Random, deaths_max: int) -> None:
        self._world, self._rng, self._deaths_left = world, rng, deaths_max
        self.struck: Counter[str] = Counter()
        self.drawn = rng.randint(FAULTS_MIN, FAULTS_MAX)
        self._due: list[tuple[int, float, Fault, float]] = []
        self._over_at = 0.0
        self._undo: list[tuple[float, int, Callable[[], None]]] = []
        for _ in range(self.drawn):
            fault = self._draw()
            length = rng.choice([rng.uniform(0.5, 5), rng.uniform(5, 40)])
            early = fault is Fault.TORN_JOIN
            round_ = 0 if early else rng.randint(0, BAD_ROUNDS)
            self._due.append((round_, 0.0 if early else rng.uniform(1.0, BAD_SECONDS), fault, length))
        if world.forks:  # strikes whenever a reform comes, if one comes
            self._due.append((0, 0.0, Fault.TORN_REFORM, 0.0))
        world.at(0.0, self._watch)

    @property
    def over(self) -> bool:
        """Everything drawn has struck and ended."""
        return not self._due and self._world.now >= self._over_at

    def _draw(self) -> Fault:
        return self._rng.choices(list(Fault), [WEIGHTS.get(f, 1.0) for f in Fault])[0]

    def _watch(self) -> None:
        world = self._world
        state = world.chain.view.state
        now_due = [d for d in self._due if world.now >= d[1] or (state.started and state.round >= d[0] > 0)]
        for due in now_due:
            self._due.remove(due)
            _, _, fault, seconds = due
            for _ in range(REDRAWS_MAX):
                if world.chain.over or self._strike(fault, seconds):
                    break
                fault = self._draw()
        if not self._due and sum(self.struck.values()) < FAULTS_MIN and not world.chain.over:
            self._strike(Fault.CRASH, self._rng.uniform(0.5, 5))  # for a torn join or reform that never came
        if not self.over:
            world.at(WATCH_SECONDS, self._watch)

    def _for(self, seconds: float, undo: Callable[[], None]) -> None:
        """A fault ends."""
        self._over_at = max(self._over_at, self._world.now + seconds)
        self._world.at(seconds, undo)

    def _note(self, fault: Fault, text: str) -> None:
        self.struck[fault.value] += 1
        self._world.trace(f"FAULT {fault.value}: {text}")

    # ---- who -----------------------------------------------------------------------------------------

    def _node(self) -> SimNode:
        """Anybody; every other time the leader of the open round."""
        if self._rng.random() < 0.5:
            leaders = self._leaders(1)
            if leaders:
                return leaders[0]
        return self._rng.choice(self._world.nodes)

    def _leaders(self, count: int) -> list[SimNode]:
        """Those who would lead the open round, one after the other."""
        state, roster = self._world.chain.view.state, self._world.chain.view.roster
        if not state.started or self._world.chain.over or not len(roster):
            return []
        name = state.round_name(self._world.job)
        turns = [self._world.turn(roster, name, attempt) for attempt in range(len(roster))]
        return list(dict.fromkeys(turns))[:count]

    def _spared(self, node: SimNode) -> bool:
        """Somebody else keeps every model that is or may become the merged one, or all it was made from."""
        needed = {self._world.chain.view.state.prev} - {ZERO32}
        context = node.engine.state.context if node.life else None
        if context is not None:
            needed |= {m.result.merged for m in context.results.values()}
        others = [n for n in self._world.nodes if n is not node and n.expected_to_finish]
        whole = all(_kept(b, others) or self._remakeable(b, others) for b in needed)
        return len(self._world.chain.view.roster) > 1 and whole

    def _remakeable(self, merged: BlobId, nodes: list[SimNode]) -> bool:
        """Whether the newest merged model can be made again from what these nodes keep."""
        state = self._world.chain.view.state
        bundle = self._world.chain.bundles.get((state.run, state.round - 1))
        if bundle is None or bundle.result.merged != merged or merged in self._world.invented:
            return False
        used = [i.check_in for i in bundle.items if i.check_in.weight]
        if not used or any(c.blob == merged for c in used):  # a warm start merges the very model it got
            return False
        whole = all(_kept(c.blob, [n for n in nodes if n.address == c.node]) for c in used)
        return whole and all(_kept(blob, nodes) for blob in self._before(bundle))

    def _before(self, bundle: Bundle) -> list[BlobId]:
        """The models of the rounds before, from which an outer step was made."""
        if split(method_name(bundle.result.method))[1] is None:
            return []
        name, chain = bundle.name, self._world.chain
        earlier = [chain.bundles.get((name.run, name.round - back)) for back in (1, 2)]
        return [b.result.merged for b in earlier if b is not None]

    def _may_die(self, node: SimNode) -> bool:
        if not self._deaths_left or not self._world.chain.view.state.started or not node.expected_to_finish:
            return False
        return not node.liar and self._spared(node)

    # ---- what ----------------------------------------------------------------------------------------

    def _strike(self, fault: Fault, seconds: float) -> bool:
        """Whether it could strike."""
        if fault in (Fault.DEATH, Fault.PROGRAM, Fault.LOST_DISK, Fault.REVOKE):
            return self._lose(fault, seconds)
        node = self._node()
        for part in (self._net, self._node_fault, self._disk, self._chain, self._many):
            text = part(fault, seconds, node)
            if text is not None:
                if text:
                    self._note(fault, text)
                return True
        return False

    def _net(self, fault: Fault, seconds: float, node: SimNode) -> str | None:
        net, rng = self._world.net, self._rng
        some = {n.address for n in rng.sample(self._world.nodes, rng.randint(1, max(1, len(self._world.nodes) // 2)))}
        who = " ".join(self._world.node(a).name for a in sorted(some))

        def lasting(name: str, value: float, calm: float) -> str:
            setattr(net, name, value)
            self._for(seconds, lambda: setattr(net, name, calm))
            return f"{value:.2f} for {seconds:.1f} s"

        match fault:
            case Fault.DROP:
                return lasting("drop", rng.uniform(0.05, 0.5), net.calm_drop)
            case Fault.DELAY:
                return lasting("delay_max_seconds", rng.uniform(0.1, 4.0), net.calm_delay_seconds)
            case Fault.COPY:
                return lasting("copy", rng.uniform(0.1, 0.9), 0.0)
            case Fault.LATE:
                return lasting("late", rng.uniform(0.05, 0.5), 0.0)
            case Fault.PULL:
                return lasting("pull_failure", rng.uniform(0.1, 0.9), 0.0)
            case Fault.SLOW_PULL:
                return lasting("pull_seconds", rng.uniform(1.0, 20.0), 0.0)
            case Fault.DAMAGE:
                return lasting("pull_damage", rng.uniform(0.1, 0.9), 0.0)
            case Fault.CLOG:
                pairs = net.between(some, both=rng.random() < 0.5)
                net.clog(pairs)
                self._for(seconds, lambda: net.unclog(pairs))
            case Fault.CUT | Fault.CUT_ONE_WAY:
                pairs = net.between(some, both=fault is Fault.CUT)
                if fault is Fault.CUT_ONE_WAY and rng.random() < 0.5:
                    pairs = {(b, a) for a, b in pairs}
                net.cuts |= pairs
                self._for(seconds, lambda: net.cuts.difference_update(pairs))
            case _:
                return None
        return f"{who}, {seconds:.1f} s"

    def _node_fault(self, fault: Fault, seconds: float, node: SimNode) -> str | None:
        world, rng = self._world, self._rng
        match fault:
            case Fault.CRASH:
                node.crash()
                self._for(seconds, node.start)
            case Fault.TORN | Fault.TORN_WRITE:
                if not node.up or node.tear is not None or node.tear_write:
                    return None
                if fault is Fault.TORN:
                    node.tear = rng.randrange(TEAR_WITHIN_ACTIONS)
                else:
                    node.tear_write = True
                self._for(seconds, lambda: self._revive(node))
            case Fault.FREEZE:
                if not node.awake:
                    return None
                world.rows.freezes(node)
                node.freeze()
                self._for(seconds, node.thaw)
            case Fault.NODE_CLOCK:
                node.drift(rng.uniform(0.99, 1.01))
            case Fault.LIES:
                liars = [n for n in world.nodes if isinstance(n, Liar)]
                if not liars:
                    return None
                liar, lie = rng.choice(liars), rng.choice(list(Lie))
                liar.lies[lie] = world.now + seconds
                self._for(seconds, lambda: liar.lies.pop(lie, None))
                self.struck[lie.value] += 1
                return f"{liar.name}: {lie.value}, {seconds:.1f} s"
            case _:
                return None
        return f"{node.name}, {seconds:.1f} s"

    def _revive(self, node: SimNode) -> None:
        node.tear, node.tear_write = None, False
        node.start()

    def _disk(self, fault: Fault, seconds: float, node: SimNode) -> str | None:
        world, rng = self._world, self._rng
        match fault:
            case Fault.SLOW_DISK:
                node.slow_disk = rng.uniform(0.1, 3.0)
                self._for(seconds, lambda: setattr(node, "slow_disk", 0.0))
            case Fault.DISK_FULL:
                node.disk_full = True
                self._for(seconds + 5.0, lambda: setattr(node, "disk_full", False))
            case Fault.ROT:
                merged = world.chain.view.state.prev
                holders = [n for n in world.nodes if merged in n.disk - n.rotten and n.expected_to_finish]
                if len(holders) < 2:
                    return None
                struck = rng.sample(holders, rng.randint(1, len(holders) - 1))
                for one in struck:
                    one.rotten.add(merged)
                return " ".join(n.name for n in struck)
            case Fault.LOST_MODEL:
                merged = world.chain.view.state.prev
                staying = [n for n in world.nodes if n.expected_to_finish]
                if not self._remakeable(merged, staying):
                    return None
                for one in world.nodes:
                    if merged in one.disk:
                        one.crash()
                        one.disk.discard(merged)
                        self._for(rng.uniform(0.5, 3.0), one.start)
            case _:
                return None
        return f"{node.name}, {seconds:.1f} s"

    def _chain(self, fault: Fault, seconds: float, node: SimNode) -> str | None:
        world, chain, rng = self._world, self._world.chain, self._rng
        match fault:
            case Fault.STALL:
                chain.stall(True)
                self._for(seconds, lambda: chain.stall(False))
            case Fault.BLOCK_CLOCK:
                chain.skew_seconds = rng.uniform(1.0, 60.0)
                self._for(seconds, lambda: setattr(chain, "skew_seconds", 0.0))
            case Fault.REORG_ONE | Fault.REORG_TWO:
                if not world.forks or chain.stalled or not chain.blocks:
                    return None
                chain.reorganise(1 if fault is Fault.REORG_ONE else 2, "commit", rng.choice([0.0, 1.0, 10.0]))
            case Fault.TORN_JOIN | Fault.TORN_REFORM:
                if not world.forks or (fault is Fault.TORN_JOIN and chain.view.state.started):
                    return None
                kind = "join" if fault is Fault.TORN_JOIN else "settle"
                depth, hold = rng.randint(1, 2), rng.choice([0.0, rng.uniform(0.5, 20.0)])
                chain.trap(Trap(kind, depth, hold, lambda: self._note(fault, f"{depth} deep, back in {hold:.1f} s")))
                return ""
            case Fault.SN_DOWN:
                sn = rng.choice(world.sns)
                sn.up = False
                self._for(seconds, lambda: setattr(sn, "up", True))
                return f"{sn.name}, {seconds:.1f} s"
            case Fault.SN_LATE:
                sn = rng.choice(world.sns)
                sn.lag(rng.randint(1, 5))
                self._for(seconds, lambda: setattr(sn, "behind", None))
                return f"{sn.name}, {seconds:.1f} s"
            case _:
                return None
        return f"{seconds:.1f} s"

    def _many(self, fault: Fault, seconds: float, _: SimNode) -> str | None:
        world, rng = self._world, self._rng
        match fault:
            case Fault.ALL_DOWN:
                struck = list(world.nodes)
                world.rows.all_down()
            case Fault.LEADERS:
                struck = self._leaders(2)
                seconds = max(seconds, 20.0)
            case Fault.MAJORITY:
                struck = rng.sample(world.nodes, len(world.nodes) // 2 + 1)
                seconds = rng.choice([seconds, LONG_SECONDS + seconds])
            case _:
                return None
        if len(struck) < 2:
            return None
        for one in struck:
            one.crash()
            self._for(seconds + rng.uniform(0, 2), one.start)
        return f"{' '.join(n.name for n in struck)}, {seconds:.1f} s"

    def _lose(self, fault: Fault, seconds: float) -> bool:
        """A member is lost for good."""
        leaders = self._leaders(1)
        node = leaders[0] if leaders and fault is Fault.REVOKE else self._node()
        if fault is Fault.PROGRAM and (not node.awake or node.script.ended):
            return False
        if not self._may_die(node):
            return False
        self._deaths_left -= 1
        node.expected_to_finish = False
        match fault:
            case Fault.PROGRAM:
                node.script.fail("the program raised ValueError")
            case Fault.REVOKE:
                self._world.chain.revoke(node.address)
            case _:
                node.crash()
                node.dead = True
        if fault is Fault.LOST_DISK:
            node.disk, node.journal = set(), {}
            self._for(seconds, self._world.replace(node, same_certificate=bool(self._world.seed % 2)).start)
        self._note(fault, node.name)
        return True
