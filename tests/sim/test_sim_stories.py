"""Named stories of whole swarms under virtual time: rows of the failure table, each told once."""

from __future__ import annotations

import itertools

import pytest
from support.sim.chain import ADMIN, JOB
from support.sim.node import Plan, SimNode
from support.sim.world import World
from swarm.core.engine.context import RoundContext
from swarm.core.ids import sha256
from swarm.core.statements import CheckIn

RUN = 1


def swarm(count: int = 4, *, syncs: int = 6, min_peers: int | None = None, **fields: object) -> World:
    plan = Plan(syncs=syncs, min_peers=min_peers or count, **fields)  # type: ignore[arg-type]
    world = World(11, [plan] * count)
    world.start()
    return world


def until_round(world: World, number: int) -> SimNode:
    """Wait until everybody has opened this round; its leader."""
    everybody = [n for n in world.nodes if n.up]
    assert world.run(lambda: all(running(n) and context(n).name.round == number for n in everybody), 120), world.tail()
    leader = context(everybody[0]).leader()
    assert leader is not None
    return world.node(leader)


def running(node: SimNode) -> bool:
    return node.engine.state.context is not None


def context(node: SimNode) -> RoundContext:
    found = node.engine.state.context
    assert found is not None
    return found


def ends_well(world: World, seconds: float = 300.0) -> None:
    """Everybody alive ends with the final model, and nothing was broken on the way."""
    assert world.run(world.finished, seconds), world.tail()
    world.checks.at_end()
    assert not world.checks.violations, "\n".join([*world.checks.violations, world.tail()])


def die(node: SimNode) -> None:
    node.crash()
    node.dead, node.expected_to_finish = True, False


def attempts(world: World) -> list[int]:
    return [world.chain.bundles[(RUN, r)].attempt for r in range(world.checks.rounds)]


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_swarm_trains_without_a_clock(count: int) -> None:
    """In the happy path every step is caused by an event: no timer ever has to fire, for 1, 2, 4 and 8 nodes."""
    world = World(1, [Plan(syncs=10, min_peers=count)] * count, ticking=False)
    world.start()
    ends_well(world, 60)
    assert world.checks.rounds == 11
    assert attempts(world) == [0] * 11
    assert world.counts == {"tx join": count, "tx close": count}


def test_a_round_takes_no_longer_than_its_parts() -> None:
    """Training 0.2 s, load 0.01, merge up to 0.1, a block up to 0.075 and some messages: never a pulse's 2 s."""
    world = World(2, [Plan(syncs=20, min_peers=8)] * 8)
    world.start()
    ends_well(world, 60)
    times = [world.checks.committed_at[r] for r in range(21)]
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.9


def test_the_leader_dies_before_it_merges() -> None:
    """The next in the ring merges within ten seconds; the round costs one transaction all the same."""
    world = swarm(min_peers=3)
    leader = until_round(world, 3)
    world.run(lambda: len(context(leader).check_ins) >= 2, 10)
    assert context(leader).proposal is None
    die(leader)
    died_at = world.now
    ends_well(world)
    assert world.chain.bundles[(RUN, 3)].attempt == 1
    assert world.checks.committed_at[3] - died_at < 10


def test_the_leader_dies_with_a_majority_of_acks_before_it_commits() -> None:
    """What a majority acknowledged is proposed again by the next leader, and no other result is."""
    world = swarm(5, min_peers=3)
    leader = until_round(world, 2)
    name = context(leader).name
    assert world.run(lambda: world.checks.acks(name) >= 3 and context(leader).certificate is None, 10), world.tail()
    proposal = context(leader).proposal
    assert proposal is not None
    die(leader)
    ends_well(world)
    bundle = world.chain.bundles[(RUN, 2)]
    assert bundle.attempt >= 1
    assert bundle.result == proposal.result


def test_the_next_leader_is_dead_as_well() -> None:
    """Two leaders in a row are replaced, still with one commit."""
    world = swarm(5, min_peers=3)
    first = until_round(world, 3)
    second = context(first).leader(1)
    assert second is not None
    die(first)
    die(world.node(second))
    ends_well(world)
    assert world.chain.bundles[(RUN, 3)].attempt == 2


