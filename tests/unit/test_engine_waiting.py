"""What a waiting node shows and says: rows of the waits table, the pulses' schedule, who may read its blobs."""

from __future__ import annotations

from collections import Counter

from support.sim.node import Plan, SimNode
from support.sim.story import lose
from support.sim.world import World
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.ids import Address, sha256, to_hex


def swarm(count: int = 4, **fields: object) -> World:
    world = World(4, [Plan(min_peers=count, **fields)] * count)  # type: ignore[arg-type]
    world.start()
    return world


def rows(node: SimNode) -> dict[str, dict[str, object]]:
    return {row["what"]: row for row in node.engine.status(node.now)["waits"]}


def leader_of(world: World, number: int) -> SimNode:
    def opened() -> bool:
        contexts = [n.engine.state.context for n in world.nodes if n.up]
        return all(c is not None and c.name.round == number for c in contexts)

    assert world.run(opened, 60)
    context = world.nodes[0].engine.state.context
    assert context is not None
    leader = context.leader()
    assert leader is not None
    return world.node(leader)


def test_a_node_without_a_program_waits_for_it() -> None:
    """The first row a user sees."""
    world = World(4, [Plan(start_after=5.0)] * 2)
    world.start()
    world.run(lambda: False, 1)
    assert list(rows(world.nodes[0])) == ["an ML program"]


def test_a_founder_sees_how_many_are_missing() -> None:
    """Two of three have joined: named as such."""
    world = World(4, [Plan(min_peers=3)] * 3)
    world.nodes[2].script.plan = Plan(min_peers=3, start_after=60.0)
    world.start()
    world.run(lambda: False, 3)
    assert rows(world.nodes[0])["founders of the run"]["whom"] == "2 of 3 have joined"


def test_leader_and_followers_name_whom_they_wait_for() -> None:
    """The leader names the member that has not checked in, a follower the leader and when it gives it up."""
    world = swarm(3, train_seconds=0.2)
    leader = leader_of(world, 2)
    slow = next(n for n in world.nodes if n is not leader)
    other = next(n for n in world.nodes if n not in (leader, slow))
    slow.script.stop()  # its program says nothing more
    world.run(lambda: False, 3)
    row = rows(leader)["check-ins"]
    assert row["whom"] == to_hex(slow.address)
    row = rows(other)["the merge of round 2"]
    assert row["whom"] == to_hex(leader.address)
    assert row["then"] == "the next leads"
    assert 2 < float(str(row["since_seconds"])) < 3
    assert float(str(row["until_seconds"])) > 10


def test_a_standing_chain_is_named() -> None:
    """With a certificate and no block the chain is what one waits for."""
    world = swarm(2)
    leader = leader_of(world, 2)
    world.chain.stall(True)
    world.run(lambda: False, 5)
    assert "the chain's record of the merge" in rows(leader)


def test_pulses_go_often_to_those_who_lead_and_seldom_to_the_rest() -> None:
    """Every 2 s to the leader and the next in the ring, every 10 s to every other member."""
    world = swarm(5, train_seconds=500.0)
    assert world.run(lambda: world.checks.rounds == 1, 30)
    leader = leader_of(world, 1)
    context = leader.engine.state.context
    assert context is not None
    ring = [context.leader(a) for a in range(5)]
    follower = world.node(Address(ring[2] or b""))
    began, sent = follower.now, Counter[Address]()
    for quarter in range(160):
        for action in follower.engine.handle(ev.Tick(), began + quarter / 4):
            if isinstance(action, act.Send):
                sent.update(action.to)
    often = {ring[0], ring[1]}
    assert all(19 <= sent[n] <= 21 for n in often if n is not None), sent
    assert all(4 <= c <= 5 for n, c in sent.items() if n not in often), sent
    assert len(sent) == 4


def test_only_the_leader_reads_an_update_and_only_members_a_merged_model() -> None:
    """An own update is for the leader of the attempt this node follows; a merged model for everybody joined."""
    world = swarm(4)
    leader = leader_of(world, 2)
    node = next(n for n in world.nodes if n is not leader)
    assert world.run(lambda: node.engine.state.own_check_in() is not None, 10)
    own = node.engine.state.own_check_in()
    assert own is not None
    others = [n for n in world.nodes if n not in (node, leader)]
    assert node.engine.may_read(leader.address, own.blob)
    assert not any(node.engine.may_read(n.address, own.blob) for n in others)
    merged = world.chain.view.state.prev
    assert all(node.engine.may_read(n.address, merged) for n in [leader, *others])
    stranger = Address(sha256(b"stranger")[:20])
    assert not node.engine.may_read(stranger, merged)
    assert not node.engine.may_read(stranger, own.blob)


def test_a_revoked_member_reads_nothing() -> None:
    """From the block of its revocation on, not even a merged model."""
    world = swarm(4, train_seconds=2.0)
    leader = leader_of(world, 2)
    gone = next(n for n in world.nodes if n is not leader)
    assert leader.engine.may_read(gone.address, world.chain.view.state.prev)
    world.chain.revoke(gone.address)
    world.run(lambda: False, 1)
    assert not leader.engine.may_read(gone.address, world.chain.view.state.prev)


def test_a_merged_model_that_nobody_serves_is_named() -> None:
    """First its leader is waited for; once no source has it, those whose inputs it can be made from."""
    world = swarm(3)
    leader_of(world, 2)
    assert world.run(lambda: 2 in world.checks.committed_at, 30)
    lose(world, world.chain.view.state.prev)
    for node in world.nodes:
        node.engine.may_read = lambda reader, blob: False  # type: ignore[method-assign]
    node = next(n for n in world.nodes if n.address != world.chain.bundles[(1, 2)].leader)
    world.run(lambda: False, 0.1)
    row = rows(node)["the merged model of round 2"]
    assert row["whom"] == to_hex(world.chain.bundles[(1, 2)].leader)
    world.run(lambda: False, 10)
    row = rows(node)["the merged model of round 2"]
    assert row["then"] == "it is made again from its inputs"
    assert len(str(row["whom"]).split(", ")) == 3
