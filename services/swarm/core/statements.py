"""The signed statements of the training protocol: their fields, EIP-712 digests and JSON form.

Owns the bytes that are signed and nothing else: who may say what, and when, is the engine's business;
keys are held by the caller (:class:`Signer`). docs/wire-formats.md is the text of this module, with a
golden vector for each statement; tests check both this module and the contracts against it.

All fields are static ABI words, so a struct hash is keccak256(typehash | word * n).
Source of the scheme: EIP-712 (typed structured data), EIP-2098 (compact signatures).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from eth_hash.auto import keccak

from .checkinflags import FLAG_DONE, FLAG_OBSERVER, behind_of
from .ids import Address, BlobId, Digest, from_hex, to_hex
from .limits import FIXED_POINT, NOT_REPORTED

_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TRAINING_DOMAIN = "SwarmTraining"
MEMBERSHIP_DOMAIN = "SwarmMembership"
DOMAIN_VERSION = "1"


def domain_separator(name: str, chain_id: int, contract: Address) -> Digest:
    """EIP-712 domain separator of the contract named ``name`` at ``contract``."""
    return Digest(
        keccak(
            keccak(_DOMAIN_TYPE)
            + keccak(name.encode())
            + keccak(DOMAIN_VERSION.encode())
            + chain_id.to_bytes(32, "big")
            + contract.rjust(32, b"\0")
        )
    )


# ABI type of each field -> (encode to a word, JSON out, JSON in)
_NAME_ABI = {
    "job": "bytes32",
    "run": "uint64",
    "round": "uint64",
    "epoch": "uint32",
    "prev": "bytes32",
    "roster": "bytes32",
}


@dataclass(frozen=True, slots=True)
class RoundName:
    """What every statement binds: job, run, round, epoch, previous merged blob and roster hash."""

    job: Digest
    run: int
    round: int
    epoch: int
    prev: bytes
    roster: Digest

    ABI: ClassVar[dict[str, str]] = _NAME_ABI


@dataclass(frozen=True, slots=True)
class Signature:
    """EIP-2098 compact signature: r and vs (the parity bit on top of s), 32 bytes each."""

    r: bytes
    vs: bytes

    def to_json(self) -> str:
        return to_hex(self.r + self.vs)

    @staticmethod
    def from_json(text: str) -> Signature:
        raw = from_hex(text, 64)
        return Signature(raw[:32], raw[32:])


class Signer(Protocol):
    """The node's Ethereum key."""

    @property
    def address(self) -> Address: ...

    def sign(self, digest: Digest) -> Signature: ...


class Verifier(Protocol):
    """Recovers who signed a digest; None when the signature is malformed."""

    def recover(self, digest: Digest, signature: Signature) -> Address | None: ...


S = TypeVar("S", bound="Statement")


@dataclass(frozen=True, slots=True)
class Statement:
    """Base of the statements about one round."""

    name: RoundName

    ABI: ClassVar[dict[str, str]] = {}
    KIND: ClassVar[str] = ""
    TYPE: ClassVar[str] = ""
    SIGNER: ClassVar[str] = "node"
    """The field that names who signs."""

    @classmethod
    def type_string(cls) -> str:
        both = {**_NAME_ABI, **cls.ABI}
        return f"{cls.TYPE}({','.join(f'{abi} {camel(key)}' for key, abi in both.items())})"

    @property
    def signer(self) -> Address:
        """Whose word this is."""
        found: Address = getattr(self, self.SIGNER)
        return found

    def struct_hash(self) -> Digest:
        words = [_word(abi, getattr(self.name, key)) for key, abi in _NAME_ABI.items()]
        words += [_word(abi, getattr(self, key)) for key, abi in self.ABI.items()]
        return Digest(keccak(_type_hash(type(self)) + b"".join(words)))

    def digest(self, domain: Digest) -> Digest:
        return Digest(keccak(b"\x19\x01" + domain + self.struct_hash()))

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.KIND, "name": name_to_json(self.name)}
        for key, abi in self.ABI.items():
            out[key] = _json_out(abi, getattr(self, key))
        return out

    @classmethod
    def from_json(cls: type[S], data: dict[str, Any]) -> S:
        """Parse the JSON form strictly.

        Raises:
            ValueError: a field is missing, unknown, of the wrong type or out of range.
        """
        wanted = {"kind", "name", *cls.ABI}
        if not isinstance(data, dict) or set(data) != wanted:
            raise ValueError(f"{cls.KIND}: expected exactly the fields {sorted(wanted)}")
        if data["kind"] != cls.KIND:
            raise ValueError(f"expected a {cls.KIND}, got {data['kind']!r:.40}")
        values = {key: _json_in(abi, key, data[key]) for key, abi in cls.ABI.items()}
        return cls(name=name_from_json(data["name"]), **values)


