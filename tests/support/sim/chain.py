"""The simulator's chain: the contract model behind blocks that take time, may stall, and reach nodes late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from support.model.training import Event, MembershipModel, TrainingModel, Tx
from swarm.core.bundle import Bundle
from swarm.core.chain_view import Phase, Role
from swarm.core.engine.events import ChainView
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, Digest, job_id, sha256
from swarm.core.roster import Roster

if TYPE_CHECKING:
    from .world import World

JOB = job_id(DEFAULT_JOB)
FAR = 4_000_000_000
"""An expiry that no simulation reaches, seconds."""
EPOCH_SECONDS = 1_700_000_000
HEARTBEAT_SECONDS = 5.0
ADMIN = Address(sha256(b"admin")[:20])

Call = Callable[[Tx], list[Event]]
Done = Callable[[Reverted | None], None]


class SimChain:
    """Blocks appear ``block_seconds`` after the first waiting transaction, and as heartbeats in between."""

    def __init__(self, world: World, nodes: Sequence[Address], block_seconds: float) -> None:
        self._world, self._block_seconds = world, block_seconds
        self.members = MembershipModel(ADMIN)
        self.model = TrainingModel(self.members, world.keys, world.domain)
        self.number, self.time = 1, EPOCH_SECONDS
        self.stalled = False
        self.bundles: dict[tuple[int, int], Bundle] = {}
        self._pending: list[tuple[Address, Call, Done]] = []
        self._mining = False
        tx = Tx(ADMIN, 0, EPOCH_SECONDS)
        self.members.admit(tx, ADMIN, sha256(b"admin's key"), ZERO32, ZERO32, Role.SN, FAR)
        for node in nodes:
            self.members.admit(tx, node, sha256(node), ZERO32, ZERO32, Role.SL, FAR)
        self.view = self._look()
        world.at(HEARTBEAT_SECONDS, self._heartbeat)

    def send(self, sender: Address, call: Call, done: Done) -> None:
        """A signed transaction: once here it is mined some day, whatever becomes of its sender."""
        self._pending.append((sender, call, done))
        self._wake()

    def commit(self, sender: Address, bundle: Bundle, done: Done) -> None:
        def call(tx: Tx) -> list[Event]:
            before = self.model.state(JOB)
            events = self.model.commit(tx, [bundle])
            self.bundles[(bundle.name.run, bundle.name.round)] = bundle
            self._world.checks.committed(bundle, before, self.model.state(JOB))
            return events

        self.send(sender, call, done)

    def revoke(self, node: Address) -> None:
        self.send(ADMIN, lambda tx: self.members.revoke(tx, node), lambda _: None)

    def stall(self, stalled: bool) -> None:
        self.stalled = stalled
        if not stalled:
            self._wake()

    def _wake(self) -> None:
        if self._pending and not self._mining and not self.stalled:
            self._mining = True
            self._world.at(self._block_seconds * self._world.rng.uniform(0.5, 1.5), self._mine)

    def _heartbeat(self) -> None:
        if not self._mining and not self.stalled:
            self._mine()
        self._world.at(HEARTBEAT_SECONDS, self._heartbeat)

    def _mine(self) -> None:
        self._mining = False
        if self.stalled:
            return
        batch, self._pending = self._pending, []
        self.number += 1
        self.time = max(self.time, EPOCH_SECONDS + int(self._world.now))
        for sender, call, done in batch:
            fault: Reverted | None = None
            try:
                call(Tx(sender, self.number, self.time))
            except Reverted as reverted:
                fault = reverted
            self._world.at(self._world.rng.uniform(0.001, 0.02), lambda d=done, f=fault: d(f))
        self.view = self._look()
        self._world.block()
        self._wake()

    def _look(self) -> ChainView:
        state = self.model.state(JOB)
        roster = self.model.roster_of(JOB) if state.started else Roster(())
        joiners = {j.node: j for j in self.model.joiners_of(JOB)}
        everybody = set(joiners) | set(roster.addresses)
        active = frozenset(n for n in everybody if self.members.is_active(n, self.time))
        return ChainView(state, roster, joiners, active, self.number, self.time)

    @property
    def waiting(self) -> list[Address]:
        """Senders of the transactions that are not mined yet."""
        return [sender for sender, _, _ in self._pending]

    @property
    def over(self) -> bool:
        return self.view.state.phase is Phase.COMPLETE

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


class Keys:
    """Signatures for a simulation: r binds digest and signer, vs names the signer."""

    def recover(self, digest: Digest, signature: Any) -> Address | None:
        signer = Address(signature.vs[12:])
        return signer if signature.r == _mark(signer, digest) else None


def _mark(signer: Address, digest: Digest) -> bytes:
    return bytes(a ^ b for a, b in zip(digest, signer.ljust(32, b"\x5a"), strict=True))


class Key:
    """The signer of one node."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def sign(self, digest: Digest) -> Any:
        from swarm.core.statements import Signature

        return Signature(_mark(self.address, digest), self.address.rjust(32, b"\0"))
