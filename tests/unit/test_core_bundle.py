"""A bundle survives its JSON form and refuses what the contract refuses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.rounds import certified
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.core.bundle import Bundle
from swarm.core.errors import PeerFault
from swarm.core.ids import ZERO32, Address, Digest, job_id
from swarm.core.roster import Roster
from swarm.core.statements import RoundName, Signature, domain_separator, inputs_hash

DOMAIN = domain_separator("SwarmTraining", 7, Address(b"\x11" * 20))
SIGNERS = [LocalSigner(secrets.token_bytes(32)) for _ in range(4)]
ROSTER = Roster.of((s.address, True) for s in SIGNERS)
UNSIGNED = Signature(ZERO32, ZERO32)


def bundle(round_: int = 0, count: int = 4, **fields: int) -> Bundle:
    name = RoundName(Digest(job_id("j")), 1, round_, 0, ZERO32, ROSTER.hash())
    return certified(name, ROSTER, SIGNERS[:count], DOMAIN, **fields)


def with_items(b: Bundle, items: tuple) -> Bundle:
    pairs = [(i.check_in.digest(DOMAIN), i.coefficient) for i in items]
    return replace(b, items=items, result=replace(b.result, inputs=inputs_hash(pairs)))


def test_a_true_bundle_passes_and_survives_json() -> None:
    """A certified round verifies, and its JSON form brings back the same bundle."""
    b = bundle()
    b.verify(DOMAIN, SignatureVerifier(), 4)
    assert Bundle.from_json(json.loads(json.dumps(b.to_json()))) == b


BROKEN: dict[str, tuple[Callable[[], Bundle], str]] = {
    "roster": (lambda: replace(bundle(), roster=Roster(ROSTER.members[:3])), "roster hashes"),
    "leader": (lambda: replace(bundle(), leader=Address(b"\x01" * 20)), "whose turn"),
    "attempt": (lambda: replace(bundle(), attempt=1), "whose turn"),
    "item order": (lambda: (lambda b: with_items(b, b.items[::-1]))(bundle()), "ascend strictly"),
    "item twice": (lambda: (lambda b: with_items(b, (b.items[0], *b.items)))(bundle()), "ascend strictly"),
    "item of another round": (lambda: replace(bundle(), items=bundle(1).items), "another round name"),
    "observer with weight": (lambda: bundle(flags=2), "observer's weight"),
    "unknown flag": (lambda: bundle(flags=8), "other bits"),
    "a flag above the rounds behind": (lambda: bundle(flags=1 << 16), "other bits"),
    "item signature": (
        lambda: (lambda b: replace(b, items=(replace(b.items[0], signature=UNSIGNED), *b.items[1:])))(bundle()),
        "not signed by",
    ),
    "too few items": (lambda: bundle(count=3), "minPeers"),
    "nobody contributes": (lambda: bundle(weight=0), "nobody contributes"),
    "coefficient": (
        lambda: (lambda b: replace(b, items=(replace(b.items[0], coefficient=0.5), *b.items[1:])))(bundle()),
        "inputs",
    ),
    "ack order": (lambda: (lambda b: replace(b, acks=b.acks[::-1]))(bundle()), "acks must ascend"),
    "ack by a stranger": (
        lambda: (
            lambda b: replace(
                b, acks=((replace(b.acks[0][0], node=Address(b"\0" * 19 + b"\1")), UNSIGNED), *b.acks[1:])
            )
        )(bundle()),
        "not on the roster",
    ),
    "ack of another result": (
        lambda: (lambda b: replace(b, result=replace(b.result, merged=b.items[0].check_in.blob)))(bundle()),
        "another attempt or result",
    ),
    "ack signature": (
        lambda: (lambda b: replace(b, acks=((b.acks[0][0], UNSIGNED), *b.acks[1:])))(bundle()),
        "ack 0 is not signed",
    ),
    "too few acks": (lambda: (lambda b: replace(b, acks=b.acks[:2]))(bundle()), "a majority is 3"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_bundle_is_refused_by_name(what: str) -> None:
    """Each rule of the contract that needs no chain state is checked by the follower itself."""
    make, text = BROKEN[what]
    with pytest.raises(PeerFault, match=text):
        make().verify(DOMAIN, SignatureVerifier(), 4)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("acks"),
        lambda d: d.update(more=1),
        lambda d: d.update(attempt=-1),
        lambda d: d.update(attempt=True),
        lambda d: d.update(roster=["0x00"]),
        lambda d: d.update(roster=d["roster"][::-1]),
        lambda d: d.update(roster=["0x" + "ff" * 32]),
        lambda d: d.update(items=d["items"] * 63),
        lambda d: d["items"][0].update(coefficient=2**64),
        lambda d: d["items"][0]["check_in"].update(signature="0x00"),
        lambda d: d["acks"][0]["statement"].update(kind="check_in"),
        lambda d: d.update(items={}),
    ],
)
def test_json_is_read_strictly(spoil: Callable[[dict], object]) -> None:
    """A missing, unknown, oversized or ill-typed field is a ValueError, never a half-read bundle."""
    data = json.loads(json.dumps(bundle().to_json()))
    spoil(data)
    with pytest.raises(ValueError):  # noqa: PT011 - each text is another; the type is the claim
        Bundle.from_json(data)
