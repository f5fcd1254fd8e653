"""State lost, same certificate: a node comes back with a new key in the place of its old one, which is revoked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sim.mutate import mutate
from support.sim.node import SimNode
from support.sim.story import context, ends_well, running, swarm, until_round
from support.sim.world import World
from swarm.core.chain_view import Status
from swarm.core.engine import state


def loses_its_state(world: World, node: SimNode, away_seconds: float = 0.5) -> SimNode:
    """Its folder is gone; its certificate is there. The node that takes its place."""
    node.crash()
    node.dead, node.expected_to_finish = True, False
    node.disk, node.journal = set(), {}
    heir = world.replace(node, same_certificate=True)
    world.at(away_seconds, heir.start)
    return heir


def in_mid_round(world: World, number: int) -> SimNode:
    """A node that has checked in for this round, and was heard; the round waits for a slower site."""
    leader = until_round(world, number)
    node = next((n for n in world.nodes[:-1] if n is not leader), world.nodes[0])
    assert world.run(lambda: running(node) and context(node).check_in is not None, 60), world.tail()
    world.run(lambda: False, 0.5)
    assert context(node).name.round == number
    return node


def slow_last(count: int) -> World:
    """A swarm whose last node takes long: its rounds stay open for seconds."""
    world = swarm(count, syncs=8, min_peers=2, train_seconds=0.5)
    slow = world.nodes[-1].script
    slow.plan = replace(slow.plan, train_seconds=8.0)
    return world


def test_it_goes_on_as_another_member_from_the_next_round_on() -> None:
    """In the round that was open its old key may have promised anything: the new one has no say in it."""
    world = slow_last(4)
    lost = in_mid_round(world, 2)
    heir = loses_its_state(world, lost)
    ends_well(world)
    assert world.chain.members.member(lost.address).status is Status.REVOKED
    rounds = [s.name.round for s in world.checks.check_ins(heir)]
    assert rounds, world.tail()
    assert min(rounds) > 2
    assert heir.exit_code == 0


def test_of_two_sites_the_other_needs_no_operator() -> None:
    """One of two is no majority: a call finds the lost key silent, and the round goes on with its heir."""
    world = slow_last(2)
    heir = loses_its_state(world, in_mid_round(world, 2))
    ends_well(world, 600)
    assert world.counts["tx settle"] >= 1
    assert world.chain.view.state.epoch >= 1
    assert heir.address in world.chain.view.roster


def test_a_state_that_is_lost_again_and_again() -> None:
    """An heir has an heir; each counts in rounds of its own."""
    world = slow_last(4)
    node = in_mid_round(world, 1)
    for _ in range(3):
        node = loses_its_state(world, node)
        assert world.run(lambda heir=node: heir.address in world.chain.view.roster, 120), world.tail()  # type: ignore[misc]
    ends_well(world, 600)
    assert node.exit_code == 0


def test_before_the_first_round_the_heir_is_a_founder() -> None:
    """Nothing is open yet, so nothing was promised."""
    world = swarm(3, syncs=4, plans={})
    late = world.nodes[2]
    late.crash()
    first = world.nodes[0]
    assert world.run(lambda: first.engine.state.joined, 30), world.tail()
    heir = loses_its_state(world, first)
    world.at(5.0, late.start)
    ends_well(world, 300)
    assert heir.address in world.chain.bundles[(1, 0)].roster


def broken_rules(world: World) -> set[str]:
    return {v.split(":")[0] for v in world.checks.violations}


@pytest.mark.parametrize("length", [2, 4])
def test_a_new_key_that_signs_in_the_open_round_is_caught(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """The rule taken out of the engine: the checks see it, and the contract takes no such round."""
    mutate(monkeypatch, state.EngineState, "contributors_allowed", "and address not in view.barred", "")
    world = slow_last(length)
    lost = in_mid_round(world, 2)
    loses_its_state(world, lost)
    world.run(world.finished, 120)
    assert "heir" in broken_rules(world)


def test_a_contract_that_lets_both_count_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine and contract without the rule: a round merges one site twice, and the checks say so."""
    mutate(monkeypatch, state.EngineState, "contributors_allowed", "and address not in view.barred", "")
    mutate(monkeypatch, state.EngineState, "contributors_allowed", "if n in view.active", "")
    world = slow_last(4)
    monkeypatch.setattr(world.chain.members, "counts_after", lambda node: 0)
    loses_its_state(world, in_mid_round(world, 2))
    world.run(world.finished, 120)
    assert any("counts a node and its lost key" in v for v in world.checks.violations), world.tail()
