"""A signed, certified round made by hand: what leader and members would have said, for tests of those who read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from swarm.chain.keys import LocalSigner
from swarm.core.bundle import Bundle, Contribution
from swarm.core.ids import BlobId, Digest, sha256
from swarm.core.roster import Roster, leader
from swarm.core.statements import Ack, CheckIn, Result, RoundName, inputs_hash, method_word

MANIFEST = sha256(b"manifest")


def certified(
    name: RoundName,
    roster: Roster,
    signers: Sequence[LocalSigner],
    domain: Digest,
    *,
    attempt: int = 0,
    manifest: Digest = MANIFEST,
    **check_in_fields: Any,
) -> Bundle:
    """All ``signers`` check in with weight 10 and acknowledge."""
    ordered = sorted(signers, key=lambda s: s.address)
    items, inputs = [], []
    for signer in ordered:
        said = CheckIn(
            name=name,
            node=signer.address,
            version=1,
            blob=BlobId(sha256(b"update of " + signer.address)),
            size=1000,
            weight=10,
            loss=500_000,
            metric=-1,
            epochs_done=1,
            epochs_total=3,
            flags=0,
        )
        said = replace(said, **check_in_fields)
        digest = said.digest(domain)
        share = 1 / len(ordered)
        items.append(Contribution(said, signer.sign(digest), share))
        inputs.append((digest, share))
    result = Result(
        merged=BlobId(sha256(b"merged of round %d" % name.round)),
        size=1000,
        method=method_word("mean"),
        inputs=inputs_hash(inputs),
        interval=4,
        manifest=manifest,
    )
    acks = [Ack(name, attempt, result.hash(), signer.address) for signer in ordered]
    who = leader(roster, name.job, name.run, name.round, attempt)
    assert who is not None
    return Bundle(
        name=name,
        attempt=attempt,
        leader=who,
        result=result,
        roster=roster,
        items=tuple(items),
        acks=tuple((a, s.sign(a.digest(domain))) for a, s in zip(acks, ordered, strict=True)),
    )
