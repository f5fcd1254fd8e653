"""What random bad days once found, told as stories: each stopped a run until its rule was mended."""

from __future__ import annotations

from support.sim.node import Plan, SimNode
from support.sim.world import World
from swarm.core.engine.context import RoundContext
from swarm.core.engine.report import waits
from swarm.core.limits import ATTEMPT_AHEAD_MAX


def swarm(count: int, *, sns: int = 1, **fields: object) -> World:
    plan = Plan(syncs=6, **fields)  # type: ignore[arg-type]
    world = World(11, [plan] * count, sns=sns)
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
    """One of three is dead, one does not know yet, for its SN runs late: a call drops both, and the run goes on."""
    world = swarm(3, sns=3, min_peers=1, train_seconds=1.0)
    until_round(world, 2)
    assert len(context(world.nodes[0]).roster) == 3
    _, revoked, dead = world.nodes
    dead.crash()
    dead.dead = True
    revoked.link.sn.lag(0)
    world.chain.revoke(revoked.address)
    revoked.expected_to_finish = dead.expected_to_finish = False
    ends_well(world, 600)
    assert world.chain.view.state.epoch == 1


def test_nodes_whose_attempts_are_far_apart_come_together() -> None:
    """Some jumped while others were cut off, further than a step may go: those left behind follow in steps."""
    world = swarm(4, min_peers=3, train_seconds=1.0)
    until_round(world, 2)
    for node in world.nodes[2:]:
        context(node).promised = 3 * ATTEMPT_AHEAD_MAX
    ends_well(world, 120)
    assert world.chain.bundles[(1, 2)].attempt > 2 * ATTEMPT_AHEAD_MAX


def test_a_restart_keeps_what_the_last_merge_was_made_from() -> None:
    """The leader's copies may be the last ones: they are not swept before it knows again which they are."""
    world = swarm(4, min_peers=4, train_seconds=3.0)
    until_round(world, 2)
    leader = world.node(world.chain.bundles[(1, 1)].leader)
    inputs = {i.check_in.blob for i in world.chain.bundles[(1, 1)].items}
    assert inputs <= leader.disk
    leader.crash()
    leader.start()
    assert world.run(lambda: leader.engine.state.context is not None, 10)
    assert inputs <= leader.disk
    ends_well(world, 200)


def test_a_restart_behind_a_late_sn_throws_nothing_away() -> None:
    """All lose power after a commit that their SN does not show yet: inputs and merged model are still there later."""
    world = swarm(3, min_peers=3, train_seconds=1.0)
    until_round(world, 3)
    merged = world.chain.view.state.prev
    inputs = {i.check_in.node: i.check_in.blob for i in world.chain.bundles[(1, 2)].items}
    world.sns[0].lag(3)
    for node in world.nodes:
        node.crash()
    for node in world.nodes:
        node.start()
    end = world.now + 5
    world.run(lambda: world.now >= end, 6)
    for node in world.nodes:
        assert node.engine.state.view is not None
        assert node.engine.state.view.state.round < 3
        assert inputs[node.address] in node.disk
    assert sum(merged in node.disk for node in world.nodes) >= 2  # who acknowledged it
    world.sns[0].behind = None
    ends_well(world, 300)


def test_a_model_of_round_0_that_could_not_be_fetched_stays_offered() -> None:
    """No leader gets a model while lines are bad; with good lines round 0 is merged from everybody's."""
    world = swarm(3, min_peers=3, train_seconds=1.0)
    world.net.pull_failure = 1.0
    assert not world.run(lambda: world.chain.view.state.round > 0, 100)
    assert any("could not fetch this node's model" in line for line in world.lines)
    world.net.pull_failure = 0.0
    ends_well(world, 120)
    assert all(i.check_in.weight for i in world.chain.bundles[(1, 0)].items)


def test_a_dropped_node_that_comes_back_at_the_very_end_gets_the_final_model() -> None:
    """The others have ended their part, and stay until it has the model too; its join comes too late."""
    world = swarm(3, min_peers=1, train_seconds=1.0)
    away = world.nodes[2]
    assert world.run(lambda: world.chain.view.state.round == 1, 60), world.tail()
    world.nodes[1].crash()
    away.crash()
    assert world.run(lambda: world.chain.view.state.epoch == 1, 600), world.tail()
    assert world.run(lambda: world.chain.over, 120), world.tail()
    away.start()
    world.nodes[1].start()
    ends_well(world, 200)
    assert all(n.exit_code == 0 for n in world.nodes), world.tail()


