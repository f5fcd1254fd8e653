"""The ABI's bytes, by eth_abi: the only importer of it, and imported only where bytes are coded.

Whatever is wrong with values or bytes is a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import registry as abi_registry


class _AnyString(StringDecoder):
    """A string of any bytes: the chain checks none, and one member's must not stop whoever reads the events."""

    def __init__(self) -> None:
        super().__init__(handle_string_errors="replace")  # type: ignore[no-untyped-call]


def _forgiving() -> ABICodec:
    registry = abi_registry.copy()  # type: ignore[no-untyped-call]
    registry.unregister_decoder("string")
    registry.register_decoder("string", _AnyString, label="string")
    return ABICodec(registry)


_CODEC = _forgiving()


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    try:
        return _CODEC.encode(types, values)
    except (EncodingError, TypeError) as error:
        raise ValueError(str(error)) from error


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        return _CODEC.decode(types, data)
    except (DecodingError, OverflowError) as error:
        raise ValueError(str(error)) from error
