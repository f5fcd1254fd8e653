"""What an acknowledger finds wrong with a proposal, and what it does about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.sim.chain import Key
from support.sim.node import Plan, SimNode
from support.sim.world import World
from swarm.core.blobid import CHUNK_BYTES
from swarm.core.bundle import Contribution
from swarm.core.checkinflags import FLAG_DONE, FLAG_OBSERVER
from swarm.core.control.combined import Committed
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import RESULTS_KEPT, Transfer
from swarm.core.engine.controls import proposed_interval
from swarm.core.engine.judging import fresh_fault
from swarm.core.engine.leading import gather, size_max
from swarm.core.engine.messages import ProposalMessage, Pulse, Signed
from swarm.core.engine.state import INPUT_FAILURES_MAX, Out
from swarm.core.ids import Address, BlobId, sha256
from swarm.core.statements import Ack, Takeover, inputs_hash, method_word


class Scene:
    """Round 2 of four nodes, the leader's proposal on its way to a follower that has not heard it."""

    def __init__(self) -> None:
        self.world = World(3, [Plan(min_peers=3)] * 4)
        self.world.start()
        assert self.world.run(lambda: self._proposed() is not None, 30)
        leader = self._proposed()
        assert leader is not None
        self.leader: SimNode = leader
        self.follower = next(n for n in self.world.nodes if n is not leader)
        found = leader.engine.state.context
        assert found is not None
        assert found.proposal is not None
        self.message: ProposalMessage = found.proposal

    def _proposed(self) -> SimNode | None:
        for node in self.world.nodes:
            context = node.engine.state.context
            if context is not None and context.name.round == 2 and context.proposal is not None:
                return node
        return None

    def fault(self, message: ProposalMessage) -> str | None:
        state = self.follower.engine.state
        assert state.context is not None
        return fresh_fault(state, state.context, message)

    def signed(self, item: Contribution, **changes: object) -> Contribution:
        """The item with other fields, signed again by its node."""
        said = replace(item.check_in, **changes)  # type: ignore[arg-type]
        return replace(item, check_in=said, signature=Key(said.node).sign(said.digest(self.world.domain)))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def swapped(scene: Scene) -> ProposalMessage:
    return replace(scene.message, items=scene.message.items[::-1])


def short(scene: Scene) -> ProposalMessage:
    return replace(scene.message, items=scene.message.items[:2])


def stranger(scene: Scene) -> ProposalMessage:
    first = scene.signed(scene.message.items[0], node=Address(bytes(20)))
    return replace(scene.message, items=(first, *scene.message.items[1:]))


def unsigned(scene: Scene) -> ProposalMessage:
    first = scene.message.items[0]
    said = replace(first.check_in, weight=first.check_in.weight + 1)
    return replace(scene.message, items=(replace(first, check_in=said), *scene.message.items[1:]))


def ending(scene: Scene) -> ProposalMessage:
    last = [replace(scene.signed(i, flags=FLAG_DONE), coefficient=1 / 3) for i in scene.message.items[:3]]
    return replace(scene.message, items=tuple(last))


def sharing_observer(scene: Scene) -> ProposalMessage:
    first = scene.signed(scene.message.items[0], flags=FLAG_OBSERVER, weight=0)
    return replace(scene.message, items=(first, *scene.message.items[1:]))


def other_manifest(scene: Scene) -> ProposalMessage:
    return replace(scene.message, result=replace(scene.message.result, manifest=sha256(b"another")))


def own_shares(scene: Scene) -> ProposalMessage:
    first, second, *rest = scene.message.items
    items = (replace(first, coefficient=0.3), replace(second, coefficient=0.2), *rest)
    return replace(scene.message, items=items)


def impossible_shares(scene: Scene) -> ProposalMessage:
    """Shares that depend on the inputs, which an acknowledger has not: still they are shares."""
    first, *rest = own_shares(scene).items
    result = replace(scene.message.result, method=method_word("geomedian"))
    return replace(scene.message, items=(replace(first, coefficient=1.5), *rest), result=result)


