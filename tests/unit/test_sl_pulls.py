"""Pulls that are not needed any more: what came another way is not pulled on over a peer's line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.sim.node import Plan
from support.sim.world import World
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import Transfer
from swarm.core.ids import Address, BlobId
from swarm.sl import transfers
from swarm.sl.transfers import Counters
from swarm.store.blobs import BlobStore

BLOB, NODE = BlobId(b"\x05" * 32), Address(b"\x06" * 20)


class Members:
    """Everybody is at one address; what they show is not looked at here."""

    def uri(self, node: Address) -> str:
        return "https://127.0.0.1:1"

    def expect(self, node: Address) -> None: ...


class Pulls:
    """Transfers whose network only begins: each pull stands until it is cancelled."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.ended = 0, 0
        self.events: list[ev.Event] = []
        monkeypatch.setattr(transfers.transfer, "fetch", self._fetch)
        store: Any = BlobStore(folder)
        members: Any = Members()
        context: Any = None
        self.transfers = transfers.Transfers(store, members, context, self.events.append, Counters())

    async def _fetch(self, *_: Any, **__: Any) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.begun < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_a_stopped_pull_ends_without_a_word_and_may_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one does not mistake the first one's end for its own."""
    pulls = Pulls(tmp_path, monkeypatch)
    pulls.transfers.start(BLOB, 1, (NODE,))
    await pulls.until_begun(1)
    pulls.transfers.stop(BLOB)
    pulls.transfers.start(BLOB, 1, (NODE,))
    await pulls.until_begun(2)
    await asyncio.sleep(0)
    assert (pulls.ended, pulls.transfers.running(), pulls.events) == (1, {BLOB}, [])
    pulls.transfers.stop(BLOB)
    pulls.transfers.stop(BLOB)
    await pulls.transfers.aclose()
    assert (pulls.ended, pulls.transfers.running(), pulls.events) == (2, set(), [])


@pytest.mark.parametrize("way", ["handed over", "merged"])
def test_what_came_another_way_is_pulled_no_more(way: str) -> None:
    """In round 0 all sites may have one model: the leader's own comes while it pulls the same from a slow site."""
    world = World(3, [Plan(min_peers=3)] * 3)
    world.start()
    engine = world.nodes[0].engine
    assert world.run(lambda: engine.state.context is not None and engine.state.context.name.round == 1, 30)
    state = engine.state
    assert state.context is not None
    state.transfers[BLOB] = Transfer(BLOB, 1, state.now, state.now, sources=(NODE,))
    manifest = next(iter(state.held.values())).manifest
    event: ev.Event = ev.MergeDone(state.context.name, 0, BLOB, 1, manifest, (1.0,))
    if way == "handed over":
        event = ev.ProgramSync(99, False, BLOB, 1, manifest, 1)
    assert act.StopFetch(BLOB) in engine.handle(event, state.now)
    assert BLOB not in state.transfers
    failed = engine.handle(ev.BlobFailed(BLOB, 6, "it ended meanwhile"), state.now)
    assert not any(isinstance(action, act.Fetch) and action.blob == BLOB for action in failed)
