"""What the chain does to a swarm: it stands still, is reorganised, read through a late SN, or reset."""

from __future__ import annotations

from dataclasses import replace

from support.sim.chain import ADMIN, JOB
from support.sim.node import Plan
from support.sim.story import RUN, attempts, context, ends_well, said, swarm, until_round
from support.sim.world import World, base_config


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


def test_a_reset_fails_the_programs_of_the_old_run_by_name() -> None:
    """An operator's forced reset is no success: exit code 1, and the reason in the program's error."""
    world = swarm(3)
    until_round(world, 3)
    world.chain.send(ADMIN, lambda tx: world.chain.model.reset(tx, JOB, True), lambda _: None)
    assert world.run(lambda: all(n.exit_code is not None for n in world.nodes), 90), world.tail()
    assert {n.exit_code for n in world.nodes} == {1}
    assert any("was reset before it was complete" in line for line in world.lines)


def all_loaded(world: World, number: int) -> bool:
    return all(n.engine.state.program.loaded >= number for n in world.nodes if n.up)


def test_a_commit_that_is_withdrawn_is_made_again() -> None:
    """Everybody tells the incident, opens the round again with what it signed, and submits the same certificate."""
    world = swarm(min_peers=4, syncs=12, train_seconds=2.0, world={"forks": True})
    until_round(world, 3)
    assert world.run(lambda: all_loaded(world, 3), 30), world.tail()
    before = world.chain.bundles[(RUN, 3)]
    world.chain.reorganise(1, hold="commit", hold_seconds=1000.0)  # the orphaned transaction does not come back
    assert world.chain.view.state.round == 3
    assert world.run(lambda: world.chain.view.state.round == 4, 15), world.tail()
    assert world.chain.bundles[(RUN, 3)] == before
    ends_well(world)
    assert len({line.split()[1] for line in said(world, "what was committed for round 3 is withdrawn")}) == 4
    for node in world.nodes:
        assert len([c for c in world.checks.check_ins(node) if c.name.round == 3]) == 1
        assert node.script.answered == 12  # nobody's sync was answered twice, or without a merge


def test_two_rounds_that_are_withdrawn_are_made_again() -> None:
    """Deeper than one commit: the older round's bundle is remembered, and submitted first."""
    world = swarm(syncs=12, train_seconds=0.5, world={"forks": True})
    until_round(world, 3)
    assert world.run(lambda: all_loaded(world, 4), 30), world.tail()
    before = [world.chain.bundles[(RUN, r)] for r in (3, 4)]
    while (RUN, 3) in world.chain.bundles:
        world.chain.reorganise(2, hold="commit", hold_seconds=1000.0)
    assert world.run(lambda: world.chain.view.state.round >= 5, 40), world.tail()
    assert [world.chain.bundles[(RUN, r)] for r in (3, 4)] == before
    ends_well(world)


def test_a_round_that_is_decided_anew_is_what_everybody_loads_next() -> None:
    """A withdrawn join changes the roster, so nothing signed under the old one counts; the withdrawn model is
    replaced by the chain's at the next load."""
    plans = [Plan(syncs=12, min_peers=3, train_seconds=1.0)] * 4
    world = World(5, plans, forks=True, config=replace(base_config(), join_depth_blocks=12))
    late = world.nodes[2]
    late.script.plan = Plan(syncs=6, min_peers=3, train_seconds=1.0, start_after=2.3)
    world.start()
    assert world.run(lambda: late.address in world.chain.view.roster, 60), world.tail()
    number = world.chain.view.state.round
    others = [n for n in world.nodes if n is not late]
    assert world.run(lambda: all(n.engine.state.program.loaded >= number for n in others), 30), world.tail()
    before = world.chain.bundles[(RUN, number)]
    assert late.address in before.roster
    depth = next(
        i for i, b in enumerate(reversed(world.chain.blocks), 1) if any(t.kind == "join" for t in b.transactions)
    )
    world.chain.reorganise(depth, hold="join", hold_seconds=15.0)
    assert world.run(lambda: world.chain.view.state.round > number, 60), world.tail()
    after = world.chain.bundles[(RUN, number)]
    assert after.result != before.result
    assert late.address not in after.roster
    ends_well(world)
    assert said(world, "has another roster") or said(world, "another merged model now") or said(world, "is withdrawn")
    assert world.chain.model.merged_of(JOB, RUN, number).blob == after.result.merged