def invented_without_weights(scene: Scene) -> ProposalMessage:
    items = [scene.signed(i, flags=FLAG_OBSERVER, weight=0) for i in scene.message.items]
    return replace(scene.message, items=tuple(replace(i, coefficient=0.0) for i in items))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (swapped, "do not ascend"),
        (short, "2 check-ins, minPeers is 3"),
        (stranger, "may not be used"),
        (unsigned, "is not signed by it"),
        (ending, "without a member of the roster"),
        (sharing_observer, "an observer has a share"),
        (other_manifest, "manifest is not the run's"),
        (own_shares, "coefficients do not follow"),
        (impossible_shares, "share 0 is 1.5, not within 0..1"),
        (invented_without_weights, "must be the previous one"),
    ],
)
def test_each_fault_of_a_proposal_is_named(scene: Scene, wrong: Callable[[Scene], ProposalMessage], says: str) -> None:
    """Inputs, leader rule and numbers are checked before anything is fetched."""
    assert scene.fault(scene.message) is None
    assert says in (scene.fault(wrong(scene)) or "")


def deliver(scene: Scene, message: ProposalMessage, *statements: Signed[Takeover]) -> list[act.Action]:
    """A pulse of the leader with this proposal, heard by the follower, which then holds the blob."""
    node, state = scene.follower, scene.follower.engine.state
    assert state.context is not None
    name = state.context.name
    leader = message.signed.statement.leader
    pulse = Pulse(name.job, name.run, leader, name.round, name.epoch, 0, "syncing", 1, statements, message)
    actions = node.engine.handle(ev.PulseArrived(leader, pulse), node.now)
    blob = scene.message.result.merged
    held = ev.BlobVerified(blob, scene.message.result.size, scene.message.result.manifest)
    return [*actions, *node.engine.handle(held, node.now)]


def said_by(scene: Scene, node: SimNode, phase: str, progress: int, proposal: ProposalMessage | None = None) -> Pulse:
    context = scene.leader.engine.state.context
    assert context is not None
    name = context.name
    return Pulse(name.job, name.run, node.address, name.round, name.epoch, 0, phase, progress, (), proposal)


def test_a_leader_gets_on_while_those_who_must_acknowledge_do(scene: Scene) -> None:
    """They pull its model for longer than its time limit: its own progress grows with theirs, and with nothing else."""
    leader, state = scene.leader, scene.leader.engine.state

    def grows(phase: str, progress: int) -> bool:
        before = state.progress
        pulse = said_by(scene, scene.follower, phase, progress)
        leader.engine.handle(ev.PulseArrived(scene.follower.address, pulse), leader.now + progress)
        return state.progress > before

    assert grows("syncing", 101)
    assert not grows("syncing", 101)  # it stands still
    assert not grows("training", 102)  # it gets on with something else
    assert grows("waiting", 103)


@pytest.mark.parametrize("arrives", [True, False])
def test_what_arrives_of_a_proposal_is_its_leaders_progress(scene: Scene, arrives: bool) -> None:
    """A follower whose pull of the proposed model moves replaces nobody; one that gets nothing does, in time."""
    node, state = scene.follower, scene.follower.engine.state
    assert state.context is not None
    limit, begin = int(state.config.leader_failure_seconds), node.now
    for second in range(0, limit + 20, 10):
        now = begin + second
        pulse = said_by(scene, scene.leader, "syncing", 1, scene.message)
        node.engine.handle(ev.PulseArrived(scene.leader.address, pulse), now)
        for other in scene.world.nodes:  # the next leader lives
            if other not in (node, scene.leader):
                waits = said_by(scene, other, "waiting", second)
                node.engine.handle(ev.PulseArrived(other.address, waits), now)
        if arrives:
            node.engine.handle(ev.BlobMoved(scene.message.result.merged, second), now)
    assert state.context.promised == (0 if arrives else 1)


def own_ack(scene: Scene) -> bool:
    context = scene.follower.engine.state.context
    assert context is not None
    return context.ack is not None


def test_a_right_proposal_is_fetched_journaled_and_acknowledged(scene: Scene) -> None:
    """In that order: nothing leaves before it is on disk."""
    kinds = [type(a) for a in deliver(scene, scene.message)]
    assert own_ack(scene)
    assert kinds.index(act.Fetch) < kinds.index(act.Persist) < len(kinds) - 1 - kinds[::-1].index(act.Send)


