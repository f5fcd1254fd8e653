"""A member of the roster with a valid key turns on the others: what its signed words can make a node do."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.sim.chain import Key
from support.sim.node import MANIFEST, Plan, SimNode
from support.sim.world import World
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import RoundContext
from swarm.core.engine.leading import REFUSED_HASH, REFUSED_MANIFEST, REFUSED_TOO_LARGE
from swarm.core.engine.messages import STATEMENTS_MAX, Left, ProposalMessage, Pulse, Signed
from swarm.core.errors import PeerFault
from swarm.core.ids import ZERO32, Address, BlobId, sha256
from swarm.core.limits import ATTEMPT_AHEAD_MAX
from swarm.core.statements import CheckIn, Proposal, Refusal, Result, Statement, Takeover, inputs_hash

HUGE = 2**62


class Scene:
    """Round 2 of four nodes: two of them matter here, the victim and the intruder."""

    def __init__(self) -> None:
        self.world = World(3, [Plan(min_peers=3)] * 4)
        self.world.start()
        assert self.world.run(self._in_round_two, 30)
        leader = self.context(self.world.nodes[0]).leader()
        others = [n for n in self.world.nodes if n.address != leader]
        self.leader = next(n for n in self.world.nodes if n.address == leader)
        self.victim: SimNode = others[0]
        self.intruder: Address = others[1].address

    def _in_round_two(self) -> bool:
        found = [n.engine.state.context for n in self.world.nodes]
        return all(c is not None and c.name.round == 2 and c.check_in is not None for c in found)

    def context(self, node: SimNode | None = None) -> RoundContext:
        found = (node or self.victim).engine.state.context
        assert found is not None
        return found

    def signed(self, statement: Statement, by: Address) -> Signed[Statement]:
        return Signed(statement, Key(by).sign(statement.digest(self.world.domain)))

    def hear(
        self, *statements: Signed[Statement], by: Address, proposal: ProposalMessage | None = None, round_: int = 2
    ) -> list[act.Action]:
        name = self.context().name
        pulse = Pulse(name.job, name.run, by, round_, name.epoch, 0, "syncing", 1, statements, proposal)
        return self.victim.engine.handle(ev.PulseArrived(by, pulse), self.victim.now)

    def takeover(self, attempt: int, by: Address) -> Signed[Statement]:
        return self.signed(Takeover(self.context().name, attempt, 0, ZERO32, by), by)

    def empty_proposal(self, attempt: int, by: Address, merged: BlobId, interval: int = 1) -> ProposalMessage:
        """A signed proposal that nothing entitles, made of nothing."""
        result = Result(merged, 1000, bytes(32), inputs_hash([]), interval, MANIFEST)
        said = Proposal(self.context().name, attempt, by, result.hash())
        return ProposalMessage(Signed(said, Key(by).sign(said.digest(self.world.domain))), result, ())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_attack_one_pulse_of_many_takeovers_is_one_step(scene: Scene) -> None:
    """258 signed takeovers in one pulse cost one signature check and at most one durable write, not 258."""
    many = [scene.takeover(a, scene.intruder) for a in range(1, STATEMENTS_MAX + 1)]
    actions = scene.hear(*many, by=scene.intruder)
    assert sum(isinstance(a, act.Persist) for a in actions) <= 1


def test_attack_takeovers_without_end_do_not_stop_the_round(scene: Scene) -> None:
    """Takeovers as fast and as far ahead as allowed move a node a few times; the numbers do not run out."""
    high = ATTEMPT_AHEAD_MAX
    for _ in range(200):
        scene.hear(scene.takeover(high, scene.intruder), by=scene.intruder)
        high += ATTEMPT_AHEAD_MAX
    assert scene.context().promised <= 8 * ATTEMPT_AHEAD_MAX
    assert len(scene.context().takeovers) <= 8


def test_attack_a_swarm_with_a_takeover_spammer_still_ends(scene: Scene) -> None:
    """The other members complete the run although one of the roster calls a takeover two hundred times a second."""
    world, spammer = scene.world, scene.intruder

    def spam() -> None:
        for node in world.nodes:
            context = node.engine.state.context
            if node.address != spammer and context is not None:
                taken = Takeover(context.name, context.promised + 1, 0, ZERO32, spammer)
                name = context.name
                signed = (scene.signed(taken, spammer),)
                pulse = Pulse(name.job, name.run, spammer, name.round, name.epoch, 0, "syncing", 1, signed)
                node.step(ev.PulseArrived(spammer, pulse))
        world.at(0.005, spam)

    spam()
    assert world.run(world.finished, 120), world.tail()


def test_attack_the_last_attempt_number_ends_nothing(scene: Scene) -> None:
    """At the end of the attempt's range a suspected leader stays: no overflow, no crash."""
    scene.context().promised = 2**32 - 1
    actions = scene.victim.engine.handle(ev.Tick(), scene.victim.now + 10_000)
    assert scene.context().promised == 2**32 - 1
    assert actions is not None


