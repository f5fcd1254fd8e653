"""What creators and assigners sign, against a second implementation (eth-account); ids against the ABI coding."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_hash.auto import keccak
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.core.ids import Address, Digest, sha256
from swarm.core.statements import camel, domain_separator
from swarm.core.taskstatements import (
    TASKRUNNERS_DOMAIN,
    TASKS_DOMAIN,
    OrderStatement,
    TaskStatement,
    assignment_id,
    header_hash,
    item_hash,
    root_of,
    runner_id,
    sign,
    signed_by,
    task_id,
)
from swarm.core.taskview import Order, TaskHeader, TaskType

WORDS = [Digest(sha256(bytes([n]))) for n in range(8)]
CONTRACT, SOMEBODY = Address(b"\x11" * 20), Address(b"\xa5" * 20)
HEADER = TaskHeader(TaskType.RUN_SWARM, "mnist", "Björn", "user-env", "swarm-\U0001f41d")
TASK = TaskStatement(WORDS[0], HEADER, 70, 2, WORDS[1])
ORDER = OrderStatement(WORDS[2], Order(WORDS[3], WORDS[4], WORDS[5], 4, (), 5, 300))
NAMED = OrderStatement(WORDS[2], Order(WORDS[3], WORDS[4], WORDS[5], 0, (CONTRACT, SOMEBODY), 2, 60))


def typed(statement: TaskStatement | OrderStatement) -> dict[str, Any]:
    """The same as JSON that eth-account signs."""
    kind, rest = statement.TYPE_STRING.rstrip(")").split("(")
    members = [dict(zip(("type", "name"), part.split(" "), strict=True)) for part in rest.split(",")]
    flat = {f.name: getattr(statement, f.name) for f in dataclasses.fields(statement)}
    for inner in ("header", "order"):
        if inner in flat:
            value = flat.pop(inner)
            flat |= {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    message = {camel(key): list(v) if isinstance(v, tuple) else v for key, v in flat.items()}
    if "named" in message:
        message["named"] = ["0x" + one.hex() for one in message["named"]]
    if "taskType" in message:
        message["taskType"] = int(message["taskType"])
    domain_name = TASKS_DOMAIN if kind == "Task" else TASKRUNNERS_DOMAIN
    names = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
    return {
        "types": {"EIP712Domain": [{"name": n, "type": t} for n, t in names], kind: members},
        "primaryType": kind,
        "domain": {"name": domain_name, "version": "1", "chainId": 7, "verifyingContract": "0x" + CONTRACT.hex()},
        "message": message,
    }


def domain_of(statement: TaskStatement | OrderStatement) -> Digest:
    name = TASKS_DOMAIN if isinstance(statement, TaskStatement) else TASKRUNNERS_DOMAIN
    return domain_separator(name, 7, CONTRACT)


@pytest.mark.parametrize("statement", [TASK, ORDER, NAMED], ids=["task", "order", "named"])
def test_the_digest_is_that_of_eth_account(statement: TaskStatement | OrderStatement) -> None:
    """All fields, in the type string's order, with texts and lists hashed as EIP-712 says."""
    wanted = _hash_eip191_message(encode_typed_data(full_message=typed(statement)))
    assert statement.digest(domain_of(statement)) == wanted


@pytest.mark.parametrize("statement", [TASK, ORDER, NAMED], ids=["task", "order", "named"])
def test_every_field_is_signed(statement: Any) -> None:
    """Another value of any field is another digest, and the signature then is of nobody that signed."""
    domain, signer, verifier = domain_of(statement), LocalSigner(sha256(b"key")), SignatureVerifier()
    signature = sign(statement, domain, signer)
    assert signed_by(statement, domain, signature, verifier) == signer.address
    others = []
    for f in dataclasses.fields(statement):
        value = getattr(statement, f.name)
        if dataclasses.is_dataclass(value):
            for g in dataclasses.fields(value):
                inner = dataclasses.replace(value, **{g.name: other(getattr(value, g.name))})
                others.append(dataclasses.replace(statement, **{f.name: inner}))
        else:
            others.append(dataclasses.replace(statement, **{f.name: other(value)}))
    digests = {one.digest(domain) for one in others}
    assert len(digests) == len(others)
    for one in others:
        assert signed_by(one, domain, signature, verifier) != signer.address
    assert signed_by(statement, Digest(bytes(32)), signature, verifier) != signer.address


def other(value: Any) -> Any:
    if isinstance(value, TaskType):
        return TaskType.PULL_IMAGE
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (*value[:-1], SOMEBODY, Address(b"\xff" * 20))
    return value + "x" if isinstance(value, str) else bytes(value[:-1]) + bytes([value[-1] ^ 1])


def test_ids_and_roots_are_the_abi_coding_of_their_parts() -> None:
    """As the contracts make them: keccak256 of abi.encode, and of the words one after another."""
    assert task_id(SOMEBODY, WORDS[0]) == keccak(encode(["address", "bytes32"], [SOMEBODY, WORDS[0]]))
    parts = [WORDS[0], SOMEBODY, WORDS[1]]
    assert assignment_id(WORDS[0], SOMEBODY, WORDS[1]) == keccak(encode(["bytes32", "address", "bytes32"], parts))
    assert runner_id("é") == keccak("é".encode())
    texts = [keccak(t.encode()) for t in (HEADER.name, HEADER.author, HEADER.prereq, HEADER.outcome)]
    assert header_hash(HEADER) == keccak(encode(["uint8", *["bytes32"] * 4], [2, *texts]))
    words = [WORDS[0], (2).to_bytes(32, "big"), (1).to_bytes(32, "big"), *WORDS[1:4]]
    assert root_of(WORDS[0], WORDS[1:3], WORDS[3:4]) == keccak(b"".join(words))
    assert item_hash(b"") == keccak(b"")
