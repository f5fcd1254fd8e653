"""Single conditions of the engine, each by itself: what a node does not do, and for whom, when one is missing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.sim.story import context, swarm, until_round
from swarm.core.chain_view import Phase
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine import failing, following, history, leading, loading, rescue, stranded
from swarm.core.engine.context import RoundContext
from swarm.core.engine.messages import STATEMENTS_MAX, Pulse
from swarm.core.engine.state import EngineState, Out, Program
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, BlobId, sha256

ME, OTHER = Address(b"\1" * 20), Address(b"\2" * 20)
USED, LATE = BlobId(sha256(b"used")), BlobId(sha256(b"late"))


def test_pulls_of_models_that_the_round_does_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that stood still: its bytes are of no use to anybody; those of a model that is used go on."""
    monkeypatch.setattr(leading, "pulled_inputs", lambda *_: [(ME, USED), (OTHER, LATE)])
    monkeypatch.setattr(leading, "_moving", lambda *_: False)
    ended: list[BlobId] = []
    out: Any = SimpleNamespace(stop_fetch=lambda _state, blob: ended.append(blob))
    chosen: Any = [SimpleNamespace(statement=SimpleNamespace(blob=USED))]
    state: Any = SimpleNamespace()
    leading.let_go(state, state, chosen, 1.0, out)
    assert ended == [LATE]


@pytest.mark.parametrize(("dropped", "said"), [(set(), {OTHER: "it left the run"}), ({OTHER}, {})])
def test_who_was_left_out_by_a_reform_did_not_leave(dropped: set[Address], said: dict[Address, str]) -> None:
    """A member whose word on chain is that it is not in the run any more left it, unless the others left it out."""
    state: Any = SimpleNamespace(
        view=SimpleNamespace(joiners={OTHER: SimpleNamespace(joined=False)}, active={ME, OTHER}),
        others=lambda: [OTHER],
        peers={OTHER: SimpleNamespace(phase="training", left=None)},
        dropped=dropped,
    )
    assert stranded.gone(state) == said


@pytest.mark.parametrize(
    ("longest", "quiet", "on"), [(0.0, 10_000.0, True), (1.0, 599.0, True), (1.0, 601.0, False), (900.0, 601.0, True)]
)
def test_a_program_without_steps_is_measured_by_its_own_intervals(longest: float, quiet: float, on: bool) -> None:
    """Before its first sync nobody knows how long they are: it is waited for."""
    opened: Any = object()
    state: Any = SimpleNamespace(
        program=Program(opened=opened, longest=longest),
        config=SimpleNamespace(leader_failure_seconds=600.0),
        program_moved_at=1_000.0,
        now=1_000.0 + quiet,
    )
    assert EngineState.gets_on(state) is on


def test_the_longest_interval_is_what_lay_between_two_syncs() -> None:
    """Not the clock's reading: the patience with a program that tells no steps is a multiple of it."""
    world = swarm(2, train_seconds=3.0, syncs=8)
    until_round(world, 3)
    assert 0.0 < world.nodes[0].engine.state.program.longest < 30.0


@pytest.mark.parametrize(
    ("kind", "refused", "closed"), [("close", True, True), ("close", False, False), ("call", True, False)]
)
def test_only_a_close_that_is_refused_needs_no_second_try(kind: str, refused: bool, closed: bool) -> None:
    """One that got lost is tried again, else the end of this member stands nowhere."""
    world = swarm(2, train_seconds=1.0)
    until_round(world, 1)
    node = world.nodes[0]
    node.engine.handle(ev.TransactionFailed(kind, "no", refused), node.now)
    assert node.engine.state.closed is closed