def test_attack_a_forged_proposal_does_not_publish_an_update(scene: Scene) -> None:
    """A proposal that names another site's update as merged makes nobody serve that update to its sender."""
    check_in = scene.context().check_in
    assert check_in is not None
    blob = check_in.statement.blob
    assert not scene.victim.engine.may_read(scene.intruder, blob)
    old = scene.context().leader(0)
    assert old is not None
    # The leader of an old attempt needs no takeover to be heard; it is not the leader any more.
    scene.hear(scene.takeover(1, scene.intruder), by=scene.intruder)
    while scene.context().leader() == old:
        scene.hear(scene.takeover(scene.context().promised + 1, scene.intruder), by=scene.intruder)
    scene.hear(by=old, proposal=scene.empty_proposal(0, old, blob))
    assert any(m.result.merged == blob for m in scene.context().results.values())
    for reader in (old, scene.intruder):
        if reader != scene.context().leader():
            assert not scene.victim.engine.may_read(reader, blob)


def test_attack_proposals_without_end_are_forgotten(scene: Scene) -> None:
    """An old leader may sign any number of proposals; a bounded number is kept."""
    old = scene.context().leader(0)
    assert old is not None
    scene.hear(scene.takeover(1, scene.intruder), by=scene.intruder)
    for interval in range(1, 200):
        scene.hear(by=old, proposal=scene.empty_proposal(0, old, BlobId(sha256(b"x")), interval))
    assert len(scene.context().results) <= 16 + 2


def test_attack_a_leader_cannot_end_anothers_program_by_its_word(scene: Scene) -> None:
    """ "Your tensors differ" is not believed where the chain's manifest is this program's own."""
    own = scene.context().check_in
    leader = scene.context().leader()
    assert own is not None
    assert leader is not None
    said = own.statement
    refusal = Refusal(said.name, said.node, said.version, said.blob, REFUSED_MANIFEST, leader)
    actions = scene.hear(scene.signed(refusal, leader), by=leader)
    assert scene.victim.engine.state.program.failed is None
    assert not any(isinstance(a, act.FailProgram) for a in actions)
    assert scene.context().check_in == own


def test_attack_an_announced_giant_is_refused_before_it_is_pulled(scene: Scene) -> None:
    """A check-in that claims exabytes is refused by the leader as too large; nothing is fetched."""
    scene.victim = scene.leader
    context = scene.context()
    context.check_ins.pop(scene.intruder, None)
    giant = CheckIn(context.name, scene.intruder, 1, BlobId(sha256(b"giant")), HUGE, 1, 0, 0, 0, 1, 0)
    actions = scene.hear(scene.signed(giant, scene.intruder), by=scene.intruder)
    assert not any(isinstance(a, act.Fetch) and a.size == HUGE for a in actions)
    refused = context.refused.get((scene.intruder, 1))
    assert refused is not None
    assert refused[0].statement.reason == REFUSED_TOO_LARGE


def test_attack_pulses_from_the_future_do_not_hammer_the_chain(scene: Scene) -> None:
    """A peer that claims rounds ahead, again and again, makes this node look at the chain once, not each time."""
    found = [a for _ in range(100) for a in scene.hear(by=scene.intruder, round_=2**40)]
    assert sum(isinstance(a, act.Refresh) for a in found) <= 1


def test_attack_words_of_others_in_a_pulse_are_not_heard(scene: Scene) -> None:
    """A pulse carries its sender's words: forged ones in others' names cost no signature check."""
    third = next(n.address for n in scene.world.nodes if n.address not in (scene.intruder, scene.victim.address))
    context = scene.context()
    before = context.promised
    said = Takeover(context.name, before + 1, 0, ZERO32, third)
    scene.hear(replace(scene.signed(said, third)), by=scene.intruder)
    assert scene.context().promised == before


