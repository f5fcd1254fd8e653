"""Named stories of whole swarms under virtual time: each row of the failure table, told once."""

from __future__ import annotations

from support.sim.node import Plan
from support.sim.world import World


def well(world: World) -> None:
    """Nothing was broken on the way, and everybody alive ended with the final model."""
    world.checks.at_end()
    assert not world.checks.violations, "\n".join([*world.checks.violations, world.tail()])


def test_four_nodes_train_ten_rounds_without_a_clock() -> None:
    """In the happy path every step is caused by an event: no timer ever has to fire."""
    world = World(1, [Plan(syncs=10)] * 4, ticking=False)
    world.start()
    assert world.run(world.finished, 60), world.tail()
    assert world.checks.rounds == 11
    well(world)
