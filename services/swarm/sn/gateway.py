"""What of the chain's JSON-RPC the outside may call: a white list with bounded parameters, and nothing else.

Pure: bytes in, checked calls out (:func:`parse`). Who asks, how often, and the call itself belong to
:mod:`swarm.sn.relay`. The list is docs/wire-formats.md 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]

from swarm.core.limits import HTTP_BODY_BYTES_MAX, RPC_BATCH_MAX

PARSE, INVALID, METHOD, PARAMS, INTERNAL, LIMIT, REFUSED = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
    -32005,
    -32003,
)
"""JSON-RPC error codes; -32005 is the usual "limit exceeded", -32003 "not for you"."""

RAW_TX_BYTES_MAX = 128 * 1024
CALL_DATA_BYTES_MAX = 256 * 1024
CALL_GAS_MAX = 50_000_000
LOGS_BLOCKS_MAX = 10_000
LOGS_ADDRESSES_MAX = 16
LOGS_TOPICS_MAX = 4
LOGS_ALTERNATIVES_MAX = 64
ID_CHARS_MAX = 64
OPENINGS_MAX = 10_000
"""Brackets that open, in one body. py-evm raises this process's recursion limit to 100,000, where the JSON reader
runs out of stack (some 60,000 deep) before Python notices: without this bound one request ends the process."""
TOKEN_BYTES = 4096
"""Of what is sent with an eth_call: each so many cost one token more."""
TX_FIELDS, TX_TO = 12, 5
"""Of a signed transaction of type 2 (EIP-1559)."""

_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})", re.I)
_TAGS = ("latest", "earliest", "pending", "safe", "finalized")


@dataclass(frozen=True, slots=True)
class Call:
    """One checked call."""

    id: int | str
    method: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One call that is answered with an error and never forwarded."""

    id: int | str | None
    code: int
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "error": {"code": self.code, "message": self.message}}


class _Bad(Exception):
    """A parameter is not what the method takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """Args: batch: the body was an array, so the answer is one; calls: in the order given."""

    batch: bool
    calls: tuple[Call | Fault, ...]


def parse(body: bytes) -> Request | Fault:
    """The calls of a request body; a Fault when the body as a whole cannot be used."""
    if len(body) > HTTP_BODY_BYTES_MAX:
        return Fault(None, INVALID, f"a request has at most {HTTP_BODY_BYTES_MAX} bytes")
    if body.count(b"[") + body.count(b"{") > OPENINGS_MAX:
        return Fault(None, INVALID, f"a request has at most {OPENINGS_MAX} arrays and objects")
    try:
        data = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Fault(None, PARSE, "the request is not JSON")
    if isinstance(data, list):
        if not 1 <= len(data) <= RPC_BATCH_MAX:
            return Fault(None, INVALID, f"a batch has 1 to {RPC_BATCH_MAX} calls, this one has {len(data)}")
        return Request(True, tuple(check(one) for one in data))
    return Request(False, (check(data),))


def check(one: Any) -> Call | Fault:
    """One call against the white list."""
    if not isinstance(one, dict) or one.get("jsonrpc") != "2.0":
        return Fault(None, INVALID, 'a call is an object with "jsonrpc": "2.0"')
    number = one.get("id")
    if (
        isinstance(number, bool)
        or not isinstance(number, int | str)
        or len(str(number)[: ID_CHARS_MAX + 1]) > ID_CHARS_MAX
    ):
        return Fault(None, INVALID, f"a call has an id: a number or a text of at most {ID_CHARS_MAX} characters")
    unknown = set(one) - {"jsonrpc", "id", "method", "params"}
    if unknown:
        return Fault(number, INVALID, "a call has jsonrpc, id, method and params, nothing else")
    method, params = one.get("method"), one.get("params", [])
    rule = METHODS.get(method) if isinstance(method, str) else None
    if rule is None or not isinstance(method, str):
        return Fault(number, METHOD, f"method {method!r:.60} is not offered here")
    if not isinstance(params, list):
        return Fault(number, PARAMS, f"{method}: params is an array")
    try:
        return Call(number, method, rule(params))
    except _Bad as error:
        return Fault(number, PARAMS, f"{method}: {error}")


def target(call: Call) -> str | None:
    """Whose code a call would run: the lower-case address of the contract; None where none would run.

    Raises:
        ValueError: a transaction that is not of type 2, cannot be read, or creates a contract.
    """
    if call.method == "eth_call":
        return str(call.params[0]["to"]).lower()
    if call.method != "eth_sendRawTransaction":
        return None
    raw = bytes.fromhex(call.params[0][2:])
    if raw[:1] != b"\x02":
        raise ValueError("only transactions of type 2 are taken")
    try:
        fields = rlp.decode(raw[1:])
    except rlp.DecodingError as error:
        raise ValueError(f"the transaction cannot be read: {error}") from None
    if not isinstance(fields, list) or len(fields) != TX_FIELDS or not isinstance(fields[TX_TO], bytes):
        raise ValueError(f"a transaction of type 2 has {TX_FIELDS} fields")
    if len(fields[TX_TO]) != 20:
        raise ValueError("a transaction here calls a contract; creating one is not offered")
    return "0x" + bytes(fields[TX_TO]).hex()


def logs_range(params: list[Any], head: int) -> int:
    """How many blocks an ``eth_getLogs`` reads when the chain's head is ``head``."""
    wanted = params[0]
    if "blockHash" in wanted:
        return 1
    first, last = (_number(wanted.get(key, "latest"), head) for key in ("fromBlock", "toBlock"))
    return max(0, min(last, head) - first + 1)