def test_a_second_result_of_one_attempt_is_not_acknowledged(scene: Scene) -> None:
    """The same leader, the same turn, all as it should be: the first one has this node's word."""
    deliver(scene, scene.message)
    context = scene.follower.engine.state.context
    assert context is not None
    first = context.ack
    assert first is not None
    result = replace(scene.message.result, interval=scene.message.result.interval + 1)
    said = replace(scene.message.signed.statement, result=result.hash())
    signature = Key(said.leader).sign(said.digest(scene.world.domain))
    second = replace(scene.message, signed=Signed(said, signature), result=result)
    actions = deliver(scene, second)
    assert context.ack == first
    assert not any(isinstance(a, act.Persist) for a in actions)
    told = scene.follower.engine.pulse_for(said.leader)
    assert [s.statement for s in told.statements if isinstance(s.statement, Ack)] == [first.statement]


def test_an_acknowledged_models_blob_is_kept_over_a_restart(scene: Scene) -> None:
    """Others may count on it to serve it: it stays until its round is on chain, also behind an SN that runs late."""
    deliver(scene, scene.message)
    assert own_ack(scene)
    node, merged, bundles = scene.follower, scene.message.result.merged, scene.world.chain.bundles
    view = node.engine.state.view
    assert view is not None
    node.journal.update({k: json.dumps(v) for k, v in node.engine.state.journal.items()})
    node.disk.add(merged)
    node.crash()
    node.start()
    first, last = bundles[(1, 0)], bundles[(1, 1)]
    earlier = replace(view.state, round=1, prev=first.result.merged, roster=last.roster.hash())
    node.engine.handle(ev.ChainAdvanced(replace(view, state=earlier, head=view.head - 1)), node.now)
    node.engine.handle(ev.BundleFound(first), node.now)
    actions = node.engine.handle(ev.ChainAdvanced(view), node.now)
    [kept] = [a.blobs for a in actions if isinstance(a, act.Keep)]
    assert merged in kept
    assert merged in node.engine.state.held


@pytest.mark.parametrize(("size", "pulled"), [(0, True), (1, False), (2**40, False)])
def test_a_merged_model_far_above_the_last_one_is_not_pulled(scene: Scene, size: int, pulled: bool) -> None:
    """Twice the last one and 1 MiB: what a leader announces beyond that can only be meant to fill disks."""
    result = replace(scene.message.result, size=size_max(scene.follower.engine.state) + size)
    said = replace(scene.message.signed.statement, result=result.hash())
    signature = Key(said.leader).sign(said.digest(scene.world.domain))
    message = replace(scene.message, signed=Signed(said, signature), result=result)
    actions = deliver(scene, message)
    assert any(isinstance(a, act.Fetch) for a in actions) == pulled
    assert pulled or any(isinstance(a, act.Report) and "allowed are" in a.text for a in actions)


def test_bytes_that_are_not_kept_forgive_no_failed_pull(scene: Scene) -> None:
    """A member that sends a little and breaks off has a bounded number of tries; a whole piece begins them anew."""
    node, state = scene.follower, scene.follower.engine.state
    blob = BlobId(sha256(b"a model that never comes"))
    state.transfers[blob] = Transfer(blob, 10 * CHUNK_BYTES, state.now, state.now, sources=(scene.leader.address,))
    for failed in range(1, 4):
        node.engine.handle(ev.BlobMoved(blob, CHUNK_BYTES - 1), node.now)
        node.engine.handle(ev.BlobFailed(blob, 6, "it broke off"), node.now)
        assert state.transfers[blob].failures == failed
    node.engine.handle(ev.BlobMoved(blob, CHUNK_BYTES), node.now)
    assert state.transfers[blob].failures == 0


def test_the_interval_stays_in_the_bounds_that_the_run_began_with(scene: Scene) -> None:
    """Four times the first round's interval at most, however far later ones have grown."""
    state = scene.leader.engine.state
    assert state.view is not None
    assert state.program.opened is not None
    state.program.opened = replace(state.program.opened, adaptive=True)
    falling = tuple(Committed(interval, loss, None) for interval, loss in ((10, 900_000), (40, 800_000)))
    state.view = replace(state.view, history=falling)
    assert proposed_interval(state, scene.message.items) == 40  # not 60, half as much again


