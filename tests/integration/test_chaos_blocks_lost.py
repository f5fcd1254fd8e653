"""A chain that has lost its newest blocks: what a power cut does to a geth, whose database does not sync each block."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support import chaos
from support.lab import lab
from swarm.chain.geth.admin import GethAdmin
from swarm.chain.rpc import IpcRpc

pytestmark = [pytest.mark.geth, pytest.mark.timeout(300)]

LOST_BLOCKS = 4


async def forget_blocks(ipc: Path) -> tuple[int, int]:
    """Makes a geth forget its newest blocks and the transactions in them; its height before and after."""
    async with IpcRpc(ipc) as rpc:
        admin = GethAdmin(rpc)
        height = await admin.height()
        await admin.stop_sealing()
        await admin.rewind(height - LOST_BLOCKS)
        after = await admin.height()
        await admin.start_sealing()
        return height, after


def test_blocks_that_the_only_sn_lost_are_made_again(tmp_path: Path) -> None:
    """Everybody sends again what was in them, in the same bytes, and the run goes on to its end."""
    with lab(tmp_path, *chaos.chain_flags("geth"), sites=2) as swarm:
        chaos.train(swarm, MIN_PEERS=2)
        chaos.reach(swarm, 6)
        before, after = asyncio.run(forget_blocks(swarm.sn.state / "geth" / "geth.ipc"))
        assert after == before - LOST_BLOCKS
        at = max(chaos.round_of(s) for s in swarm.sites)
        chaos.reach(swarm, at + 2, seconds=120)
        chaos.go_on(swarm, 2, seconds=60)
        chaos.finish(swarm)
