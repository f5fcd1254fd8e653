"""The chain that this SN keeps: embedded in the process, or a supervised geth; one face for the rest of the SN.

Owns starting, stopping and head news. Which kind is a setting of the first start and stays with the state folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarm.chain.embedded import EmbeddedChain
from swarm.chain.geth.genesis import FUNDER_WEI, genesis
from swarm.chain.geth.supervisor import GethSupervisor, State
from swarm.chain.heads import watch_heads
from swarm.chain.rpc import LogsApart, Rpc, embedded_rpc
from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.ids import Address
from swarm.obs import log as obs_log
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .gethhost import CHAIN_KEY, GethHost
from .heads import Head, Heads
from .settings import SnSettings

log = logging.getLogger(__name__)
layer = obs_log.get("SMLETHNode")

PERIOD_SECONDS_DEFAULT = 0
"""Seal on demand: the only SN's. Once there is a second one the period is 1 (docs/chain.md, Sealing)."""
HEAD_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ChainHost:
    """A chain that answers.

    Args:
        heartbeat: seals an empty block, None where blocks come by themselves.
        fault: None while the chain serves, else why not.
        describe: for status pages.
        geth: this SN's geth, None on an embedded chain.
    """

    kind: str
    rpc: Rpc
    chain_id: int
    genesis_hash: str
    heartbeat: Callable[[], None] | None
    fault: Callable[[], str | None]
    describe: Callable[[], dict[str, Any]]
    geth: GethHost | None = None


@asynccontextmanager
async def chain_host(
    settings: SnSettings, state: Path, journal: Journal, funder: Address, heads: Heads, waits: Waits
) -> AsyncIterator[ChainHost]:
    """The chain of the settings, from start to stop.

    Raises:
        OperatorFault: the folder holds the other kind of chain, or is not usable; no geth.
    """
    kept = _kept(settings, journal)
    if settings.chain == "embedded":
        async with _embedded(state / "chain", kept, funder, heads) as host:
            yield host
    else:
        async with _geth(settings, state / "geth", kept, funder, journal, heads, waits) as host:
            yield host


def _kept(settings: SnSettings, journal: Journal) -> dict[str, Any]:
    """Chain settings fixed at the first start."""
    raw = journal.get(CHAIN_KEY)
    if raw is None:
        period = settings.block_period
        kept = {
            "kind": settings.chain,
            "chain_id": secrets.randbelow(2**40) + 2**20,
            "period": PERIOD_SECONDS_DEFAULT if period is None else period,
        }
        journal.put(CHAIN_KEY, json.dumps(kept).encode())
    else:
        kept = json.loads(raw)
    kept = {"period_now": kept["period"], "synced": True, **kept}
    if kept["kind"] != settings.chain:
        raise OperatorFault(
            f"--chain={settings.chain}: this state folder holds a chain of kind {kept['kind']}; "
            "start with that, or give --state-dir a new folder"
        )
    if settings.block_period is not None and settings.chain == "geth" and kept["period"] != settings.block_period:
        raise OperatorFault(
            f"--block-period={settings.block_period}: this chain was begun with {kept['period']} s, and that is final"
        )
    return kept


@asynccontextmanager
async def _embedded(folder: Path, kept: dict[str, Any], funder: Address, heads: Heads) -> AsyncIterator[ChainHost]:
    loop = asyncio.get_running_loop()
    chain = await asyncio.to_thread(
        lambda: EmbeddedChain.open(folder, chain_id=kept["chain_id"], alloc={funder: FUNDER_WEI})
    )
    rpc = embedded_rpc(chain)

    def on_block(head: dict[str, Any], logs: list[dict[str, Any]]) -> None:
        loop.call_soon_threadsafe(heads.publish, _head(head, len(logs)))

    try:
        chain.subscribe(on_block)
        heads.publish(_head(await rpc("eth_getBlockByNumber", ["latest", False]), 0))
        yield ChainHost(
            kind="embedded",
            rpc=rpc,
            chain_id=chain.chain_id,
            genesis_hash="0x" + chain.genesis_hash.hex(),
            heartbeat=chain.heartbeat,
            fault=lambda: None,
            describe=lambda: {"kind": "embedded"},
        )
    finally:
        await rpc.aclose()
        chain.close()


