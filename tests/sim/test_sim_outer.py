"""The outer optimiser in whole swarms: velocity from committed models alone, whoever leads, joins, dies or restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sim.node import Plan
from support.sim.story import RUN, context, crash_before, die, ends_well, lose, said, until_round
from support.sim.world import World, base_config
from swarm.core.control.joboptions import canonical
from swarm.core.engine.actions import Merge
from swarm.core.statements import method_name

KINDS = ["momentum", "nesterov"]


def swarm(kind: str, plans: list[Plan], seed: int = 31) -> World:
    world = World(seed, plans, config=base_config())
    world.chain.options = canonical({"outer": {"method": kind, "mu": 0.9, "eta": 0.7}})
    world.chain.view = replace(world.chain.view, options=world.chain.options)
    world.start()
    return world


def methods(world: World) -> list[str]:
    return [method_name(world.chain.bundles[(RUN, r)].result.method) for r in range(world.checks.rounds)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_round_is_made_from_the_two_models_before_it(kind: str) -> None:
    """The step stands in every record, and the merged file follows from inputs and the chain's last models (V3)."""
    world = swarm(kind, [Plan(5, min_peers=3)] * 3)
    ends_well(world)
    assert set(methods(world)) == {f"mean+{kind}:0.9:0.7"}
    # The run's final model is loaded as it is; before it, with Nesterov, programs train from ahead of it.
    assert all(n.script.ahead_of is None for n in world.nodes)


def test_programs_of_a_nesterov_run_train_from_ahead_of_the_last_two_models() -> None:
    """From round 1 on; every node makes that point from the same two committed models."""
    world = swarm("nesterov", [Plan(8, min_peers=3)] * 3)
    until_round(world, 4)
    assert world.run(lambda: all(n.script.ahead_of is not None for n in world.nodes), 20)
    starts = {(n.script.loaded, n.script.ahead_of) for n in world.nodes}
    known = {(b.result.merged, b.name.prev) for b in world.chain.bundles.values()}
    assert starts <= known
    ends_well(world)


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_joiner_pulls_the_model_before_the_last_and_leads_with_velocity(kind: str) -> None:
    """It was not there when that model was made; nobody leaves the velocity out."""
    world = swarm(kind, [Plan(14, min_peers=3)] * 3 + [Plan(8, min_peers=3, start_after=4)])
    late = world.nodes[3]
    assert world.run(lambda: late.script.answered >= 1, 60), world.tail()
    first = context(late).name
    older = world.chain.bundles[(RUN, first.round - 1)].name.prev
    assert {first.prev, older} <= late.disk
    ends_well(world)
    assert set(methods(world)) == {f"mean+{kind}:0.9:0.7"}
    assert any(b.leader == late.address for b in world.chain.bundles.values())


@pytest.mark.parametrize("kind", KINDS)
def test_dead_leaders_restarts_and_a_power_loss_do_not_break_the_velocity(kind: str) -> None:
    """A new leader, a restarted one and a whole restarted swarm find the same two models."""
    world = swarm(kind, [Plan(12, min_peers=3)] * 4)
    leader = until_round(world, 3)
    crash_before(leader, lambda action: isinstance(action, Merge))
    assert world.run(lambda: not leader.up, 30)
    leader.start()
    until_round(world, 6)
    for node in world.nodes:
        node.crash()
    for node in world.nodes:
        node.start()
    until_round(world, 8)
    die(next(n for n in world.nodes if context(n).leader() != n.address))
    ends_well(world, 600)
    assert set(methods(world)) == {f"mean+{kind}:0.9:0.7"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_model_that_nobody_has_is_made_again_with_its_step(kind: str) -> None:
    """From its inputs and the two models before it; it has the recorded hash."""
    world = swarm(kind, [Plan(8, min_peers=4, train_seconds=1.0)] * 4)
    until_round(world, 4)
    seen = world.checks.rounds
    assert world.run(lambda: world.checks.rounds > seen, 60)
    lose(world, world.chain.view.state.prev)
    ends_well(world)
    assert said(world, "made the merged model again; it has the recorded hash")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_when_the_model_before_the_last_is_lost_everywhere(kind: str) -> None:
    """One round is merged without velocity, and its record says so; the next has it again."""
    world = swarm(kind, [Plan(8, min_peers=3, train_seconds=2.0)] * 3)
    until_round(world, 4)
    assert world.run(lambda: all(n.script.answered >= 4 for n in world.nodes), 60)
    lose(world, world.chain.bundles[(RUN, 3)].name.prev)
    ends_well(world)
    rest = f"mean+{kind}:0:0.7"
    assert [m == rest for m in methods(world)].count(True) == 1
    assert methods(world)[4] == rest
    assert set(methods(world)) == {rest, f"mean+{kind}:0.9:0.7"}


def test_a_leader_may_not_leave_the_velocity_out_as_it_pleases() -> None:
    """The others have the model that would give it: they do not acknowledge, and the next leads."""
    world = swarm("momentum", [Plan(5, min_peers=4)] * 4)
    leader = until_round(world, 3)
    outer = leader.engine.state.options.outer
    assert outer is not None
    leader.engine.state.options = replace(leader.engine.state.options, outer=outer.at_rest)
    ends_well(world)
    assert world.chain.bundles[(RUN, 3)].attempt == 1
    assert said(world, "it leaves the velocity out")


def test_a_step_that_the_job_did_not_ask_for_is_not_acknowledged() -> None:
    """A leader of another mind is replaced, by name."""
    world = swarm("momentum", [Plan(5, min_peers=4)] * 4)
    leader = until_round(world, 2)
    leader.engine.state.options = replace(leader.engine.state.options, outer=None)
    ends_well(world)
    assert world.chain.bundles[(RUN, 2)].attempt == 1
    assert said(world, "its outer step is none, the job's options say +momentum:0.9:0.7")
