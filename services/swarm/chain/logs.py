"""A contract's log entry as nodes send it, parsed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarm.core.errors import ChainFault
from swarm.core.ids import Address, Digest, from_hex


@dataclass(frozen=True, slots=True)
class Log:
    """One entry; (block_hash, index) names it for ever."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: Digest
    transaction: Digest
    index: int

    @property
    def key(self) -> tuple[bytes, int]:
        return self.block_hash, self.index


def parse_log(raw: Any) -> Log:
    """Raises ChainFault when it is not a log of a mined block."""
    try:
        return Log(
            address=Address(from_hex(raw["address"], 20)),
            topics=tuple(from_hex(t, 32) for t in raw["topics"]),
            data=bytes.fromhex(raw["data"][2:]),
            block=int(raw["blockNumber"], 16),
            block_hash=Digest(from_hex(raw["blockHash"], 32)),
            transaction=Digest(from_hex(raw["transactionHash"], 32)),
            index=int(raw["logIndex"], 16),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ChainFault(f"the node sent something that is no log: {raw!r:.200}") from error