def test_a_dropped_node_that_comes_back_to_nobody_says_so() -> None:
    """All who had the final model have ended: after two minutes it ends with their names, not never."""
    world = swarm(3, min_peers=1, train_seconds=1.0)
    last, *others = world.nodes
    assert world.run(lambda: world.chain.view.state.round == 1, 60), world.tail()
    for node in others:
        node.crash()
        node.expected_to_finish = False
    assert world.run(world.finished, 900), world.tail()
    began = world.now
    for node in others:
        node.expected_to_finish = True
        node.start()
    assert world.run(lambda: world.now >= began + 60, 120), world.tail()
    for node in others:
        [row] = [r for r in waits(node.engine.state, node.engine.state.now) if "the ML program fails" in r["then"]]
        assert 55 < row["until_seconds"] < 75
    ends_well(world, 400)
    assert [n.exit_code for n in others] == [1, 1]
    assert 120 <= world.now - began < 150
    assert any(last.address.hex() in line and "serve the final model" in line for line in world.lines)


def test_a_joiner_ahead_of_the_roster_takes_it_along() -> None:
    """It followed one member's word that nobody else knows any more, and gives its model to that attempt's leader."""
    world = World(11, [Plan(syncs=6, min_peers=3, train_seconds=1.0)] * 4)
    late = world.nodes[3]
    late.script.plan = Plan(syncs=3, min_peers=3, train_seconds=1.0, start_after=2.9)
    world.start()

    def waits() -> bool:
        found = late.engine.state.context
        return found is not None and late.address not in found.roster and found.check_in is not None

    assert world.run(waits, 60), world.tail()
    number = context(late).name.round
    context(late).promised = 3
    ends_well(world, 200)
    bundle = world.chain.bundles[(1, number)]
    assert bundle.attempt == 3
    assert late.address in {i.check_in.node for i in bundle.items}


def test_a_leader_gets_the_lost_model_that_its_own_check_in_names() -> None:
    """A done site checks in with the last merged model ("active"); all copies are lost, and all members are needed.

    It led, tried to get the model from itself, and refused its own check-in for good (seed 402575).
    """
    plans = [Plan(syncs=2 if i == 0 else 12, min_peers=3, train_seconds=1.0, mode="active") for i in range(3)]
    world = World(11, plans)
    world.start()
    done = world.nodes[0]

    def leads() -> bool:
        found = done.engine.state.context
        own = None if found is None or found.check_in is None else found.check_in.statement
        return own is not None and found is not None and found.leader() == done.address and own.blob == found.name.prev

    assert world.run(leads, 60), world.tail()
    number, lost = context(done).name.round, context(done).name.prev
    for node in world.nodes:
        node.crash()
        node.disk.discard(lost)
    for node in world.nodes:
        node.start()
    ends_well(world, 200)
    bundle = world.chain.bundles[(1, number)]
    assert next(i.check_in for i in bundle.items if i.check_in.node == done.address).blob == lost
    assert not any("refused the model" in line for line in world.lines)


def test_a_leader_that_cannot_use_its_own_model_watches_the_round() -> None:
    """The file of its update is lost in a crash, its signature stays: it refuses itself as it would another member,
    and checks in again as an observer, or a round that needs all members would never close."""
    world = swarm(3, min_peers=3, train_seconds=1.0)
    until_round(world, 2)
    leader = next(n for n in world.nodes if n.address == context(n).leader())
    assert world.run(lambda: context(leader).check_in is not None, 60), world.tail()
    own = context(leader).check_in
    assert own is not None
    leader.crash()
    leader.disk.discard(own.statement.blob)
    leader.start()
    ends_well(world, 200)
    mine = next(i.check_in for i in world.chain.bundles[(1, 2)].items if i.check_in.node == leader.address)
    assert (mine.version, mine.weight, mine.observer) == (2, 0, True)
