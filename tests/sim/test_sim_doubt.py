"""Proposals that are not acknowledged: their leader is replaced, and an honest coincidence holds up nobody for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.sim.node import SimNode
from support.sim.story import RUN, attempts, context, ends_well, said, swarm, until_round
from support.sim.world import World
from swarm.core.engine import events as ev
from swarm.core.engine.report import waits
from swarm.core.ids import BlobId, to_hex


def lies_in_merges(node: SimNode) -> None:
    """From now on this node merges with other shares than follow from the weights."""
    honest = node.step

    def step(event: ev.Event, *rest: object) -> None:
        if isinstance(event, ev.MergeDone):
            event = replace(event, coefficients=tuple(1.0 if i == 0 else 0.0 for i in range(len(event.coefficients))))
        honest(event, *rest)  # type: ignore[arg-type]

    node.step = step  # type: ignore[method-assign]


def test_a_leader_whose_proposal_does_not_hold_is_replaced() -> None:
    """It lives, answers and insists; the others go to the next leader after 15 s, once, and merge rightly."""
    world = swarm(4, min_peers=3)
    leader = until_round(world, 3)
    lies_in_merges(leader)
    began = world.now
    follower = next(n for n in world.nodes if n is not leader)
    assert world.run(lambda: context(follower).doubted is not None, 60), world.tail()
    doubted_at = world.now
    assert world.run(lambda: world.now >= doubted_at + 10, 60), world.tail()
    [row] = [r for r in waits(follower.engine.state, follower.engine.state.now) if r["whom"] == to_hex(leader.address)]
    assert 4 < row["until_seconds"] < 5.5  # whatever it says meanwhile
    assert world.run(lambda: 3 in world.checks.committed_at, 60), world.tail()
    assert 15 <= world.checks.committed_at[3] - began < 22
    assert world.chain.bundles[(RUN, 3)].leader != leader.address
    assert said(world, "what it proposes cannot be acknowledged")
    ends_well(world)


def same_bytes_as_before(world: World, blob: BlobId) -> None:
    """The next merge comes out as bytes that are known already."""
    made, known = world.merged, set(world.recipes)

    def merged(*recipe: Any) -> BlobId:
        made(*recipe)
        world.recipes[next(r for r in world.recipes if r not in known)] = blob
        return made(*recipe)

    world.merged = merged  # type: ignore[method-assign]


@pytest.mark.parametrize("whose", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 3])
def test_a_merge_that_equals_an_old_update_costs_an_exchange(count: int, whose: int) -> None:
    """The leader shows that it has those bytes: then it needs nobody to publish them, and no leader changes."""
    world = swarm(count, train_seconds=1.0)
    until_round(world, 3)
    bundle = world.chain.bundles[(RUN, 2)]
    same_bytes_as_before(world, bundle.items[whose % count].check_in.blob)
    began = world.now
    assert world.run(lambda: 3 in world.checks.committed_at, 60), world.tail()
    assert world.checks.committed_at[3] - began < 3, world.tail()
    ends_well(world, 300)
    assert attempts(world) == [0] * len(attempts(world))
    assert said(world, "is a member's own update of the round before: asking it to show")


def test_attack_a_leader_that_does_not_have_an_old_update_does_not_get_it_published() -> None:
    """It proposes the hash of another's model, which stands on chain: who holds that does not acknowledge."""
    world = swarm(3, min_peers=3, train_seconds=1.0)
    leader = until_round(world, 3)
    victim = next(n for n in world.nodes if n is not leader)
    bundle = world.chain.bundles[(RUN, 2)]
    blob = next(i.check_in.blob for i in bundle.items if i.check_in.node == victim.address)
    honest = leader.step

    def step(event: ev.Event, *rest: object) -> None:
        if isinstance(event, ev.MergeDone):
            event = replace(event, blob=blob)
            leader.disk.discard(blob)
        honest(event, *rest)  # type: ignore[arg-type]

    leader.step = step  # type: ignore[method-assign]
    ends_well(world, 300)
    assert attempts(world)[3] >= 1
    assert world.chain.bundles[(RUN, 3)].result.merged != blob
    assert said(world, "own update of the round before, and it does not show it")


def test_a_proposal_that_is_right_a_little_later_costs_nobody_its_place() -> None:
    """A view that lags makes a good proposal look wrong for a moment: it is looked at again, and acknowledged."""
    world = swarm(3, min_peers=3)
    until_round(world, 2)
    late = next(n for n in world.nodes if n.address != context(world.nodes[0]).leader())
    honest = late.engine.state.coefficients
    late.engine.state.coefficients = lambda method, weights: (0.0,) * len(weights)
    assert world.run(lambda: bool(said(world, "not acknowledging")), 30), world.tail()
    late.engine.state.coefficients = honest
    ends_well(world)
    assert attempts(world) == [0] * len(attempts(world))


def test_doubts_are_told_once() -> None:
    """A leader repeats its proposal every two seconds; the log does not."""
    world = swarm(4, min_peers=3)
    lies_in_merges(until_round(world, 3))
    ends_well(world)
    told = [line for line in said(world, "not acknowledging") if "round 3" in line]
    assert 1 <= len(told) <= 3
