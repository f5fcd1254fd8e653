"""Rounds in simulated swarms: the happy path, slow and dead followers, joiners, programs that fail or are done."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from support.sim.node import Plan, SimNode
from support.sim.story import RUN, attempts, context, die, ends_well, said, swarm, until_round
from support.sim.world import World
from swarm.core.engine import events as ev
from swarm.core.ids import Digest, sha256
from swarm.core.statements import CheckIn


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_swarm_trains_without_a_clock(count: int) -> None:
    """In the happy path every step is caused by an event: no timer ever has to fire, for 1, 2, 4 and 8 nodes."""
    world = World(1, [Plan(syncs=10, min_peers=count)] * count, ticking=False)
    world.start()
    ends_well(world, 60)
    assert world.checks.rounds == 11
    assert attempts(world) == [0] * 11
    assert world.counts == {"tx join": count, "tx close": count}


@pytest.mark.row("U11")
def test_more_sites_at_one_sn_than_the_original_ever_showed() -> None:
    """It advises 4 SLs for an SN, and 16 are the most that were seen: 40 here, each of them needed in each round."""
    world = World(16, [Plan(syncs=4, min_peers=40)] * 40, sns=1)
    world.start()
    ends_well(world, 120)
    assert world.checks.rounds == 5
    assert attempts(world) == [0] * 5
    assert all(len(world.checks.check_ins(node)) == 5 for node in world.nodes)


def test_a_round_takes_no_longer_than_its_parts() -> None:
    """Training 0.2 s, load 0.01, merge up to 0.1, a block up to 0.075 and some messages: never a pulse's 2 s."""
    world = World(2, [Plan(syncs=20, min_peers=8)] * 8)
    world.start()
    ends_well(world, 60)
    times = [world.checks.committed_at[r] for r in range(21)]
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.9


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


def test_a_mask_that_all_models_hold_is_no_fault() -> None:
    """-inf in a buffer of every model: all rounds are merged, and a model that is NaN beside it is left out once."""
    mask = frozenset({sha256(b"mask")})
    world = World(9, [Plan(syncs=6, min_peers=3, odd=mask)] * 3)
    sick = world.nodes[2]
    sick.script.plan = Plan(syncs=6, min_peers=3, odd=mask, nan_at=(3,))
    world.start()
    ends_well(world)
    weights = {c.name.round: c.weight for c in world.checks.check_ins(sick)}
    assert weights[3] == 0
    assert weights[0] > 0
    assert weights[2] > 0
    assert weights[4] > 0


def test_a_first_model_with_nan_fails_its_program_by_name() -> None:
    """The other sites go on without it, and nobody waits for ever; also where the others share a mask."""
    for mask in (frozenset[Digest](), frozenset({sha256(b"mask")})):
        world = World(9, [Plan(syncs=6, min_peers=2, odd=mask)] * 3)
        sick = world.nodes[2]
        sick.script.plan = Plan(syncs=6, min_peers=2, odd=mask, nan_at=(0,))
        sick.expected_to_finish = False
        world.start()
        ends_well(world)
        world.run(lambda node=sick: node.exit_code is not None, 70)  # type: ignore[misc]
        assert sick.exit_code == 1
        failed = sick.engine.state.program.failed
        assert failed is not None
        assert "first model is not finite" in failed
        assert "tensor 'w' holds nan at position [0]" in failed


def test_first_models_that_are_not_finite_in_their_own_ways_all_fail() -> None:
    """Two sites, each with a NaN of its own: both programs end by name; before, both waited for ever."""
    world = World(9, [Plan(syncs=6, min_peers=2, nan_at=(0,))] * 2)
    for node in world.nodes:
        node.expected_to_finish = False
    world.start()
    assert world.run(lambda: all(node.script.ended for node in world.nodes), 120)
    for node in world.nodes:
        assert "first model is not finite" in str(node.engine.state.program.failed)


def test_a_late_joiner_whose_first_model_is_not_finite_trains_on_the_swarms() -> None:
    """What it began with is merged by nobody: it gets the newest model, and contributes from then on."""
    world = World(9, [Plan(syncs=60, min_peers=2)] * 3)
    late = world.nodes[2]
    late.script.plan = Plan(syncs=6, min_peers=2, nan_at=(0,), start_after=8.0)
    world.start()
    ends_well(world, 300)
    weights = [c.weight for c in world.checks.check_ins(late)]
    assert weights
    assert all(weights)


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


@pytest.mark.row("E08")
@pytest.mark.parametrize("seconds", [0.0, 5.0, 30.0])
def test_a_slow_node_costs_at_most_the_grace(seconds: float) -> None:
    """SL_WAIT_FOR_FULL_QUORUM_SECONDS: with minPeers in, a living slower node is waited for so long, and no longer."""
    world = swarm(4, min_peers=2, syncs=5, config={"full_quorum_seconds": seconds})
    slow = world.nodes[2]
    slow.script.plan = Plan(syncs=2, min_peers=2, train_seconds=100.0)
    ends_well(world, 900)
    times = [world.checks.committed_at[r] for r in range(4)]
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert all(seconds <= w < seconds + 2 for w in waits[1:]), waits


