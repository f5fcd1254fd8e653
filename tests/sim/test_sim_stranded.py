"""Members that a run cannot go on without: some left for good, some are only silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.sim.chain import ADMIN, JOB
from support.sim.mutate import mutate
from support.sim.node import Plan, SimNode
from support.sim.story import die, ends_well, said, swarm, until_round
from support.sim.world import World
from swarm.core.engine import events as ev
from swarm.core.engine import machine, stranded
from swarm.core.engine.leading import FAILED_HERE
from swarm.core.engine.messages import Left
from swarm.core.ids import to_hex

LIMIT = {"stranded_seconds": 120.0}


def ends_with_fault(world: World, node: SimNode, seconds: float) -> float:
    """When it ended, with 1."""
    node.expected_to_finish = False
    assert world.run(lambda: node.exit_code is not None, seconds), world.tail()
    assert node.exit_code == 1
    return world.now


def fails(node: SimNode, left: Left) -> None:
    """Its program ends early and says how."""
    node.expected_to_finish = False
    node.script.stop()
    node.script.ended = True
    node.step(ev.ProgramEnded("the ML program gave up: secret text", left))


def waits(node: SimNode) -> dict[str, dict[str, object]]:
    return {row["what"]: row for row in node.engine.status(node.now)["waits"]}


@pytest.mark.parametrize("round_", [0, 3])
def test_the_partner_of_a_program_that_ended_ends_by_name_after_the_stated_time(round_: int) -> None:
    """Two of two: who is left hears at once how the other ended, shows until when it waits, and ends then."""
    world = swarm(2, syncs=20, config=LIMIT)
    until_round(world, round_)
    lost, kept = world.nodes
    fails(lost, Left(1, "ValueError"))
    began = world.now
    assert world.run(lambda: bool(kept.script.told), 20), world.tail()
    assert world.now - began < 5
    for words in (to_hex(lost.address), "ValueError, exit code 1", "1 of the 2", "swarm reset JOB --force"):
        assert words in kept.script.told[-1]
    assert "secret" not in "".join(kept.script.told)
    row = waits(kept)["members that left"]
    assert row["whom"] == to_hex(lost.address)
    assert 100 < float(str(row["until_seconds"])) <= 120
    assert world.run(lambda: kept.script.ended, 400), world.tail()
    assert 119 < world.now - began < 125
    ends_with_fault(world, kept, 5)  # its SL has nothing left to acknowledge
    assert said(world, "none came back within 120 s")
    assert waits(kept) == {}
    assert not world.checks.violations


def test_all_of_three_that_are_left_say_so() -> None:
    """Every site that stays names the one that left."""
    world = swarm(3, syncs=20, config=LIMIT)
    until_round(world, 2)
    lost = world.nodes[1]
    fails(lost, Left(None, None))
    for node in (world.nodes[0], world.nodes[2]):
        ends_with_fault(world, node, 400)
        assert any(to_hex(lost.address) in text for text in node.script.told)


def test_a_site_that_comes_back_in_time_goes_on() -> None:
    """Its operator starts it again within the time: it joins again, and the run ends well."""
    world = swarm(2, syncs=8, config=LIMIT)
    until_round(world, 3)
    lost, kept = world.nodes
    fails(lost, Left(1, "ValueError"))
    assert world.run(lambda: lost.exit_code is not None, 100), world.tail()
    world.run(lambda: False, 20)

    lost.exit_code, lost.script.ended, lost.expected_to_finish = None, False, True
    lost.start()
    ends_well(world, 400)
    assert said(world, "enough members are there again")
    assert kept.script.told[-1] == ""


def test_a_revoked_member_that_is_needed_ends_the_run_by_name() -> None:
    """The chain said so, nobody else."""
    world = swarm(2, syncs=20, config=LIMIT)
    until_round(world, 2)
    lost, kept = world.nodes
    world.chain.revoke(lost.address)
    lost.expected_to_finish = False
    ends_with_fault(world, kept, 400)
    assert "is no longer an active member" in kept.script.told[-1]


def test_enough_members_are_left() -> None:
    """Three with minPeers 2: one may leave, and nobody counts down."""
    world = swarm(3, syncs=8, min_peers=2, config=LIMIT)
    until_round(world, 3)
    fails(world.nodes[0], Left(1, "ValueError"))
    ends_well(world, 600)
    assert not said(world, "left for good")


@pytest.mark.parametrize(("seconds", "away"), [(360.0, 0), (360.0, 1), pytest.param(9000.0, 0, marks=pytest.mark.slow)])
def test_a_silent_member_is_waited_for_as_long_as_it_takes(seconds: float, away: int) -> None:
    """Cut off for minutes or for hours: both sides name the other and since when, and the run ends well."""
    world = swarm(2, syncs=6, config=LIMIT)
    until_round(world, 3)
    cut = world.nodes[away]
    world.net.cut({cut.address}, cut=True)
    world.run(lambda: False, seconds)
    for node, other in (world.nodes, world.nodes[::-1]):
        assert node.exit_code is None
        row = waits(node)["silent members"]
        assert row["whom"] == to_hex(other.address)
        assert row["until_seconds"] is None
        assert abs(float(str(row["since_seconds"])) - seconds) < 20
        assert "swarm reset JOB --force" in node.script.told[-1]
    world.net.cut({cut.address}, cut=False)
    ends_well(world, 600)
    assert all(node.script.told[-1] == "" for node in world.nodes)


def test_one_that_a_reform_dropped_is_silent_and_did_not_leave() -> None:
    """It may come back; that another one left for good ends nothing while it may."""
    plans = {0: Plan(syncs=40, min_peers=2, train_seconds=2.0)}
    world = swarm(5, min_peers=2, syncs=40, train_seconds=2.0, config=LIMIT, plans=plans)
    until_round(world, 3)
    away = world.nodes[:3]
    for node in away:
        node.freeze()
    assert world.run(lambda: world.chain.view.state.epoch == 1, 400), world.tail()
    lost, kept = world.nodes[3:]
    fails(lost, Left(1, "ValueError"))
    world.run(lambda: False, 600)
    assert kept.exit_code is None
    assert set(waits(kept)["silent members"]["whom"].split(", ")) == {to_hex(n.address) for n in away}  # type: ignore[attr-defined]
    for node in away:
        node.thaw()
    ends_well(world, 900)


def test_an_operator_ends_it_at_once() -> None:
    """What the sentence names: the job is reset, and the program is told."""
    world = swarm(2, syncs=20, config=LIMIT)
    until_round(world, 2)
    lost, kept = world.nodes
    die(lost)
    world.run(lambda: bool(kept.script.told), 100)
    world.chain.send(ADMIN, lambda tx: world.chain.model.reset(tx, JOB, True), None, "reset")
    ends_with_fault(world, kept, 100)
    assert said(world, "was reset before it was complete")


def test_an_sl_without_its_program_is_named_like_a_silent_one() -> None:
    """It was started again, its program was not: it is waited for by name, in the partner's own line as well."""
    world = swarm(2, syncs=20, config=LIMIT)
    until_round(world, 3)
    lost, kept = world.nodes
    lost.crash()
    lost.script.ended, lost.expected_to_finish = True, False
    lost.start()
    world.run(lambda: False, 200)
    assert kept.exit_code is None
    assert waits(kept)["silent members"]["whom"] == to_hex(lost.address)
    assert to_hex(lost.address) in kept.script.told[-1]


