"""Contracts and their Python model driven side by side: every step must end alike, with equal events and views.

Also makes signed bundles for the open round, right by default and wrong on request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from support.evm import Chain, deployed, person
from support.model.training import Event, MembershipModel, TrainingModel, Tx
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.chain.names import snake
from swarm.chain.training import encode_bundle
from swarm.core.bundle import Bundle, Contribution
from swarm.core.chain_view import JobState, Joiner, Phase, Role
from swarm.core.checkinflags import FLAG_DONE as DONE
from swarm.core.checkinflags import FLAG_OBSERVER as OBSERVER
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, BlobId, Digest, job_id, sha256
from swarm.core.limits import RESCUE_AFTER_SECONDS
from swarm.core.roster import Roster, leader
from swarm.core.statements import (
    TRAINING_DOMAIN,
    Ack,
    CheckIn,
    Result,
    RoundName,
    domain_separator,
    inputs_hash,
    method_word,
)

__all__ = ["DONE", "FAR", "JOB", "OBSERVER", "Twin", "refused"]

JOB = job_id(DEFAULT_JOB)
FAR = 4_000_000_000
"""An expiry that no test reaches, seconds."""
_STATE = tuple(f.name for f in dataclasses.fields(JobState))


@contextmanager
def refused(error: str, /, **values: Any) -> Iterator[None]:
    """The block must be refused with exactly this custom error; `values` are those that matter to the test."""
    with pytest.raises(Reverted) as caught:
        yield
    assert caught.value.name == error
    assert {key: caught.value.values[key] for key in values} == values


class Twin:
    """`nodes` are `count` signers ascending by address, admitted as SL until `FAR`; `admin` is SN and admitter."""

    def __init__(self, count: int, *, expires: int = FAR, rescue_after: int = RESCUE_AFTER_SECONDS) -> None:
        self.chain: Chain = deployed(rescue_after=rescue_after)
        self.evm, self.admin = self.chain.evm, self.chain.admin
        domain = domain_separator(TRAINING_DOMAIN, 0x5EED, self.chain.training.address)
        self.domain = domain
        self.members = MembershipModel(self.admin)
        self.model = TrainingModel(self.members, SignatureVerifier(), domain, rescue_after)
        signers = [LocalSigner(sha256(b"node %d" % i)) for i in range(count)]
        self.nodes = sorted(signers, key=lambda s: s.address)
        self.by_address = {s.address: s for s in self.nodes}
        self.admit(self.admin, Role.SN)
        for node in self.nodes:
            self.admit(node.address, expires=expires)

    # ---- steps on both sides ------------------------------------------------------------------------

    def step(self, contract: str, sender: Address, function: str, *arguments: Any, value: int = 0) -> list[Event]:
        """One call on contract and model.

        Raises:
            Reverted: both refused, with the same name and values.
        """
        side, target = (self.members, self.chain.membership), (self.model, self.chain.training)
        model, real = side if contract == "Membership" else target
        tx = Tx(sender, self.evm.number + 1, self.evm.time + self.evm.step)
        wanted = _outcome(lambda: getattr(model, snake(function))(tx, *arguments))
        if function == "commit":
            arguments = ([encode_bundle(b) for b in arguments[0]],)
        found = _outcome(lambda: real.send(sender, function, *arguments, value=value))
        if isinstance(found, Reverted) and isinstance(wanted, Reverted):
            assert (found.name, found.values) == (wanted.name, wanted.values)
            raise found
        assert not isinstance(found, Reverted), f"{function}: only the contract refused: {found}"
        assert not isinstance(wanted, Reverted), f"{function}: only the model refused: {wanted}"
        assert [_event(e) for e in found.events] == wanted, function
        self.gas = found.gas
        return wanted

    def admit(
        self, node: Address, role: Role = Role.SL, *, expires: int = FAR, spki: bytes | None = None
    ) -> list[Event]:
        arguments = (node, spki or sha256(node), ZERO32, sha256(b"site"), role, expires)
        return self.step("Membership", self.admin, "admit", *arguments)

    def member(self, function: str, node: Address, *arguments: Any) -> list[Event]:
        """suspend, resume, revoke, extend, rebind by the admin."""
        return self.step("Membership", self.admin, function, node, *arguments)

    def join(
        self, node: LocalSigner, min_peers: int = 1, *, eligible: bool = True, uri: str = "https://n:30305"
    ) -> list[Event]:
        return self.step("Training", node.address, "join", JOB, uri, min_peers, eligible)

    def join_all(self, count: int, *, min_peers: int | None = None) -> None:
        for node in self.nodes[:count]:
            self.join(node, min_peers or count)

    def leave(self, node: LocalSigner) -> list[Event]:
        return self.step("Training", node.address, "leave", JOB)

    def commit(self, *bundles: Bundle) -> list[Event]:
        return self.step("Training", person("anybody"), "commit", bundles)

    def round(self, *, flags: int = 0, items: Sequence[LocalSigner] | None = None) -> list[Event]:
        """Commits the open round with everybody of its roster (or `items`)."""
        return self.commit(self.bundle(items, flags=flags))

    def call(self, node: LocalSigner) -> int:
        """Opens a call for the open round; its id."""
        s = self.state()
        events = self.step("Training", node.address, "call", JOB, s.run, s.round, s.epoch)
        call_id: int = events[-1].values["call_id"]
        return call_id

    def here(self, node: LocalSigner, call_id: int, *, done: bool = False) -> list[Event]:
        return self.step("Training", node.address, "here", JOB, call_id, done)

    def settle(self, call_id: int) -> list[Event]:
        return self.step("Training", person("anybody"), "settle", JOB, call_id)

    # ---- what both see ------------------------------------------------------------------------------

    def state(self, job: Digest = JOB) -> JobState:
        """The job's state, the same on both sides."""
        raw = {snake(k): v for k, v in self.chain.training.ask("state", job).items()}
        raw["phase"] = Phase(raw["phase"])
        found = JobState(**{name: raw[name] for name in _STATE})
        assert found == self.model.state(job)
        return found

    def roster(self) -> Roster:
        found = Roster.from_words(self.chain.training.ask("rosterOf", JOB))
        assert found == self.model.roster_of(JOB)
        return found

    def joiners(self) -> tuple[Joiner, ...]:
        rows: list[Any] = []
        while page := self.chain.training.ask("joinersOf", JOB, len(rows), 10_000):
            assert len(page) <= 100
            rows += page
        found = tuple(Joiner(j["node"], j["eligible"], j["joined"], j["joinedBlock"], j["leftBlock"]) for j in rows)
        assert found == self.model.joiners_of(JOB)
        return found

    # ---- bundles ------------------------------------------------------------------------------------

    def name(self) -> RoundName:
        return self.model.state(JOB).round_name(JOB)

    def contribution(
        self, node: LocalSigner, name: RoundName, *, flags: int = 0, weight: int | None = None, **fields: Any
    ) -> Contribution:
        values: dict[str, Any] = {
            "node": node.address,
            "version": 1,
            "blob": BlobId(sha256(node.address + bytes([name.round % 256]))),
            "size": 1000,
            "weight": (0 if flags & OBSERVER else 7) if weight is None else weight,
            "loss": -250_000,
            "metric": 900_000,
            "epochs_done": 1,
            "epochs_total": 5,
            "flags": flags,
            **fields,
        }
        check_in = CheckIn(name=name, **values)
        return Contribution(check_in, node.sign(check_in.digest(self.domain)), 0.25)

    def bundle(
        self,
        items: Sequence[LocalSigner | Contribution] | None = None,
        *,
        acks: Sequence[LocalSigner] | None = None,
        flags: int = 0,
        attempt: int = 0,
        name: RoundName | None = None,
        roster: Roster | None = None,
        **result: Any,
    ) -> Bundle:
        """A certified result of the open round: by default all of R contribute and a majority acknowledges."""
        name = name or self.name()
        members = roster if roster is not None else self.model.roster_of(JOB)
        mine = [self.by_address[a] for a in members.addresses]
        chosen = mine if items is None else items
        found = tuple(i if isinstance(i, Contribution) else self.contribution(i, name, flags=flags) for i in chosen)
        values: dict[str, Any] = {
            "merged": BlobId(sha256(b"merged %d" % name.round)),
            "size": 4000,
            "method": method_word("mean"),
            "inputs": inputs_hash([(i.check_in.digest(self.domain), i.coefficient) for i in found]),
            "interval": 128,
            "manifest": sha256(b"manifest"),
            **result,
        }
        proposed = Result(**values)
        by = mine[: members.majority] if acks is None else acks
        turn = leader(members, name.job, name.run, name.round, attempt) or Address(bytes(20))
        return Bundle(name, attempt, turn, proposed, members, found, self.acks(by, name, attempt, proposed))

    def acks(
        self, by: Sequence[LocalSigner], name: RoundName, attempt: int, result: Result
    ) -> tuple[tuple[Ack, Any], ...]:
        said = [(node, Ack(name, attempt, result.hash(), node.address)) for node in by]
        return tuple((ack, node.sign(ack.digest(self.domain))) for node, ack in said)


def _outcome(act: Any) -> Any:
    try:
        return act()
    except Reverted as fault:
        return fault


def _event(event: Any) -> Event:
    kind = type(event).__name__
    values = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    return Event("Merged" if kind == "RoundMerged" else kind, values)
