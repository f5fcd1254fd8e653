"""What one node knows and promised about one round name; owns the journal form of the promises.

Promises (check-in, promised attempt, takeover, own proposal, highest ack) are written before anything is
sent that relies on them; everything learnt from others may be lost and is learnt again from pulses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..bundle import Bundle
from ..ids import Address, BlobId, Digest, sha256, to_hex
from ..roster import Roster, leader
from ..statements import Ack, CheckIn, Refusal, RoundName, Takeover, name_from_json, name_to_json
from .messages import ProposalMessage, Signed, signed_of

CONTEXT_KEY = "engine/context/"
CONTEXTS_KEPT = 8
"""Round names whose promises stay journaled: a restart behind a late SN, or a reorg, may open an earlier one again."""
RESULTS_KEPT = 16
"""Proposals remembered that nothing refers to; an old leader may sign any number of them."""
TAKEOVER_ATTEMPTS_KEPT = 8
"""Attempts whose takeovers are remembered; lower ones can no longer lead."""


@dataclass(slots=True)
class RoundContext:
    """State of one (job, run, round, epoch, prev, roster). Times are monotonic seconds."""

    name: RoundName
    roster: Roster
    opened_at: float
    attempt_at: float
    promised: int = 0
    first: bool = True
    """No other name was known of this run, round and epoch before (names)."""
    check_in: Signed[CheckIn] | None = None
    checked_in_at: float = 0.0
    takeover: Signed[Takeover] | None = None
    ack: Signed[Ack] | None = None
    acked: ProposalMessage | None = None
    proposal: ProposalMessage | None = None

    check_ins: dict[Address, dict[int, Signed[CheckIn]]] = field(default_factory=dict)
    equivocators: set[Address] = field(default_factory=set)
    refused: dict[tuple[Address, int], tuple[Signed[Refusal], str, float]] = field(default_factory=dict)
    takeovers: dict[int, dict[Address, Signed[Takeover]]] = field(default_factory=dict)
    results: dict[Digest, ProposalMessage] = field(default_factory=dict)
    acks: dict[tuple[int, Digest], dict[Address, Signed[Ack]]] = field(default_factory=dict)
    own_refusal: Signed[Refusal] | None = None
    """This node leads and cannot use its own check-in: it answers that as it would another leader's refusal."""
    unreached_by: set[Address] = field(default_factory=set)
    """Leaders that said they could not fetch this node's model of round 0; told once."""
    moves: dict[Address, tuple[float, float]] = field(default_factory=dict)
    """How often each member may still take this node to a higher attempt: level, and when it was read."""
    pending: ProposalMessage | None = None
    doubted: tuple[int, float] | None = None
    """Attempt and time of the first proposal that this node does not acknowledge as it is."""
    showing: tuple[Address, BlobId] | None = None
    shown: set[tuple[Address, BlobId]] = field(default_factory=set)
    """Which leader is asked to show which model; which have shown that they have it (following)."""
    certificate: Bundle | None = None
    certificate_at: float = 0.0
    submitting: bool = False
    submitted_at: float | None = None
    quorum_at: float | None = None
    merging: bool = False
    merge_failed_at: float | None = None
    """When this node's own disk last made its merge fail."""
    closing: tuple[Signed[CheckIn], ...] = ()
    method: str = ""
    """What the merge under way is recorded as: method and outer step."""
    entitling: tuple[Signed[Takeover], ...] = ()
    closed_at: float | None = None
    acknowledgers_moved_at: float = 0.0

    @property
    def key(self) -> str:
        """Journal key; keys ascend by run, round and epoch."""
        name = self.name
        rest = sha256(name.prev + name.roster).hex()[:16]
        return f"{CONTEXT_KEY}{name.run:016x}.{name.round:016x}.{name.epoch:08x}.{rest}"

    def leader(self, attempt: int | None = None) -> Address | None:
        at = self.promised if attempt is None else attempt
        return leader(self.roster, self.name.job, self.name.run, self.name.round, at)

    def latest(self, node: Address) -> Signed[CheckIn] | None:
        """The check-in of the highest version known of ``node``."""
        versions = self.check_ins.get(node)
        return versions[max(versions)] if versions else None

    def file_check_in(self, signed: Signed[CheckIn]) -> bool:
        """Keep a verified check-in; False if it was known. Two different ones of one version prove a fault."""
        versions = self.check_ins.setdefault(signed.statement.node, {})
        known = versions.get(signed.statement.version)
        if known is not None:
            if known.statement != signed.statement:
                self.equivocators.add(signed.statement.node)
            return False
        versions[signed.statement.version] = signed
        return True

    def file_takeover(self, signed: Signed[Takeover]) -> None:
        by_node = self.takeovers.setdefault(signed.statement.attempt, {})
        by_node[signed.statement.node] = signed
        while len(self.takeovers) > TAKEOVER_ATTEMPTS_KEPT:
            del self.takeovers[min(self.takeovers)]

    def file_result(self, message: ProposalMessage) -> None:
        """Remember a proposal; those that no takeover, ack or duty of this node refers to go, oldest first."""
        self.results[message.signed.statement.result] = message
        own = (message, self.acked, self.proposal, self.pending)
        wanted = {bytes(m.signed.statement.result) for m in own if m is not None}
        wanted.update(t.statement.acked_result for by in self.takeovers.values() for t in by.values())
        spare = [result for result in self.results if bytes(result) not in wanted]
        for result in spare[: max(0, len(spare) - RESULTS_KEPT)]:
            del self.results[result]

    def entitled(self, attempt: int) -> tuple[Signed[Takeover], ...]:
        """A majority's takeovers for ``attempt``, ascending by node, or nothing."""
        members = set(self.roster.addresses)
        have = {n: t for n, t in self.takeovers.get(attempt, {}).items() if n in members}
        return tuple(have[n] for n in sorted(have)) if len(have) >= self.roster.majority else ()

    def to_json(self) -> dict[str, Any]:
        """The promises, as journaled."""
        return {
            "name": name_to_json(self.name),
            "first": self.first,
            "roster": [to_hex(word.to_bytes(32, "big")) for word in self.roster.words()],
            "promised": self.promised,
            "check_ins": [s.to_json() for s in self._own_check_ins()],
            "takeover": self.takeover.to_json() if self.takeover else None,
            "ack": self.ack.to_json() if self.ack else None,
            "acked": self.acked.to_json() if self.acked else None,
            "proposal": self.proposal.to_json() if self.proposal else None,
            "certificate": self.certificate.to_json() if self.certificate else None,
        }

    def _own_check_ins(self) -> list[Signed[CheckIn]]:
        if self.check_in is None:
            return []
        versions = self.check_ins.get(self.check_in.statement.node, {})
        return [versions[v] for v in sorted(versions)]

    def restore(self, data: dict[str, Any], now: float) -> None:
        """Take up the promises journaled for this very name."""
        assert name_from_json(data["name"]) == self.name
        self.promised = int(data["promised"])
        self.attempt_at = self.checked_in_at = now
        for entry in data["check_ins"]:
            signed = signed_of(CheckIn, entry)
            self.file_check_in(signed)
            self.check_in = signed
        if data["takeover"]:
            self.takeover = signed_of(Takeover, data["takeover"])
            self.file_takeover(self.takeover)
        if data["ack"]:
            self.ack = signed_of(Ack, data["ack"])
            self.file_ack(self.ack)
        for key in ("acked", "proposal"):
            if data[key]:
                message = ProposalMessage.from_json(data[key])
                setattr(self, key, message)
                self.results[message.signed.statement.result] = message
        if data["certificate"]:
            self.certificate = Bundle.from_json(data["certificate"])
            self.certificate_at = now

    def file_ack(self, signed: Signed[Ack]) -> None:
        key = (signed.statement.attempt, signed.statement.result)
        self.acks.setdefault(key, {})[signed.statement.node] = signed


Odd = frozenset[Digest]
"""The NaNs and infinities of a model: one digest of places and bits for each tensor that has any."""
FINITE: Odd = frozenset()


@dataclass(slots=True)
class Held:
    """A blob in the store, as far as the engine cares."""

    size: int
    manifest: Digest
    odd: Odd = FINITE
    where: str = ""
    """Its first value that is not finite, in words."""


@dataclass(slots=True)
class Transfer:
    """A pull under way; times are monotonic seconds."""

    blob: BlobId
    size: int
    started_at: float
    moved_at: float
    """When it was begun, tried again, or its last bytes came."""
    bytes: int = 0
    arrived_at: float | None = None
    """When its last bytes came."""
    failures: int = 0
    retry_at: float | None = None
    sources: tuple[Address, ...] = ()
    """Who is asked for it: whose fault it is if nothing comes."""
