"""What a node says of a transaction: receipts, reverts and quantities, parsed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarm.core.errors import ChainFault, Reverted
from swarm.core.ids import Address, Digest, from_hex

from .contract import decode_revert
from .logs import Log, parse_log
from .rpc import RpcError


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction of ours; it has succeeded."""

    hash: Digest
    block: int
    block_hash: Digest
    gas_used: int
    contract: Address | None
    logs: tuple[Log, ...]


def revert_of(error: RpcError, label: str) -> Reverted | None:
    """The contract's refusal inside a node's error; None if it is something else."""
    data = error.data.get("data") if isinstance(error.data, dict) else error.data
    if isinstance(data, str) and data.startswith("0x"):
        try:
            raw = bytes.fromhex(data[2:])
        except ValueError:
            raw = b""  # whatever it is, the refusal itself is told below
        if raw:
            return decode_revert(raw, call=label)
    if error.code == 3 or "execution reverted" in error.message.lower():
        return Reverted("Unknown", {"message": error.message}, call=label)
    return None


def parse_receipt(raw: dict[str, Any]) -> Receipt:
    """A receipt as nodes send it."""
    created = raw.get("contractAddress")
    return Receipt(
        hash=Digest(from_hex(raw["transactionHash"], 32)),
        block=number(raw["blockNumber"]),
        block_hash=Digest(from_hex(raw["blockHash"], 32)),
        gas_used=number(raw["gasUsed"]),
        contract=Address(from_hex(created, 20)) if created else None,
        logs=tuple(parse_log(log) for log in raw["logs"]),
    )


def number(value: Any) -> int:
    """A hex quantity; raises ChainFault if it is none."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ChainFault(f"a hex quantity was expected, the node sent {value!r:.80}")
    return int(value, 16)


def data_of(value: Any) -> bytes:
    """Hex data; raises ChainFault if it is none."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ChainFault(f"hex data was expected, the node sent {value!r:.80}")
    return bytes.fromhex(value[2:])