def test_who_comes_to_lead_refuses_what_could_not_be_pulled_three_times(scene: Scene) -> None:
    """While another led nobody refused it; the new leader need not try a fourth time."""
    state = scene.leader.engine.state
    context = state.context
    assert context is not None
    theirs = next(i.check_in for i in scene.message.items if i.check_in.node != scene.leader.address)
    state.held.pop(theirs.blob, None)
    for failures, refused in ((INPUT_FAILURES_MAX - 1, False), (INPUT_FAILURES_MAX, True)):
        state.transfers[theirs.blob] = Transfer(
            theirs.blob, theirs.size, state.now, state.now, failures=failures, retry_at=1e12, sources=(theirs.node,)
        )
        gather(state, context, state.now, Out())
        assert ((theirs.node, theirs.version) in context.refused) == refused


def test_a_merged_file_that_is_not_what_was_proposed_is_not_acknowledged(scene: Scene) -> None:
    """Size, manifest and finiteness are those of the bytes, not of the proposal."""
    node, result = scene.follower, scene.message.result
    leader = scene.leader.address
    pulse = scene.leader.engine.pulse_for(node.address)
    node.engine.handle(ev.PulseArrived(leader, pulse), node.now)
    node.engine.handle(ev.BlobVerified(result.merged, result.size, sha256(b"another")), node.now)
    assert not own_ack(scene)


def test_inputs_that_do_not_hash_to_the_result_are_ignored(scene: Scene) -> None:
    """The result's hash binds check-ins and shares."""
    lie = replace(scene.message.result, inputs=inputs_hash([]))
    said = replace(scene.message.signed.statement, result=lie.hash())
    signed = Signed(said, Key(said.leader).sign(said.digest(scene.world.domain)))
    deliver(scene, replace(scene.message, signed=signed, result=lie))
    assert not own_ack(scene)


def test_a_proposal_by_somebody_whose_turn_it_is_not_is_ignored(scene: Scene) -> None:
    """The ring decides who leads attempt 0, not who speaks first."""
    other = next(n for n in scene.world.nodes if n not in (scene.leader, scene.follower))
    said = replace(scene.message.signed.statement, leader=other.address)
    signed = Signed(said, Key(said.leader).sign(said.digest(scene.world.domain)))
    deliver(scene, replace(scene.message, signed=signed))
    assert not own_ack(scene)


def test_a_proposal_of_another_round_is_not_heard() -> None:
    """Signed as it should be, by the leader of this attempt: it is nothing of this round, and nobody is doubted."""
    scene = Scene()
    name = scene.message.signed.statement.name
    said = replace(scene.message.signed.statement, name=replace(name, round=name.round + 1))
    signed = Signed(said, Key(said.leader).sign(said.digest(scene.world.domain)))
    deliver(scene, replace(scene.message, signed=signed))
    context = scene.follower.engine.state.context
    assert context is not None
    assert (context.pending, context.results, context.doubted) == (None, {}, None)
    assert not own_ack(scene)


