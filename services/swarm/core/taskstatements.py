"""What is hashed and signed about tasks and assignments: ids, roots, EIP-712 digests (docs/tasks.md, "Signatures").

Owns those bytes and nothing else. A task's creator signs it when it is finalised, an assigner signs its order; no
contract looks at these signatures, every SWOP does, since an SN can lie about the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eth_hash.auto import keccak

from .ids import Address, Digest
from .statements import Signature, Signer, Verifier
from .taskview import Order, TaskHeader

TASKS_DOMAIN = "SwarmTasks"
TASKRUNNERS_DOMAIN = "SwarmTaskrunners"


def task_id(creator: Address, key: Digest) -> Digest:
    """The id of the task that ``creator`` makes under its ``key``."""
    return Digest(keccak(_address(creator) + _word32(key)))


def runner_id(name: str) -> Digest:
    """The id of a runner: keccak256 of its UTF-8 name."""
    return Digest(keccak(name.encode()))


def assignment_id(runner: Digest, by: Address, key: Digest) -> Digest:
    """The ``aid`` of what ``by`` assigns to ``runner`` under its ``key``."""
    return Digest(keccak(_word32(runner) + _address(by) + _word32(key)))


def item_hash(item: bytes) -> Digest:
    """What the contract keeps of a line or chunk."""
    return Digest(keccak(item))


def header_hash(header: TaskHeader) -> Digest:
    texts = (header.name, header.author, header.prereq, header.outcome)
    return Digest(keccak(_uint(header.task_type) + b"".join(keccak(text.encode()) for text in texts)))


def root_of(header: Digest, lines: Sequence[Digest], chunks: Sequence[Digest]) -> Digest:
    """The root of a whole task: of its header's hash, the numbers of lines and chunks, and the hash of each.

    Args:
        header: as :func:`header_hash` makes it.
    """
    return Digest(keccak(header + _uint(len(lines)) + _uint(len(chunks)) + b"".join(lines) + b"".join(chunks)))


@dataclass(frozen=True, slots=True)
class TaskStatement:
    """ "This is my task." What its creator signs to finalise it."""

    id: Digest
    header: TaskHeader
    lines: int
    chunks: int
    root: Digest

    TYPE_STRING: ClassVar[str] = (
        "Task(bytes32 id,uint8 taskType,string name,string author,string prereq,string outcome,"
        "uint32 lines,uint32 chunks,bytes32 root)"
    )

    def digest(self, domain: Digest) -> Digest:
        """Args: domain: of the contract Tasks."""
        h = self.header
        texts = b"".join(keccak(text.encode()) for text in (h.name, h.author, h.prereq, h.outcome))
        words = _word32(self.id) + _uint(h.task_type) + texts + _uint(self.lines) + _uint(self.chunks)
        return _typed(domain, self.TYPE_STRING, words + _word32(self.root))


@dataclass(frozen=True, slots=True)
class OrderStatement:
    """ "I give this task to that runner." What an assigner signs."""

    runner: Digest
    order: Order

    TYPE_STRING: ClassVar[str] = (
        "Order(bytes32 runner,bytes32 key,bytes32 task,bytes32 prereq,uint32 n,address[] named,"
        "uint32 expect,uint32 enrolSeconds)"
    )

    def digest(self, domain: Digest) -> Digest:
        """Args: domain: of the contract Taskrunners."""
        o = self.order
        words = b"".join(map(_word32, (self.runner, o.key, o.task, o.prereq))) + _uint(o.n)
        named = keccak(b"".join(map(_address, o.named)))
        return _typed(domain, self.TYPE_STRING, words + named + _uint(o.expect) + _uint(o.enrol_seconds))


def sign(statement: TaskStatement | OrderStatement, domain: Digest, signer: Signer) -> Signature:
    return signer.sign(statement.digest(domain))


def signed_by(
    statement: TaskStatement | OrderStatement, domain: Digest, signature: Signature, verifier: Verifier
) -> Address | None:
    """Who signed it; None when the signature is malformed. Whether that one may is the caller's to ask."""
    return verifier.recover(statement.digest(domain), signature)


def _typed(domain: Digest, type_string: str, words: bytes) -> Digest:
    return Digest(keccak(b"\x19\x01" + domain + keccak(keccak(type_string.encode()) + words)))


def _uint(value: int) -> bytes:
    return int(value).to_bytes(32, "big")


def _address(value: Address) -> bytes:
    if len(value) != 20:
        raise ValueError(f"20 address bytes expected, got {len(value)}")
    return value.rjust(32, b"\0")


def _word32(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError(f"32 bytes expected, got {len(value)}")
    return bytes(value)
