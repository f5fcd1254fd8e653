"""What an engine makes of a chain that says less than before: a late SN, or a reorganisation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sim.node import SimNode
from support.sim.story import context, swarm, until_round
from support.sim.world import World
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine import history, remerging
from swarm.core.engine.events import ChainView, MergeDone
from swarm.core.engine.state import Out, Remerge
from swarm.core.ids import BlobId, sha256


@pytest.fixture
def scene() -> tuple[World, SimNode, ChainView]:
    """A node in round 3 with the chain standing still, and the view it had in round 2."""
    world = swarm(3, train_seconds=1.0, syncs=8)
    until_round(world, 2)
    older = world.nodes[0].engine.state.view
    until_round(world, 3)
    world.chain.stall(True)
    assert older is not None
    return world, world.nodes[0], older


def incidents(actions: list[act.Action]) -> list[str]:
    return [a.text for a in actions if isinstance(a, act.Report) and a.values.get("incident")]


def test_an_older_view_is_ignored(scene: tuple[World, SimNode, ChainView]) -> None:
    """A lower head without any withdrawn event is another SN's old news."""
    _, node, older = scene
    actions = node.engine.handle(ev.ChainAdvanced(older), node.now)
    assert context(node).name.round == 3
    assert not incidents(actions)


def test_a_lower_head_counts_when_events_were_withdrawn(scene: tuple[World, SimNode, ChainView]) -> None:
    """A heavier chain may be shorter: what the feed reported as removed is believed at once."""
    _, node, older = scene
    actions = node.engine.handle(ev.ChainAdvanced(replace(older, reorgs=1)), node.now)
    assert context(node).name.round == 2
    assert any("what was committed for round 2 is withdrawn" in text for text in incidents(actions))
    assert context(node).certificate is not None  # the same bundle is submitted again


def test_another_block_of_the_same_height_counts(scene: tuple[World, SimNode, ChainView]) -> None:
    """Two sealers, one height: the chain that the SN follows now is the chain."""
    _, node, older = scene
    view = node.engine.state.view
    assert view is not None
    node.engine.handle(ev.ChainAdvanced(replace(older, head=view.head)), node.now)
    assert context(node).name.round == 2


def test_the_model_before_is_kept_through_a_reorganisation(scene: tuple[World, SimNode, ChainView]) -> None:
    """Both the withdrawn model and the one before it stay in the store."""
    _, node, older = scene
    view = node.engine.state.view
    assert view is not None
    actions = node.engine.handle(ev.ChainAdvanced(replace(older, reorgs=1)), node.now)
    kept = [a.blobs for a in actions if isinstance(a, act.Keep)]
    assert {older.state.prev, view.state.prev} <= kept[-1]


def test_a_restarted_node_keeps_the_models_before(scene: tuple[World, SimNode, ChainView]) -> None:
    """The journal names them, so a reorganisation just after a restart finds them as well."""
    world, node, older = scene
    node.crash()
    node.start()
    assert world.run(lambda: node.engine.state.context is not None, 5)
    assert older.state.prev in node.disk
    assert older.state.prev in node.engine.state.recent


def test_a_merge_that_gives_another_hash_is_not_used(scene: tuple[World, SimNode, ChainView]) -> None:
    """Made again, the recorded model must come out; if not, that is told and never tried again."""
    _, node, _ = scene
    state, out = node.engine.state, Out()
    name, merged, other = context(node).name, BlobId(sha256(b"recorded")), BlobId(sha256(b"another"))
    state.remerge = Remerge(name, 0, merged, (0.5, 0.5))
    done = MergeDone(name, 0, other, 10, sha256(b"manifest"), (0.5, 0.5))
    assert remerging.ended(state, done, node.now, out)
    assert any("does not follow from its inputs" in text for text in incidents(list(out)))
    assert state.remerge_at[merged] == float("inf")
    assert not remerging.ended(state, done, node.now, out)  # anything later is an ordinary merge


@pytest.mark.parametrize("rounds", [2, 4])
def test_so_many_rounds_are_kept_as_the_setting_says_and_no_more(rounds: int) -> None:
    """Merged models of the last N rounds; inputs of those and the open one: own ones, and all where this node led."""
    world = swarm(3, train_seconds=1.0, syncs=12, config={"keep_rounds": rounds})
    for number in range(1, 9):
        until_round(world, number)
    assert world.run(lambda: all(context(n).check_in is not None for n in world.nodes), 10)
    merged = {r: bundle.result.merged for (_, r), bundle in world.chain.bundles.items()}
    for node in world.nodes:
        said = {c.name.round: c.blob for c in world.checks.check_ins(node)}
        led = [b for (_, r), b in world.chain.bundles.items() if b.leader == node.address and r >= 8 - rounds]
        wanted = {said[r] for r in range(8 - rounds, 9)} | {i.check_in.blob for b in led for i in b.items}
        assert history.inputs(node.engine.state) == wanted
        assert node.engine.state.recent == [merged[r] for r in range(8 - rounds, 8)]
        assert wanted | {merged[r] for r in range(8 - rounds, 8)} <= node.disk
        assert not node.disk & {merged[r] for r in range(7 - rounds)}
        assert not node.disk & {said[r] for r in range(7 - rounds)}


def test_a_restarted_node_keeps_as_many_rounds_as_before() -> None:
    """Also more than promises are journaled for without the setting."""
    world = swarm(3, train_seconds=1.0, syncs=16, config={"keep_rounds": 11})
    for number in range(1, 13):
        until_round(world, number)
    node = world.nodes[0]
    before = set(node.engine.state.recent)
    assert len(before) == 11
    node.crash()
    node.start()
    assert world.run(lambda: node.engine.state.context is not None, 10)
    assert before <= node.disk
    assert len(before & set(node.engine.state.recent)) >= 10  # another round may be over meanwhile