def test_the_end_of_a_run_that_is_withdrawn_comes_again() -> None:
    """The last commit is orphaned after programs ended: it is submitted again, and everybody closes."""
    world = swarm(3, syncs=4, world={"forks": True})
    assert world.run(lambda: world.chain.over, 60), world.tail()
    world.chain.reorganise(1, hold="commit", hold_seconds=1000.0)
    assert not world.chain.over
    ends_well(world)
    assert world.chain.over


def test_a_late_sn_is_not_taken_for_a_reorganisation() -> None:
    """After a fail-over the new SN is some blocks behind: its old news are ignored until it has caught up."""
    world = swarm(4, syncs=20, train_seconds=0.5, world={"sns": 2})
    until_round(world, 4)
    world.sns[1].lag(6)
    behind = world.sns[1].view.state.round
    assert behind < world.chain.view.state.round
    node = next(n for n in world.nodes if n.link.sn is world.sns[0])
    world.sns[0].up = False
    assert world.run(lambda: node.link.sn is world.sns[1], 60), world.tail()
    world.run(lambda: False, 3)
    assert node.engine.state.view.state.round > behind
    world.sns[1].behind = None
    ends_well(world)
    assert not said(world, "reorganised")


def test_a_swarm_without_any_sn_trains_as_far_as_it_can() -> None:
    """The open round is decided among the nodes; its commit waits in the outboxes and is mined when an SN is back."""
    world = swarm(4, syncs=6, world={"sns": 2})
    until_round(world, 2)
    for sn in world.sns:
        sn.up = False
    assert world.run(lambda: any(context(n).certificate is not None for n in world.nodes), 30), world.tail()
    world.run(lambda: False, 60)
    assert world.checks.rounds == 2
    for sn in world.sns:
        sn.up = True
    ends_well(world)
    assert attempts(world)[2] == 0


def test_after_a_reset_the_journal_of_the_old_run_means_nothing() -> None:
    """The same sites, with their disks, join the next run: it begins at round 0 and signs under its own number."""
    world = swarm(3, syncs=5)
    until_round(world, 3)
    world.chain.send(ADMIN, lambda tx: world.chain.model.reset(tx, JOB, True), None, "reset")
    assert world.run(lambda: all(n.exit_code == 1 for n in world.nodes), 90), world.tail()
    old = {n.address: set(world.checks.check_ins(n)) for n in world.nodes}
    for node in world.nodes:
        assert any(".0000000000000002." in key for key in node.journal)
        node.exit_code, node.script.ended, node.script.answered = None, False, 0
        node.start()
    assert world.run(world.finished, 120), world.tail()
    assert world.chain.view.state.run == RUN + 1
    assert world.chain.over
    assert not world.checks.violations, world.checks.violations
    for node in world.nodes:
        new = [c for c in world.checks.check_ins(node) if c not in old[node.address]]
        assert {c.name.run for c in new} == {RUN + 1}
        assert min(c.name.round for c in new) == 0
        assert node.exit_code == 0


def test_a_reset_after_the_end_lets_finished_nodes_end_well() -> None:
    """Nodes that still serve the final model when the job is reset have done their part."""
    world = swarm(3, syncs=3)
    assert world.run(lambda: world.chain.over, 60), world.tail()
    slow = world.nodes[0]
    assert world.run(lambda: all(n.engine.state.program.over for n in world.nodes if n.up), 10), world.tail()
    waiting = [n for n in world.nodes if n.exit_code is None]
    world.chain.send(ADMIN, lambda tx: world.chain.model.reset(tx, JOB, True), None, "reset")
    assert world.run(world.finished, 90), world.tail()
    assert {n.exit_code for n in world.nodes} == {0}
    assert waiting or slow.exit_code == 0