def test_a_certified_model_may_be_read_where_it_was_not_acknowledged() -> None:
    """Who knows the certificate may vouch for its model, and for no other's update."""
    world = swarm(3, train_seconds=1.0)
    until_round(world, 2)
    world.chain.stall(True)
    assert world.run(lambda: all(context(n).certificate is not None for n in world.nodes), 60), world.tail()
    node, other = world.nodes[0], world.nodes[1]
    found = context(node)
    found.ack = found.acked = found.proposal = None
    assert found.certificate is not None
    assert node.engine.may_read(other.address, found.certificate.result.merged)
    found.certificate = None
    merged = context(other).certificate
    assert merged is not None
    assert not node.engine.may_read(other.address, merged.result.merged)


def test_a_fresh_result_is_not_acknowledged_before_the_history_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stop rule or the interval depends on is not complete at two of three nodes: the round waits."""
    world = swarm(3, train_seconds=1.0)
    leader = until_round(world, 2)
    world.chain.stall(True)
    assert world.run(lambda: all(context(n).check_in is not None for n in world.nodes), 60), world.tail()
    monkeypatch.setattr(following.controls, "ready", lambda state: state.me == leader.address)
    assert not world.run(lambda: context(leader).certificate is not None, 10), world.tail()
    assert [n for n in world.nodes if context(n).ack is not None] == [leader]
    monkeypatch.undo()
    assert world.run(lambda: context(leader).certificate is not None, 60), world.tail()


def test_a_promise_of_before_the_restart_counts() -> None:
    """A leader's own ack is one of those that make its certificate, also when it comes from the journal."""
    world = swarm(3, train_seconds=1.0)
    leader = until_round(world, 2)
    world.chain.stall(True)
    assert world.run(lambda: context(leader).ack is not None, 60), world.tail()
    old = context(leader)
    new = RoundContext(old.name, old.roster, old.first, 0.0)
    new.restore(old.to_json(), 5.0)
    assert new.ack is not None
    said = new.ack.statement
    assert new.acks == {(said.attempt, said.result): {said.node: new.ack}}


def test_each_reason_of_a_refusal_has_its_number() -> None:
    """They are on the wire: a node of another version reads the same."""
    assert list(leading.REASONS) == [1, 2, 3, 4, 5, 6]
    assert (leading.REFUSED_UNREADABLE, leading.REFUSED_TOO_LARGE, leading.REFUSED_UNREACHABLE) == (4, 5, 6)


@pytest.mark.parametrize(("after", "waits_for"), [((1, 2), 3), ((9, 2), 2), (None, 2)])
def test_a_program_whose_session_was_cut_off_gets_the_next_model(after: tuple[int, int] | None, waits_for: int) -> None:
    """The one after what it trained on from; one of another run, or a new one, the newest as it is."""
    world = swarm(3, train_seconds=1.0)
    until_round(world, 3)
    node = world.nodes[0]
    state = node.engine.state
    assert state.view is not None
    assert state.program.opened is not None
    assert (state.view.state.run, loading.last_round(state)) == (1, 2)
    state.program.opened, state.program.synced = replace(state.program.opened, after=after), 1
    node.engine._aim()
    assert state.program.waits_for == waits_for


@pytest.mark.parametrize("loaded", [2, 3])
def test_a_sync_is_answered_by_the_round_it_waits_for(loaded: int) -> None:
    """Not by one before that, which a late program may load on its way."""
    pending: Any = SimpleNamespace(seq=7)
    state: Any = SimpleNamespace(
        program=Program(pending=pending, waits_for=3, loaded=loaded),
        view=SimpleNamespace(state=SimpleNamespace(phase=Phase.OPEN)),
    )
    out = Out()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading.controls, "answer_interval", lambda _: 5)
        loading._answer(state, out)
    assert list(out) == ([act.AnswerProgram(7, False, 5)] if loaded == 3 else [])
    state.program.pending = None
    loading._answer(state, out)
    assert len(out) == (loaded == 3)


