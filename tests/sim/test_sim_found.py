"""What random bad days once found, told as stories: each stopped a run until its rule was mended."""

from __future__ import annotations

from support.sim.node import Plan, SimNode
from support.sim.world import World
from swarm.core.engine.context import RoundContext
from swarm.core.limits import ATTEMPT_AHEAD_MAX


def swarm(count: int, **fields: object) -> World:
    plan = Plan(syncs=6, **fields)  # type: ignore[arg-type]
    world = World(11, [plan] * count)
    world.start()
    return world


def context(node: SimNode) -> RoundContext:
    found = node.engine.state.context
    assert found is not None
    return found


def until_round(world: World, number: int) -> None:
    def opened() -> bool:
        contexts = [n.engine.state.context for n in world.nodes if n.up]
        return all(c is not None and c.name.round == number for c in contexts)

    assert world.run(opened, 120), world.tail()


def ends_well(world: World, seconds: float) -> None:
    assert world.run(world.finished, seconds), world.tail()
    world.checks.at_end()
    assert not world.checks.violations, "\n".join([*world.checks.violations, world.tail()])


def test_a_revoked_member_that_still_answers_does_not_count_as_alive() -> None:
    """It was one of two on the roster: a call drops it, and the run goes on with those who joined."""
    world = swarm(3, min_peers=2, train_seconds=1.0)
    until_round(world, 2)
    roster = context(world.nodes[0]).roster.addresses
    for node in world.nodes[1:]:
        world.chain.revoke(node.address)
        node.expected_to_finish = False
    world.chain.admit(world.replace(world.nodes[1]).address)
    world.nodes[-1].start()
    assert len(roster) >= 2
    ends_well(world, 600)
    assert world.chain.view.state.epoch >= 1


def test_nodes_whose_attempts_are_far_apart_come_together() -> None:
    """Somebody jumped while one was cut off, further than a step may go: the one left behind follows in steps."""
    world = swarm(4, min_peers=3, train_seconds=1.0)
    until_round(world, 2)
    for node in world.nodes[1:]:
        context(node).promised = 3 * ATTEMPT_AHEAD_MAX
    ends_well(world, 120)
    assert world.chain.bundles[(1, 2)].attempt > 2 * ATTEMPT_AHEAD_MAX
