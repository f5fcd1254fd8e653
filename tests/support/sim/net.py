"""The simulator's network: pulses with one slot a peer, pulls from holders; loss, delay, copies, cuts, clogs.

Mirrors the SL's peering: the newest pulse replaces a waiting one, a refused connection is told at once, a cut
only after a time-out, a server that does not know a member yet says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from swarm.core.engine import events as ev
from swarm.core.engine.messages import Pulse
from swarm.core.ids import Address, BlobId

if TYPE_CHECKING:
    from .node import SimNode
    from .world import World

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
LATE_SECONDS = 40.0
"""A reordered message arrives up to so much later: long after its sender has given it up and said newer things."""
CALM_DELAY_SECONDS = 0.01
MOVED_SECONDS = 0.5
REFUSED_HASH, REFUSED_UNREACHABLE = 1, 6

Pair = tuple[Address, Address]


class SimNet:
    """Probabilities hold per message or pull; ``cuts`` and ``clogs`` are ordered pairs (from, to)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.drop = self.copy = self.late = self.pull_failure = self.pull_damage = 0.0
        self.calm_drop = 0.0
        self.pull_seconds = 0.0
        self.delay_max_seconds = self.calm_delay_seconds = CALM_DELAY_SECONDS
        self.cuts: set[Pair] = set()
        self.clogs: dict[Pair, list[tuple[SimNode, Callable[[], None]]]] = {}
        self._waiting: dict[Pair, Pulse] = {}
        self._busy: dict[Pair, int] = {}

    def calm(self) -> None:
        """No message is lost or late from now on."""
        self.drop = self.calm_drop = 0.0
        self.delay_max_seconds = self.calm_delay_seconds = CALM_DELAY_SECONDS

    def between(self, group: set[Address], *, both: bool = True) -> set[Pair]:
        """Every link from this group to all others, and back."""
        others = {n.address for n in self._world.nodes} - group
        out = {(a, b) for a in group for b in others}
        return out | {(b, a) for a, b in out} if both else out

    def cut(self, group: set[Address], *, cut: bool) -> None:
        """Cut this group off from all others in both directions, or mend that."""
        pairs = self.between(group)
        self.cuts = self.cuts | pairs if cut else self.cuts - pairs

    def clog(self, pairs: Iterable[Pair]) -> None:
        """These links move nothing until they are unclogged; then all of it arrives at once."""
        for pair in pairs:
            self.clogs.setdefault(pair, [])

    def unclog(self, pairs: Iterable[Pair]) -> None:
        for pair in sorted(pairs):
            for node, fn in self.clogs.pop(pair, []):
                node.later(self._delay(), fn)

    # ---- pulses --------------------------------------------------------------------------------------

    def post(self, sender: SimNode, to: Address, pulse: Pulse) -> None:
        key = (sender.address, to)
        self._waiting[key] = pulse
        life = self._busy.get(key)
        if life is None or life != id(sender.engine):
            self._next(sender, to)

    def _next(self, sender: SimNode, to: Address) -> None:
        key = (sender.address, to)
        pulse = self._waiting.pop(key, None)
        if pulse is None or not sender.up:
            self._busy.pop(key, None)
            return
        self._busy[key] = id(sender.engine)
        world, receiver = self._world, self._world.node(to)
        settled = False

        def settle(event: ev.Event | None) -> None:
            nonlocal settled
            if settled:
                return
            settled = True
            if event is not None:
                sender.step(event)
            if sender.up:
                self._next(sender, to)

        def answer(said: Pulse | None) -> None:
            event = None if said is None else ev.PulseArrived(to, said)
            if not self._lost(to, sender.address):
                self._carry((to, sender.address), sender, lambda: settle(event))

        def arrive() -> None:
            def reply() -> None:
                if receiver.up:
                    answer(receiver.tell(sender.address, receiver.engine.pulse_for(sender.address)))

            if self._admits(receiver, sender.address):
                receiver.step(ev.PulseArrived(sender.address, pulse), reply)
            else:
                answer(None)

        if not receiver.up and key not in self.cuts:
            sender.later(0.005, lambda: settle(ev.PeerSilent(to, "connection refused")))
            return
        wait = CONNECT_SECONDS if key in self.cuts else TOTAL_SECONDS
        sender.later(wait, lambda: settle(ev.PeerSilent(to, "timed out")))
        if self._lost(*key):
            return
        if world.rng.random() < self.late:
            receiver.later(world.rng.uniform(TOTAL_SECONDS, LATE_SECONDS), arrive)
            return
        self._carry(key, receiver, arrive)
        if world.rng.random() < self.copy:
            receiver.later(self._delay() * 20, arrive)

    def _admits(self, receiver: SimNode, sender: Address) -> bool:
        """The server's question to the chain: is this an active member that takes part?"""
        view = receiver.engine.state.view
        if view is None or not (view.joined(sender) or sender in view.roster):
            receiver.look(0.01)
            return False
        return sender in view.active

    def _carry(self, pair: Pair, to: SimNode, fn: Callable[[], None]) -> None:
        if pair in self.clogs:
            self.clogs[pair].append((to, fn))
        else:
            to.later(self._delay(), fn)

    # ---- blobs ---------------------------------------------------------------------------------------

    def pull(self, node: SimNode, blob: BlobId, sources: list[Address], reason: int = REFUSED_UNREACHABLE) -> None:
        """Try one source after the other."""
        self._pull(node, blob, sources, 0, reason)

    def show(self, node: SimNode, blob: BlobId, peer: Address) -> None:
        """Pull from this one source, into a place of its own."""
        world, source = self._world, self._world.node(peer)
        pair = (node.address, source.address)

        def read() -> None:
            cut = any(p in self.cuts or p in self.clogs for p in (pair, pair[::-1])) or source.frozen
            if cut or not source.serves(node.address, blob):
                node.step(ev.BlobShown(blob, peer, "it does not serve it"))
                return
            world.checks.served(source, node.address, blob)
            if blob in source.rotten or world.rng.random() < self.pull_damage:
                node.step(ev.BlobShown(blob, peer, "its bytes have another hash"))
                return
            held = world.blobs[blob]
            node.fetched(ev.BlobVerified(blob, held.size, held.manifest, held.odd, held.where))
            node.step(ev.BlobShown(blob, peer, ""))

        node.later(self._delay() + world.rng.uniform(0.001, 0.05), read)

    def _pull(self, node: SimNode, blob: BlobId, sources: list[Address], tried: int, reason: int) -> None:
        world = self._world
        if tried == len(sources):
            node.later(0.01, lambda: node.fetched(ev.BlobFailed(blob, reason, "no source serves it")))
            return
        source = world.node(sources[tried])
        pair = (node.address, source.address)
        cut = any(p in self.cuts or p in self.clogs for p in (pair, pair[::-1])) or source.frozen
        if cut or world.rng.random() < self.pull_failure:
            node.later(CONNECT_SECONDS if cut else 0.5, lambda: self._pull(node, blob, sources, tried + 1, reason))
            return
        seconds = self._delay() + world.rng.uniform(0.001, 0.05) + world.rng.uniform(0.0, self.pull_seconds)

        def read() -> None:
            if not source.serves(node.address, blob):
                self._pull(node, blob, sources, tried + 1, reason)
                return
            world.checks.served(source, node.address, blob)
            if blob in source.rotten or world.rng.random() < self.pull_damage:
                self._pull(node, blob, sources, tried + 1, REFUSED_HASH)
                return
            held = world.blobs[blob]
            if tried:
                world.rows.fetched_elsewhere(blob)
            node.fetched(ev.BlobVerified(blob, held.size, held.manifest, held.odd, held.where))

        self._move(node, blob, seconds, 1, read)

    def _move(self, node: SimNode, blob: BlobId, left: float, chunks: int, read: Callable[[], None]) -> None:
        """A pull that takes its time tells so."""
        if left <= MOVED_SECONDS:
            node.later(left, read)
            return

        def moved() -> None:
            node.step(ev.BlobMoved(blob, chunks))
            self._move(node, blob, left - MOVED_SECONDS, chunks + 1, read)

        node.later(MOVED_SECONDS, moved)

    def _lost(self, sender: Address, to: Address) -> bool:
        return (sender, to) in self.cuts or self._world.rng.random() < self.drop

    def _delay(self) -> float:
        return self._world.rng.uniform(0.0005, self.delay_max_seconds)
