"""The simulator's network: pulses with one slot a peer, pulls from holders; loss, delay, copies and cuts.

Mirrors the SL's peering: the newest pulse replaces a waiting one, a refused connection is told at once, a cut
only after a time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarm.core.engine import events as ev
from swarm.core.engine.messages import Pulse
from swarm.core.ids import Address, BlobId

if TYPE_CHECKING:
    from .node import SimNode
    from .world import World

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
CALM_DELAY_SECONDS = 0.01
REFUSED_UNREACHABLE = 6


class SimNet:
    """Probabilities hold per message; ``cuts`` are ordered pairs (from, to)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.drop = self.copy = self.pull_failure = 0.0
        self.calm_drop = 0.0
        self.delay_max_seconds = self.calm_delay_seconds = CALM_DELAY_SECONDS
        self.cuts: set[tuple[Address, Address]] = set()
        self._waiting: dict[tuple[Address, Address], Pulse] = {}
        self._busy: dict[tuple[Address, Address], int] = {}
        self._calls = 0

    def calm(self) -> None:
        """No message is lost or late from now on."""
        self.drop = self.calm_drop = 0.0
        self.delay_max_seconds = self.calm_delay_seconds = CALM_DELAY_SECONDS

    def cut(self, group: set[Address], *, cut: bool) -> None:
        """Cut this group off from all others in both directions, or mend that."""
        others = {n.address for n in self._world.nodes} - group
        pairs = {(a, b) for a in group for b in others} | {(b, a) for a in group for b in others}
        self.cuts = self.cuts | pairs if cut else self.cuts - pairs

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

        def settle(event: ev.Event) -> None:
            nonlocal settled
            if settled:
                return
            settled = True
            sender.step(event)
            if sender.up:
                self._next(sender, to)

        def silent(text: str) -> None:
            settle(ev.PeerSilent(to, text))

        def answer(said: Pulse) -> None:
            if self._lost(to, sender.address):
                return
            sender.later(self._delay(), lambda: settle(ev.PulseArrived(to, said)))

        def arrive() -> None:
            def reply() -> None:
                if not receiver.up:
                    return
                said = receiver.engine.pulse_for(sender.address)
                world.checks.said(receiver, said)
                answer(said)

            receiver.step(ev.PulseArrived(sender.address, pulse), reply)

        if not receiver.up and key not in self.cuts:
            sender.later(0.005, lambda: silent("connection refused"))
            return
        sender.later(CONNECT_SECONDS if key in self.cuts else TOTAL_SECONDS, lambda: silent("timed out"))
        if self._lost(*key):
            return
        receiver.later(self._delay(), arrive)
        if world.rng.random() < self.copy:
            receiver.later(self._delay() * 20, arrive)

    def pull(self, node: SimNode, blob: BlobId, sources: list[Address]) -> None:
        """Try one source after the other."""
        world = self._world
        if not sources:
            text = "no source serves it"
            node.later(0.01, lambda: node.fetched(ev.BlobFailed(blob, REFUSED_UNREACHABLE, text)))
            return
        source = world.node(sources[0])
        pair = (node.address, source.address)
        cut = pair in self.cuts or pair[::-1] in self.cuts or source.frozen
        if cut or world.rng.random() < self.pull_failure:
            node.later(CONNECT_SECONDS if cut else 0.5, lambda: self.pull(node, blob, sources[1:]))
            return

        def read() -> None:
            serves = source.up and not source.frozen and blob in source.disk
            if serves and source.engine.may_read(node.address, blob):
                held = world.blobs[blob]
                node.fetched(ev.BlobVerified(blob, held.size, held.manifest, held.finite))
            else:
                self.pull(node, blob, sources[1:])

        node.later(self._delay() + world.rng.uniform(0.001, 0.05), read)

    def _lost(self, sender: Address, to: Address) -> bool:
        return (sender, to) in self.cuts or self._world.rng.random() < self.drop

    def _delay(self) -> float:
        return self._world.rng.uniform(0.0005, self.delay_max_seconds)