def cost(call: Call) -> int:
    """Tokens a call takes from its peer's bucket: roughly, milliseconds of the chain's time."""
    sent = 0
    if call.method == "eth_call":
        sent = sum(len(call.params[0].get(field, "")) // 2 for field in ("data", "input"))
    return {"eth_getLogs": 4, "eth_sendRawTransaction": 10, "eth_call": 2}.get(call.method, 1) + sent // TOKEN_BYTES


def _number(tag: Any, head: int) -> int:
    if tag == "earliest":
        return 0
    return head if tag in _TAGS else int(tag, 16)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ---- parameters ---------------------------------------------------------------------------------


def _hex(value: Any, what: str, *, size: int | None = None, size_max: int = 0) -> str:
    if not isinstance(value, str) or not value.startswith("0x") or len(value) % 2:
        raise _Bad(f"{what} is 0x and an even number of hex digits")
    count = len(value) // 2 - 1
    if size is not None and count != size:
        raise _Bad(f"{what} has {size} bytes")
    if size is None and count > size_max:
        raise _Bad(f"{what} has at most {size_max} bytes, this one has {count}")
    try:
        bytes.fromhex(value[2:])
    except ValueError:
        raise _Bad(f"{what} is hex") from None
    if len(value) != 2 + 2 * count or any(c.isspace() for c in value):
        raise _Bad(f"{what} is hex")
    return value


def _address(value: Any, what: str = "the address") -> str:
    return _hex(value, what, size=20)


def _word(value: Any, what: str = "the hash") -> str:
    return _hex(value, what, size=32)


def _quantity(value: Any, what: str, most: int | None = None) -> str:
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _Bad(f"{what} is a hex quantity without leading zeros, below 2^64")
    if most is not None and int(value, 16) > most:
        raise _Bad(f"{what} is at most {most}")
    return value


def _tag(value: Any) -> str:
    if isinstance(value, str) and value in _TAGS:
        return value
    return _quantity(value, "the block")


def _state_tag(value: Any) -> Any:
    """A tag, or EIP-1898's ``{"blockHash": ...}``."""
    if isinstance(value, dict):
        if set(value) != {"blockHash"}:
            raise _Bad("the block is a tag, a number or {blockHash}")
        return {"blockHash": _word(value["blockHash"])}
    return _tag(value)


def _count(params: list[Any], least: int, most: int) -> None:
    if not least <= len(params) <= most:
        raise _Bad(f"takes {least} to {most} parameters, got {len(params)}")


def _none(params: list[Any]) -> list[Any]:
    _count(params, 0, 0)
    return []


def _one_hash(params: list[Any]) -> list[Any]:
    _count(params, 1, 1)
    return [_word(params[0])]


def _account_at(params: list[Any]) -> list[Any]:
    _count(params, 1, 2)
    return [_address(params[0]), _state_tag(params[1] if len(params) > 1 else "latest")]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Bad("the second parameter is true or false")
    return value


def _block_by_number(params: list[Any]) -> list[Any]:
    _count(params, 1, 2)
    return [_tag(params[0]), _flag(params[1] if len(params) > 1 else False)]


def _block_by_hash(params: list[Any]) -> list[Any]:
    _count(params, 1, 2)
    return [_word(params[0]), _flag(params[1] if len(params) > 1 else False)]


def _call(params: list[Any]) -> list[Any]:
    # A third parameter (state overrides) would let a caller make a node compute on a state of his own.
    _count(params, 1, 2)
    wanted = params[0]
    if not isinstance(wanted, dict):
        raise _Bad("the first parameter is an object")
    out: dict[str, Any] = {}
    for key, value in wanted.items():
        if key in ("data", "input"):
            out[key] = _hex(value, key, size_max=CALL_DATA_BYTES_MAX)
        elif key in ("to", "from"):
            out[key] = _address(value, key)
        elif key == "gas":
            out[key] = _quantity(value, key, CALL_GAS_MAX)
        elif key in ("value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "nonce", "chainId", "type"):
            out[key] = _quantity(value, key)
        else:
            raise _Bad(f"field {key!r:.40} is not taken")
    if "to" not in out:
        raise _Bad("to is needed")
    return [out, _state_tag(params[1] if len(params) > 1 else "latest")]


def _raw(params: list[Any]) -> list[Any]:
    _count(params, 1, 1)
    return [_hex(params[0], "the transaction", size_max=RAW_TX_BYTES_MAX)]


def _logs(params: list[Any]) -> list[Any]:
    _count(params, 1, 1)
    wanted = params[0]
    if not isinstance(wanted, dict):
        raise _Bad("the parameter is an object")
    out: dict[str, Any] = {}
    for key, value in wanted.items():
        if key in ("fromBlock", "toBlock"):
            out[key] = _tag(value)
        elif key == "blockHash":
            out[key] = _word(value, key)
        elif key == "address":
            many = value if isinstance(value, list) else [value]
            if len(many) > LOGS_ADDRESSES_MAX:
                raise _Bad(f"at most {LOGS_ADDRESSES_MAX} addresses")
            out[key] = [_address(a) for a in many]
        elif key == "topics":
            out[key] = _topics(value)
        else:
            raise _Bad(f"field {key!r:.40} is not taken")
    if "blockHash" in out and ("fromBlock" in out or "toBlock" in out):
        raise _Bad("blockHash excludes fromBlock and toBlock")
    return [out]


def _topics(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > LOGS_TOPICS_MAX:
        raise _Bad(f"topics is an array of at most {LOGS_TOPICS_MAX}")
    out: list[Any] = []
    for one in value:
        if isinstance(one, list):
            if len(one) > LOGS_ALTERNATIVES_MAX:
                raise _Bad(f"at most {LOGS_ALTERNATIVES_MAX} alternatives for a topic")
            out.append([_word(t, "a topic") for t in one])
        else:
            out.append(None if one is None else _word(one, "a topic"))
    return out


METHODS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "eth_chainId": _none,
    "net_version": _none,
    "web3_clientVersion": _none,
    "eth_blockNumber": _none,
    "eth_syncing": _none,
    "eth_getBlockByNumber": _block_by_number,
    "eth_getBlockByHash": _block_by_hash,
    "eth_getTransactionCount": _account_at,
    "eth_getBalance": _account_at,
    "eth_getCode": _account_at,
    "eth_call": _call,
    "eth_sendRawTransaction": _raw,
    "eth_getTransactionReceipt": _one_hash,
    "eth_getTransactionByHash": _one_hash,
    "eth_getLogs": _logs,
}
"""The white list; each rule returns the parameters that are forwarded."""
