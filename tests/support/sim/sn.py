"""How nodes reach the chain: SNs that may be down or run late, and each node's way to one of them.

Mirrors the SL's SN link: what was sent waits in the outbox until an SN takes it; a silent SN is replaced by the
next one on the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from swarm.core.bundle import Bundle
from swarm.core.engine.events import ChainView

from .chain import SimChain

if TYPE_CHECKING:
    from .node import SimNode
    from .world import World

FAIL_OVER_SECONDS = 8.0
"""An SN that does not answer is given up for the next one on the list after this time."""
RETRY_SECONDS = 1.0
SEND_SECONDS = 5.0
"""Without an SN a transaction is reported as not sent after this time; the outbox may still bring it to the chain."""


class SimSn:
    """One SN. ``behind``: a view it stands at while its node catches up; None: it follows the chain."""

    def __init__(self, chain: SimChain, name: str) -> None:
        self._chain, self.name = chain, name
        self.up = True
        self.behind: ChainView | None = None

    @property
    def view(self) -> ChainView:
        return self.behind or self._chain.view

    def lag(self, blocks: int) -> None:
        """Go back by some blocks and stand there."""
        kept = self._chain.blocks
        self.behind = kept[-1 - min(blocks, len(kept) - 1)].view if kept else None

    def bundle(self, run: int, round_: int) -> Bundle | None:
        state = self.view.state
        known = run == state.run and round_ < state.round
        return self._chain.bundles.get((run, round_)) if known else None


class SnLink:
    """One node's connection to the chain. ``moved``: it has turned to another SN and not read that one yet."""

    def __init__(self, world: World, node: SimNode, index: int) -> None:
        self._world, self._node, self._index = world, node, index
        self._silent_since: float | None = None
        self._outbox: list[Callable[[], None]] = []
        self.moved = False
        self._reorgs = 0

    @property
    def sn(self) -> SimSn:
        return self._world.sns[self._index]

    def view(self) -> ChainView | None:
        """What the SN says now; None if it does not answer (it is asked again, then replaced)."""
        if self.sn.up:
            self._silent_since = None
            self._flush()
            if self.moved:
                self.moved = False
                self._world.rows.failed_over()
            return self._counted(self.sn.view)
        now = self._world.now
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since >= FAIL_OVER_SECONDS and len(self._world.sns) > 1:
            self._index = (self._index + 1) % len(self._world.sns)
            self._silent_since = None
            self.moved = True
            self._world.trace(f"{self._node.name} turns to {self.sn.name}")
        self._node.look_again(RETRY_SECONDS)
        return None

    def _counted(self, view: ChainView) -> ChainView:
        """With the reorganisations that this node was told of: an SN that runs late tells of none."""
        self._reorgs = max(self._reorgs, view.reorgs)
        return view if view.reorgs == self._reorgs else replace(view, reorgs=self._reorgs)

    def send(self, fn: Callable[[], None], unsent: Callable[[], None]) -> None:
        """Bring a transaction to the chain: now, or when there is an SN again (``unsent`` is told meanwhile)."""
        if self.sn.up:
            self._world.at(self._world.rng.uniform(0.001, 0.02), fn)
            return
        self._outbox.append(fn)
        self._node.later(SEND_SECONDS, unsent)
        self.view()

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        for fn in outbox:
            self._world.at(self._world.rng.uniform(0.001, 0.02), fn)
