"""A lying member: an honest shell around the engine whose pulses tell lies, each well signed.

Owns the lies; what they may achieve (little) is what simulations with liars show.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Any

from swarm.core.bundle import Contribution
from swarm.core.checkinflags import behind_flags
from swarm.core.engine.context import Held, RoundContext
from swarm.core.engine.messages import ProposalMessage, Pulse, Signed
from swarm.core.ids import ZERO32, Address, BlobId, Digest, sha256
from swarm.core.limits import ATTEMPT_AHEAD_MAX
from swarm.core.statements import Ack, CheckIn, Proposal, Statement, Takeover, inputs_hash

from .keys import Key
from .node import SimNode
from .script import MODEL_BYTES

OLD_PULSES_KEPT = 16
CALL_SECONDS = 1.0
ATTEMPT_LAST = 2**32 - 1


class Lie(Enum):
    """What a liar does for a while."""

    HASH = "lie: check-in of bytes that are not there"
    PREV = "lie: statements over another prev"
    CHECK_INS = "lie: two check-ins of one version"
    PROPOSAL = "lie: proposals it may not make"
    RESULTS = "lie: two results in its own turn"
    ACKS = "lie: two acks for one attempt"
    TAKEOVERS = "lie: takeovers without end or memory"
    ATTEMPTS = "lie: jumps of the attempt"
    CALLS = "lie: calls without end"
    REPLAY = "lie: statements of old rounds"


class Liar(SimNode):
    """``lies``: those it tells now, with the time when it stops."""

    liar = True

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.lies: dict[Lie, float] = {}
        self.expected_to_finish = False
        self._old: list[Pulse] = []
        self.world.at(CALL_SECONDS, self._call)

    def serves(self, reader: Address, blob: BlobId) -> bool:
        return self.awake and blob in self.disk

    def tell(self, peer: Address, pulse: Pulse) -> Pulse:
        honest = super().tell(peer, pulse)
        told = honest
        context = self.engine.state.context
        for lie in [lie for lie in Lie if lie in self.lies]:
            if context is not None and self.world.rng.random() < 0.7:
                told = self._lie(lie, peer, told, context)
        self._old = [*self._old, honest][-OLD_PULSES_KEPT:]
        return told

    def _lie(self, lie: Lie, peer: Address, pulse: Pulse, context: RoundContext) -> Pulse:
        rng = self.world.rng
        match lie:
            case Lie.HASH:
                for signed in pulse.statements:
                    if isinstance(signed.statement, CheckIn) and rng.random() < 0.5:
                        self.rotten.add(signed.statement.blob)
                        return pulse
                return self._changed(pulse, CheckIn, blob=BlobId(sha256(b"nothing %d" % rng.randrange(8))))
            case Lie.PREV:
                name = replace(context.name, prev=BlobId(sha256(b"another past")))
                for kind in (CheckIn, Takeover, Ack):
                    pulse = self._changed(pulse, kind, name=name)
                return pulse
            case Lie.CHECK_INS:
                # To each peer another weight and age of its model, some older than the run.
                return self._changed(pulse, CheckIn, weight=1 + peer[0] % 100, flags=behind_flags(peer[1] % 4))
            case Lie.PROPOSAL:
                return replace(pulse, proposal=self._proposal(context) or pulse.proposal)
            case Lie.RESULTS:
                return replace(pulse, proposal=self._second(context) or pulse.proposal)
            case Lie.ACKS:
                results = [*context.results, Digest(sha256(b"any result"))]
                attempt = rng.choice([0, context.promised, context.promised + 1])
                return self._said(pulse, Ack(context.name, attempt, rng.choice(results), self.address))
            case Lie.TAKEOVERS:
                attempt = context.promised + rng.randint(1, 3)
                return self._said(pulse, Takeover(context.name, attempt, 0, ZERO32, self.address))
            case Lie.ATTEMPTS:
                attempt = rng.choice([context.promised + ATTEMPT_AHEAD_MAX, ATTEMPT_LAST, context.promised + 1000])
                return self._said(pulse, Takeover(context.name, min(attempt, ATTEMPT_LAST), 0, ZERO32, self.address))
            case Lie.REPLAY:
                old = rng.choice(self._old) if self._old else pulse
                if rng.random() < 0.5:
                    return old
                return replace(pulse, statements=old.statements, proposal=old.proposal, certificate=old.certificate)
            case Lie.CALLS:
                return pulse

    def _proposal(self, context: RoundContext) -> ProposalMessage | None:
        """One that breaks a rule: no turn, no takeovers, missing items, wrong shares, or an invented model."""
        rng = self.world.rng
        known = [*context.results.values()]
        if not known:
            return None
        message = rng.choice(known)
        items = message.items
        result = message.result
        match rng.randrange(4):
            case 0:
                items = items[1:]
            case 1:
                items = tuple(Contribution(i.check_in, i.signature, i.coefficient / 2) for i in items)
            case 2:
                result = replace(result, merged=self._invent(Digest(result.manifest)))
            case _:
                pass
        digests = [(i.check_in.digest(self.world.domain), i.coefficient) for i in items]
        result = replace(result, inputs=inputs_hash(digests))
        attempts = [a for a in range(context.promised, context.promised + 9) if context.leader(a) == self.address]
        attempt = rng.choice([context.promised, *attempts])
        signed = self._sign(Proposal(context.name, attempt, self.address, result.hash()))
        takeovers = context.entitled(attempt) if rng.random() < 0.5 else ()
        return ProposalMessage(signed, result, items, takeovers)

    def _second(self, context: RoundContext) -> ProposalMessage | None:
        """In its turn, with all that entitles it: another result, well made, for one attempt.

        Same inputs and shares, another interval: nobody can tell it from an honest one; only one may be acknowledged.
        """
        own = context.proposal
        if own is None or own.signed.statement.attempt != context.promised or self.world.rng.random() < 0.5:
            return None
        result = replace(own.result, interval=own.result.interval + 1)
        return replace(own, signed=self._sign(replace(own.signed.statement, result=result.hash())), result=result)

    def _invent(self, manifest: Digest) -> BlobId:
        blob = self.world.new_blob(f"invented by {self.name} {len(self.world.blobs)}", Held(MODEL_BYTES, manifest))
        self.disk.add(blob)
        self.world.invented.add(blob)
        return blob

    def _sign(self, statement: Any) -> Signed[Any]:
        return Signed(statement, Key(self.address).sign(statement.digest(self.world.domain)))

    def _changed(self, pulse: Pulse, kind: type[Statement], **fields: Any) -> Pulse:
        """Its own statement of this kind, signed anew with other fields."""
        changed = tuple(
            self._sign(replace(s.statement, **fields)) if isinstance(s.statement, kind) else s for s in pulse.statements
        )
        return replace(pulse, statements=changed)

    def _said(self, pulse: Pulse, statement: Statement) -> Pulse:
        """This statement instead of its own of that kind."""
        others = tuple(s for s in pulse.statements if s.statement.KIND != statement.KIND)
        return replace(pulse, statements=(*others, self._sign(statement)))

    def _call(self) -> None:
        state = self.world.chain.view.state
        if Lie.CALLS in self.lies and self.awake and state.started:
            chain = self.world.chain
            chain.send(
                self.address,
                chain.transaction(self.address, "call", (state.round, state.epoch), state.run),
                None,
                "call",
            )
        self.world.at(CALL_SECONDS, self._call)
