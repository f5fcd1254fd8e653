"""Rounds whose roster is gone: call, here, reform, and those who come back."""

from __future__ import annotations

from support.sim.node import Plan
from support.sim.story import die, ends_well, said, swarm, until_round
from support.sim.world import World


def test_when_all_live_members_are_done_and_one_is_dead_a_call_ends_the_wait() -> None:
    """The dead one still stands on the roster, so nobody may end the run without it; a call finds it silent."""
    world = World(8, [Plan(syncs=4, min_peers=2)] * 3)
    dead = world.nodes[1]
    dead.script.plan = Plan(syncs=9, min_peers=2)
    world.start()
    assert world.run(lambda: world.checks.rounds == 4, 60)
    die(dead)
    ends_well(world, 400)
    assert world.counts["tx call"] == 1
    assert world.counts["tx settle"] == 1
    assert world.chain.view.state.epoch == 1
    assert dead.address not in world.chain.view.roster


def test_without_a_majority_of_the_roster_the_rest_reform_and_go_on() -> None:
    """Two of five are left, minPeers is 2: after a call they train on alone."""
    world = swarm(5, min_peers=2, syncs=8)
    until_round(world, 3)
    for node in world.nodes[:3]:
        die(node)
    ends_well(world, 600)
    assert world.chain.view.state.epoch >= 1


def test_nodes_silent_during_a_call_join_again() -> None:
    """Dropped by the reform, they are back for a later round and end with the same model."""
    world = swarm(5, min_peers=2, syncs=40, train_seconds=4.0)
    until_round(world, 3)
    away, others = world.nodes[:3], world.nodes[3:]
    for node in away:
        node.freeze()
    assert world.run(lambda: world.chain.view.state.epoch == 1, 400), world.tail()
    assert {n.address for n in others} == set(world.chain.view.roster.addresses)
    for node in away:
        node.thaw()
    ends_well(world, 900)
    assert world.counts["tx join"] == 8
    assert len(world.chain.view.roster) == 5


def test_a_strict_node_does_not_go_on_after_a_reform() -> None:
    """Others re-form the roster without a dead majority; the strict node's program names who is missing."""
    world = swarm(5, min_peers=1, syncs=8, strict=(4,))
    until_round(world, 3)
    for node in world.nodes[:3]:
        die(node)
    strict = world.nodes[4]
    strict.expected_to_finish = False
    assert world.run(lambda: strict.exit_code is not None, 600), world.tail()
    assert strict.exit_code == 1
    assert said(world, "this node is strict (--strict, SL_STRICT) and the roster of round 3 was formed anew without 0x")
    ends_well(world, 600)
