"""The engine broken on purpose, one rule at a time: the checkers must catch each, or they prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.model import training
from support.sim.checks import Checks
from support.sim.liar import Lie
from support.sim.mutate import mutate
from support.sim.node import Plan, SimNode
from support.sim.seeds import simulate
from support.sim.world import World, base_config
from swarm.core.control.joboptions import canonical
from swarm.core.engine import (
    context,
    controls,
    following,
    judging,
    lateness,
    leading,
    loading,
    machine,
    outers,
    report,
    state,
)

SEEDS_MAX = 40

Scenario = Callable[[], World]


def revoked_after_its_check_in() -> World:
    """A follower is revoked when it has checked in and the round waits for a slower one."""
    world = World(3, [Plan(syncs=6, min_peers=2, train_seconds=t) for t in (0.5, 0.5, 0.5, 4.0)])
    world.start()

    def two_are_in() -> bool:
        context = world.nodes[0].engine.state.context if world.nodes[0].up else None
        return context is not None and context.name.round >= 2 and len(checked_in(world)) >= 2

    assert world.run(two_are_in, 60)
    leader = world.nodes[0].engine.state.context.leader()  # type: ignore[union-attr]
    victim = next(n for n in checked_in(world) if n.address != leader)
    world.chain.revoke(victim.address)
    victim.expected_to_finish = False
    world.run(world.finished, 200)
    return world


def checked_in(world: World) -> list[SimNode]:
    contexts = [(n, n.engine.state.context) for n in world.nodes]
    return [n for n, c in contexts if c is not None and c.check_in is not None]


def two_are_done_early() -> World:
    """Two programs have ended; of the others one trains for 25 s and one for 45 s between syncs."""
    times = (0.2, 0.2, 25.0, 45.0)
    plans = [Plan(syncs=2 if t < 1 else 5, min_peers=2, train_seconds=t) for t in times]
    world = World(4, plans)
    world.start()
    world.run(world.finished, 600)
    return world


def all_others_are_done() -> World:
    """The only one that still trains is cut off for a while: not live, but on the roster."""
    world = World(5, [Plan(syncs=n, min_peers=2, train_seconds=0.5) for n in (3, 3, 12)])
    world.start()
    away = world.nodes[2]
    assert world.run(lambda: world.checks.rounds == 6, 60)
    world.net.cut({away.address}, cut=True)
    world.at(60, lambda: world.net.cut({away.address}, cut=False))
    world.run(world.finished, 600)
    return world


def one_misses_rounds() -> World:
    """One program trains six times as long as the others, in a job that counts late models for less."""
    plans = [Plan(syncs=n, min_peers=2, train_seconds=t) for n, t in ((8, 3.0), (8, 3.0), (2, 18.0))]
    world = World(6, plans, config=replace(base_config(), full_quorum_seconds=1.0))
    world.chain.options = canonical({"staleness": {"alpha": 1}})
    world.chain.view = replace(world.chain.view, options=world.chain.options)
    world.start()
    world.run(world.finished, 300)
    return world


@dataclass(frozen=True)
class Mutation:
    """Replaces text in functions: (module or class, function, old, new). ``rules``: who must notice.

    Random seeds show it, with swarms of ``nervous`` nodes and liars that tell ``lies``; or a ``scenario``.
    """

    name: str
    rules: tuple[str, ...]
    changes: tuple[tuple[Any, str, str, str], ...]
    nervous: bool | None = None
    lies: tuple[Lie, ...] = ()
    scenario: Scenario | None = None


MUTATIONS = [
    Mutation(
        "the check-in is not journaled",
        ("journal",),
        ((following, "_sign_check_in", "out.persist(state)", "pass"),),
    ),
    Mutation(
        "the check-in is journaled only after it was sent",
        ("journal",),
        (
            (following, "_sign_check_in", "    out.persist(state)\n", ""),
            (
                following,
                "_sign_check_in",
                "pulse_for(state, leader))\n",
                "pulse_for(state, leader))\n    out.persist(state)\n",
            ),
        ),
    ),
    Mutation("a takeover is not journaled", ("journal",), ((following, "adopt", "out.persist(state)", "pass"),)),
    Mutation("an ack is not journaled", ("journal",), ((following, "acknowledge", "out.persist(state)", "pass"),)),
    Mutation(
        "a second result of one attempt is acknowledged",
        ("equivocation",),
        (
            (
                following,
                "acknowledge",
                "context.ack.statement.attempt >= statement",
                "context.ack.statement.attempt > statement",
            ),
        ),
        lies=(Lie.RESULTS,),
    ),
    Mutation("a proposal is not journaled", ("journal",), ((leading, "propose", "out.persist(state)", "pass"),)),
    Mutation(
        "an old attempt's proposal is acknowledged, below one's promise",
        ("promise",),
        (
            (following, "_hear_proposal", "if statement.attempt < context.promised:", "if False:"),
            (following, "acknowledge", "if statement.attempt != context.promised:", "if False:"),
        ),
        nervous=True,
    ),
    Mutation(
        "a restarted node forgets what it signed",
        ("equivocation", "promise", "takeover"),
        ((machine.Engine, "_open_round", "if journaled is not None:", "if False:"),),
    ),
    Mutation(
        "each takeover counts twice",
        ("takeover", "V1"),
        ((context.RoundContext, "entitled", "len(have) >=", "2 * len(have) >="),),
        nervous=True,
    ),
    Mutation(
        "an acknowledged result is not proposed again",
        ("takeover",),
        ((leading, "lead", "if result is not None:", "if False:"),),
        nervous=True,
    ),
    Mutation(
        "a result acknowledged at a lower attempt is preferred",
        ("takeover",),
        ((leading, "acknowledged", "max(acked", "min(acked"),),
        nervous=True,
    ),
    Mutation(
        "a takeover does not tell what was acknowledged",
        ("takeover",),
        ((following, "adopt", "acked = context.ack.statement if context.ack else None", "acked = None"),),
    ),
    Mutation(
        "a model is loaded before its bytes are here and verified",
        ("V2",),
        ((loading, "load", "if _verified(state) is None or view.state.prev not in state.held:", "if False:"),),
    ),
    Mutation(
        "a model is loaded at the certificate, before the commit",
        ("V2",),
        (
            (
                loading,
                "load",
                "last = last_round(state)",
                "last = last_round(state) + (state.context is not None and state.context.certificate is not None)",
            ),
        ),
    ),
    Mutation(
        "a round closes with fewer than minPeers",
        ("certificate",),
        (
            (leading, "_merge_when_closed", "if not enough:", "if False:"),
            (judging, "result_fault", "if len(items) < view.state.min_peers:", "if False:"),
        ),
        nervous=True,
    ),
    Mutation(
        "a takeover of another prev is counted",
        ("takeover",),
        (
            (following, "hear", "if statement.name != context.name:", "if statement.name.round != context.name.round:"),
            (judging, "entitling", "said.name != context.name or ", ""),
        ),
        nervous=True,
        lies=(Lie.PREV,),
    ),
    Mutation(
        "acks are counted over contributors instead of the roster",
        ("ack", "certificate", "V4"),
        (
            (leading, "certify", "set(context.roster.addresses)", "{i.check_in.node for i in message.items}"),
            (following, "_hear_ack", "signed.statement.node not in context.roster or ", ""),
            (following, "acknowledge", " or state.me not in context.roster", ""),
        ),
    ),
    Mutation(
        "the end of the run is proposed while a member of the roster still trains",
        ("V4",),
        (
            (
                leading,
                "_merge_when_closed",
                "if not training and not nodes.issuperset(context.roster.addresses):",
                "if False:",
            ),
            (judging, "fresh_fault", "if all(i.done for i in items) and", "if False and"),
        ),
        scenario=all_others_are_done,
    ),
    Mutation(
        "the run ends with one node still training",
        ("V4",),
        (
            (
                leading,
                "_merge_when_closed",
                "if not training and not nodes.issuperset(context.roster.addresses):",
                "if False:",
            ),
            (judging, "fresh_fault", "if all(i.done for i in items) and", "if False and"),
            (training.TrainingModel, "_commit", " and contributors.issuperset(run.roster.addresses)", ""),
            (Checks, "_entitled", "if fresh and done and", "if False and"),
        ),
        scenario=all_others_are_done,
    ),
    Mutation(
        "a revoked member's check-in is merged",
        ("V5",),
        ((state.EngineState, "contributors_allowed", "if n in view.active", ""),),
        scenario=revoked_after_its_check_in,
    ),
    Mutation(
        "a revoked member reads models",
        ("V5",),
        ((report, "may_read", "not known or node not in view.active", "not known"),),
        scenario=revoked_after_its_check_in,
    ),
    Mutation(
        "done nodes start the grace",
        ("grace",),
        (
            (
                leading,
                "_merge_when_closed",
                "if context.quorum_at is None and training:",
                "if context.quorum_at is None:",
            ),
        ),
        scenario=two_are_done_early,
    ),
    Mutation(
        "there is no grace",
        ("grace",),
        ((leading, "_merge_when_closed", "< state.config.full_quorum_seconds", "< 1.0"),),
        scenario=two_are_done_early,
    ),
    Mutation(
        "a restarted node signs a second, different check-in",
        ("equivocation",),
        ((context.RoundContext, "restore", "self.check_in = signed", "pass"),),
    ),
    Mutation(
        "two merges of the same inputs differ",
        ("V3",),
        ((SimNode, "_merge", "world.merged(action.method, blobs,", "world.merged(self.name, blobs,"),),
    ),
    Mutation(
        "a merge leaves the velocity out that its record claims",
        ("V3",),
        ((outers, "gathered", "return True, blob", "return True, None"),),
    ),
    Mutation(
        "a program of a Nesterov run trains from the committed model itself",
        ("V2",),
        ((outers, "start_of", 'outer.kind != "nesterov"', 'outer.kind != "none"'),),
    ),
    Mutation(
        "a late site says that it is on time",
        ("staleness",),
        ((lateness, "behind", "context.name.round - 1 - state.program.base", "0"),),
        scenario=one_misses_rounds,
    ),
    Mutation(
        "a finished site says of its last model that it is new",
        ("staleness",),
        ((lateness, "note_base", "goes_on else program.loaded", "goes_on else 10**6"),),
        scenario=two_are_done_early,
    ),
    Mutation(
        "nobody takes the discount off a late model",
        ("staleness",),
        ((controls, "counted", "[i.behind for i in said]", "[0 for i in said]"),),
        scenario=one_misses_rounds,
    ),
]


def violations(mutation: Mutation) -> list[str]:
    """Of the scenario, or of the first seed that shows any."""
    if mutation.scenario is not None:
        return mutation.scenario().checks.violations
    for seed in range(SEEDS_MAX):
        found = simulate(seed, stop_at_violation=True, nervous=mutation.nervous, lies=mutation.lies).violations
        if found:
            return found
    return []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_broken_rule_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed, or the scenario, shows the broken rule, under the name it should have."""
    for change in mutation.changes:
        mutate(monkeypatch, *change)
    found = violations(mutation)
    assert any(line.split(":")[0] in mutation.rules for line in found), found or "nobody saw anything"


@pytest.mark.parametrize(
    "scenario",
    [revoked_after_its_check_in, two_are_done_early, all_others_are_done, one_misses_rounds],
    ids=lambda s: s.__name__,
)
def test_unbroken_scenarios_break_nothing(scenario: Scenario) -> None:
    """What the scenarios show is the mutation's doing."""
    world = scenario()
    world.checks.at_end()
    assert not world.checks.violations, world.tail()