def test_a_thawed_leader_changes_nothing() -> None:
    """A leader that slept through its round follows when it wakes, and trains on with the others."""
    world = swarm(4, min_peers=3, syncs=12)
    leader = until_round(world, 3)
    leader.freeze()
    assert world.run(lambda: 3 in world.checks.committed_at, 60), world.tail()
    before = world.chain.bundles[(RUN, 3)].result
    leader.thaw()
    ends_well(world)
    assert world.chain.bundles[(RUN, 3)].result == before
    assert before.merged == world.chain.model.merged_of(JOB, RUN, 3).blob


def test_a_dead_follower_is_waited_for_once() -> None:
    """The round it died in waits at most 15 s for it, the later ones not at all, not even the one it should lead."""
    world = swarm(4, min_peers=2, syncs=8, train_seconds=0.5)
    leader = until_round(world, 3)
    ring = [context(leader).leader(a) for a in range(4)]
    die(world.node(ring[3]))  # it would lead last
    ends_well(world)
    times = [world.checks.committed_at[r] for r in range(world.checks.rounds)]
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert 4 < waits[2] < 17
    assert max(waits[3:7]) < 2, (waits, world.tail())  # round 6 was the dead one's to lead


def test_a_late_joiner_gets_the_current_model_before_it_contributes() -> None:
    """It loads what the others have, then belongs to the roster."""
    plans = [Plan(syncs=10, min_peers=3)] * 4
    world = World(5, plans)
    late = world.nodes[2]
    late.script.plan = Plan(syncs=4, min_peers=3, start_after=3.0)
    world.start()
    assert world.run(lambda: late.script.loaded is not None, 60), world.tail()
    assert not world.checks.check_ins(late)
    ends_well(world)
    assert min(c.name.round for c in world.checks.check_ins(late)) > 2


def test_a_restarted_node_signs_the_same_check_in() -> None:
    """kill -9 between check-in and commit: the journal gives back the very same signed bytes."""
    world = swarm(4)
    leader = until_round(world, 3)
    follower = next(n for n in world.nodes if n is not leader)
    assert world.run(lambda: context(follower).check_in is not None, 10)
    signed = context(follower).check_in
    world.chain.stall(True)
    follower.crash()
    follower.start()
    assert world.run(lambda: running(follower), 10)
    assert context(follower).check_in == signed
    world.chain.stall(False)
    ends_well(world)
    assert [c for c in world.checks.check_ins(follower) if c.name.round == 3] == [signed.statement]


@pytest.mark.parametrize("mode", ["snapshot", "active", "inactive"])
def test_a_done_node_stays_a_participant(mode: str) -> None:
    """Until the run is over it checks in: with its last weights, with the merged model, or as an observer."""
    world = World(6, [Plan(syncs=8, min_peers=3)] * 3)
    early = world.nodes[1]
    early.script.plan = Plan(syncs=3, min_peers=3, mode=mode)
    world.start()
    ends_well(world)
    said = [c for c in world.checks.check_ins(early) if c.done]
    assert len(said) == 6
    if mode == "inactive":
        assert all(c.observer and c.weight == 0 for c in said)
    elif mode == "active":
        assert all(c.blob == c.name.prev for c in said)
    else:
        assert len({c.blob for c in said}) == 1
        assert all(c.weight for c in said)


def test_a_node_whose_program_fails_leaves_and_the_others_finish() -> None:
    """Its exit code says so; the others lose no time to it."""
    world = World(7, [Plan(syncs=6, min_peers=2)] * 3)
    broken = world.nodes[0]
    broken.script.plan = Plan(syncs=6, min_peers=2, dies_at=3)
    broken.expected_to_finish = False
    world.start()
    ends_well(world, 60)
    assert world.run(lambda: broken.exit_code is not None, 70)
    assert broken.exit_code == 1
    assert world.counts["tx leave"] >= 1


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


