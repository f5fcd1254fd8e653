"""Contract interfaces as data: compiled artefacts, and the coding of calls, results, errors and logs.

Owns everything ABI; knows no particular contract. Addresses are 20 bytes and structs are dicts inside,
whatever the transport; names stay as in the ABI, the facades give them Python names.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak

from swarm.core.errors import ChainFault, LocalFault, Reverted
from swarm.core.ids import Address

CONTRACTS = (
    "Directory",
    "Membership",
    "TrainingCalls",
    "TrainingCarried",
    "Training",
    "JobOptions",
    "Tasks",
    "TaskrunnersPeers",
    "Taskrunners",
)


_PLACEHOLDER = re.compile(r"__\$[0-9a-f]{34}\$__")
"""What the compiler writes where a library's address goes."""


_ERROR_STRING, _PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")
"""Selectors of ``Error(string)`` and ``Panic(uint256)``."""


@dataclass(frozen=True)
class Signature:
    """A function, event or error of an ABI."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...] = ()

    @functools.cached_property
    def text(self) -> str:
        return f"{self.name}({','.join(types_of(self.inputs))})"

    @functools.cached_property
    def hash(self) -> bytes:
        """32 bytes: topic 0 of an event; its first four are a selector."""
        return keccak(self.text.encode())

    @functools.cached_property
    def input_types(self) -> list[str]:
        return types_of(self.inputs)

    @functools.cached_property
    def output_types(self) -> list[str]:
        return types_of(self.outputs)

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Selector and arguments.

        Raises:
            LocalFault: the arguments do not fit the types; a bug of the caller.
        """
        try:
            return self.hash[:4] + abi_encode(self.input_types, arguments)
        except ValueError as error:
            raise LocalFault(f"arguments of {self.text} do not fit: {error}") from error

    def decode_input(self, calldata: bytes) -> dict[str, Any]:
        """The arguments in a transaction's data, selector included, by their ABI names.

        Raises:
            ChainFault: the bytes are not of these types.
        """
        values = _decode(f"the call of {self.text}", self.inputs, self.input_types, calldata[4:])
        return struct_of(self.inputs, values)

    def decode_output(self, data: bytes) -> tuple[Any, ...]:
        """What a call returned.

        Raises:
            ChainFault: the bytes are not of these types; most often there is no such contract at the address.
        """
        return _decode(f"the answer of {self.text}", self.outputs, self.output_types, data)


