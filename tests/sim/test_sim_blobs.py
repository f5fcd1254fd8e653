"""Models that are hard to come by: fetched from any holder, or made again from their inputs by whoever may."""

from __future__ import annotations

from support.sim.node import Plan, SimNode
from support.sim.story import RUN, attempts, context, die, ends_well, lose, said, swarm, until_round
from support.sim.world import World
from swarm.core.ids import Address, BlobId


def readers(world: World, blobs: set[BlobId]) -> set[tuple[Address, Address]]:
    """Fills with (holder, reader) whenever one of these models is given to another node."""
    found: set[tuple[Address, Address]] = set()

    def watch(node: SimNode) -> None:
        serves = node.serves

        def watched(reader: Address, blob: BlobId) -> bool:
            answer = serves(reader, blob)
            if answer and blob in blobs:
                found.add((node.address, reader))
            return answer

        node.serves = watched  # type: ignore[method-assign]

    for node in world.nodes:
        watch(node)
    return found


def committed(world: World, number: int) -> BlobId:
    """The merged model of a round, at the moment in which its commit is mined and nobody has heard of it."""
    assert world.run(lambda: number in world.checks.committed_at, 60), world.tail()
    return world.chain.bundles[(RUN, number)].result.merged


def test_a_model_is_fetched_from_whoever_acknowledged_it() -> None:
    """The leader dies as soon as its commit is mined; one that slept gets the model elsewhere."""
    world = swarm(4, min_peers=2, syncs=8)
    leader = until_round(world, 3)
    slow = next(n for n in world.nodes if n is not leader)
    slow.freeze()  # it holds nothing of this round
    committed(world, 3)
    die(leader)
    slow.thaw()
    assert world.run(lambda: slow.engine.state.program.loaded >= 3, 60), world.tail()
    ends_well(world)
    assert not said(world, "making it again")


def test_a_model_that_nobody_has_is_made_again_by_its_leader() -> None:
    """Every copy is lost after the commit: the leader merges its inputs again, and nobody else reads one."""
    world = swarm(4, syncs=6, train_seconds=0.5)
    leader = until_round(world, 3)
    merged = committed(world, 3)
    inputs = {i.check_in.blob for i in world.chain.bundles[(RUN, 3)].items}
    given = readers(world, inputs)
    for blob in {merged, *inputs}:  # also the leader's copies of the inputs: only their makers have them
        lost = [n for n in world.nodes if blob == merged or n is leader]
        for node in lost:
            if not any(c.blob == blob for c in world.checks.check_ins(node)):
                node.disk.discard(blob)
                node.engine.state.held.pop(blob, None)
    ends_well(world)
    assert len(said(world, "made the merged model again")) == 1
    assert {reader for _, reader in given} == {leader.address}
    assert len(given) == 3


def test_a_model_that_nobody_has_is_made_again_by_the_next_in_the_ring() -> None:
    """Its leader, which only observed, is dead: the next in the ring, and no other, may read the inputs."""
    world = World(11, [Plan(syncs=20, min_peers=3, train_seconds=0.5)] * 4)
    observer = world.nodes[0]
    observer.script.plan = Plan(syncs=1, min_peers=3, mode="inactive")
    world.start()
    assert world.run(lambda: world.checks.rounds >= 3, 60), world.tail()
    number = world.chain.view.state.round
    while until_round(world, number) is not observer:
        number += 1
    ring = [context(observer).leader(a) for a in range(4)]
    merged = committed(world, number)
    bundle = world.chain.bundles[(RUN, number)]
    assert bundle.leader == observer.address
    lose(world, merged)
    die(observer)
    given = readers(world, {i.check_in.blob for i in bundle.items})
    again = [n for n in world.nodes if n is not observer]
    assert world.run(lambda: all(n.engine.state.program.loaded >= number for n in again), 120), world.tail()
    assert {reader for _, reader in given} == {ring[1]}
    ends_well(world, 600)
    assert len(said(world, "made the merged model again")) == 1


def test_after_a_power_loss_the_inputs_are_still_there() -> None:
    """Everybody restarts with the merged model gone: own inputs outlive a restart until the next round is committed."""
    world = swarm(3, syncs=6, train_seconds=0.5)
    until_round(world, 3)
    merged = committed(world, 3)
    lose(world, merged)
    for node in world.nodes:
        node.crash()
        world.at(2.0, node.start)
    ends_well(world)
    assert len(said(world, "made the merged model again")) == 1


def test_a_lost_result_that_was_acknowledged_is_made_again_before_its_commit() -> None:
    """The leader dies with a majority of acks, and all copies with it but its input: the next one is bound to that
    result, and makes it again from the inputs."""
    world = swarm(5, min_peers=3, syncs=8, train_seconds=0.5)
    leader = until_round(world, 2)
    name = context(leader).name
    assert world.run(lambda: world.checks.acks(name) >= 3 and context(leader).certificate is None, 10), world.tail()
    proposal = context(leader).proposal
    assert proposal is not None
    lose(world, proposal.result.merged)
    own = context(leader).check_in
    assert own is not None
    ring = context(leader).leader(1)
    heir = world.node(ring or leader.address)
    heir.disk.add(own.statement.blob)  # it had pulled the input of the dead one
    heir.engine.state.held[own.statement.blob] = world.blobs[own.statement.blob]
    die(leader)
    ends_well(world)
    assert world.chain.bundles[(RUN, 2)].result == proposal.result
    assert attempts(world)[2] >= 1
    assert said(world, "made the merged model again")
