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
from swarm.core.roster import Roster, leader
from swarm.core.statements import RoundName

from .chain import JOB, SimChain
from .checks import Checks
from .keys import Keys, remember_hashes
from .liar import Liar
from .net import SimNet
from .node import Plan, SimNode
from .rows import Rows
from .sn import SimSn

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
        sns: SNs of the swarm; nodes are spread over them.
        forks: the chain may reorganise, so its past is kept.
        liars: so many of the nodes lie (:mod:`.liar`).
    """

    def __init__(
        self,
        seed: int,
        plans: Sequence[Plan],
        *,
        ticking: bool = True,
        block_seconds: float = 0.05,
        config: Config | None = None,
        sns: int = 1,
        forks: bool = False,
        liars: int = 0,
    ) -> None:
        remember_hashes()
        self.seed, self.ticking, self.forks = seed, ticking, forks
        self.rng = random.Random(seed)
        self.now = 0.0
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.blobs: dict[BlobId, Held] = {}
        self.recipes: dict[bytes, BlobId] = {}
        """What each merged model was made from and how, and what came out."""
        self.trained_from: dict[BlobId, int] = {}
        """Round of the merged model that each program's own model was trained from; -1: none."""
        self.invented: set[BlobId] = set()
        """Models that a liar merged as it pleased."""
        self.liars = liars
        self.heirs: dict[Address, Address] = {}
        """Whose place a node took, by its own address."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.domain, self.job = base_config().domain, JOB
        self.keys = Keys()
        addresses = sorted(Address(sha256(b"%d %d" % (seed, i))[:20]) for i in range(len(plans)))
        self._config = config or base_config()
        self.nervous = self._config.live_seconds < base_config().live_seconds
        self.checks, self.rows = Checks(self), Rows(self)
        self.chain = SimChain(self, addresses, block_seconds)
        self.sns = [SimSn(self.chain, f"sn{i}") for i in range(sns)]
        self.net = SimNet(self)
        self.nodes: list[SimNode] = []
        self._by_address: dict[Address, SimNode] = {}
        liar_at = set(random.Random(seed).sample(range(len(plans)), liars))
        for index, (address, plan) in enumerate(zip(addresses, plans, strict=True)):
            self._add(Liar if index in liar_at else SimNode, address, plan)

    def _add(self, kind: type[SimNode], address: Address, plan: Plan) -> SimNode:
        number = len(self.nodes)
        config = replace(self._config, me=address)
        node = kind(self, address, f"n{number}", plan, config, number % len(self.sns))
        self.nodes.append(node)
        self._by_address[address] = node
        return node

    def replace(self, lost: SimNode, *, same_certificate: bool = False) -> SimNode:
        """A node whose disk is gone comes back as another one: new key, new address, admitted anew.

        Args:
            same_certificate: it takes the lost one's place (``succeed``), which is revoked.
        """
        address = Address(sha256(b"%d again %d" % (self.seed, len(self.nodes)))[:20])
        if same_certificate:
            self.heirs[address] = lost.address
            self.chain.succeed(lost.address, address)
        else:
            self.chain.admit(address)
        return self._add(SimNode, address, lost.script.plan)

    def turn(self, roster: Roster, name: RoundName, attempt: int) -> SimNode:
        """Whose turn it is to lead."""
        address = leader(roster, name.job, name.run, name.round, attempt)
        assert address is not None
        return self._by_address[address]

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

    def made(
        self, method: str, blobs: Sequence[BlobId], coefficients: Sequence[float], past: bytes = b""
    ) -> BlobId | None:
        """What somebody's merge of these gave; None if nobody ever made it."""
        alike = not past and len(set(blobs)) == 1
        return blobs[0] if alike else self.recipes.get(_recipe(method, blobs, coefficients, past))

    def merged(
        self, method: str, blobs: Sequence[BlobId], coefficients: Sequence[float], held: Held, past: bytes = b""
    ) -> BlobId:
        """The file that this merge gives, on whatever machine; ``past``: its outer step, and what that starts from."""
        if not past and len(set(blobs)) == 1:
            return blobs[0]  # what all agree on comes out bit for bit
        recipe = _recipe(method, blobs, coefficients, past)
        if recipe not in self.recipes:
            self.recipes[recipe] = self.new_blob(f"merged {recipe.hex()}", held)
        return self.recipes[recipe]

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

    def calm(self) -> None:
        """From now on nothing goes wrong, and nobody lies."""
        self.net.calm()
        for node in self.nodes:
            if isinstance(node, Liar):
                node.lies.clear()

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def finished(self) -> bool:
        """Everybody who can has ended."""
        return all(n.exit_code is not None for n in self.nodes if n.expected_to_finish)

    def tail(self, count: int = 60) -> str:
        return "\n".join(self.lines[-count:])


def _recipe(method: str, blobs: Sequence[BlobId], coefficients: Sequence[float], past: bytes) -> bytes:
    return method.encode() + b"".join(blobs) + str(tuple(coefficients)).encode() + past
