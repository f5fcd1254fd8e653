"""Nodes killed between any two steps of a round, and power losses: journal and chain say what holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from support.sim.story import attempts, context, crash_before, die, ends_well, running, swarm, until_round
from swarm.core.engine import actions as act
from swarm.core.statements import Ack, CheckIn, Statement


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


def _speaks(action: act.Action, kind: type[Statement]) -> bool:
    """It sends a pulse with the sender's own statement of this kind about round 3."""
    if not isinstance(action, act.Send):
        return False
    own = [s.statement for s in action.pulse.statements if isinstance(s.statement, kind)]
    return any(s.name.round == 3 for s in own)


def _proposes(action: act.Action) -> bool:
    proposal = action.pulse.proposal if isinstance(action, act.Send) else None
    return proposal is not None and proposal.signed.statement.name.round == 3


def _journals_proposal(action: act.Action) -> bool:
    entries = action.entries.values() if isinstance(action, act.Persist) else ()
    return any(e and e["name"]["round"] == 3 and e.get("proposal") for e in entries if e is None or "name" in e)


STEPS: dict[str, tuple[str, Callable[[act.Action], bool]]] = {
    "check-in journaled, not sent": ("follower", lambda a: _speaks(a, CheckIn)),
    "check-ins in, not merged": ("leader", lambda a: isinstance(a, act.Merge) and a.name.round == 3),
    "merged, proposal not journaled": ("leader", _journals_proposal),
    "proposal journaled, not sent": ("leader", _proposes),
    "model fetched, not acknowledged": ("follower", lambda a: isinstance(a, act.Fetch)),
    "ack journaled, not sent": ("follower", lambda a: _speaks(a, Ack)),
    "certificate made, not submitted": ("leader", lambda a: isinstance(a, act.Submit) and a.bundle.name.round == 3),
    "mined, not loaded": ("follower", lambda a: isinstance(a, act.LoadProgram) and a.round == 3),
    "loaded, not answered": ("follower", lambda a: isinstance(a, act.AnswerProgram)),
}


@pytest.mark.parametrize("away", [1.0, 25.0], ids=["back at once", "back later"])
@pytest.mark.parametrize("step", STEPS)
def test_a_node_is_killed_between_two_steps(step: str, away: float) -> None:
    """It signs nothing else when it is back, the round has one result, and the run ends as if nothing had been."""
    who, wanted = STEPS[step]
    world = swarm(min_peers=3, syncs=30, train_seconds=1.0)
    leader = until_round(world, 3)
    ring = [context(leader).leader(a) for a in range(4)]
    victim = leader if who == "leader" else world.node(ring[2] or leader.address)
    struck = crash_before(victim, wanted)
    assert world.run(struck, 30), world.tail()
    assert not victim.up
    world.at(away, victim.start)
    ends_well(world)
    for round_ in range(world.checks.rounds):
        said = [c for c in world.checks.check_ins(victim) if c.name.round == round_]
        assert len(said) <= 1
    assert world.chain.view.state.epoch == 0


@pytest.mark.parametrize("away", [1.0, 25.0], ids=["back at once", "back later"])
def test_a_leader_is_killed_while_acks_come_in(away: float) -> None:
    """Its proposal is out and one ack is in: the round ends with that result, or with another one that a majority
    acknowledged, never with two."""
    world = swarm(5, min_peers=3, syncs=30, train_seconds=1.0)
    leader = until_round(world, 3)
    name = context(leader).name
    assert world.run(lambda: world.checks.acks(name) >= 2, 20), world.tail()
    leader.crash()
    world.at(away, leader.start)
    ends_well(world)
    assert world.chain.view.state.epoch == 0


@pytest.mark.parametrize("away", [0.5, 25.0], ids=["back at once", "back later"])
def test_a_leader_is_killed_between_submit_and_block(away: float) -> None:
    """What was sent is mined; the node that sent it finds it on the chain when it is back."""
    world = swarm(min_peers=3, syncs=30, train_seconds=1.0, world={"block_seconds": 0.5})
    leader = until_round(world, 3)
    assert world.run(lambda: leader.address in world.chain.waiting, 20), world.tail()
    assert 3 not in world.checks.committed_at
    leader.crash()
    world.at(away, leader.start)
    ends_well(world)
    assert attempts(world)[3] == 0


def test_an_sl_without_its_program_is_waited_for_once() -> None:
    """Its program does not come back after a restart: the others wait 15 s once, and it still acknowledges."""
    world = swarm(5, min_peers=2, syncs=20, train_seconds=0.5)
    leader = until_round(world, 3)
    ring = [world.node(context(leader).leader(a) or leader.address) for a in range(5)]
    away = ring[4]
    open_again, away.script.open = away.script.open, lambda: None  # type: ignore[method-assign]
    away.crash()
    world.at(0.5, away.start)
    for node in ring[2:4]:
        die(node)  # of five members three are left: without the third one's ack nothing would be decided
    assert world.run(lambda: world.checks.rounds >= 12, 120), world.tail()
    times = [world.checks.committed_at[r] for r in range(12)]
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert 10 < sum(waits[2:5]) < 25, waits
    assert sum(w > 4 for w in waits[5:]) <= 1, waits  # one round was the absent one's or a dead one's to lead
    assert away.engine.status(away.now)["state"] == "absent"
    open_again()
    assert world.run(lambda: away.engine.status(away.now)["state"] in ("syncing", "training"), 30)
    ends_well(world)


def test_an_sl_whose_program_never_comes_back_does_not_hold_the_end() -> None:
    """When all others are done it is called for; it cannot answer without a program, and the run ends without it."""
    world = swarm(3, min_peers=2, syncs=4)
    until_round(world, 2)
    away = world.nodes[0]
    away.script.open = lambda: None  # type: ignore[method-assign]
    away.crash()
    away.start()
    away.expected_to_finish = False
    ends_well(world, 600)
    assert world.chain.view.state.epoch == 1
    assert away.address not in world.chain.view.roster