def test_a_full_disk_is_told_to_the_program_that_waits() -> None:
    """Its SL cannot keep the merged model: the line says so until it can."""
    world = swarm(2, syncs=8, config=LIMIT)
    until_round(world, 3)
    node = world.nodes[0]
    assert world.run(lambda: bool(node.engine.state.transfers) and node.engine.state.program.pending is not None, 30)
    blob = next(iter(node.engine.state.transfers))
    node.step(ev.BlobFailed(blob, FAILED_HERE, "/state/store: No space left on device"))
    assert "cannot keep a model: /state/store: No space left on device" in node.script.told[-1]
    assert waits(node)["room on this node's disk"]["whom"] == to_hex(node.address)
    ends_well(world, 400)
    assert node.script.told[-1] == ""


def by_name() -> None:
    test_the_partner_of_a_program_that_ended_ends_by_name_after_the_stated_time(3)


def silent() -> None:
    test_a_silent_member_is_waited_for_as_long_as_it_takes(360.0, 0)


@pytest.mark.parametrize(
    ("story", "change"),
    [
        (by_name, (stranded, "wait", "if standing < need <= standing + len(left):", "if False:")),
        (by_name, (stranded, "gone", 'peer.phase == "failed"', "False")),
        (by_name, (stranded, "watch", "and now >= found.until:", "and False:")),
        (by_name, (machine.Engine, "_pulse", "pulse.attempt, pulse.left)", "pulse.attempt)")),
        (silent, (stranded, "wait", "min(silent.values()), None, then)", "min(silent.values()), now + 60, then)")),
        (silent, (stranded, "watch", "if told != program.told_wait:", "if False:")),
        (
            test_one_that_a_reform_dropped_is_silent_and_did_not_leave,
            (stranded, "gone", " and node not in state.dropped", ""),
        ),
        (test_enough_members_are_left, (stranded, "wait", "standing < need <=", "standing <= need <=")),
    ],
)
def test_a_broken_rule_ends_a_story_badly(
    story: Callable[[], None], change: tuple[Any, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stories prove something: with any one of these rules broken, one of them fails."""
    mutate(monkeypatch, *change)
    with pytest.raises((AssertionError, IndexError)):
        story()
