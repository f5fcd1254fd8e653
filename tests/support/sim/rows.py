"""How often a simulation exercised each row of the protocol's failure table: seen from outside, by what happened.

Owns one detector a row. A row counts when its trouble struck and the swarm then did what the table says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from swarm.core.bundle import Bundle
from swarm.core.engine import actions as act
from swarm.core.ids import ZERO32, Address, BlobId
from swarm.core.roster import leader
from swarm.core.statements import CheckIn

if TYPE_CHECKING:
    from support.model.training import Event

    from .chain import Transaction
    from .node import SimNode
    from .world import World

WATCH_SECONDS = 1.0
WAITED_SECONDS = 15.0
"""A round that stood so long with fewer than minPeers alive has waited for them."""


class Row(Enum):
    """The failure table of docs/protocol.md, row by row."""

    LEADER_REPLACED = "leader replaced"
    NEXT_LEADER_DEAD = "next leader dead too"
    THAWED_LEADER = "thawed leader followed"
    FOLLOWER_DEAD = "dead follower not waited for"
    RESTARTED = "restarted node, same check-in"
    POWER_LOSS = "power loss of all"
    REFORM = "call settled, reform"
    MIN_PEERS = "fewer than minPeers waited"
    OTHER_HOLDER = "blob from another holder"
    RE_MERGE = "merged again from inputs"
    SN_LOST = "SN failed over"
    CHAIN_STALLED = "chain stalled"
    COMMIT_ORPHANED = "commit reorganised"
    LEADER_REVOKED = "leader revoked"


class Rows:
    """The observer of one simulation; ``counts`` by row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.counts: Counter[Row] = Counter()
        self._slept: dict[Address, tuple[int, int]] = {}
        self._repeated: set[tuple[Address, CheckIn]] = set()
        self._all_down = self._stalled = self._few = False
        self._few_since: float | None = None
        self._orphaned: set[tuple[int, int]] = set()
        world.at(WATCH_SECONDS, self._watch)

    def _seen(self, row: Row) -> None:
        self.counts[row] += 1
        self._world.trace(f"ROW {row.value}")

    # ---- the chain -----------------------------------------------------------------------------------

    def committed(self, bundle: Bundle) -> None:
        """A commit is mined: what stood against it?"""
        name = bundle.name

        def first(attempt: int) -> SimNode | None:
            found = leader(bundle.roster, name.job, name.run, name.round, attempt)
            return self._world.node(found) if found is not None else None

        turns = [first(attempt) for attempt in range(min(bundle.attempt, len(bundle.roster)))]
        gone = [n is not None and (not n.awake or n.dead) for n in turns]
        if bundle.attempt and gone[0]:
            self._seen(Row.LEADER_REPLACED)
        if bundle.attempt > 1 and len(gone) > 1 and gone[0] and gone[1]:
            self._seen(Row.NEXT_LEADER_DEAD)
        inside = {i.check_in.node for i in bundle.items}
        missing = [self._world.node(n) for n in bundle.roster.addresses if n not in inside]
        if any(not n.awake for n in missing):
            self._seen(Row.FOLLOWER_DEAD)
        if turns and turns[0] is not None and turns[0].address not in self._world.chain.view.active:
            self._seen(Row.LEADER_REVOKED)
        key = (name.run, name.round)
        if key in self._orphaned:
            self._orphaned.discard(key)
            self._seen(Row.COMMIT_ORPHANED)
        for flag, row in (
            ("_all_down", Row.POWER_LOSS),
            ("_stalled", Row.CHAIN_STALLED),
            ("_few", Row.MIN_PEERS),
        ):
            if getattr(self, flag):
                setattr(self, flag, False)
                self._seen(row)
        self._few_since = None

    def mined(self, events: Sequence[Event]) -> None:
        if any(e.name == "Reformed" for e in events):
            self._seen(Row.REFORM)

    def orphaned(self, transactions: Sequence[Transaction], lost: set[tuple[int, int]]) -> None:
        if any(tx.kind == "commit" for tx in transactions):
            self._orphaned |= lost

    def stall_ends(self) -> None:
        """The chain moves again: a commit that waited for it counts when it is mined."""
        self._stalled = self._world.chain.waits_for("commit")

    def failed_over(self) -> None:
        if not self._world.chain.over:
            self._seen(Row.SN_LOST)

    # ---- nodes ---------------------------------------------------------------------------------------

    def freezes(self, node: SimNode) -> None:
        """Remember which round the node leads while it sleeps."""
        context = node.engine.state.context if node.up else None
        if context is not None and context.leader() == node.address:
            self._slept[node.address] = (context.name.run, context.name.round)

    def loads(self, node: SimNode, run: int, round_: int) -> None:
        slept = self._slept.pop(node.address, None)
        bundle = self._world.chain.bundles.get(slept) if slept is not None else None
        if bundle is not None and (run, round_) >= slept and bundle.leader != node.address:
            self._seen(Row.THAWED_LEADER)

    def says_again(self, node: SimNode, check_in: CheckIn) -> None:
        """A check-in of an earlier life is repeated as it was."""
        if (node.address, check_in) not in self._repeated:
            self._repeated.add((node.address, check_in))
            self._seen(Row.RESTARTED)

    def all_down(self) -> None:
        self._all_down = self._world.chain.view.state.started

    def fetched_elsewhere(self, blob: BlobId) -> None:
        if blob in self._world.recipes.values():
            self._seen(Row.OTHER_HOLDER)

    def merges(self, node: SimNode, action: act.Merge) -> None:
        view = node.engine.state.view
        if view is not None and (action.name.run, action.name.round) < (view.state.run, view.state.round):
            self._seen(Row.RE_MERGE)

    def _watch(self) -> None:
        """Once a second: are fewer than minPeers alive?"""
        chain = self._world.chain
        state = chain.view.state
        alive = sum(n.awake and chain.view.joined(n.address) for n in self._world.nodes)
        if not state.started or chain.over or state.prev == ZERO32 or alive >= state.min_peers:
            self._few_since = None
        elif self._few_since is None:
            self._few_since = self._world.now
        elif self._world.now - self._few_since >= WAITED_SECONDS:
            self._few = True
        self._world.at(WATCH_SECONDS, self._watch)