@pytest.mark.parametrize(
    ("on_roster", "heard", "live", "done"),
    [(False, True, False, False), (False, False, True, True), (True, False, True, False), (True, True, False, True)],
)
def test_whom_a_node_that_has_ended_still_serves(on_roster: bool, heard: bool, live: bool, done: bool) -> None:
    """A member of the roster as long as it may live; one that a reform left out only if it is heard again."""
    peers: Any = type("Peers", (dict,), {"heard_within": lambda *_: heard, "live": lambda *_: live})()
    peers[OTHER] = SimpleNamespace(phase="training")
    state: Any = SimpleNamespace(
        complete_at=1.0,
        view=SimpleNamespace(roster=(OTHER,) if on_roster else ()),
        peers=peers,
        config=SimpleNamespace(live_seconds=15.0),
    )
    assert loading._needs_nothing(state, OTHER, 5.0) is done


def test_a_pulse_may_hold_as_many_statements_as_its_bound_says() -> None:
    """The bound itself is within; one more is refused."""
    world = swarm(2, train_seconds=1.0)
    until_round(world, 1)
    found = context(world.nodes[0])
    assert found.check_in is not None or world.run(lambda: found.check_in is not None, 30)
    one = found.check_in
    assert one is not None
    name = found.name
    data = Pulse(name.job, name.run, ME, 1, name.epoch, 0, "syncing", 1, (one,) * STATEMENTS_MAX).to_json()
    assert len(Pulse.from_json(data).statements) == STATEMENTS_MAX
    data["statements"].append(data["statements"][0])
    with pytest.raises(PeerFault, match="at most"):
        Pulse.from_json(data)


@pytest.mark.parametrize(("pending", "opened", "told"), [(1, 1, True), (0, 1, True), (1, 0, True), (0, 0, False)])
def test_a_program_that_can_be_told_is_told_that_it_failed(pending: int, opened: int, told: bool) -> None:
    """While it waits, and while it has a session; without either nobody listens."""
    world = swarm(2, train_seconds=1.0)
    until_round(world, 1)
    state, out = world.nodes[0].engine.state, Out()
    something: Any = object()
    state.program.pending, state.program.opened = something if pending else None, something if opened else None
    failing.fail_program(state, "why", world.nodes[0].now, out)
    assert [a for a in out if isinstance(a, act.FailProgram)] == ([act.FailProgram("why", None)] if told else [])


@pytest.mark.parametrize(("back", "known"), [(0, True), (1, True), (2, False)])
def test_commits_of_the_last_two_rounds_are_taken_from_an_sn(back: int, known: bool) -> None:
    """The one before the last names the model that an outer step begins at; older ones are of no use here."""
    world = swarm(2, train_seconds=1.0, syncs=8)
    until_round(world, 4)
    node = world.nodes[0]
    state = node.engine.state
    last = loading.last_round(state)
    bundle = world.chain.bundles[(1, last - back)]
    remembered: list[int] = []
    state.commit = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading.history, "remember", lambda _state, found: remembered.append(found.name.round))
        loading.bundle_found(state, ev.BundleFound(bundle), node.now, Out())
        assert (state.commit == bundle or remembered == [last - back]) is known
        remembered.clear()
        state.commit = None
        stranger = replace(bundle, name=replace(bundle.name, run=2))
        loading.bundle_found(state, ev.BundleFound(stranger), node.now, Out())
        assert (state.commit, remembered, state.refused_bundle) == (None, [], "")


def test_a_merge_is_of_the_method_that_the_program_asked_for() -> None:
    """Where no outer step forbids it: the job's first method is only for a leader without a program."""
    world = swarm(3, train_seconds=1.0)
    until_round(world, 1)
    for node in world.nodes:
        opened = node.engine.state.program.opened
        assert opened is not None
        node.engine.state.program.opened = replace(opened, method="coordmedian")
    leader = until_round(world, 2)
    world.chain.stall(True)
    assert world.run(lambda: context(leader).proposal is not None, 60), world.tail()
    assert context(leader).method == "coordmedian"


