"""Late models in whole swarms: what a site behind says, what its model counts for, and who cannot have it otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sim.node import Plan
from support.sim.story import RUN, context, ends_well, said, swarm, until_round
from support.sim.world import World, base_config
from swarm.core.bundle import Contribution
from swarm.core.checkinflags import behind_flags
from swarm.core.control.joboptions import canonical
from swarm.core.control.weights import Weighing
from swarm.core.engine import events as ev
from swarm.core.engine import history, lateness
from swarm.core.engine.messages import Signed
from swarm.core.engine.state import Out
from swarm.core.ids import BlobId, sha256

pytestmark = pytest.mark.row("D07")

SLOW = 3
"""The node that trains six times as long as the others and misses rounds."""


def uneven(method: str = "mean", slow_syncs: int = 2, **options: object) -> World:
    """Three sites train for 10 s, a fourth for 60 s; a round waits 2 s for who is not in."""
    plans = [Plan(14, train_seconds=10, min_peers=3, weight=10, method=method) for _ in range(SLOW)]
    plans.append(Plan(slow_syncs, train_seconds=60, min_peers=3, weight=30, method=method))
    world = World(31, plans, config=replace(base_config(), full_quorum_seconds=2.0))
    world.chain.options = canonical(options)
    world.chain.view = replace(world.chain.view, options=world.chain.options)
    world.start()
    return world


def late_items(world: World) -> list[tuple[Contribution, float]]:
    """The slow site's contributions that were behind, each with what the weights of the others came to."""
    found, slow = [], world.nodes[SLOW].address
    for round_ in range(world.checks.rounds):
        items = world.chain.bundles[(RUN, round_)].items
        rest = sum(i.check_in.weight for i in items if i.check_in.node != slow)
        found += [(i, rest) for i in items if i.check_in.node == slow and i.check_in.weight and i.check_in.behind]
    return found


@pytest.mark.row("D07")
@pytest.mark.parametrize(
    ("option", "discount", "method"),
    [
        ({"alpha": 0.5}, lambda n: (1 + n) ** -0.5, "mean"),
        ({"method": "polynomial", "alpha": 2}, lambda n: (1 + n) ** -2.0, "coordmedian"),
        ({"method": "hinge", "a": 0.5, "b": 2}, lambda n: 1.0 if n <= 2 else 1 / (0.5 * (n - 2) + 1), "mean"),
    ],
)
def test_a_slow_sites_share_is_what_the_formula_leaves_of_its_weight(option, discount, method: str) -> None:
    """It says by how many rounds it is behind, all take that off its weight, and each site's log tells it once."""
    world = uneven(method, staleness=option)
    ends_well(world)
    late = late_items(world)
    assert late
    assert all(item.check_in.behind >= 3 for item, _ in late)
    for item, rest in late:
        counts = 30 * discount(item.check_in.behind)
        assert item.coefficient == pytest.approx(counts / (counts + rest), rel=1e-6)
    who = world.nodes[SLOW].address.hex()
    told = said(world, f"the model of 0x{who} is ")
    assert 1 <= len(told) <= len(world.nodes), "once at each site, while it stays late"
    assert all("(the job's option staleness: " in line for line in told)


def test_a_site_at_work_shows_how_far_behind_its_programs_model_is() -> None:
    """In its status, by number and in a sentence; a site that keeps up says nothing of it."""
    world = uneven()
    until_round(world, 4)
    slow, quick = (n.engine.status(n.now) for n in (world.nodes[SLOW], world.nodes[0]))
    assert slow["behind"] == 3 - slow["loaded_round"] > 0
    assert f", {slow['behind']} rounds behind" in slow["detail"]
    assert quick["behind"] == 0
    assert "behind" not in quick["detail"]


def test_without_the_option_a_late_model_counts_whole() -> None:
    """Off is the default: the record says how late it was, and nothing else changes."""
    world = uneven()
    ends_well(world)
    late = late_items(world)
    assert late
    for item, rest in late:
        assert item.coefficient == 30 / (30 + rest)
    assert not said(world, "rounds behind: its weight")


def test_where_nobody_is_late_the_option_changes_no_byte() -> None:
    """The same swarm with and without it commits the same models with the same shares, bit for bit."""
    with_it, without = (swarm(3, syncs=5) for _ in range(2))
    with_it.chain.options = canonical({"staleness": {"alpha": 0.5}})
    with_it.chain.view = replace(with_it.chain.view, options=with_it.chain.options)
    ends_well(with_it)
    ends_well(without)
    for round_ in range(without.checks.rounds):
        one, other = with_it.chain.bundles[(RUN, round_)], without.chain.bundles[(RUN, round_)]
        assert one.result.merged == other.result.merged
        assert [i.coefficient for i in one.items] == [i.coefficient for i in other.items]


