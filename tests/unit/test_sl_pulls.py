"""Pulls that are not needed any more: what came another way is not pulled on over a peer's line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sim.keys import Key
from support.sim.node import MANIFEST, Plan
from support.sim.world import World
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine import following, loading
from swarm.core.engine.context import Transfer
from swarm.core.engine.messages import ProposalMessage, Signed
from swarm.core.engine.state import Out
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, BlobId
from swarm.core.statements import Proposal, Result, inputs_hash
from swarm.sl import transfers
from swarm.sl.transfers import Counters
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile

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
        self.bounds: list[int] = []
        self.events: list[ev.Event] = []
        monkeypatch.setattr(transfers.transfer, "fetch", self._fetch)
        store: Any = BlobStore(folder)
        members: Any = Members()
        context: Any = None
        self.transfers = transfers.Transfers(store, members, context, self.events.append, Counters())

    async def _fetch(self, *_: Any, size_max: int, **__: Any) -> None:
        self.begun += 1
        self.bounds.append(size_max)
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


async def test_a_pull_takes_no_more_than_was_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one for a merge nor one to see that a peer has a model."""
    pulls = Pulls(tmp_path, monkeypatch)
    pulls.transfers.start(BLOB, 4711, (NODE,))
    pulls.transfers.let_show(BLOB, 815, NODE)
    await pulls.until_begun(2)
    await pulls.transfers.aclose()
    assert sorted(pulls.bounds) == [815, 4711]


@pytest.mark.parametrize("held", [False, True])
async def test_a_peer_shows_a_blob_into_a_place_of_its_own(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the blob is here it is pulled, byte by byte; and what was not here stays. Nothing is left lying."""
    theirs, ours = BlobStore(tmp_path / "theirs"), BlobStore(tmp_path / "ours")
    path = theirs.scratch("model")
    tensorfile.write(path, {"w": np.ones(7, np.float32)}, {"platform": "numpy"})
    blob, _ = theirs.add_file(path, move=False)
    if held:
        ours.add_file(path, move=False)
    asked: list[BlobId] = []

    async def fetch(
        _host: str, _port: int, _tls: Any, _expect: Any, wanted: BlobId, store: BlobStore, **_: Any
    ) -> None:
        assert not store.has(wanted)
        asked.append(wanted)
        store.add_file(theirs.path(wanted), move=False)

    events: list[ev.Event] = []
    members, context = Members(), None
    monkeypatch.setattr(transfers.transfer, "fetch", fetch)
    pulls = transfers.Transfers(ours, members, context, events.append, Counters())  # type: ignore[arg-type]
    pulls.let_show(blob, path.stat().st_size, NODE)
    async with asyncio.timeout(5):
        while not events or not isinstance(events[-1], ev.BlobShown):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert asked == [blob]
    assert events[-1] == ev.BlobShown(blob, NODE, "")
    assert isinstance(events[0], ev.BlobVerified)
    assert ours.has(blob)
    await pulls.aclose()
    assert not list(ours.root.glob("shown-*"))


async def test_a_peer_that_does_not_show_a_blob_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, the engine hears of it."""
    events: list[ev.Event] = []
    for error in (PeerFault("its list is another blob's"), ZeroDivisionError("a bug")):

        async def fetch(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(transfers.transfer, "fetch", fetch)
        members, context = Members(), None
        pulls = transfers.Transfers(BlobStore(tmp_path), members, context, events.append, Counters())  # type: ignore[arg-type]
        pulls.let_show(BLOB, 1, NODE)
        async with asyncio.timeout(5):
            while not events:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        [told] = events
        assert isinstance(told, ev.BlobShown)
        assert str(error) in told.fault
        events.clear()
        await pulls.aclose()


def pulling(world: World, node: Any, blob: BlobId, source: Address) -> None:
    """A pull under way, of which bytes come all the time."""
    state = node.engine.state
    state.transfers[blob] = Transfer(blob, 1000, state.now, state.now, sources=(source,))


def test_a_replaced_leaders_pulls_end_and_their_bytes_are_no_progress() -> None:
    """What it proposed and what was pulled for it: nobody needs that of it any more."""
    world = World(3, [Plan(min_peers=3, train_seconds=1.0)] * 4)
    world.start()
    node = world.nodes[0]
    assert world.run(lambda: _checked_in(node), 30)
    state, context = node.engine.state, node.engine.state.context
    assert context is not None
    other = next(n for n in world.nodes if n is not node)
    pulling(world, node, BLOB, other.address)
    message = _proposal(other, context, BLOB)
    context.results[message.signed.statement.result] = context.pending = message
    out = Out()
    following.adopt(state, context, context.promised + 1, "a test", state.now, out)
    assert act.StopFetch(BLOB) in out
    before = state.progress
    node.engine.handle(ev.BlobMoved(BLOB, 500), state.now)
    assert state.progress == before


def test_a_leader_that_is_replaced_pulls_no_more_contributions() -> None:
    """Its successor does; one that follows only needs the merged model."""
    world = World(3, [Plan(min_peers=3, train_seconds=1.0)] * 4)
    world.start()
    assert world.run(lambda: all(_checked_in(n) for n in world.nodes), 30)
    leader = next(n for n in world.nodes if n.engine.state.context.leader() == n.address)  # type: ignore[union-attr]
    state, context = leader.engine.state, leader.engine.state.context
    assert context is not None
    theirs = next(n for n in world.nodes if n is not leader and n.address in context.check_ins)
    blob = context.check_ins[theirs.address][1].statement.blob
    pulling(world, leader, blob, theirs.address)
    out = Out()
    following.adopt(state, context, context.promised + 1, "a test", state.now, out)
    assert act.StopFetch(blob) in out


def test_pulls_end_when_their_round_does() -> None:
    """What a round did not wait for is not pulled on in the next one."""
    world = World(3, [Plan(min_peers=3, train_seconds=1.0)] * 4)
    world.start()
    node = world.nodes[0]
    assert world.run(lambda: _checked_in(node), 30)
    pulling(world, node, BLOB, world.nodes[1].address)
    out = Out()
    loading.keep(node.engine.state, out)
    assert act.StopFetch(BLOB) in out
    assert BLOB not in node.engine.state.transfers


def _checked_in(node: Any) -> bool:
    context = node.engine.state.context
    return context is not None and context.name.round >= 1 and context.check_in is not None


def _proposal(by: Any, context: Any, merged: BlobId) -> ProposalMessage:
    result = Result(merged, 1000, bytes(32), inputs_hash([]), 1, MANIFEST)
    said = Proposal(context.name, context.promised, by.address, result.hash())
    return ProposalMessage(Signed(said, Key(by.address).sign(said.digest(by.world.domain))), result, ())


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
