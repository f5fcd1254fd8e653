"""Puts the contracts on a fresh chain and enters them in the Directory; the deployer owns and admits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarm.core.errors import ChainFault
from swarm.core.ids import Address
from swarm.core.limits import RESCUE_AFTER_SECONDS

from .client import Call, ChainClient
from .contract import artifact
from .directory import Directory
from .joboptions import JobOptions
from .membership import Membership
from .training import Training

GAS_PER_BYTE = 200 + 16 * 2 + 100
"""Code deposit, calldata and some for the constructor's own writes."""
GAS_BASE = 2_000_000
VERSION = 1


@dataclass(frozen=True, slots=True)
class Deployed:
    """The facades of one swarm, over one client."""

    directory: Directory
    membership: Membership
    training: Training
    options: JobOptions

    @property
    def addresses(self) -> Mapping[str, Address]:
        """By contract name, for :class:`~swarm.chain.events.EventDecoder`."""
        return {
            "Directory": self.directory.address,
            "Membership": self.membership.address,
            "Training": self.training.address,
            "JobOptions": self.options.address,
        }


async def create(client: ChainClient, contract: str, *arguments: Any) -> Address:
    """Deploy one contract of ours.

    Raises:
        ChainFault: there is no code behind the new address.
    """
    built = artifact(contract)
    data = built.creation(arguments)
    receipt = await client.submit(Call(None, data, GAS_BASE + GAS_PER_BYTE * len(data), f"deployment of {contract}"))
    if receipt.contract is None or await client.rpc("eth_getCode", ["0x" + receipt.contract.hex(), "latest"]) == "0x":
        raise ChainFault(f"{contract} left no code; is this chain's EVM London or newer?")
    return receipt.contract


async def deploy(
    client: ChainClient, admitters: Sequence[Address] = (), *, rescue_after: int = RESCUE_AFTER_SECONDS
) -> Deployed:
    """Deploy the contracts and wire them.

    Args:
        client: of the sentinel; it becomes owner and admitter.
        admitters: others who may admit from the start.
        rescue_after: seconds of block time until a call may be settled.

    Raises:
        ChainFault: the account has no ether, or the chain refused a step.
    """
    directory = Directory(client, await create(client, "Directory"))
    membership = Membership(client, await create(client, "Membership"))
    training = Training(client, await create(client, "Training", membership.address, rescue_after))
    options = JobOptions(client, await create(client, "JobOptions", training.address))
    for facade in (membership, training, options):
        await directory.set(facade.CONTRACT, facade.address, VERSION)
    for who in admitters:
        if not await membership.is_admitter(who):
            await membership.set_admitter(who, True)
    return Deployed(directory, membership, training, options)


async def attach(client: ChainClient, directory: Address) -> Deployed:
    """The swarm behind a Directory.

    Raises:
        ChainFault: there is no Directory at that address, or it lacks a name.
    """
    found = Directory(client, directory)
    membership = await found.get("Membership")
    training = await found.get("Training")
    options = await found.get("JobOptions")
    return Deployed(
        found,
        Membership(client, membership.target),
        Training(client, training.target),
        JobOptions(client, options.target),
    )
