"""The golden vectors of docs/wire-formats.md, checked on three sides: core, Solidity, and eth-account."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_hash.auto import keccak
from support import wire
from support.evm import Contract, Evm, person
from support.solidity import harness
from swarm.chain.keys import SignatureVerifier
from swarm.core.ids import Digest, from_hex, job_id, to_hex
from swarm.core.roster import Roster, leader
from swarm.core.statements import KINDS, Join, Result, Signature, coefficient_from_bits

VECTORS: dict[str, Any] = json.loads(wire.FILE.read_text("utf-8"))
STATEMENTS: list[dict[str, Any]] = VECTORS["statements"]
STATEMENT_IDS = [f"{place}-{v['statement']['kind']}" for place, v in enumerate(STATEMENTS)]
DOC = Path(__file__).resolve().parents[2] / "docs" / "wire-formats.md"


@pytest.fixture(scope="module")
def solidity() -> Contract:
    return Evm().deploy(person("tester"), harness("WireHarness"))


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def name_words(data: dict[str, Any]) -> tuple[Any, ...]:
    n = data["name"]
    return raw(n["job"]), n["run"], n["round"], n["epoch"], raw(n["prev"]), raw(n["roster"])


def typed(vector: dict[str, Any]) -> dict[str, Any]:
    """The statement as eth-account wants typed data: from the type's text, not from our encoder."""
    kind, fields = re.fullmatch(r"(\w+)\((.*)\)", vector["type"]).groups()
    pairs = [tuple(f.split(" ")) for f in fields.split(",")]
    values = dict(vector["statement"]["name"])
    for key, value in vector["statement"].items():
        values[re.sub(r"_(.)", lambda m: m.group(1).upper(), key)] = value
    message = {n: raw(values[n]) if abi == "bytes32" else values[n] for abi, n in pairs}
    return _document("SwarmTraining", VECTORS["training"]["contract"], kind, pairs, message)


def _document(domain: str, contract: str, kind: str, pairs: list[Any], message: dict[str, Any]) -> dict[str, Any]:
    words = [("string", "name"), ("string", "version"), ("uint256", "chainId"), ("address", "verifyingContract")]
    return {
        "types": {
            "EIP712Domain": [{"name": n, "type": t} for t, n in words],
            kind: [{"name": n, "type": t} for t, n in pairs],
        },
        "primaryType": kind,
        "domain": {
            "name": domain,
            "version": "1",
            "chainId": VECTORS["chain_id"],
            "verifyingContract": contract,
        },
        "message": message,
    }


def test_core_still_makes_every_vector() -> None:
    """A change of any byte on the wire changes the file: then it was on purpose, or it is a bug."""
    assert wire.make() == VECTORS


def test_the_documented_fields_are_the_signed_ones() -> None:
    """Each type string of the vectors stands in the document, field by field."""
    text = DOC.read_text("utf-8")
    named = re.search(r"`(bytes32 job,[^`]*)`", text).group(1)
    for vector in STATEMENTS:
        kind, fields = vector["type"].rstrip(")").split("(")
        row = re.search(rf"\| `{kind}` \| `([^`]*)`", text)
        assert fields == f"{named},{row.group(1)}"
    assert f"`{VECTORS_JOIN}`" in text


VECTORS_JOIN = Join.TYPE_STRING.removeprefix("Join(").removesuffix(")")


@pytest.mark.parametrize("vector", STATEMENTS, ids=STATEMENT_IDS)
def test_a_statement_survives_json_and_is_signed_by_its_signer(vector: dict[str, Any]) -> None:
    """Golden digest and signer come out of the JSON form of each statement."""
    statement = KINDS[vector["statement"]["kind"]].from_json(vector["statement"])
    digest = statement.digest(Digest(raw(VECTORS["training"]["domain"])))
    assert to_hex(digest) == vector["digest"]
    signer = SignatureVerifier().recover(digest, Signature.from_json(vector["signature"]))
    assert to_hex(signer) == vector["signer"] == to_hex(statement.signer)


@pytest.mark.parametrize("vector", STATEMENTS, ids=STATEMENT_IDS)
def test_eth_account_finds_the_same_digest(vector: dict[str, Any]) -> None:
    """An EIP-712 encoder that is not ours agrees, so any wallet can sign and check these statements."""
    assert to_hex(_hash_eip191_message(encode_typed_data(full_message=typed(vector)))) == vector["digest"]


@pytest.mark.parametrize("vector", STATEMENTS, ids=STATEMENT_IDS)
def test_solidity_finds_the_same_digest_and_signer(vector: dict[str, Any], solidity: Contract) -> None:
    """The contracts' hashing agrees with the golden digest of each statement that they read."""
    s = vector["statement"]
    domain, name = raw(VECTORS["training"]["domain"]), name_words(s)
    match s["kind"]:
        case "check_in":
            numbers = ("weight", "loss", "metric", "epochs_done", "epochs_total", "flags")
            stats = tuple(s[k] for k in numbers)
            item = (s["node"], s["version"], raw(s["blob"]), s["size"], stats, 0, bytes(32), bytes(32))
            found = solidity.ask("checkIn", domain, name, item)
        case "ack":
            found = solidity.ask("ack", domain, name, s["attempt"], raw(s["result"]), s["node"])
        case "proposal":
            found = solidity.ask("proposal", domain, name, s["attempt"], s["leader"], raw(s["result"]))
        case "takeover":
            acked = s["acked_attempt"], raw(s["acked_result"])
            found = solidity.ask("takeover", domain, name, s["attempt"], *acked, s["node"])
        case "refusal":
            what = s["node"], s["version"], raw(s["blob"]), s["reason"], s["leader"]
            found = solidity.ask("refusal", domain, name, *what)
    assert to_hex(found) == vector["digest"]
    signature = raw(vector["signature"])
    assert to_hex(solidity.ask("recover", found, signature[:32], signature[32:])) == vector["signer"]


