"""An SN that lies about the run: a roster of members it invented, and a commit that those signed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rounds import certified
from support.sim.chain import JOB
from support.sim.keys import Key
from support.sim.node import MANIFEST, MODEL_BYTES, SimNode
from support.sim.sn import SimSn
from support.sim.story import context, ends_well, said, swarm, until_round
from support.sim.world import World
from swarm.core.bundle import Bundle
from swarm.core.chain_view import Joiner
from swarm.core.engine.context import Held
from swarm.core.engine.events import ChainView
from swarm.core.ids import Address, BlobId, sha256
from swarm.core.roster import Roster

INVENTED = tuple(Address(sha256(b"invented %d" % i)[:20]) for i in range(5))
LYING_SECONDS = 30.0


class LyingSn(SimSn):
    """Tells the chain's truth until it ``lies``; then that the open round was committed by whom it invented."""

    told: ChainView | None = None
    forged: Bundle | None = None
    since: ChainView | None = None
    """The last true word before the first lie."""
    withdrawn = lies_told = 0

    def lies(self, members: Roster, signers: list[Address], *, opens: bool = False, claims_reorg: bool = False) -> None:
        """``opens``: first only that the round is open with that roster; ``claims_reorg``: after blocks went back."""
        honest = self.since = self.since or self._chain.view
        self.withdrawn += claims_reorg
        state = replace(honest.state, roster=members.hash())
        self.forged = certified(
            state.round_name(JOB),
            members,
            [Key(a) for a in signers],  # type: ignore[misc]
            self._chain._world.domain,
            manifest=MANIFEST,
        )
        self.lies_told += 1
        joiners = {a: Joiner(a, True, True, 1, 0) for a, _ in members.members}
        base = replace(
            honest,
            state=state,
            roster=members,
            joiners={**honest.joiners, **joiners},
            active=honest.active | set(joiners),
            head=honest.head + self.lies_told,
            reorgs=honest.reorgs + self.withdrawn,
        )
        merged = self.forged.result.merged
        after = replace(state, round=state.round + 1, prev=merged, prev_size=self.forged.result.size)
        self.told = base if opens else replace(base, state=after, head=base.head + 100)

    @property
    def view(self) -> ChainView:
        return self.told or super().view

    def bundle(self, run: int, round_: int) -> Bundle | None:
        forged = self.forged
        return forged if forged is not None and forged.name.round == round_ else super().bundle(run, round_)


class Scene:
    """Round 2 of four nodes; the SN of one of them will lie, and the attacker's model lies ready for it."""

    def __init__(self) -> None:
        self.world: World = swarm(4, syncs=6, train_seconds=1.0, min_peers=1, world={"forks": True})
        self.sn = LyingSn(self.world.chain, "liar")
        self.world.sns.append(self.sn)
        self.victim: SimNode = self.world.nodes[0]
        for address in INVENTED:  # they have an address in the SN's answers, and nobody answers there
            nobody = SimNode(self.world, address, "invented", self.victim.script.plan, self.victim.config)
            self.world._by_address[address] = nobody
        self.victim.link._index = 1
        until_round(self.world, 2)
        assert self.world.run(lambda: context(self.victim).check_in is not None, 30), self.world.tail()
        self.roster = context(self.victim).roster

    def strike(self, members: Roster, signers: list[Address], **how: bool) -> BlobId:
        self.sn.lies(members, signers, **how)
        assert self.sn.forged is not None
        evil = self.sn.forged.result.merged
        self.world.blobs[evil] = Held(MODEL_BYTES, MANIFEST, True)
        self.victim.disk.add(evil)
        self.victim.engine.state.held[evil] = Held(self.sn.forged.result.size, MANIFEST, True)
        self.victim.look(0.01)
        self.world.run(lambda: False, LYING_SECONDS)
        return evil


ALONE = (Roster.of([(INVENTED[0], True)]), [INVENTED[0]])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_attack_a_commit_of_one_invented_member_is_not_loaded(scene: Scene) -> None:
    """The node's own promise names the round; the SN's forgery names it with another roster."""
    scene.strike(*ALONE)
    assert not scene.world.checks.violations, scene.world.tail()
    assert said(scene.world, "the SN handed out a commit that does not hold: it names round 2 with another roster")


def test_attack_invented_members_beside_the_real_ones_are_not_believed(scene: Scene) -> None:
    """The real members stand in the forged roster as well, outnumbered by keys of the attacker."""
    many = Roster.of([*scene.roster.members, *((a, True) for a in INVENTED)])
    scene.strike(many, list(INVENTED))
    assert not scene.world.checks.violations, scene.world.tail()
    assert said(scene.world, "does not hold: it names round 2 with another roster")


def test_attack_a_roster_that_changes_under_an_open_round_is_not_followed(scene: Scene) -> None:
    """First the open round has another roster, so that the later commit would fit: this node stays, and says so."""
    name = context(scene.victim).name
    scene.strike(*ALONE, opens=True)
    assert context(scene.victim).name == name
    assert said(scene.world, "the SN cannot be believed: round 2 has another roster")
    rows = scene.victim.engine.status(scene.victim.now)["waits"]
    assert any(row["what"] == "an SN to be believed" for row in rows)
    assert not scene.victim.engine.may_read(INVENTED[0], context(scene.victim).check_in.statement.blob)  # type: ignore[union-attr]
    scene.strike(*ALONE)
    assert not scene.world.checks.violations, scene.world.tail()


@pytest.mark.parametrize("opens_first", [False, True])
def test_attack_blocks_that_were_taken_back_are_no_excuse(scene: Scene, opens_first: bool) -> None:
    """The SN claims a reorganisation: then one at least of the members that this node knew must have signed."""
    if opens_first:
        scene.strike(*ALONE, opens=True, claims_reorg=True)
    scene.strike(*ALONE, claims_reorg=True)
    assert not scene.world.checks.violations, scene.world.tail()
    assert said(scene.world, "none of the members that this node knows acknowledged it")


def test_attack_a_restarted_node_knows_the_round_from_its_journal(scene: Scene) -> None:
    """What was signed before the restart names the round; the SN lies from the node's start on."""
    scene.sn.lies(*ALONE)
    scene.victim.crash()
    scene.victim.start()
    scene.strike(*ALONE)
    assert not scene.world.checks.violations, scene.world.tail()
    assert said(scene.world, "does not hold: it names round 2 with another roster")


def test_attack_a_refused_commit_is_told_once(scene: Scene) -> None:
    """It is asked for again each second, as the SN may come to its senses; the log says it once."""
    scene.strike(*ALONE)
    assert len(said(scene.world, "the SN handed out a commit that does not hold")) == 1


def test_the_run_goes_on_when_the_sn_tells_the_truth_again(scene: Scene) -> None:
    """A lie that was not believed costs nothing but the time it was told."""
    scene.strike(*ALONE, opens=True)
    scene.sn.told = scene.sn.forged = None
    ends_well(scene.world)
