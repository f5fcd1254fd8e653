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


def test_own_inputs_are_those_of_the_open_and_the_last_round(scene: tuple[World, SimNode, ChainView]) -> None:
    """Older ones go: they are nobody's business any more."""
    world, node, _ = scene
    assert world.run(lambda: context(node).check_in is not None, 10)
    said = {c.name.round: c.blob for c in world.checks.check_ins(node)}
    assert history.own_inputs(node.engine.state) == {said[2], said[3]}