@pytest.mark.parametrize("size", [0, -1])
def test_attack_naming_anothers_model_does_not_shut_it_out(scene: Scene, size: int) -> None:
    """Who checks in with a blob that is another member's, and does not serve it, is refused alone."""
    leader, now = scene.leader.engine, scene.leader.now
    own = scene.victim.engine.state.own_check_in()
    assert own is not None
    context = scene.context(scene.leader)
    for node in (own.node, scene.intruder):
        context.check_ins.pop(node, None)
    leader.state.held.pop(own.blob, None)
    leader.state.transfers.pop(own.blob, None)
    stolen = scene.signed(replace(own, node=scene.intruder, size=own.size + size), scene.intruder)
    fetched: list[tuple[Address, ...]] = []

    def hear(said: Signed[Statement], by: Address) -> None:
        name = context.name
        pulse = Pulse(name.job, name.run, by, 2, name.epoch, 0, "syncing", 1, (said,))
        note(leader.handle(ev.PulseArrived(by, pulse), now))

    def note(actions: list[act.Action]) -> None:
        fetched.extend(a.sources for a in actions if isinstance(a, act.Fetch) and a.blob == own.blob)

    hear(stolen, scene.intruder)
    hear(scene.signed(own, own.node), own.node)
    assert fetched == [(scene.intruder,)]
    note(leader.handle(ev.BlobFailed(own.blob, REFUSED_HASH, "no such bytes"), now))
    assert (scene.intruder, 1) in context.refused
    assert (own.node, 1) not in context.refused
    assert fetched[1:] == [(own.node,)]
    leader.handle(ev.BlobVerified(own.blob, own.size, MANIFEST), now)
    assert (own.node, 1) not in context.refused


@pytest.mark.parametrize(
    "left",
    [
        {"exit_code": 1},
        {"exit_code": 1, "exception": "E", "text": "a path of the site"},
        {"exit_code": -1, "exception": None},
        {"exit_code": 256, "exception": None},
        {"exit_code": True, "exception": None},
        {"exit_code": 1.0, "exception": None},
        {"exit_code": "1", "exception": None},
        {"exit_code": None, "exception": ""},
        {"exit_code": None, "exception": "E" * 65},
        {"exit_code": None, "exception": "Value Error"},
        {"exit_code": None, "exception": "E\n"},
        {"exit_code": None, "exception": "E\x1b[2J"},
        {"exit_code": None, "exception": "\u00c9rreur"},
        {"exit_code": None, "exception": ["E"]},
        None,
        [],
        "left",
    ],
)
def test_how_a_member_left_is_two_bounded_words(left: object) -> None:
    """What a member says of its program's end is shown to others: nothing but a code and the name of a class passes."""
    scene = Scene()
    name = scene.context().name
    said = Pulse(name.job, name.run, scene.intruder, 2, name.epoch, 0, "failed", 1, left=Left(1, "E")).to_json()
    assert Pulse.from_json(said).left == Left(1, "E")
    with pytest.raises(PeerFault, match="a pulse is not in the documented form"):
        Pulse.from_json({**said, "left": left})


def test_who_says_that_it_left_ends_nobody_elses_membership() -> None:
    """One of four says it failed: three are enough, the others neither count down nor name anybody else."""
    scene = Scene()
    name = scene.context().name
    pulse = Pulse(name.job, name.run, scene.intruder, 2, name.epoch, 0, "failed", 1, left=Left(1, "E"))
    scene.victim.engine.handle(ev.PulseArrived(scene.intruder, pulse), scene.victim.now)
    assert scene.victim.engine.state.stranded_since is None


def test_attack_check_ins_that_count_for_nothing_are_not_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third version, one's own from another's mouth, and one known already: none is kept, nor verified again."""
    context, mine = scene.context(), scene.context().check_in
    assert mine is not None
    theirs = replace(mine.statement, node=scene.intruder, version=1)
    scene.hear(scene.signed(theirs, scene.intruder), by=scene.intruder)
    assert set(context.check_ins[scene.intruder]) == {1}
    checked: list[object] = []
    recover = scene.victim.engine.state.verifier.recover
    monkeypatch.setattr(
        scene.victim.engine.state,
        "verifier",
        SimpleNamespace(recover=lambda *given: checked.append(given) or recover(*given)),
    )
    scene.hear(context.check_ins[scene.intruder][1], by=scene.intruder)
    for version in range(3, 40):
        scene.hear(scene.signed(replace(theirs, version=version), scene.intruder), by=scene.intruder)
    scene.hear(scene.signed(replace(mine.statement, version=2), scene.victim.address), by=scene.intruder)
    assert set(context.check_ins[scene.intruder]) == {1}
    assert set(context.check_ins[scene.victim.address]) == {1}
    assert not checked


def test_attack_takeovers_of_strangers_are_not_kept(scene: Scene) -> None:
    """Keys cost nothing: who leads must not fill a node with takeovers of keys that no roster knows."""
    context = scene.context()
    attempt = next(a for a in range(1, 4) if context.leader(a) not in (None, scene.victim.address))
    leader = context.leader(attempt)
    assert leader is not None
    strangers = [Address(bytes([number] * 20)) for number in range(1, 100)]
    takeovers: Any = tuple(scene.takeover(attempt, one) for one in (*strangers, scene.intruder))
    proposal = replace(scene.empty_proposal(attempt, leader, BlobId(sha256(b"x"))), takeovers=takeovers)
    scene.hear(by=leader, proposal=proposal)
    kept = context.takeovers[attempt]
    assert scene.intruder in kept
    assert set(kept) <= set(context.roster.addresses)