def test_a_proposal_that_is_known_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with each pulse of its leader: its signature is checked once, while its model is on its way."""
    scene = Scene()
    node, state = scene.follower, scene.follower.engine.state
    assert state.context is not None
    name, leader = state.context.name, scene.message.signed.statement.leader
    pulse = Pulse(name.job, name.run, leader, name.round, name.epoch, 0, "syncing", 1, (), scene.message)
    node.engine.handle(ev.PulseArrived(leader, pulse), node.now)
    assert state.context.pending == scene.message
    looked: list[object] = []
    monkeypatch.setattr(Signed, "valid", lambda self, *_: looked.append(self) or True)
    node.engine.handle(ev.PulseArrived(leader, pulse), node.now)
    assert scene.message.signed not in looked


def later(scene: Scene, acked: list[tuple[int, bytes]]) -> ProposalMessage:
    """A proposal of attempt 1 that shows takeovers by everybody but the follower, who acknowledged so much."""
    context = scene.follower.engine.state.context
    assert context is not None
    leader = context.leader(1)
    assert leader is not None
    nodes = [n.address for n in scene.world.nodes if n is not scene.follower]
    takeovers = []
    for node, (attempt, result) in zip(nodes, acked, strict=False):
        taken = Takeover(context.name, 1, attempt, result, node)
        takeovers.append(Signed(taken, Key(node).sign(taken.digest(scene.world.domain))))
    said = replace(scene.message.signed.statement, attempt=1, leader=leader)
    signed = Signed(said, Key(leader).sign(said.digest(scene.world.domain)))
    return replace(scene.message, signed=signed, takeovers=tuple(takeovers))


NOTHING = (0, bytes(32))


@pytest.mark.parametrize(
    ("acked", "follows"),
    [
        ([NOTHING] * 3, True),
        ([NOTHING] * 2, False),
        ([NOTHING, NOTHING, (0, sha256(b"another result"))], False),
    ],
)
def test_a_later_attempt_must_show_a_majority_and_what_it_is_bound_to(
    acked: list[tuple[int, bytes]], follows: bool
) -> None:
    """Three of four takeovers entitle; one of them that acknowledged another result binds to that."""
    scene = Scene()
    context = scene.follower.engine.state.context
    assert context is not None
    if context.leader(1) == scene.follower.address:
        scene.follower = next(
            n for n in scene.world.nodes if n.address not in (context.leader(1), scene.leader.address)
        )
    deliver(scene, later(scene, acked))
    assert own_ack(scene) == follows
    context = scene.follower.engine.state.context
    assert context is not None
    assert (context.doubted is not None) is not follows, "a leader that is not believed is said"


def test_a_takeover_the_leader_has_not_seen_does_not_make_its_proposal_wrong() -> None:
    """Another node's takeover, with an ack in it, reached the follower but not the leader: any majority entitles."""
    scene = Scene()
    context = scene.follower.engine.state.context
    assert context is not None
    if context.leader(1) == scene.follower.address:
        scene.follower = next(
            n for n in scene.world.nodes if n.address not in (context.leader(1), scene.leader.address)
        )
    message = later(scene, [NOTHING] * 3)
    known, *shown = [t.statement for t in message.takeovers]
    assert known is not None
    outside = scene.follower
    context = outside.engine.state.context
    assert context is not None
    own = Takeover(context.name, 1, 0, bytes(32), outside.address)
    entitled = (*(Signed(t, Key(t.node).sign(t.digest(scene.world.domain))) for t in shown),)
    entitled = (*entitled, Signed(own, Key(own.node).sign(own.digest(scene.world.domain))))
    message = replace(message, takeovers=entitled)
    unseen = replace(known, acked_result=sha256(b"another result"))
    signed = Signed(unseen, Key(unseen.node).sign(unseen.digest(scene.world.domain)))
    pulse = Pulse(context.name.job, 1, unseen.node, 2, 0, 1, "syncing", 1, (signed,), None)
    outside.engine.handle(ev.PulseArrived(unseen.node, pulse), outside.now)
    deliver(scene, message)
    assert own_ack(scene)


def test_two_check_ins_of_one_version_show_who_is_faulty() -> None:
    """Both are kept apart: the first counts, the fault is reported."""
    scene = Scene()
    other = next(n for n in scene.world.nodes if n not in (scene.leader, scene.follower))
    theirs = next(i for i in scene.message.items if i.check_in.node == other.address)
    twin = scene.signed(theirs, blob=BlobId(sha256(b"another model")))
    name = theirs.check_in.name
    node = scene.leader
    pulse = Pulse(name.job, 1, other.address, 2, 0, 0, "syncing", 1, (Signed(twin.check_in, twin.signature),), None)
    actions = node.engine.handle(ev.PulseArrived(other.address, pulse), node.now)
    assert any(isinstance(a, act.Report) and "two different check-ins" in a.text for a in actions)
    context = node.engine.state.context
    assert context is not None
    latest = context.latest(other.address)
    assert latest is not None
    assert latest.statement == theirs.check_in


def test_of_proposals_that_nothing_refers_to_the_last_are_kept() -> None:
    """Beside the one that has just come. Oldest first they go; one that a takeover says was acknowledged stays."""
    scene = Scene()
    context = scene.follower.engine.state.context
    assert context is not None
    said = scene.message.signed.statement
    many = [
        replace(scene.message, signed=Signed(replace(said, result=sha256(b"%d" % n)), b""))
        for n in range(RESULTS_KEPT + 3)
    ]
    first = many[0].signed.statement
    takeover = Takeover(context.name, 7, 1, first.result, scene.leader.address)
    context.file_takeover(Signed(takeover, b""))
    for message in many:
        context.file_result(message)
    kept = [message.signed.statement.result for message in many if message.signed.statement.result in context.results]
    assert kept == [first.result, *(message.signed.statement.result for message in many[-RESULTS_KEPT - 1 :])]