@dataclass(frozen=True)
class Artifact:
    """One compiled contract."""

    name: str
    bytecode: bytes
    functions: Mapping[str, Signature]
    events: Mapping[str, Signature]
    errors: Mapping[str, Signature]
    constructor: Signature
    links: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By linked library, where in the byte code its address stands."""

    @classmethod
    def from_json(
        cls,
        name: str,
        abi: Sequence[Mapping[str, Any]],
        bytecode: bytes = b"",
        links: Mapping[str, Sequence[int]] | None = None,
    ) -> Artifact:
        kinds: dict[str, dict[str, Signature]] = {"function": {}, "event": {}, "error": {}, "constructor": {}}
        for item in abi:
            if item["type"] not in kinds:
                continue
            key = item.get("name", "")
            if key in kinds[item["type"]]:
                raise LocalFault(f"{name}: {item['type']} {key} is overloaded; the facades need unique names")
            kinds[item["type"]][key] = Signature(key, tuple(item.get("inputs", ())), tuple(item.get("outputs", ())))
        constructor = kinds["constructor"].get("", Signature("", ()))
        return cls(name, bytecode, kinds["function"], kinds["event"], kinds["error"], constructor, links or {})

    def creation(self, arguments: Sequence[Any], libraries: Mapping[str, Address] | None = None) -> bytes:
        """Byte code, with its libraries' addresses put in, and constructor arguments of a deployment.

        Raises:
            LocalFault: a library that it is linked to has no address.
        """
        code = bytearray(self.bytecode)
        for library, places in self.links.items():
            if library not in (libraries or {}):
                raise LocalFault(f"{self.name} is linked to {library}, which is not deployed yet: deploy it first")
            for place in places:
                code[place : place + 20] = (libraries or {})[library]
        return bytes(code) + self.constructor.encode(arguments)[4:]


@functools.cache
def artifact(name: str) -> Artifact:
    """The committed build of a contract in ``contracts/`` (see contracts/build.py).

    Raises:
        LocalFault: this installation lacks it.
    """
    try:
        text = importlib.resources.files("swarm.chain").joinpath("abi", f"{name}.json").read_text()
    except FileNotFoundError:
        raise LocalFault(f"this installation lacks the build of {name}; run contracts/build.py") from None
    data = json.loads(text)
    code = _PLACEHOLDER.sub("0" * 40, data["bytecode"].removeprefix("0x"))
    return Artifact.from_json(name, data["abi"], bytes.fromhex(code), data["links"])


@functools.cache
def known_errors() -> Mapping[bytes, Signature]:
    """Custom errors of all our contracts by selector."""
    return {s.hash[:4]: s for name in CONTRACTS for s in artifact(name).errors.values()}


def decode_revert(data: bytes, *, call: str = "", errors: Mapping[bytes, Signature] | None = None) -> Reverted:
    """The fault behind revert bytes: the same on every kind of node, because we decode them ourselves."""
    selector, rest = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return Reverted("Error", {"message": abi_decode(["string"], rest)[0]}, call=call)
        if selector == _PANIC:
            return Reverted("Panic", {"code": abi_decode(["uint256"], rest)[0]}, call=call)
        found = (known_errors() if errors is None else errors).get(selector)
        if found is not None:
            return Reverted(
                found.name,
                struct_of(found.inputs, _decode(found.text, found.inputs, found.input_types, rest)),
                call=call,
            )
    except (ValueError, ChainFault):
        return Reverted("Unknown", {"data": data}, call=call)
    return Reverted("Unknown", {"data": data}, call=call)


def decode_event(event: Signature, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
    """The arguments of a log by their ABI names.

    Raises:
        ChainFault: topics or data do not fit the event.
    """
    indexed = [i for i in event.inputs if i["indexed"]]
    plain = tuple(i for i in event.inputs if not i["indexed"])
    if len(topics) != 1 + len(indexed):
        raise ChainFault(f"a log of {event.text} has {len(topics)} topics instead of {1 + len(indexed)}")
    values = struct_of(plain, _decode(event.text, plain, types_of(plain), data))
    for item, topic in zip(indexed, topics[1:], strict=True):
        values[item["name"]] = _decode(event.text, (item,), types_of((item,)), topic)[0]
    return values


def types_of(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [type_of(item) for item in items]


def type_of(item: Mapping[str, Any]) -> str:
    """A tuple is written as what it holds: ``(uint256,bytes)[]``."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(types_of(item['components']))}){kind.removeprefix('tuple')}"


def abi_encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Raises ValueError: the values are not of these types."""
    from . import abicodec  # a third of a second of imports, which a command that reaches no chain does not need

    return abicodec.encode(types, values)


def abi_decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Raises ValueError: the bytes are not of these types."""
    from . import abicodec

    return abicodec.decode(types, data)


def struct_of(items: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    """Values by name; a nameless one is called by its place."""
    return {
        item.get("name") or str(place): value for place, (item, value) in enumerate(zip(items, values, strict=True))
    }


def _decode(what: str, items: Sequence[Mapping[str, Any]], types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        raw = abi_decode(types, data)
    except ValueError as error:
        raise ChainFault(f"{what}: {len(data)} bytes do not decode ({error}); is this contract deployed?") from error
    return tuple(_shape(item, value) for item, value in zip(items, raw, strict=True))


def _shape(item: Mapping[str, Any], value: Any, dimensions: str | None = None) -> Any:
    kind: str = item["type"]
    base, bracket, rest = kind.partition("[")
    left = bracket + rest if dimensions is None else dimensions
    if left:
        inner = left[: left.rindex("[")]
        return [_shape(item, v, inner) for v in value]
    if base == "address":
        return Address(bytes.fromhex(value[2:]))
    if base == "tuple":
        parts = item["components"]
        return struct_of(parts, [_shape(p, v) for p, v in zip(parts, value, strict=True)])
    return value