def test_the_domains_are_those_of_the_contracts(solidity: Contract) -> None:
    """Both EIP-712 domains are the same in Python and Solidity."""
    for name, key in (("SwarmTraining", "training"), ("SwarmMembership", "membership")):
        found = solidity.ask("domain", name, VECTORS[key]["contract"])
        assert to_hex(found) == VECTORS[key]["domain"]


def test_a_join_is_the_same_on_all_sides(solidity: Contract) -> None:
    """Our encoder, Solidity and an independent EIP-712 library agree on a Join."""
    vector = VECTORS["join"]
    join = Join.from_json(vector["fields"])
    domain = raw(VECTORS["membership"]["domain"])
    assert to_hex(join.digest(Digest(domain))) == vector["digest"]
    words = (join.spki, join.spiffe, join.site, join.node, join.role, join.nonce, join.expires)
    assert to_hex(solidity.ask("join", domain, words)) == vector["digest"]
    pairs = [(abi, name) for name, abi in Join.ABI.items()]
    message = {n: raw(v) if abi == "bytes32" else v for (abi, n) in pairs for v in [vector["fields"][n]]}
    document = _document("SwarmMembership", VECTORS["membership"]["contract"], "Join", pairs, message)
    assert to_hex(_hash_eip191_message(encode_typed_data(full_message=document))) == vector["digest"]
    signer = SignatureVerifier().recover(Digest(raw(vector["digest"])), Signature.from_json(vector["signature"]))
    assert signer == join.node


def test_a_result_hashes_the_same_on_both_sides(solidity: Contract) -> None:
    """The hash that acks are given for is one in Python and Solidity."""
    result = Result.from_json(VECTORS["result"]["fields"])
    assert to_hex(result.hash()) == VECTORS["result"]["hash"]
    words = (result.merged, result.size, result.method, result.inputs, result.interval, result.manifest)
    assert to_hex(solidity.ask("hashResult", words)) == VECTORS["result"]["hash"]


def test_inputs_hash_the_same_on_both_sides(solidity: Contract) -> None:
    """Digest and big-endian binary64 bits one after the other, computed here a third time by hand."""
    vector = VECTORS["inputs"]
    digests, bits = [raw(d) for d in vector["digests"]], vector["bits"]
    by_hand = keccak(b"".join(d + struct.pack(">d", c) for d, c in zip(digests, vector["coefficients"], strict=True)))
    assert to_hex(by_hand) == vector["hash"] == to_hex(solidity.ask("hashInputs", digests, bits))
    assert [str(coefficient_from_bits(b)) for b in bits] == ["0.1", "-0.0"]
    assert solidity.ask("hashInputs", [], []) == keccak(b"")


def test_roster_and_leader_are_the_same_on_both_sides(solidity: Contract) -> None:
    """Roster hash and leader of every attempt agree between Python and Solidity, round by round."""
    vector, ring = VECTORS["roster"], VECTORS["leader"]
    words = [int(w, 16) for w in vector["words"]]
    roster = Roster.from_words(words)
    assert to_hex(solidity.ask("hashRoster", words)) == vector["hash"] == to_hex(roster.hash())
    assert to_hex(solidity.ask("hashRoster", [])) == vector["empty_hash"]
    job = job_id(VECTORS["job"]["name"])
    assert to_hex(job) == VECTORS["job"]["id"]
    for each in ring["rounds"]:
        for attempt, expected in enumerate(each["attempts"]):
            found = solidity.ask("leader", words, job, ring["run"], each["round"], attempt)
            assert to_hex(found) == expected == to_hex(leader(roster, job, ring["run"], each["round"], attempt))


@pytest.mark.parametrize("vector", VECTORS["blob_id"], ids=lambda v: str(v["size"]))
def test_a_blob_id_is_the_root_of_its_chunks(vector: dict[str, Any]) -> None:
    """Computed here by hand from the document's formula."""
    data, step = wire.content(vector["size"]), 4 * 1024 * 1024
    chunks = [hashlib.sha256(data[i : i + step]).digest() for i in range(0, len(data), step)]
    assert [to_hex(c) for c in chunks] == vector["chunks"]
    head = b"swarm.blob.v1\0" + struct.pack(">BQII", 1, len(data), step, len(chunks))
    assert to_hex(hashlib.sha256(head + b"".join(chunks)).digest()) == vector["id"]


def test_vectors_hold_addresses_of_their_keys() -> None:
    """The signers are those of the keys in the file, so that another program can reproduce every signature."""
    from eth_account import Account

    found = {Account.from_key(from_hex(k, 32)).address.lower() for k in VECTORS["private_keys"]}
    assert {v["signer"] for v in STATEMENTS} <= found
