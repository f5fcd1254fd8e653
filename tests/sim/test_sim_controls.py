"""Trainer controls in whole swarms: the next interval, the stop rule, options that every node follows alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sim.node import Plan
from support.sim.story import RUN, context, die, ends_well, said, swarm, until_round
from support.sim.world import World, base_config
from swarm.core.control.joboptions import canonical
from swarm.core.control.weights import Weighing
from swarm.core.statements import method_name


def with_options(plans: list[Plan], **options: object) -> World:
    world = World(21, plans, config=base_config())
    world.chain.options = canonical(options)
    world.chain.view = replace(world.chain.view, options=world.chain.options)
    world.start()
    return world


def intervals(world: World) -> list[int]:
    return [world.chain.bundles[(RUN, r)].result.interval for r in range(world.checks.rounds)]


def test_all_programs_sync_at_the_interval_that_follows_from_the_losses() -> None:
    """It grows by half while the merged loss falls, up to four times, and is halved when it rises."""
    losses = (1.0, 0.9, 0.8, 0.7, 0.6, 0.9, 0.9, 0.8)
    world = swarm(3, syncs=8, adaptive=True, losses=losses)
    ends_well(world)
    # Round r carries the losses of the model of round r-1: 10 until two are known, then 15, 23, 35, 40; then worse.
    assert intervals(world)[:8] == [10, 10, 15, 23, 35, 40, 20, 30]
    assert len({tuple(n.script.intervals) for n in world.nodes}) == 1
    assert world.nodes[0].script.intervals[:8] == intervals(world)[:8]


def test_a_late_joiner_takes_part_in_an_adaptive_run() -> None:
    """It reads the history off the chain, follows the same intervals, and its acks are good."""
    world = swarm(
        4, min_peers=3, syncs=12, adaptive=True, plans={2: Plan(4, min_peers=3, adaptive=True, start_after=4)}
    )
    ends_well(world)
    assert not said(world, "sync interval")


def test_a_node_whose_program_is_not_adaptive_keeps_its_own_interval() -> None:
    """The others go on adaptively; as leader it proposes what the run began with, which they take."""
    world = swarm(3, syncs=6, adaptive=True, plans={1: Plan(6, min_peers=3)})
    ends_well(world)
    assert set(world.nodes[1].script.intervals) == {10}
    assert not said(world, "not acknowledging")


@pytest.mark.parametrize(
    ("stop", "losses", "rounds"),
    [
        ({"max_rounds": 4}, (0.5,), 5),
        ({"target": 0.65}, (1.0, 0.9, 0.8, 0.6, 0.5), 6),
        ({"patience": 2}, (1.0, 0.9, 0.95, 0.95, 0.1), 6),
    ],
)
def test_the_stop_rule_ends_a_run_early_and_alike(
    stop: dict[str, object], losses: tuple[float, ...], rounds: int
) -> None:
    """One round after the rule holds on committed history every node is done, whatever its program had planned."""
    world = with_options([Plan(40, min_peers=3, losses=losses)] * 3, stop=stop)
    ends_well(world)
    assert world.checks.rounds == rounds
    assert len(said(world, "stop rule holds")) == 3


def test_the_stop_rule_holds_through_a_dead_leader_and_a_restart() -> None:
    """A new leader and a restarted node conclude the same from the chain."""
    world = with_options([Plan(40, min_peers=2)] * 4, stop={"max_rounds": 6})
    leader = until_round(world, 3)
    other = next(n for n in world.nodes if n is not leader)
    other.crash()
    other.start()
    until_round(world, 5)
    ends_well(world)
    assert world.checks.rounds == 7


def test_a_dead_member_does_not_keep_a_stopped_run_open_for_ever() -> None:
    """All live members are done by the rule, one of the roster is dead: a call ends the wait as ever."""
    world = with_options([Plan(40, min_peers=2)] * 3, stop={"max_rounds": 4})
    leader = until_round(world, 3)
    die(next(n for n in world.nodes if n is not leader and n.address != context(leader).leader(1)))
    ends_well(world, 600)
    assert world.chain.view.state.epoch == 1


def test_a_strict_job_fails_every_node_when_one_is_left_out() -> None:
    """What --strict asks for one node, the option asks for all."""
    world = with_options([Plan(40, min_peers=2)] * 3, strict=True)
    until_round(world, 2)
    dead = world.nodes[0]
    die(dead)
    others = [n for n in world.nodes if n is not dead]
    assert world.run(lambda: all(n.exit_code is not None for n in others), 300), world.tail()
    assert {n.exit_code for n in others} == {1}
    assert said(world, "this job is strict")


def test_options_that_a_node_does_not_know_keep_its_program_out() -> None:
    """It says which option, and joins nothing."""
    world = World(22, [Plan(3, min_peers=1)], config=base_config())
    world.chain.options = '{"merge":"secret"}'
    world.chain.view = replace(world.chain.view, options=world.chain.options)
    world.start()
    assert world.run(lambda: world.nodes[0].exit_code is not None, 120), world.tail()
    assert world.nodes[0].exit_code == 1
    assert world.counts["tx join"] == 0
    assert said(world, "merge")


HUGE = 2**32 - 1


def shares(world: World, round_: int) -> list[float]:
    """Of the committed round, the heaviest last."""
    return sorted(i.coefficient for i in world.chain.bundles[(RUN, round_)].items)


@pytest.mark.parametrize(
    ("options", "heaviest", "why"),
    [
        ({}, 1000 / 1030, "at most 100 times the round's median weight"),
        ({"maxWeight": 20}, 20 / 50, "the job's option maxWeight 20"),
        ({"equalWeights": True}, 1 / 4, "the job's option equalWeights"),
    ],
)
@pytest.mark.parametrize("method", ["mean", "coordmedian"])
def test_a_weight_that_nobody_can_believe_does_not_decide(
    options: dict[str, object], heaviest: float, why: str, method: str
) -> None:
    """Its share is what the rule leaves it, for every method; each site says once whose weight counts for less."""
    plans = [Plan(5, min_peers=4, weight=w, method=method) for w in (10, 10, HUGE, 10)]
    world = with_options(plans, **options)
    ends_well(world)
    for round_ in range(world.checks.rounds):
        assert shares(world, round_)[-1] == pytest.approx(heaviest)
    who = world.nodes[2].address.hex()
    told = said(world, f"the weight of 0x{who} counts as ")
    assert len(told) == 4
    assert all(f"not as {HUGE} as it says: {why}" in line for line in told)


def test_a_leader_that_takes_a_weight_at_its_word_is_not_acknowledged() -> None:
    """Acknowledgers hold the shares against the weights as they count, not as they are claimed."""
    plans = [Plan(5, min_peers=4, weight=w) for w in (10, 10, HUGE, 10)]
    world = with_options(plans)
    until_round(world, 1)
    liar = world.nodes[0]
    liar.engine.state.options = replace(liar.engine.state.options, weighing=Weighing(most=HUGE))
    liar.expected_to_finish = False
    assert world.run(lambda: world.finished(), 300), world.tail()
    assert said(world, "its coefficients do not follow from the weights")
    for round_ in range(world.checks.rounds):
        assert shares(world, round_)[-1] == pytest.approx(1000 / 1030)


def test_a_method_that_the_jobs_options_do_not_allow_is_not_acknowledged() -> None:
    """A leader that uses another one all the same is replaced; the others go on by those that are allowed."""
    world = with_options([Plan(5, min_peers=3, method="coordmedian")] * 4, mergeMethods=["CoordMedian", "geomedian"])
    until_round(world, 1)
    liar = world.nodes[1]
    liar.engine.state.options = replace(liar.engine.state.options, methods=())
    assert liar.engine.state.program.opened is not None
    liar.engine.state.program.opened = replace(liar.engine.state.program.opened, method="mean")
    liar.expected_to_finish = False
    assert world.run(lambda: world.finished(), 300), world.tail()
    assert said(world, "its merge method mean is not among those that the job's options allow (coordmedian, geomedian)")
    methods = {method_name(world.chain.bundles[(RUN, r)].result.method) for r in range(world.checks.rounds)}
    assert methods == {"coordmedian"}


def test_a_program_that_asks_for_a_method_that_is_not_allowed_is_told_so() -> None:
    """At its start, with what is allowed; the others train without it."""
    plans = [Plan(5, min_peers=2, method="mean")] * 3
    plans[2] = Plan(5, min_peers=2, method="coordmedian")
    world = with_options(plans, mergeMethods=["mean"])
    world.nodes[2].expected_to_finish = False
    ends_well(world)
    failed = world.nodes[2].engine.state.program.failed
    assert failed is not None
    assert "its merge method coordmedian is not among those that the job's options allow (mean)" in failed
