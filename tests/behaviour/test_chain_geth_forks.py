"""Two sealers of three on chains of equal weight, with real geths: which one gives way, and that blocks go on then."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from support import patience, tools
from support.chains import CHAIN_ID, START_SECONDS_MAX, free_port
from swarm.chain.geth.config import GethConfig, Peering
from swarm.chain.geth.genesis import genesis
from swarm.chain.geth.sealer import ensure_keys
from swarm.chain.geth.supervisor import GethSupervisor
from swarm.core.ids import Address
from swarm.sn.forks import Tip, give_way, yields

WAIT_SECONDS_MAX = 60.0


@pytest.mark.parametrize(
    ("own", "others", "place"),
    [
        (Tip(5, "0xb", 9), [], None),
        (Tip(5, "0xb", 9), [Tip(5, "0xb", 9)], None),
        (Tip(5, "0xb", 9), [Tip(5, "0xa", 9)], 0),
        (Tip(5, "0xa", 9), [Tip(5, "0xb", 9)], None),
        (Tip(5, "0xb", 9), [Tip(5, "0xa", 8), Tip(6, "0xa", 10)], None),
        (Tip(5, "0xc", 9), [Tip(5, "0xb", 9), Tip(6, "0xa", 9)], 1),
    ],
)
def test_the_larger_hash_of_equal_weight_gives_way(own: Tip, others: list[Tip], place: int | None) -> None:
    """Never for a heavier chain, which geth follows by itself; exactly one of two sides yields."""
    assert yields(own, others) == place


@contextlib.asynccontextmanager
async def two_of_three(folder: Path):
    """Two sealers that have not met, and a third that is never there and whose turn block 1 is."""
    made = []
    while True:
        config = GethConfig(tools.geth(), folder / f"g{len(made)}", CHAIN_ID)
        sealer = ensure_keys(config, sealing=True)
        made.append(replace(config, sealer=sealer, peering=Peering(port=free_port(), peers_max=1)))
        if len(made) == 2:
            break
    low, high = sorted(int.from_bytes(c.sealer) for c in made)
    absent = Address(((low + high) // 2).to_bytes(20))
    first = genesis(CHAIN_ID, [absent, *(c.sealer for c in made)], period=1, alloc={})
    supervisors = [GethSupervisor(config, first) for config in made]
    running = [asyncio.create_task(s.run()) for s in supervisors]
    try:
        for supervisor in supervisors:
            await supervisor.until_up(START_SECONDS_MAX)
        yield [s.admin for s in supervisors]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.geth
async def test_a_fork_of_equal_weight_is_left_by_one_side(tmp_path: Path) -> None:
    """Each seals its own block 1 and may not seal block 2; after one gave way, the two seal in turns on one chain."""
    async with asyncio.timeout(patience.seconds(WAIT_SECONDS_MAX)), two_of_three(tmp_path) as (one, other):
        for admin in (one, other):
            await admin.start_sealing()
        while (await one.tip())[0] < 1 or (await other.tip())[0] < 1:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.5)
        tips = [Tip(*await one.tip()), Tip(*await other.tip())]
        assert [t.number for t in tips] == [1, 1], "one sealer of three went on alone"
        assert tips[0].weight == tips[1].weight
        assert tips[0].hash != tips[1].hash
        loser, winner, at = (one, other, 0) if yields(tips[0], [tips[1]]) is not None else (other, one, 1)
        assert await give_way(loser, tips[at], winner.block)
        assert (await loser.tip())[0] == 0
        await loser.add_peer(await winner.enode())
        await winner.add_peer(await loser.enode())
        while (await loser.block(1)) != (await winner.block(1)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        await loser.start_sealing()
        while (await one.tip())[0] < 4:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        assert await one.block(3) == await other.block(3)
        assert await winner.block(1) == (1, tips[1 - at].hash)
