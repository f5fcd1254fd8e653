"""The genesis of a swarm's Clique chain: London rules, free gas, one sealer to begin with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, to_hex

FUNDER_WEI = 10**24
GAS_LIMIT = 60_000_000
EPOCH_BLOCKS = 30_000
PERIOD_SECONDS_MAX = 60
_FORKS = (
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
)


def genesis(chain_id: int, signers: Sequence[Address], *, period: int, alloc: Mapping[Address, int]) -> dict[str, Any]:
    """Genesis JSON for ``geth init``.

    Args:
        chain_id: random for each swarm.
        signers: sealers from the first block on; others are voted in.
        period: seconds between blocks; 0 seals on demand and is safe with one geth only (it forks with a
            follower or a second sealer).
        alloc: wei by address; the funder, as a rule, with FUNDER_WEI.

    Raises:
        OperatorFault: a number is out of range or there is no signer.
    """
    if not 0 <= period <= PERIOD_SECONDS_MAX:
        raise OperatorFault(f"a block period is 0 to {PERIOD_SECONDS_MAX} seconds, not {period}")
    if not 1 <= chain_id < 2**53:
        raise OperatorFault(f"a chain id is a positive number below 2**53, not {chain_id}")
    if not signers:
        raise OperatorFault("a Clique chain needs at least one signer in its genesis")
    config: dict[str, Any] = {"chainId": chain_id, **dict.fromkeys(_FORKS, 0)}
    config["clique"] = {"period": period, "epoch": EPOCH_BLOCKS}
    return {
        "config": config,
        "difficulty": "0x1",
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": "0x0",
        "extraData": "0x" + bytes(32).hex() + b"".join(sorted(set(signers))).hex() + bytes(65).hex(),
        "alloc": {to_hex(a): {"balance": hex(wei)} for a, wei in sorted(alloc.items())},
    }


def with_period(first: Mapping[str, Any], period: int) -> dict[str, Any]:
    """The same genesis with another block period. Its hash stays: the period is no part of the genesis block."""
    if not 0 <= period <= PERIOD_SECONDS_MAX:
        raise OperatorFault(f"a block period is 0 to {PERIOD_SECONDS_MAX} seconds, not {period}")
    config = dict(first["config"])
    config["clique"] = {**config["clique"], "period": period}
    return {**first, "config": config}


def same_chain(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two genesis texts begin the same chain: all but the block period is equal."""
    return with_period(one, 0) == with_period(other, 0)
