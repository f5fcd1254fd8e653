"""A whole swarm under virtual time: N production engines, one chain model, one network, one seed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from swarm.core.engine import Config
from swarm.core.engine.context import Held
from swarm.core.ids import Address, BlobId, sha256

from .chain import JOB, Keys, SimChain
from .checks import Checks
from .net import SimNet
from .node import Plan, SimNode

STEPS_MAX = 2_000_000
"""Events in one simulation: above this something spins."""


def base_config() -> Config:
    """Every node's settings: the defaults, but a program counts as stuck after a minute."""
    return Config(me=Address(bytes(20)), job=JOB, domain=sha256(b"domain"), leader_failure_seconds=60.0)


class World:
    """Everything of one simulation.

    Args:
        plans: one per node.
        ticking: False takes the clock's ticks away: what still happens was caused by events alone.
        block_seconds: mean time from a transaction to its block.
    """

    def __init__(
        self,
        seed: int,
        plans: Sequence[Plan],
        *,
        ticking: bool = True,
        block_seconds: float = 0.05,
        config: Config | None = None,
    ) -> None:
        self.seed, self.ticking = seed, ticking
        self.rng = random.Random(seed)
        self.now = 0.0
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.blobs: dict[BlobId, Held] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.domain = base_config().domain
        self.keys = Keys()
        addresses = sorted(Address(sha256(b"%d %d" % (seed, i))[:20]) for i in range(len(plans)))
        base = config or base_config()
        self.checks = Checks(self)
        self.chain = SimChain(self, addresses, block_seconds)
        self.net = SimNet(self)
        self.nodes = [
            SimNode(self, address, f"n{i}", plan, replace(base, me=address))
            for i, (address, plan) in enumerate(zip(addresses, plans, strict=True))
        ]
        self._by_address = {n.address: n for n in self.nodes}

    def node(self, address: Address) -> SimNode:
        return self._by_address[address]

    def at(self, seconds: float, fn: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + seconds, self._order, fn))

    def trace(self, text: str) -> None:
        self.lines.append(f"{self.now:9.3f} {text}")

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def new_blob(self, text: str, held: Held) -> BlobId:
        blob = BlobId(sha256(f"{self.seed} {text}".encode()))
        self.blobs[blob] = held
        return blob

    def block(self) -> None:
        """A block was mined: everybody hears of it, sooner or later."""
        self.checks.opened(self.chain.view.roster)
        for node in self.nodes:
            node.look(self.rng.uniform(0.001, 0.05))

    def torn(self, node: SimNode) -> None:
        self.count("torn step")
        node.crash()

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Go on until the condition holds, at most so many virtual seconds; whether it came to hold."""
        end = self.now + seconds
        for _ in range(STEPS_MAX):
            if until():
                return True
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                return until()
            self.now, _, fn = heapq.heappop(self._heap)
            fn()
        raise AssertionError(f"{STEPS_MAX} events in {seconds} virtual seconds")

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def finished(self) -> bool:
        """Everybody who can has ended."""
        return all(n.exit_code is not None for n in self.nodes if n.expected_to_finish)

    def tail(self, count: int = 60) -> str:
        return "\n".join(self.lines[-count:])
