"""The engine broken on purpose, one rule at a time: the checkers must catch each, or they prove nothing."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from support.sim.seeds import simulate
from swarm.core.engine import context, following, leading, loading, machine

SEEDS_MAX = 40


@dataclass(frozen=True)
class Mutation:
    """Replaces text in functions: (module or class, function, old, new). ``rules``: who must notice."""

    name: str
    rules: tuple[str, ...]
    changes: tuple[tuple[Any, str, str, str], ...]
    nervous: bool | None = None


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
            (following, "fresh_fault", "if len(items) < view.state.min_peers:", "if False:"),
        ),
        nervous=True,
    ),
]


def mutate(patch: pytest.MonkeyPatch, owner: Any, name: str, old: str, new: str) -> None:
    """Compile a function anew with ``old`` replaced by ``new``, and put it in its place."""
    function = getattr(owner, name)
    source = getattr(function, "mutated", None) or textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{name} has {source.count(old)} times: {old}"
    changed = source.replace(old, new)
    module = owner if isinstance(owner, ModuleType) else inspect.getmodule(owner)
    assert module is not None
    scope = dict(vars(module))
    code = compile(changed, f"<{name}, mutated>", "exec", flags=0x1000000)
    exec(code, scope)
    made = scope[name]
    made = type(made)(made.__code__, vars(module), name, made.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.mutated = changed
    patch.setattr(owner, name, made)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_broken_rule_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed shows the broken rule, under the name it should have."""
    for change in mutation.changes:
        mutate(monkeypatch, *change)
    found: list[str] = []
    for seed in range(SEEDS_MAX):
        found = simulate(seed, stop_at_violation=True, nervous=mutation.nervous).violations
        if found:
            break
    assert any(line.split(":")[0] in mutation.rules for line in found), found or f"{SEEDS_MAX} seeds saw nothing"
