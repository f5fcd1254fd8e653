"""Owns the reading of JSON-RPC parameters: hex text to values, strict and bounded; leaves meaning to rpc."""

from __future__ import annotations

import re
from typing import Any

from swarm.chain.embedded.errors import INVALID_PARAMS, RpcError
from swarm.chain.embedded.journal import FILTER_VALUES_MAX
from swarm.chain.embedded.tx import AccessList

__all__ = ["HEAD_TAGS", "access_list", "address", "count", "data", "digest", "mapping", "quantity", "topics"]

HEAD_TAGS = frozenset({"latest", "pending", "safe", "finalized"})
"""All name the head: a sealed block is final here, and nothing pends."""
DATA_BYTES_MAX = 256 * 1024
"""Of any hex argument: above the largest transaction, so that one too large is refused in geth's words."""
TOPIC_POSITIONS_MAX = 4
_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})\Z")
_BYTES = re.compile(r"0x([0-9a-fA-F]{2})*\Z")


def bad(text: str) -> RpcError:
    return RpcError(INVALID_PARAMS, text)


def count(params: list[Any], least: int, most: int) -> None:
    """Refuse a call with too few or too many positional arguments."""
    if len(params) < least:
        raise bad(f"missing value for required argument {len(params)}")
    if len(params) > most:
        raise bad(f"too many arguments, want at most {most}")


def data(value: Any, size: int | None = None) -> bytes:
    """Bytes from 0x hex, bounded; exactly ``size`` bytes if given."""
    most = 2 + 2 * (DATA_BYTES_MAX if size is None else size)
    if not isinstance(value, str) or len(value) > most or not _BYTES.match(value):
        raise bad(f"invalid argument: not 0x hex of at most {most - 2} digits: {value!r:.80}")
    raw = bytes.fromhex(value[2:])
    if size is not None and len(raw) != size:
        raise bad(f"invalid argument: hex has {len(raw)} bytes, want {size}: {value!r:.80}")
    return raw


def address(value: Any) -> bytes:
    return data(value, 20)


def digest(value: Any) -> bytes:
    return data(value, 32)


def quantity(value: Any) -> int:
    if not isinstance(value, str) or not _QUANTITY.match(value):
        raise bad(f"invalid argument: not a hex quantity: {value!r:.80}")
    return int(value, 16)


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad(f"invalid argument: expected an object, got {value!r:.80}")
    return value


def listed(value: Any, most: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise bad(f"invalid argument: {what} is not a list of at most {most} entries")
    return value


def addresses(value: Any) -> list[bytes]:
    """The ``address`` of a log filter: absent, one, or a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [address(value)]
    return [address(one) for one in listed(value, FILTER_VALUES_MAX, "address")]


def topics(value: Any) -> list[list[bytes] | None]:
    """The ``topics`` of a log filter; None at a position means anything."""
    wanted: list[list[bytes] | None] = []
    for one in listed([] if value is None else value, TOPIC_POSITIONS_MAX, "topics"):
        options = one if isinstance(one, list) else [one]
        if None in options or not options:
            wanted.append(None)
        else:
            wanted.append([digest(option) for option in listed(options, FILTER_VALUES_MAX, "topic")])
    return wanted


def access_list(value: Any) -> AccessList:
    entries = (mapping(one) for one in listed(value or [], FILTER_VALUES_MAX, "accessList"))
    return tuple(
        (
            address(entry.get("address")),
            tuple(
                int.from_bytes(digest(key), "big")
                for key in listed(entry.get("storageKeys") or [], FILTER_VALUES_MAX, "storageKeys")
            ),
        )
        for entry in entries
    )