@dataclass(frozen=True, slots=True)
class CheckIn(Statement):
    """ "This is my model for this round." Binds no attempt, so it survives a change of leader."""

    node: Address
    version: int
    blob: BlobId
    size: int
    weight: int
    loss: int
    metric: int
    epochs_done: int
    epochs_total: int
    flags: int

    KIND: ClassVar[str] = "check_in"
    TYPE: ClassVar[str] = "CheckIn"
    ABI: ClassVar[dict[str, str]] = {
        "node": "address",
        "version": "uint32",
        "blob": "bytes32",
        "size": "uint64",
        "weight": "uint32",
        "loss": "int64",
        "metric": "int64",
        "epochs_done": "uint32",
        "epochs_total": "uint32",
        "flags": "uint32",
    }

    @property
    def done(self) -> bool:
        return bool(self.flags & FLAG_DONE)

    @property
    def observer(self) -> bool:
        return bool(self.flags & FLAG_OBSERVER)

    @property
    def behind(self) -> int:
        """Rounds committed between the merged model that this one was trained from and this round; at most 255."""
        return behind_of(self.flags)


@dataclass(frozen=True, slots=True)
class Result:
    """What a proposal proposes: the merged blob and how it came about; statements carry its hash."""

    merged: BlobId
    size: int
    method: bytes
    inputs: Digest
    interval: int
    manifest: Digest

    TYPE_STRING: ClassVar[str] = (
        "Result(bytes32 merged,uint64 size,bytes32 method,bytes32 inputs,uint32 interval,bytes32 manifest)"
    )
    ABI: ClassVar[dict[str, str]] = {
        "merged": "bytes32",
        "size": "uint64",
        "method": "bytes32",
        "inputs": "bytes32",
        "interval": "uint32",
        "manifest": "bytes32",
    }

    def hash(self) -> Digest:
        words = b"".join(_word(abi, getattr(self, key)) for key, abi in self.ABI.items())
        return Digest(keccak(keccak(self.TYPE_STRING.encode()) + words))

    def to_json(self) -> dict[str, Any]:
        return {key: _json_out(abi, getattr(self, key)) for key, abi in self.ABI.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        if not isinstance(data, dict) or set(data) != set(cls.ABI):
            raise ValueError(f"result: expected exactly the fields {sorted(cls.ABI)}")
        return cls(**{key: _json_in(abi, key, data[key]) for key, abi in cls.ABI.items()})


@dataclass(frozen=True, slots=True)
class Proposal(Statement):
    attempt: int
    leader: Address
    result: Digest

    KIND: ClassVar[str] = "proposal"
    TYPE: ClassVar[str] = "Proposal"
    SIGNER: ClassVar[str] = "leader"
    ABI: ClassVar[dict[str, str]] = {"attempt": "uint32", "leader": "address", "result": "bytes32"}


@dataclass(frozen=True, slots=True)
class Ack(Statement):
    """ "I hold and have verified this result's blob."""

    attempt: int
    result: Digest
    node: Address

    KIND: ClassVar[str] = "ack"
    TYPE: ClassVar[str] = "Ack"
    ABI: ClassVar[dict[str, str]] = {"attempt": "uint32", "result": "bytes32", "node": "address"}


@dataclass(frozen=True, slots=True)
class Takeover(Statement):
    """ "I follow no attempt below ``attempt``; this is the highest I have acknowledged" (result 0: none)."""

    attempt: int
    acked_attempt: int
    acked_result: bytes
    node: Address

    KIND: ClassVar[str] = "takeover"
    TYPE: ClassVar[str] = "Takeover"
    ABI: ClassVar[dict[str, str]] = {
        "attempt": "uint32",
        "acked_attempt": "uint32",
        "acked_result": "bytes32",
        "node": "address",
    }


@dataclass(frozen=True, slots=True)
class Refusal(Statement):
    """The leader to a node whose contribution it could not use; never on chain."""

    node: Address
    version: int
    blob: BlobId
    reason: int
    leader: Address

    KIND: ClassVar[str] = "refusal"
    TYPE: ClassVar[str] = "Refusal"
    SIGNER: ClassVar[str] = "leader"
    ABI: ClassVar[dict[str, str]] = {
        "node": "address",
        "version": "uint32",
        "blob": "bytes32",
        "reason": "uint32",
        "leader": "address",
    }


KINDS: dict[str, type[Statement]] = {c.KIND: c for c in (CheckIn, Proposal, Ack, Takeover, Refusal)}


@dataclass(frozen=True, slots=True)
class Join:
    """A node's request to be admitted; signed over the Membership domain."""

    spki: bytes
    spiffe: bytes
    site: bytes
    node: Address
    role: int
    nonce: bytes
    expires: int

    TYPE_STRING: ClassVar[str] = (
        "Join(bytes32 spki,bytes32 spiffe,bytes32 site,address node,uint8 role,bytes32 nonce,uint64 expires)"
    )
    ABI: ClassVar[dict[str, str]] = {
        "spki": "bytes32",
        "spiffe": "bytes32",
        "site": "bytes32",
        "node": "address",
        "role": "uint8",
        "nonce": "bytes32",
        "expires": "uint64",
    }

    def digest(self, domain: Digest) -> Digest:
        words = b"".join(_word(abi, getattr(self, key)) for key, abi in self.ABI.items())
        return Digest(keccak(b"\x19\x01" + domain + keccak(keccak(self.TYPE_STRING.encode()) + words)))

    def to_json(self) -> dict[str, Any]:
        return {key: _json_out(abi, getattr(self, key)) for key, abi in self.ABI.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Join:
        if not isinstance(data, dict) or set(data) != set(cls.ABI):
            raise ValueError(f"join: expected exactly the fields {sorted(cls.ABI)}")
        return cls(**{key: _json_in(abi, key, data[key]) for key, abi in cls.ABI.items()})


def inputs_hash(items: Sequence[tuple[Digest, float]]) -> Digest:
    """Hash over (check-in digest, final coefficient) in ascending order of node address.

    A coefficient travels as its IEEE-754 binary64 bits in a uint64: anyone recomputes the exact merge.
    """
    return Digest(keccak(b"".join(digest + coefficient_bits(c).to_bytes(8, "big") for digest, c in items)))


def coefficient_bits(value: float) -> int:
    import struct

    return int(struct.unpack(">Q", struct.pack(">d", value))[0])


def coefficient_from_bits(bits: int) -> float:
    import struct

    return float(struct.unpack(">d", bits.to_bytes(8, "big"))[0])


def method_word(name: str) -> bytes:
    """A merge method's name as a bytes32, ASCII, zero padded on the right.

    Raises:
        ValueError: empty, longer than 32 bytes or not ASCII.
    """
    raw = name.encode("ascii")
    if not 1 <= len(raw) <= 32:
        raise ValueError(f"a merge method's name has 1 to 32 ASCII characters: {name!r}")
    return raw.ljust(32, b"\0")


def method_name(word: bytes) -> str:
    return word.rstrip(b"\0").decode("ascii", "replace")


def to_fixed(value: float) -> int:
    """Loss or metric as int64 multiples of 1e-6, clamped; NaN becomes NOT_REPORTED."""
    if math.isnan(value):
        return NOT_REPORTED
    if math.isinf(value):
        return 2**63 - 1 if value > 0 else -(2**63) + 1
    return max(-(2**63) + 1, min(2**63 - 1, round(value * FIXED_POINT)))


def from_fixed(value: int) -> float:
    return math.nan if value == NOT_REPORTED else value / FIXED_POINT


def name_to_json(name: RoundName) -> dict[str, Any]:
    return {f.name: _json_out(_NAME_ABI[f.name], getattr(name, f.name)) for f in fields(name)}


def name_from_json(data: dict[str, Any]) -> RoundName:
    if not isinstance(data, dict) or set(data) != set(_NAME_ABI):
        raise ValueError(f"round name: expected exactly the fields {sorted(_NAME_ABI)}")
    return RoundName(**{key: _json_in(abi, key, data[key]) for key, abi in _NAME_ABI.items()})


def camel(key: str) -> str:
    """snake_case to the camelCase used in EIP-712 type strings and Solidity."""
    head, *rest = key.split("_")
    return head + "".join(part.capitalize() for part in rest)


_TYPE_HASHES: dict[type[Statement], bytes] = {}


def _type_hash(cls: type[Statement]) -> bytes:
    if cls not in _TYPE_HASHES:
        _TYPE_HASHES[cls] = keccak(cls.type_string().encode())
    return _TYPE_HASHES[cls]


def _word(abi: str, value: Any) -> bytes:
    if abi == "bytes32":
        if len(value) != 32:
            raise ValueError(f"bytes32 expected, got {len(value)} bytes")
        return bytes(value)
    if abi == "address":
        if len(value) != 20:
            raise ValueError(f"20 address bytes expected, got {len(value)}")
        return bytes(value).rjust(32, b"\0")
    return int(value).to_bytes(32, "big", signed=abi.startswith("int"))


def _json_out(abi: str, value: Any) -> Any:
    return to_hex(value) if abi in ("bytes32", "address") else int(value)


def _json_in(abi: str, key: str, value: Any) -> Any:
    try:
        if abi == "bytes32":
            return from_hex(value, 32)
        if abi == "address":
            return from_hex(value, 20)
        if type(value) is not int:
            raise ValueError(f"expected an integer, got {value!r:.40}")
        signed = abi.startswith("int")
        bits = int(abi.removeprefix("u").removeprefix("int"))
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if not low <= value <= high:
            raise ValueError(f"{value} is not within {low}..{high}")
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return value
