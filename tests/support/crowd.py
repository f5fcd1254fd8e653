"""Fills a chain quickly: a contract that sends hundreds of calls of one size in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from support.evmcode import assemble, deployer
from swarm.chain.contract import artifact
from swarm.core.ids import Address, Digest

AT_ONCE = 200
"""Calls in one transaction: as many as create jobs within a block's gas."""


def batcher(target: Address, size: int) -> bytes:
    """Creation code: whatever it is sent goes to ``target`` in pieces of ``size`` bytes; all of them work, or none."""
    return deployer(
        assemble(
            f"""
            0x00
            :next DUP1 CALLDATASIZE SWAP1 LT ISZERO @end JUMPI
            DUP1 0x{size:04x} SWAP1 0x00 CALLDATACOPY
            0x00 0x00 0x{size:04x} 0x00 0x00 0x{target.hex()} GAS CALL
            ISZERO @bad JUMPI
            0x{size:04x} ADD @next JUMP
            :end STOP
            :bad 0x00 0x00 REVERT
            """
        )
    )


def job_calls(count: int, origin: Digest) -> tuple[int, Sequence[bytes]]:
    """Calls that make ``count`` jobs, as an import does; the size of each, and those of each transaction."""
    function = artifact("Training").functions["carryJob"]
    calls = [function.encode([name, origin, 1]) for name in names(count)]
    return len(calls[0]), [b"".join(calls[at : at + AT_ONCE]) for at in range(0, count, AT_ONCE)]


def names(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"job {number:06d}"