@asynccontextmanager
async def _geth(
    settings: SnSettings,
    folder: Path,
    kept: dict[str, Any],
    funder: Address,
    journal: Journal,
    heads: Heads,
    waits: Waits,
) -> AsyncIterator[ChainHost]:
    binary = settings.geth_bin or shutil.which("geth")
    if binary is None:
        raise OperatorFault("no geth on PATH: set --geth-bin (SN_GETH_BIN) to a geth 1.13.15, or use --chain embedded")
    own = await asyncio.to_thread(GethHost, settings, Path(binary), folder, kept, journal)
    if "genesis" not in kept:
        kept["genesis"] = genesis(kept["chain_id"], [own.sealer], period=kept["period"], alloc={funder: FUNDER_WEI})
    supervisor = await own.prepare()
    layer.info("SMLETHNode: Starting GETH ...")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run(), name="geth")
        try:
            with waits.row(what="start of geth", whom=str(binary), then="the contracts are looked up"):
                up = asyncio.create_task(supervisor.until_up())
                await asyncio.wait({up, running}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    up.cancel()
                    running.result()
                await up
            rpc = LogsApart(supervisor.rpc, own.ipc)
            begin = await _block(rpc, "0x0")
            if kept.get("genesis_hash", begin["hash"]) != begin["hash"]:
                raise PeerFault(
                    f"the genesis that this SN was given makes block {begin['hash']}, the swarm's is "
                    f"{kept['genesis_hash']}: give --state-dir a new folder and join by another SN"
                )
            pump = group.create_task(_pump(own.ipc, rpc, heads), name="geth heads")
            try:
                yield ChainHost(
                    kind="geth",
                    rpc=rpc,
                    chain_id=kept["chain_id"],
                    genesis_hash=begin["hash"],
                    heartbeat=None,
                    fault=lambda: _fault(supervisor),
                    describe=lambda: {"kind": "geth", **_geth_status(supervisor), "period": own.period},
                    geth=own,
                )
            finally:
                pump.cancel()
        finally:
            running.cancel()


async def _pump(ipc: Path, rpc: Rpc, heads: Heads) -> None:
    """Publish every new head that geth tells of; after a break, the newest."""
    news: asyncio.Event = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        group.create_task(watch_heads(ipc, news.set))
        while True:
            news.clear()
            try:
                head = await _block(rpc, "latest")
                if heads.latest is None or heads.latest.hash != head["hash"]:
                    quiet = not (head.get("logsBloom") or "unknown").strip("0x")
                    logs = 0 if quiet else len(await rpc("eth_getLogs", [{"blockHash": head["hash"]}]))
                    heads.publish(_head(head, logs))
            except ChainFault as error:
                log.debug("the newest head is not known: %s", error)
                await asyncio.sleep(HEAD_RETRY_SECONDS)
                continue
            await news.wait()


async def _block(rpc: Rpc, at: str) -> dict[str, Any]:
    """A block that must be there. Raises ChainFault: it is not."""
    found: dict[str, Any] | None = await rpc("eth_getBlockByNumber", [at, False])
    if found is None:
        raise ChainFault(f"the chain node has no block {at}")
    return found


def _head(view: dict[str, Any], logs: int) -> Head:
    return Head(int(view["number"], 16), view["hash"], int(view["timestamp"], 16), logs)


def _geth_status(supervisor: GethSupervisor) -> dict[str, Any]:
    status = supervisor.status()
    return {
        "state": status.state.value,
        "pid": status.pid,
        "restarts": status.restarts,
        "last_exit": status.last_exit,
        "frozen_seconds": round(status.frozen_seconds, 1),
        "sealing_restarts": status.sealing_restarts,
    }


def _fault(supervisor: GethSupervisor) -> str | None:
    status = supervisor.status()
    if status.state is State.UP:
        if not status.frozen_seconds:
            return None
        return f"the height has not moved for {status.frozen_seconds:.0f} s although transactions wait"
    return f"geth is {status.state.value}" + (f" (last exit: {status.last_exit})" if status.last_exit else "")