def test_a_refusal_and_a_takeover_are_told_at_once() -> None:
    """Not with the next pulse: the member whose model is refused may send another, the others need a majority."""
    world = swarm(3, train_seconds=1.0)
    until_round(world, 2)
    node = world.nodes[0]
    state, found, now = node.engine.state, context(node), node.now
    others = {n for n in found.roster.addresses if n != node.address}
    one = sorted(others)[0]
    said = world.chain.bundles[(1, 1)].items[0].check_in
    out = Out()
    leading.refuse(state, found, replace(said, node=one), leading.REFUSED_HASH, "", now, out)
    assert [set(a.to) for a in out if isinstance(a, act.Send)] == [{one}]
    out = Out()
    following.adopt(state, found, found.promised + 1, "why", now, out)
    assert [set(a.to) for a in out if isinstance(a, act.Send)] == [others]


@pytest.mark.parametrize("epoch", [1, 2])
def test_who_leaves_in_an_epoch_is_not_one_that_its_reform_left_out(epoch: int) -> None:
    """Only a new epoch leaves members out; who is gone without one went by itself."""
    view = SimpleNamespace(state=SimpleNamespace(epoch=epoch), joined=lambda node: node == ME)
    old: Any = SimpleNamespace(
        state=SimpleNamespace(epoch=1), roster=SimpleNamespace(addresses=(ME, OTHER)), joined=lambda _: True
    )
    state: Any = SimpleNamespace(view=view, dropped=set())
    stranded.note_dropped(state, old)
    assert state.dropped == ({OTHER} if epoch > 1 else set())


def test_a_model_that_the_chain_took_back_was_never_loaded() -> None:
    """The program stands before the round that changed, so that it gets the chain's model of it."""
    world = swarm(2, train_seconds=1.0)
    until_round(world, 3)
    state = world.nodes[0].engine.state
    state.merged[2] = BlobId(sha256(b"old"))
    state.program.loaded = state.program.base = 3
    history.learn(state, 2, BlobId(sha256(b"new")), Out())
    assert (state.program.loaded, state.program.base) == (1, 1)
    assert state.merged[2] == BlobId(sha256(b"new"))
    assert 3 not in state.merged


@pytest.mark.parametrize(("gone", "stuck"), [(True, True), (False, False)])
def test_a_round_waits_for_no_program_that_is_gone(monkeypatch: pytest.MonkeyPatch, gone: bool, stuck: bool) -> None:
    """All others are done: a member whose node lives and whose program has ended is missing, and the round is stuck."""
    world = swarm(3, train_seconds=1.0)
    until_round(world, 2)
    node = world.nodes[0]
    state, found = node.engine.state, context(node)
    lost = next(n.address for n in world.nodes if n is not node)
    done: Any = SimpleNamespace(statement=SimpleNamespace(done=True))
    monkeypatch.setattr(type(state.peers), "live", lambda *_: True)
    monkeypatch.setattr(type(state.peers), "program_gone", lambda _, who, __: gone and who == lost)
    monkeypatch.setattr(type(found), "latest", lambda _, who: None if who == lost else done)
    why = rescue.stuck(state, found, node.now)
    assert (why is not None) is stuck
    if why is not None:
        assert f"nothing comes from: 0x{lost.hex()}" in why


def test_merged_rounds_are_counted_once_each() -> None:
    """As many as models were loaded: it is what status and result pages tell."""
    world = swarm(2, train_seconds=1.0)
    until_round(world, 3)
    for node in world.nodes:
        state = node.engine.state
        assert state.merged_rounds == state.program.loaded + 1  # rounds count from 0


def test_the_model_before_the_last_is_looked_after_with_each_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outer step needs it for the next merge or load; whether it does is that module's to say."""
    kept: set[int] = set()
    monkeypatch.setattr(loading.outers, "keep_past", lambda _state, bundle, *_: kept.add(bundle.name.round))
    world = swarm(2, train_seconds=1.0)
    until_round(world, 3)
    assert {0, 1} <= kept
