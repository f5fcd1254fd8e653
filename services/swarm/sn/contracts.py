"""Puts the contracts on a new chain exactly once, whatever kills the sentinel in between.

The sentinel's key does nothing else before the contracts are complete, so its nonce says how many of the steps
below are done, and with it every address is known. A step that was signed but not mined is in the outbox and is
sent again first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from eth_hash.auto import keccak

from swarm.chain.client import ChainClient
from swarm.chain.deploy import Deployed, attach, create
from swarm.chain.directory import Directory
from swarm.chain.suite import ENTRIES, SUITE, VERSION, Terms
from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.ids import Address, address, to_hex
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

log = logging.getLogger("swarm.sn.contracts")

DIRECTORY_KEY = "contracts/directory"
TEND_SECONDS_MAX = 60.0
TEND_PAUSE_SECONDS = 0.05


async def ensure(
    client: ChainClient,
    journal: Journal,
    waits: Waits,
    *,
    rescue_after: int | None = None,
    task_lease: int | None = None,
) -> Deployed:
    """The swarm's contracts: found again, completed, or deployed.

    Args:
        rescue_after: seconds of block time until a call may be settled; final once the contracts stand.
        task_lease: seconds of block time after which a silent peer of a task is suspected; as final.

    Raises:
        ChainFault: the chain refuses or does not answer.
        OperatorFault: ``rescue_after`` or ``task_lease`` is not what this swarm was begun with.
        LocalFault: the chain holds something else at the places where they must be.
    """
    known = journal.get(DIRECTORY_KEY)
    if known is None:
        with waits.row(what="deployment of the contracts", whom="the chain", then="the API opens"):
            directory = await _complete(client, _terms(rescue_after, task_lease))
        await asyncio.to_thread(journal.put, DIRECTORY_KEY, to_hex(directory).encode())
        return await attach(client, directory)
    deployed = await attach(client, address(known.decode()))
    for flag, asked, known_by in (
        ("--rescue-after", rescue_after, deployed.training.rescue_after),
        ("--task-lease", task_lease, deployed.runners.lease_seconds),
    ):
        fixed = await known_by()
        if asked not in (None, fixed):
            raise OperatorFault(f"{flag}={asked}: this swarm was begun with {fixed} s, and that is final")
    return deployed


def _terms(rescue_after: int | None, task_lease: int | None) -> Terms:
    default = Terms()
    return Terms(rescue_after or default.rescue_after, task_lease or default.task_lease)


async def _complete(client: ChainClient, terms: Terms) -> Address:
    await _settle_outbox(client)
    made = {part.name: contract_address(client.address, nonce) for nonce, part in enumerate(SUITE)}
    directory = Directory(client, made["Directory"])
    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        *((part.name, partial(create, client, part, made, terms)) for part in SUITE),
        *((f"entry {part.name}", partial(directory.set, part.name, made[part.name], VERSION)) for part in ENTRIES),
    ]
    done = int(await client.rpc("eth_getTransactionCount", [to_hex(client.address), "latest"]), 16)
    for name, step in steps[done:]:
        await step()
        log.info("contracts: %s done", name)
    found = await attach(client, directory.address)
    if found.addresses != made:
        raise LocalFault(
            f"the Directory {to_hex(directory.address)} does not name the contracts that this sentinel deployed; "
            "its key was used elsewhere: start with a new state folder"
        )
    return directory.address


async def _settle_outbox(client: ChainClient) -> None:
    """Wait until what was signed before a crash is mined."""
    async with asyncio.timeout(TEND_SECONDS_MAX):
        while client.pending(mined=False):
            await client.tend()
            if client.pending(mined=False):
                await asyncio.sleep(TEND_PAUSE_SECONDS)


def contract_address(sender: Address, nonce: int) -> Address:
    """Where a contract created by this transaction stands: keccak256(rlp([sender, nonce])), for nonces below 128."""
    if not 0 <= nonce < 128:
        raise LocalFault(f"nonce {nonce} has another encoding")
    return Address(keccak(b"\xd6\x94" + sender + (bytes([nonce]) if nonce else b"\x80"))[12:])
