"""What an engine makes of its ML program's session between two syncs."""

from __future__ import annotations

import pytest
from support.sim.node import Plan
from support.sim.world import World
from swarm.core.engine import events as ev


def test_steps_inside_a_long_interval_are_progress() -> None:
    """A program that trains for hours between two syncs is alive as long as it gets on, and no longer."""
    world = World(1, [Plan(syncs=5, min_peers=2, train_seconds=10_000.0)] * 2)
    world.start()
    node = world.nodes[0]
    assert world.run(lambda: node.script.answered == 1, 60), world.tail()
    state, patience = node.engine.state, node.config.leader_failure_seconds
    began, progress = node.now, state.progress
    node.engine.handle(ev.ProgramMoved(5, 100), began + patience - 1)
    assert state.progress > progress
    assert state.gets_on()
    node.engine.handle(ev.Tick(), began + patience + 1)
    assert state.gets_on()
    progress = state.progress
    node.engine.handle(ev.ProgramMoved(5, 100), began + 2 * patience - 2)  # the same step again is no progress
    assert state.progress == progress
    node.engine.handle(ev.Tick(), began + 2 * patience)
    assert not state.gets_on()


@pytest.mark.parametrize("total", [0, 100])
def test_the_step_is_forgotten_at_the_sync(total: int) -> None:
    """What is shown is the step of the running interval."""
    world = World(1, [Plan(syncs=5, min_peers=1, train_seconds=5.0)])
    world.start()
    node = world.nodes[0]
    assert world.run(lambda: node.script.answered == 1, 60), world.tail()
    node.step(ev.ProgramMoved(7, total))
    program = node.engine.state.program
    assert (program.step, program.steps) == (7, total)
    assert world.run(lambda: node.script.answered == 2, 60), world.tail()
    assert (program.step, program.steps) == (0, 0)
