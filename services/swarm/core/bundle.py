"""The bundle of a round: a certificate with everything needed to check it, as peers and the chain carry it.

Owns the shape, the JSON form and the checks that the Training contract makes, so that a follower can verify
a commit itself. Whether its round is the open one, its ``prev`` the right one and its contributors are
members is for the caller, who knows the chain's state.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from .checkinflags import FLAG_OBSERVER, FLAGS_ALL
from .errors import PeerFault
from .ids import Address, Digest, from_hex, to_hex
from .limits import MEMBERS_JOINED_MAX
from .roster import Roster, leader
from .statements import (
    Ack,
    CheckIn,
    Result,
    RoundName,
    Signature,
    Verifier,
    coefficient_bits,
    coefficient_from_bits,
    inputs_hash,
    name_from_json,
    name_to_json,
)


@dataclass(frozen=True, slots=True)
class Contribution:
    """One node's check-in as the leader used it; ``coefficient`` is its final share of the merge."""

    check_in: CheckIn
    signature: Signature
    coefficient: float

    def to_json(self) -> dict[str, Any]:
        return {
            "check_in": {"statement": self.check_in.to_json(), "signature": self.signature.to_json()},
            "coefficient": coefficient_bits(self.coefficient),
        }

    @staticmethod
    def from_json(data: Any) -> Contribution:
        _exactly("item", data, {"check_in", "coefficient"})
        statement, signature = _signed("check_in", data["check_in"])
        bits = _integer("coefficient", data["coefficient"], 64)
        return Contribution(CheckIn.from_json(statement), signature, coefficient_from_bits(bits))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certified round: items and acks ascend by node address."""

    name: RoundName
    attempt: int
    leader: Address
    result: Result
    roster: Roster
    items: tuple[Contribution, ...]
    acks: tuple[tuple[Ack, Signature], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": name_to_json(self.name),
            "attempt": self.attempt,
            "leader": to_hex(self.leader),
            "result": self.result.to_json(),
            "roster": [to_hex(word.to_bytes(32, "big")) for word in self.roster.words()],
            "items": [item.to_json() for item in self.items],
            "acks": [{"statement": a.to_json(), "signature": s.to_json()} for a, s in self.acks],
        }

    @staticmethod
    def from_json(data: Any) -> Bundle:
        """Parse the JSON form strictly.

        Raises:
            ValueError: a field is missing, unknown, of the wrong type or out of range; lists longer than 250.
        """
        _exactly("bundle", data, {"name", "attempt", "leader", "result", "roster", "items", "acks"})
        words = [int.from_bytes(from_hex(w, 32), "big") for w in _list("roster", data["roster"])]
        if any(w >> 161 for w in words):
            raise ValueError("roster: a word is eligible << 160 | address")
        acks = []
        for entry in _list("acks", data["acks"]):
            statement, signature = _signed("ack", entry)
            acks.append((Ack.from_json(statement), signature))
        return Bundle(
            name=name_from_json(data["name"]),
            attempt=_integer("attempt", data["attempt"], 32),
            leader=Address(from_hex(data["leader"], 20)),
            result=Result.from_json(data["result"]),
            roster=Roster.from_words(words),
            items=tuple(Contribution.from_json(item) for item in _list("items", data["items"])),
            acks=tuple(acks),
        )

    def verify(self, domain: Digest, verifier: Verifier, min_peers: int) -> None:
        """Make the contract's checks, in its order.

        Args:
            domain: EIP-712 domain separator of the Training contract.
            min_peers: what the run was fixed to, at least 1.

        Raises:
            PeerFault: names the first rule that does not hold, and whose entry breaks it.
        """
        where = f"bundle of round {self.name.round} (attempt {self.attempt})"
        if self.roster.hash() != self.name.roster:
            raise PeerFault(
                f"{where}: the roster hashes to {_h(self.roster.hash())}, its name says {_h(self.name.roster)}"
            )
        expected = leader(self.roster, self.name.job, self.name.run, self.name.round, self.attempt)
        if expected is None or self.leader != expected:
            raise PeerFault(f"{where}: leader {_h(self.leader)} is not {_h(expected or b'')}, whose turn it is")
        self._verify_items(where, domain, verifier, min_peers)
        self._verify_acks(where, domain, verifier)

    def _verify_items(self, where: str, domain: Digest, verifier: Verifier, min_peers: int) -> None:
        if any(a.check_in.node >= b.check_in.node for a, b in itertools.pairwise(self.items)):
            raise PeerFault(f"{where}: check-ins must ascend strictly by node")
        digests = []
        for index, item in enumerate(self.items):
            check_in = item.check_in
            if check_in.name != self.name:
                raise PeerFault(f"{where}: check-in {index} of {_h(check_in.node)} is for another round name")
            if check_in.flags & ~FLAGS_ALL or (check_in.flags & FLAG_OBSERVER and check_in.weight):
                raise PeerFault(
                    f"{where}: check-in {index} of {_h(check_in.node)} has flags {check_in.flags} "
                    f"with weight {check_in.weight}; an observer's weight is 0, other bits are unused"
                )
            digest = check_in.digest(domain)
            if verifier.recover(digest, item.signature) != check_in.node:
                raise PeerFault(f"{where}: check-in {index} is not signed by {_h(check_in.node)}")
            digests.append((digest, item.coefficient))
        if len(self.items) < min_peers:
            raise PeerFault(f"{where}: {len(self.items)} check-ins, minPeers is {min_peers}")
        if self.name.round == 0 and not any(item.check_in.weight for item in self.items):
            raise PeerFault(f"{where}: nobody contributes with weight; the first round needs one who does")
        inputs = inputs_hash(digests)
        if self.result.inputs != inputs:
            raise PeerFault(f"{where}: inputs {_h(self.result.inputs)}, the check-ins give {_h(inputs)}")

    def _verify_acks(self, where: str, domain: Digest, verifier: Verifier) -> None:
        if any(a.node >= b.node for (a, _), (b, _) in itertools.pairwise(self.acks)):
            raise PeerFault(f"{where}: acks must ascend strictly by node")
        result = self.result.hash()
        members = set(self.roster.addresses)
        for index, (ack, signature) in enumerate(self.acks):
            if ack.node not in members:
                raise PeerFault(f"{where}: ack {index} is by {_h(ack.node)}, who is not on the roster")
            if (ack.name, ack.attempt, ack.result) != (self.name, self.attempt, result):
                raise PeerFault(f"{where}: ack {index} of {_h(ack.node)} is for another attempt or result")
            if verifier.recover(ack.digest(domain), signature) != ack.node:
                raise PeerFault(f"{where}: ack {index} is not signed by {_h(ack.node)}")
        if len(self.acks) < self.roster.majority:
            raise PeerFault(f"{where}: {len(self.acks)} acks, a majority is {self.roster.majority}")


def _h(value: bytes) -> str:
    return to_hex(value)


def _exactly(what: str, data: Any, keys: set[str]) -> None:
    if not isinstance(data, dict) or set(data) != keys:
        raise ValueError(f"{what}: expected exactly the fields {sorted(keys)}")


def _list(what: str, data: Any) -> list[Any]:
    if not isinstance(data, list) or len(data) > MEMBERS_JOINED_MAX:
        raise ValueError(f"{what}: expected a list of at most {MEMBERS_JOINED_MAX}")
    return data


def _integer(what: str, value: Any, bits: int) -> int:
    if type(value) is not int or not 0 <= value < 2**bits:
        raise ValueError(f"{what}: expected an integer of {bits} bits, got {value!r:.40}")
    return value


def _signed(what: str, data: Any) -> tuple[dict[str, Any], Signature]:
    _exactly(what, data, {"statement", "signature"})
    return data["statement"], Signature.from_json(data["signature"])