def test_a_model_with_nan_is_not_merged() -> None:
    """That node watches one round and contributes again in the next."""
    world = World(9, [Plan(syncs=6, min_peers=3)] * 3)
    sick = world.nodes[2]
    sick.script.plan = Plan(syncs=6, min_peers=3, nan_at=(3,))
    world.start()
    ends_well(world)
    weights = {c.name.round: c.weight for c in world.checks.check_ins(sick)}
    assert weights[3] == 0
    assert weights[2] > 0
    assert weights[4] > 0


def test_a_model_of_another_shape_is_refused_by_name() -> None:
    """The odd program out of a round 0 fails with the reason; the others finish."""
    world = World(10, [Plan(syncs=5, min_peers=3)] * 4)
    other = world.nodes[1]
    other.script.plan = Plan(syncs=5, min_peers=3, manifest=sha256(b"another model"))
    other.expected_to_finish = False
    world.start()
    ends_well(world)
    assert world.run(lambda: other.exit_code is not None, 70)
    assert other.exit_code == 1
    assert any("tensors (names, their order, shapes, dtypes or framework) differ" in line for line in world.lines)


def test_a_model_that_nobody_can_fetch_does_not_stop_the_round() -> None:
    """After some tries its node is told and only watches this round."""
    world = swarm(3, min_peers=2, syncs=5)
    leader = until_round(world, 2)
    victim = next(n for n in world.nodes if n is not leader)
    world.run(lambda: context(victim).check_in is not None, 10)
    said: CheckIn = context(victim).check_in.statement
    victim.disk.discard(said.blob)
    ends_well(world)
    item = next(i for i in world.chain.bundles[(RUN, 2)].items if i.check_in.node == victim.address)
    assert (item.check_in.version, item.check_in.observer) == (2, True)


def test_two_nodes_outlive_a_restart_of_either() -> None:
    """With minPeers 2 of 2 the round waits, visibly, and goes on when the other is back."""
    world = swarm(2, syncs=8)
    for number, node in ((2, world.nodes[0]), (5, world.nodes[1])):
        until_round(world, number)
        node.crash()
        world.run(lambda: False, 20)
        other = next(n for n in world.nodes if n is not node)
        assert other.engine.status(other.now)["waits"]
        node.start()
    ends_well(world)
    assert world.chain.view.state.epoch == 0


def test_power_loss_of_all() -> None:
    """Everybody reads journal and chain, and the run goes on at the same round."""
    world = swarm(4, syncs=8)
    until_round(world, 4)
    for node in world.nodes:
        node.crash()
    world.run(lambda: False, 30)
    assert world.checks.rounds in (4, 5)
    for node in world.nodes:
        node.start()
    ends_well(world, 60)


def test_while_the_chain_stands_still_commits_queue_and_nothing_is_invented() -> None:
    """Ten minutes without a block: one commit is sent by each who has the certificate, not one every few seconds."""
    world = swarm(4, syncs=6)
    until_round(world, 2)
    world.chain.stall(True)
    world.run(lambda: False, 600)
    assert world.checks.rounds == 2
    assert len(world.chain.waiting) <= 4
    world.chain.stall(False)
    ends_well(world)
    assert attempts(world)[2] == 0


def test_a_revoked_leader_is_replaced_without_a_wait() -> None:
    """From the next block on nobody follows it."""
    world = swarm(4, min_peers=3)
    leader = until_round(world, 3)
    world.chain.revoke(leader.address)
    leader.expected_to_finish = False
    began = world.now
    assert world.run(lambda: 3 in world.checks.committed_at, 10), world.tail()
    assert world.checks.committed_at[3] - began < 5
    assert world.chain.bundles[(RUN, 3)].leader != leader.address


def test_a_reset_fails_the_programs_of_the_old_run_by_name() -> None:
    """An operator's forced reset is no success: exit code 1, and the reason in the program's error."""
    world = swarm(3)
    until_round(world, 3)
    world.chain.send(ADMIN, lambda tx: world.chain.model.reset(tx, JOB, True), lambda _: None)
    assert world.run(lambda: all(n.exit_code is not None for n in world.nodes), 90), world.tail()
    assert {n.exit_code for n in world.nodes} == {1}
    assert any("was reset before it was complete" in line for line in world.lines)
