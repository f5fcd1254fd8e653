"""Golden vectors of docs/wire-formats.md: what tests/vectors/wire.json holds, made from the code of `core`.

`python tests/support/wire.py` writes the file anew; do that only when the wire changes on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swarm.chain.keys import LocalSigner
from swarm.core.blobid import CHUNK_BYTES, ChunkList
from swarm.core.checkinflags import FLAG_DONE, FLAG_OBSERVER
from swarm.core.ids import DEFAULT_JOB, Address, BlobId, Digest, job_id, sha256, to_hex
from swarm.core.limits import NOT_REPORTED
from swarm.core.roster import Roster, leader, ring_seed
from swarm.core.statements import (
    MEMBERSHIP_DOMAIN,
    TRAINING_DOMAIN,
    Ack,
    CheckIn,
    Join,
    Proposal,
    Refusal,
    Result,
    RoundName,
    Statement,
    Takeover,
    coefficient_bits,
    domain_separator,
    inputs_hash,
    method_word,
)

FILE = Path(__file__).resolve().parents[1] / "vectors" / "wire.json"
CHAIN_ID = 0x5EED
TRAINING = Address(bytes.fromhex("7a" * 20))
MEMBERSHIP = Address(bytes.fromhex("3e" * 20))
KEYS = tuple(sha256(b"wire vector key %d" % i) for i in range(3))


def make() -> dict[str, Any]:
    """All vectors; bytes as 0x hex."""
    signers = sorted((LocalSigner(k) for k in KEYS), key=lambda s: s.address)
    a, b, c = signers
    roster = Roster.of([(a.address, True), (b.address, False), (c.address, True)])
    name = RoundName(job_id(DEFAULT_JOB), 3, 2**40 + 1, 5, sha256(b"prev"), roster.hash())
    domain = domain_separator(TRAINING_DOMAIN, CHAIN_ID, TRAINING)
    full = CheckIn(
        name, a.address, 2, BlobId(sha256(b"blob")), 2**63, 2**32 - 1, -123_456, 2**63 - 1, 7, 100, FLAG_DONE
    )
    watcher = CheckIn(
        name, b.address, 1, BlobId(bytes(32)), 0, 0, NOT_REPORTED, -1, 0, 2**32 - 1, FLAG_DONE | FLAG_OBSERVER
    )
    coefficients = (0.1, -0.0)
    items = [(full.digest(domain), coefficients[0]), (watcher.digest(domain), coefficients[1])]
    result = Result(
        BlobId(sha256(b"merged")), 2**33, method_word("geomedian"), inputs_hash(items), 256, sha256(b"manifest")
    )
    statements: list[tuple[Statement, LocalSigner]] = [
        (full, a),
        (watcher, b),
        (Proposal(name, 2**32 - 1, c.address, result.hash()), c),
        (Ack(name, 4, result.hash(), b.address), b),
        (Takeover(name, 2**20, 4, result.hash(), a.address), a),
        (Takeover(name, 1, 0, bytes(32), b.address), b),
        (Refusal(name, a.address, 1, BlobId(sha256(b"blob")), 3, c.address), c),
    ]
    join_domain = domain_separator(MEMBERSHIP_DOMAIN, CHAIN_ID, MEMBERSHIP)
    join = Join(sha256(b"spki"), bytes(32), sha256(b"site"), a.address, 2, sha256(b"nonce"), 2**40)
    join_digest = join.digest(join_domain)
    return {
        "chain_id": CHAIN_ID,
        "private_keys": [to_hex(k) for k in KEYS],
        "training": {"contract": to_hex(TRAINING), "domain": to_hex(domain)},
        "membership": {"contract": to_hex(MEMBERSHIP), "domain": to_hex(join_domain)},
        "job": {"name": DEFAULT_JOB, "id": to_hex(name.job)},
        "statements": [_signed(s, by, domain) for s, by in statements],
        "join": {"fields": join.to_json(), "digest": to_hex(join_digest), "signature": a.sign(join_digest).to_json()},
        "result": {"fields": result.to_json(), "hash": to_hex(result.hash())},
        "inputs": {
            "digests": [to_hex(d) for d, _ in items],
            "coefficients": list(coefficients),
            "bits": [coefficient_bits(x) for x in coefficients],
            "hash": to_hex(inputs_hash(items)),
        },
        "roster": {
            "members": [{"node": to_hex(n), "eligible": e} for n, e in roster.members],
            "words": [to_hex(w.to_bytes(32, "big")) for w in roster.words()],
            "hash": to_hex(roster.hash()),
            "empty_hash": to_hex(Roster(()).hash()),
        },
        "leader": {
            "run": 3,
            "seed": ring_seed(name.job, 3),
            "rounds": [{"round": r, "attempts": _ring(roster, name.job, r)} for r in (0, 1, 2, 2**40 + 1)],
        },
        "blob_id": [_blob(size) for size in (1, CHUNK_BYTES, CHUNK_BYTES + 1)],
    }


def _signed(statement: Statement, by: LocalSigner, domain: Digest) -> dict[str, Any]:
    digest = statement.digest(domain)
    return {
        "type": statement.type_string(),
        "statement": statement.to_json(),
        "struct_hash": to_hex(statement.struct_hash()),
        "digest": to_hex(digest),
        "signer": to_hex(by.address),
        "signature": by.sign(digest).to_json(),
    }


def _ring(roster: Roster, job: Digest, round_: int) -> list[str]:
    return [to_hex(leader(roster, job, 3, round_, attempt) or b"") for attempt in range(6)]


def _blob(size: int) -> dict[str, Any]:
    data = content(size)
    hashes = tuple(sha256(data[i : i + CHUNK_BYTES]) for i in range(0, size, CHUNK_BYTES))
    return {"size": size, "chunks": [to_hex(h) for h in hashes], "id": to_hex(ChunkList(size, hashes).root())}


def content(size: int) -> bytes:
    """The blob of a vector: bytes 0, 1, ... 255, again and again."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def main() -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(make(), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
