"""Puts the contracts on a fresh chain and enters them in the Directory; the deployer owns and admits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm.core.errors import ChainFault, Reverted
from swarm.core.ids import Address, to_hex

from .client import Call, ChainClient
from .contract import artifact
from .directory import Directory
from .joboptions import JobOptions
from .membership import Membership
from .names import DirectoryError
from .suite import ENTRIES, SUITE, VERSION, Made, Part, Terms, require_version
from .taskrunners import Taskrunners
from .tasks import Tasks
from .training import Training

GAS_PER_BYTE = 200 + 16 * 2 + 100
"""Code deposit, calldata and some for the constructor's own writes."""
GAS_BASE = 2_000_000
_DEFAULT = Terms()


@dataclass(frozen=True, slots=True)
class Deployed:
    """The facades of one swarm, over one client."""

    directory: Directory
    membership: Membership
    training: Training
    options: JobOptions
    tasks: Tasks
    runners: Taskrunners
    addresses: Mapping[str, Address]
    """By contract name, in the suite's order, for :class:`~swarm.chain.events.EventDecoder`."""

    @classmethod
    def at(cls, client: ChainClient, made: Made) -> Deployed:
        return cls(
            Directory(client, made["Directory"]),
            Membership(client, made["Membership"]),
            Training(client, made["Training"]),
            JobOptions(client, made["JobOptions"]),
            Tasks(client, made["Tasks"]),
            Taskrunners(client, made["Taskrunners"]),
            {part.name: made[part.name] for part in SUITE},
        )


async def create(client: ChainClient, part: Part, made: Made, terms: Terms = _DEFAULT) -> Address:
    """Deploy one contract of ours.

    Args:
        made: the addresses of those before it in the suite.

    Raises:
        ChainFault: there is no code behind the new address.
    """
    data = artifact(part.name).creation(part.arguments(made, terms), made)
    receipt = await client.submit(Call(None, data, GAS_BASE + GAS_PER_BYTE * len(data), f"deployment of {part.name}"))
    if receipt.contract is None or await client.rpc("eth_getCode", ["0x" + receipt.contract.hex(), "latest"]) == "0x":
        raise ChainFault(f"{part.name} left no code; is this chain's EVM London or newer?")
    return receipt.contract


async def deploy(client: ChainClient, admitters: Sequence[Address] = (), *, terms: Terms = _DEFAULT) -> Deployed:
    """Deploy the contracts and wire them.

    Args:
        client: of the sentinel; it becomes owner and admitter.
        admitters: others who may admit from the start.
        terms: what is final once the contracts stand.

    Raises:
        ChainFault: the account has no ether, or the chain refused a step.
    """
    made: dict[str, Address] = {}
    for part in SUITE:
        made[part.name] = await create(client, part, made, terms)
    swarm = Deployed.at(client, made)
    for part in ENTRIES:
        await swarm.directory.set(part.name, made[part.name], VERSION)
    for who in admitters:
        if not await swarm.membership.is_admitter(who):
            await swarm.membership.set_admitter(who, True)
    return swarm


async def attach(client: ChainClient, directory: Address) -> Deployed:
    """The swarm behind a Directory.

    Raises:
        ChainFault: there is no Directory at that address, or it lacks a name.
        OperatorFault: its contracts are of another version than this program's.
    """
    found = Directory(client, directory)
    require_version(await version_of(found), f"the chain of Directory {to_hex(directory)}")
    entries = {part.name: (await found.get(part.name)).target for part in ENTRIES}
    return Deployed.at(client, {"Directory": directory, **entries})


async def version_of(directory: Directory) -> int:
    """The version of the contracts behind a Directory; 1 where it says none.

    Raises:
        ChainFault: there is no Directory at that address.
    """
    try:
        return (await directory.get("Training")).version
    except Reverted as error:
        if error.name != DirectoryError.UNKNOWN_NAME:
            raise
        return 1