@pytest.mark.parametrize(("times", "grace"), [(10.0, 3.0), (2.0, 3.0), (0.0, 3.0), (10.0, 0.0)])
def test_a_model_that_only_drips_in_holds_a_round_for_so_many_graces(times: float, grace: float) -> None:
    """SL_PULL_GRACE_TIMES: it moves all the time, and is left out by name after that; its pull ends, too."""
    world = swarm(4, min_peers=2, syncs=6, config={"full_quorum_seconds": grace, "pull_grace_times": times})
    leader = until_round(world, 2)
    dripping = next(n for n in world.nodes if n is not leader)
    world.net.pull = partial(_drips, dripping, world.net.pull)  # type: ignore[method-assign]
    began = world.now
    assert world.run(lambda: 2 in world.checks.committed_at, 300), world.tail()
    took = world.checks.committed_at[2] - began
    assert grace * (1 + times) <= took < grace * (1 + times) + 2
    assert dripping.address not in {i.check_in.node for i in world.chain.bundles[(RUN, 2)].items}
    assert said(world, f"closes without the model of 0x{dripping.address.hex()}: it was still being pulled")


def _drips(from_whom: SimNode, pull: Any, node: SimNode, blob: Any, sources: Any, *rest: Any) -> None:
    """Bytes of this node's contributions come all the time, and never all."""
    if sources[:1] != [from_whom.address]:
        pull(node, blob, sources, *rest)
        return

    def drip() -> None:
        if blob in node._fetching:
            node.step(ev.BlobMoved(blob, 1))
            node.later(0.5, drip)

    drip()


@pytest.mark.row("K06a")
def test_a_done_node_says_its_last_weights_by_default() -> None:
    """checkinModelOnTrainEnd is not set: the same local model in every round until the run is over."""
    world = World(6, [Plan(syncs=6, min_peers=2)] * 2)
    world.nodes[0].script.plan = Plan(syncs=2, min_peers=2)
    world.start()
    ends_well(world)
    said = [c for c in world.checks.check_ins(world.nodes[0]) if c.done]
    assert len(said) == 5
    assert len({c.blob for c in said}) == 1


def test_a_joiner_that_asks_for_more_peers_is_refused_by_name() -> None:
    """minPeers is fixed by the founders: who asks for more is told whose number holds, and how to mend it."""
    world = World(5, [Plan(syncs=8, min_peers=2)] * 3)
    late = world.nodes[2]
    late.script.plan = Plan(syncs=8, min_peers=3, start_after=2.0)
    late.expected_to_finish = False
    world.start()
    assert world.run(lambda: late.exit_code is not None, 70), world.tail()
    ends_well(world)
    assert late.exit_code == 1
    text = "asks for min_peers=3, but run 1 was begun with 2 and goes on with 2: set min_peers to 2 or less"
    assert said(world, text), world.tail()
    assert world.counts["tx join"] == 2


def test_a_founder_that_asks_for_less_is_told_what_holds() -> None:
    """The largest wish of the founders holds for all."""
    world = World(5, [Plan(syncs=3, min_peers=3)] * 3)
    world.nodes[0].script.plan = Plan(syncs=3, min_peers=1)
    world.start()
    ends_well(world)
    assert len(said(world, "this program asked for min_peers=1; 3 holds in this run")) == 1
    assert world.chain.view.state.min_peers == 3


def test_a_strict_swarm_ends_when_a_round_is_merged_without_a_member() -> None:
    """The strict node's program fails and names round and member, its exit code says so; the others go on."""
    world = swarm(4, min_peers=2, syncs=8, strict=(1,))
    leader = until_round(world, 3)
    victim = next(n for n in world.nodes if n not in (leader, world.nodes[1]))
    die(victim)
    strict = world.nodes[1]
    strict.expected_to_finish = False
    assert world.run(lambda: strict.exit_code is not None, 120), world.tail()
    assert strict.exit_code == 1
    text = f"this node is strict (--strict, SL_STRICT) and round 3 was merged without 0x{victim.address.hex()}"
    assert said(world, text), world.tail()
    ends_well(world)


@pytest.mark.parametrize("mode", ["snapshot", "active", "inactive"])
def test_a_strict_swarm_that_is_whole_trains_to_its_end(mode: str) -> None:
    """A member that is done counts in every mode."""
    world = swarm(3, syncs=6, strict=(0, 1, 2), mode=mode)
    world.nodes[0].script.plan = Plan(syncs=2, min_peers=3, mode=mode)
    ends_well(world)
    assert not said(world, "strict")


def test_a_strict_swarm_does_not_begin_with_a_part() -> None:
    """Its minPeers names the whole swarm: round 0 has no fewer founders than the largest minPeers."""
    world = swarm(3, syncs=3, strict=(0, 1, 2), plans={2: Plan(syncs=3, min_peers=3, start_after=50.0)})
    world.run(lambda: False, 40)
    assert not world.chain.view.state.started
    ends_well(world)
    assert len(world.chain.bundles[(RUN, 0)].roster) == 3


def test_what_a_user_sees_of_a_round() -> None:
    """The words of a node's states, and a sentence behind each that says with whom and why."""
    late = Plan(syncs=3, min_peers=3, train_seconds=1.0, load_seconds=0.3, start_after=1.0)
    world = swarm(3, syncs=3, train_seconds=1.0, load_seconds=0.3, plans={1: late})
    seen: dict[str, set[str]] = {}

    def look() -> bool:
        for node in world.nodes:
            if node.up:
                status = node.engine.status(node.now)
                seen.setdefault(status["state"], set()).add(status["detail"])
        return world.finished()

    assert world.run(look, 60), world.tail()
    assert {"registered", "joined", "training", "syncing", "merging", "loading", "waiting", "done"} <= set(seen)
    assert any("of 3 have joined" in d for d in seen["joined"])
    assert any(d.startswith("merged in round 1, training") for d in seen["training"])
    assert any(d.startswith("with 0x") and "waits for the merge of round" in d for d in seen["syncing"])
    assert any(d.startswith("leads round") and "waits for check-ins: 0x" in d for d in seen["syncing"])
    assert any("4 rounds" in d for d in seen["done"])
