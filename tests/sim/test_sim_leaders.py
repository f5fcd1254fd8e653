"""Leaders that die, sleep, hang, lose their membership or should not lead, each told once."""

from __future__ import annotations

import pytest
from support.sim.chain import JOB
from support.sim.story import RUN, attempts, context, die, ends_well, swarm, until_round


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


@pytest.mark.row("E06")
@pytest.mark.row("D05")
def test_a_node_that_would_not_lead_does_not_lead() -> None:
    """SL_MAKE_ME_ADMIN=False: while others live, no round is led by it, whatever its place in the ring."""
    world = swarm(3, syncs=9, unwilling=(1,))
    ends_well(world)
    unwilling = world.nodes[1].address
    leaders = [world.chain.bundles[(RUN, r)].leader for r in range(world.checks.rounds)]
    assert unwilling not in leaders
    assert len(set(leaders)) == 2
    assert attempts(world) == [0] * 10


@pytest.mark.row("E06")
@pytest.mark.row("D05")
def test_a_node_that_would_not_lead_leads_when_no_other_can() -> None:
    """Not being eligible is a preference: when every eligible member is dead the round is led all the same."""
    world = swarm(5, min_peers=2, syncs=8, unwilling=(0, 1, 2))
    until_round(world, 3)
    for node in world.nodes[3:]:
        die(node)
    ends_well(world)
    bundle = world.chain.bundles[(RUN, 3)]
    assert bundle.leader in {n.address for n in world.nodes[:3]}
    assert bundle.attempt >= 2


@pytest.mark.row("E07")
@pytest.mark.parametrize("seconds", [20.0, 90.0])
def test_a_leader_without_progress_is_replaced_after_the_set_time(seconds: float) -> None:
    """SL_LEADER_FAILURE_BASE_TIMEOUT: it answers every pulse but its merge never ends."""
    world = swarm(4, min_peers=3, syncs=6, config={"leader_failure_seconds": seconds})
    leader = until_round(world, 3)
    merge = leader._merge
    leader._merge = lambda action: None if action.name.round == 3 else merge(action)  # type: ignore[method-assign]
    began = world.now
    assert world.run(lambda: 3 in world.checks.committed_at, 200), world.tail()
    assert seconds - 5 < world.checks.committed_at[3] - began < seconds + 10
    assert world.chain.bundles[(RUN, 3)].attempt == 1
    ends_well(world)
