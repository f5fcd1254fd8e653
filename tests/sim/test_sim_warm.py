"""Warm starts in whole swarms: a run begins from an earlier run's final model, at every node, or with nobody."""

from __future__ import annotations

from dataclasses import replace

from support.sim.node import Plan
from support.sim.script import MANIFEST, MODEL_BYTES
from support.sim.story import RUN, ends_well, said
from support.sim.world import World, base_config
from swarm.core.control.joboptions import canonical
from swarm.core.engine.context import Held
from swarm.core.engine.events import Origin
from swarm.core.ids import BlobId, Digest, sha256


def warm(holders: tuple[int, ...], plans: list[Plan], *, fault: str = "", manifest: Digest = MANIFEST) -> World:
    """A swarm whose run begins from run 7's final model, which only these nodes have on disk."""
    world = World(41, plans, config=base_config())
    final = world.new_blob("final of run 7", Held(MODEL_BYTES, manifest))
    world.chain.options = canonical({"warmStart": {"run": 7}})
    world.chain.origin = Origin(7, final, MODEL_BYTES, fault)
    world.chain.view = replace(world.chain.view, options=world.chain.options, origin=world.chain.origin)
    for index in holders:
        world.nodes[index].disk.add(final)
    world.start()
    return world


def final_of(world: World) -> BlobId:
    assert world.chain.origin is not None
    return world.chain.origin.blob


def fails_everywhere(world: World, why: str) -> None:
    assert world.run(lambda: all(n.exit_code is not None for n in world.nodes), 300), world.tail()
    assert {n.exit_code for n in world.nodes} == {1}
    assert said(world, why)


def test_round_0_commits_the_earlier_runs_final_model_and_all_load_it() -> None:
    """One member holds it, the others pull it; everybody's first load is that very model, and training goes on."""
    world = warm((1,), [Plan(4, min_peers=3, weight=w) for w in (1, 5, 9)])
    loads: dict[str, list[BlobId]] = {n.name: [] for n in world.nodes}
    for node in world.nodes:
        wish = node.script.wish

        def note(action: object, name: str = node.name, wish: object = wish) -> None:
            if hasattr(action, "blob"):
                loads[name].append(action.blob)
            wish(action)  # type: ignore[operator]

        node.script.wish = note  # type: ignore[method-assign]
    ends_well(world)
    first = world.chain.bundles[(RUN, 0)]
    assert first.result.merged == final_of(world)
    assert {i.check_in.blob for i in first.items} == {final_of(world)}
    assert {found[0] for found in loads.values()} == {final_of(world)}
    assert world.chain.view.state.prev != final_of(world)


def test_a_late_joiner_gets_the_newest_model_as_ever() -> None:
    """What the run began from is nothing to it."""
    world = warm((0, 1), [Plan(12, min_peers=2)] * 2 + [Plan(6, min_peers=2, start_after=4)])
    ends_well(world)
    assert final_of(world) not in world.nodes[2].disk


def test_a_restart_in_round_0_names_the_same_model_again() -> None:
    """The check-in is journaled, the model is kept."""
    world = warm((0,), [Plan(4, min_peers=3)] * 3)
    node = world.nodes[1]
    assert world.run(lambda: final_of(world) in node.disk, 60)
    node.crash()
    node.start()
    ends_well(world)
    assert world.chain.bundles[(RUN, 0)].result.merged == final_of(world)


def test_a_model_that_no_member_holds_ends_the_programs_by_name() -> None:
    """Nobody trains from something else than was asked for."""
    world = warm((), [Plan(4, min_peers=3)] * 3)
    fails_everywhere(world, "warm start: the final model of run 7")
    assert said(world, "is held by no member of this run")


def test_programs_of_another_model_are_told_by_name() -> None:
    """Other tensors than the earlier run's: they cannot begin from it."""
    world = warm((0, 1, 2), [Plan(4, min_peers=3)] * 3, manifest=sha256(b"another model"))
    fails_everywhere(world, "has other tensors")


def test_a_run_that_has_no_final_model_lets_nobody_join() -> None:
    """What the chain says of the named run is what the program hears."""
    world = warm((), [Plan(4, min_peers=3)] * 3, fault="run 7 of this job has no final model: there is no such run")
    fails_everywhere(world, "warm start: run 7 of this job has no final model")
    assert world.counts["tx join"] == 0


def test_a_member_that_contributes_another_model_to_round_0_does_not_count() -> None:
    """Its check-in is not heard, so the others' round 0 is the model all agreed on."""
    world = warm((0, 1, 2), [Plan(4, min_peers=2)] * 3)
    odd = world.nodes[2]
    assert world.run(lambda: odd.engine.state.options.warm_start is not None, 30)
    odd.engine.state.options = replace(odd.engine.state.options, warm_start=None)
    ends_well(world, 600)
    assert world.chain.bundles[(RUN, 0)].result.merged == final_of(world)
    assert odd.address not in {i.check_in.node for i in world.chain.bundles[(RUN, 0)].items}
    assert said(world, "it is not the model that the run begins from")
