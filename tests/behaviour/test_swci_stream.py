"""The stream of the chain's events, on a chain that takes blocks back: each event once, and what cannot be is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import patience
from support.chains import CHAIN_ID, LiveChain, running
from support.swarms import admit
from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.deploy import Deployed, deploy
from swarm.core.ids import Address, to_hex
from swarm.swci import streams
from swarm.swci.streams import Place, follow

FAR = datetime(2099, 1, 1, tzinfo=UTC)


class Listener:
    """A client of the stream: takes what comes, and knows its last id."""

    def __init__(self, chain: LiveChain, swarm: Deployed, last: str, reorganises: bool, until: datetime = FAR) -> None:
        reader = ChainClient(chain.rpc, Onlooker(), MemoryOutbox(), chain_id=CHAIN_ID)
        there = SimpleNamespace(contracts=swarm.addresses, can_reorganise=reorganises)
        here: Any = SimpleNamespace(reader=reader, link=SimpleNamespace(rpc=chain.rpc), swarm=there)
        self.waker, self.last, self.lines = reader.waker, last, list[str]()
        self._parts = follow(here, Place.parse(last) if last else None, until)

    async def take(self, seconds: float = 1.5) -> list[tuple[str, Any]]:
        """Kind and data of the events that come now; comments are kept apart."""
        found: list[tuple[str, Any]] = []
        self.waker.wake()
        until = asyncio.get_running_loop().time() + patience.seconds(seconds)
        while asyncio.get_running_loop().time() < until:
            try:
                text = await anext(self._parts)
            except StopAsyncIteration:
                break
            if text.startswith(":"):
                self.lines.append(text.strip())
                break
            fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
            self.last = fields["id"]
            found.append((fields["event"], json.loads(fields["data"])))
        return found

    async def aclose(self) -> None:
        await self._parts.aclose()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that finds nothing says so soon."""
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.2)


@contextlib.asynccontextmanager
async def listening(
    chain: LiveChain, swarm: Deployed, last: str, reorganises: bool = True, until: datetime = FAR
) -> AsyncIterator[Listener]:
    found = Listener(chain, swarm, last, reorganises, until)
    try:
        yield found
    finally:
        await found.aclose()


def nodes(events: list[tuple[str, Any]]) -> list[str]:
    return [data["node"] for kind, data in events if kind == "MemberAdmitted"]


def node(number: int) -> Address:
    return Address(bytes([number]) * 20)


async def mined(chain: LiveChain, blocks: int) -> None:
    for _ in range(blocks):
        await chain.send("evm_mine", [])


@pytest.mark.anvil
async def test_an_event_whose_block_is_taken_back_is_told_once(tmp_path: Path) -> None:
    """Where it stands in the end, also at a lower place: neither lost nor told before it is settled."""
    async with running("anvil", tmp_path) as chain:
        swarm = await deploy(chain.client())
        head = await chain.client().block_number()
        async with listening(chain, swarm, f"{head}-0") as one:
            await one.take()
            for number in (1, 2):
                await admit(swarm, node(number))
            assert nodes(await one.take()) == []
            await chain.send("anvil_reorg", [2, []])
            fresh = await deploy_again(chain, swarm)
            await admit(fresh, node(2))
            await mined(chain, 4)
            assert nodes(await one.take()) == [to_hex(node(2))]
            await admit(fresh, node(3))
            await mined(chain, 2)
            assert nodes(await one.take()) == [to_hex(node(3))]
        async with listening(chain, swarm, f"{head}-0") as again:
            assert nodes(await again.take()) == [to_hex(node(2)), to_hex(node(3))]


async def deploy_again(chain: LiveChain, swarm: Deployed) -> Deployed:
    """The same contracts by a client that knows nothing of lost transactions."""
    from swarm.chain.deploy import attach

    return await attach(chain.client(), swarm.directory.address)


@pytest.mark.anvil
async def test_more_taken_back_than_is_waited_for_is_a_reset(tmp_path: Path) -> None:
    """In the stream, and for a client that comes back: it is told from where all comes again, and it comes."""
    async with running("anvil", tmp_path) as chain:
        swarm = await deploy(chain.client())
        await mined(chain, 3)
        head = await chain.client().block_number()
        async with listening(chain, swarm, f"{head}-0") as one:
            await one.take()
            await admit(swarm, node(1))
            await mined(chain, 4)
            assert nodes(await one.take()) == [to_hex(node(1))]
            had = one.last
            assert had.count("-") == 2
            await chain.send("anvil_reorg", [5, []])
            fresh = await deploy_again(chain, swarm)
            await admit(fresh, node(2))
            await mined(chain, 4)
            told = await one.take()
            assert told[0][0] == "reset"
            assert told[0][1]["from"] <= head
            assert "is another one now" in told[0][1]["why"]
            assert to_hex(node(1)) not in nodes(told)
            assert nodes(told)[-1] == to_hex(node(2))
        async with listening(chain, swarm, had) as back:
            told = await back.take()
            assert told[0][0] == "reset"
            assert nodes(told)[-1] == to_hex(node(2))


async def test_a_place_far_ahead_is_a_reset_and_news_go_on(tmp_path: Path) -> None:
    """A client of another chain, or of one that was made anew, does not wait in silence."""
    async with running("embedded", tmp_path) as chain:
        swarm = await deploy(chain.client())
        head = await chain.client().block_number()
        async with listening(chain, swarm, f"{head + 10_000}-3", reorganises=False) as one:
            told = await one.take()
            assert told == [
                ("reset", {"from": head + 1, "why": f"the chain has no block {head + 10_000} yet, it is at {head}"})
            ]
            await admit(swarm, node(1))
            assert nodes(await one.take()) == [to_hex(node(1))]
        async with listening(chain, swarm, f"{head + 5}-3", reorganises=False) as near:
            assert await near.take() == []
            assert "waiting for more" in near.lines[0]
        async with listening(chain, swarm, f"{head}-0-00000000", reorganises=False) as other:
            told = await other.take()
            assert told[0][0] == "reset"
            assert nodes(told) == [to_hex(node(1))]


async def test_a_stream_ends_with_its_clients_certificate(tmp_path: Path) -> None:
    """Which a handshake looks at once, however long the stream lasts."""
    async with running("embedded", tmp_path) as chain:
        swarm = await deploy(chain.client())
        soon = datetime.now(UTC) + timedelta(seconds=patience.seconds(1))
        async with listening(chain, swarm, "", False, soon) as one:
            await one.take()
            assert one.lines == [": waiting"]
            await asyncio.sleep(patience.seconds(1))
            await one.take()
            await one.take()
            assert one.lines[-1] == ": your certificate has expired"