def test_a_finished_sites_last_model_fades_and_its_copy_of_the_merged_one_does_not() -> None:
    """Snapshot: the model stays what it was, one round further behind each time. Active: the last merged one is new."""
    plans = {1: Plan(2, min_peers=3), 2: Plan(2, min_peers=3, mode="active")}
    world = swarm(3, syncs=8, plans=plans)
    ends_well(world)
    bundles = [world.chain.bundles[(RUN, r)] for r in range(world.checks.rounds)]
    ages = [{i.check_in.node: i.check_in.behind for i in b.items} for b in bundles]
    snapshot, active = world.nodes[1].address, world.nodes[2].address
    assert [age[snapshot] for age in ages] == [0, 0, 0, *range(1, len(ages) - 2)]
    assert {age[active] for age in ages} == {0}


@pytest.mark.row("D07")
def test_a_leader_that_takes_late_models_whole_is_not_acknowledged() -> None:
    """Acknowledgers hold the shares against what the weights count for; another one leads that round."""
    world = uneven(staleness={"alpha": 0.5})
    until_round(world, 1)
    liar = world.nodes[0]
    liar.engine.state.options = replace(liar.engine.state.options, weighing=Weighing())
    liar.expected_to_finish = False
    assert world.run(world.finished, 900), world.tail()
    assert said(world, "its coefficients do not follow from the weights")
    assert not world.checks.violations, world.tail()
    for item, rest in late_items(world):
        counts = 30 * (1 + item.check_in.behind) ** -0.5
        assert item.coefficient == pytest.approx(counts / (counts + rest), rel=1e-6)


def test_a_leader_that_ages_another_sites_model_has_not_its_signature() -> None:
    """The number stands in what each site signs: a leader cannot make another one late, or itself on time."""
    world = uneven(staleness={"alpha": 0.5})
    until_round(world, 2)
    leader = world.node(world.nodes[0].address)
    check_in = context(leader).check_in
    assert world.run(lambda: (found := context(leader).check_in) is not None and found is not check_in, 60)
    own = context(leader).check_in
    assert own is not None
    aged = Signed(replace(own.statement, flags=own.statement.flags | behind_flags(1)), own.signature)
    assert own.valid(world.domain, leader.engine.state.verifier)
    assert not aged.valid(world.domain, leader.engine.state.verifier)


def test_a_program_whose_session_was_cut_off_is_as_old_as_what_it_trained_from() -> None:
    """Its SL restarted and has loaded nothing: the program says what it goes on from, of this run only."""
    world = swarm(3, syncs=8)
    until_round(world, 5)
    state = world.nodes[0].engine.state
    program = state.program
    assert program.opened is not None
    for after, synced, base in (((RUN, 3), 1, 3), ((RUN + 1, 3), 1, -1), ((RUN, 3), 2, -1), (None, 1, -1)):
        program.opened, program.synced, program.loaded = replace(program.opened, after=after), synced, -1
        lateness.note_base(state)
        assert program.base == base, (after, synced)


def test_a_withdrawn_model_is_none_to_have_trained_from() -> None:
    """A reorganisation took back what the program had loaded: what it syncs is as old as what still stands."""
    world = swarm(3, syncs=8)
    until_round(world, 5)
    state = world.nodes[0].engine.state
    assert world.run(lambda: state.program.base >= 3 and 3 in state.merged, 60), world.tail()
    history.learn(state, 3, BlobId(sha256(b"another model")), Out())
    assert state.program.base == 2


def test_a_model_older_than_its_run_is_not_heard() -> None:
    """Nobody is further behind than there were rounds; who says so is not counted by anybody."""
    world = uneven(staleness={"alpha": 0.5})
    until_round(world, 2)
    liar, other = world.nodes[1], world.nodes[0]
    assert world.run(lambda: context(liar).check_in is not None and context(liar).name.round == 2, 60)
    own = context(liar).check_in
    assert own is not None
    for behind, heard in ((3, False), (2, True)):
        told = replace(own.statement, version=2, flags=behind_flags(behind))
        signed = liar.engine.state.sign(told)
        pulse = replace(liar.engine.pulse_for(other.address), statements=(signed,))
        other.engine.handle(ev.PulseArrived(liar.address, pulse), other.now)
        known = context(other).check_ins.get(liar.address, {})
        assert (2 in known) == heard, behind
