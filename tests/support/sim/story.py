"""The vocabulary of stories about simulated swarms: begin one, wait for a moment, strike, and see it end well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarm.core.engine import actions as act
from swarm.core.engine.context import RoundContext
from swarm.core.ids import BlobId

from .node import Plan, SimNode
from .world import World, base_config

RUN = 1


def swarm(
    count: int = 4,
    *,
    syncs: int = 6,
    min_peers: int | None = None,
    world: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    unwilling: Sequence[int] = (),
    strict: Sequence[int] = (),
    plans: Mapping[int, Plan] | None = None,
    **fields: Any,
) -> World:
    """A started swarm of equal nodes; ``world`` and ``config`` change those of its fields, the rest its plans.

    ``plans``: of single nodes; ``unwilling``: nodes with SL_MAKE_ME_ADMIN=False; ``strict``: with SL_STRICT.
    """
    plan = Plan(syncs=syncs, min_peers=min_peers or count, **fields)
    settings = replace(base_config(), **(config or {}))
    made = World(11, [(plans or {}).get(i, plan) for i in range(count)], config=settings, **(world or {}))
    for index, node in enumerate(made.nodes):
        node.config = replace(node.config, eligible=index not in unwilling, strict=index in strict)
    made.start()
    return made


def until_round(world: World, number: int) -> SimNode:
    """Wait until everybody has opened this round; its leader."""
    everybody = [n for n in world.nodes if n.up]
    assert world.run(lambda: all(running(n) and context(n).name.round == number for n in everybody), 120), world.tail()
    leader = context(everybody[0]).leader()
    assert leader is not None
    return world.node(leader)


def running(node: SimNode) -> bool:
    return node.engine.state.context is not None


def context(node: SimNode) -> RoundContext:
    found = node.engine.state.context
    assert found is not None
    return found


def ends_well(world: World, seconds: float = 300.0) -> None:
    """Everybody alive ends with the final model, and nothing was broken on the way."""
    assert world.run(world.finished, seconds), world.tail()
    world.checks.at_end()
    assert not world.checks.violations, "\n".join([*world.checks.violations, world.tail()])


def die(node: SimNode) -> None:
    node.crash()
    node.dead, node.expected_to_finish = True, False


def attempts(world: World) -> list[int]:
    return [world.chain.bundles[(RUN, r)].attempt for r in range(world.checks.rounds)]


def said(world: World, text: str) -> list[str]:
    """Lines of the log with this text."""
    return [line for line in world.lines if text in line]


def crash_before(node: SimNode, wanted: Callable[[act.Action], bool]) -> Callable[[], bool]:
    """Kill the node when it is about to carry out the first action that is wanted; tells whether that happened."""
    struck = False
    do, persist = node._do, node._persist

    def strikes(action: act.Action) -> bool:
        nonlocal struck
        if struck or not wanted(action):
            return False
        struck = True
        node.tear = 0  # nothing of this step follows
        node.world.torn(node)
        return True

    def torn_do(action: act.Action) -> None:
        if not strikes(action):
            do(action)

    def torn_persist(entries: Mapping[str, Any], *rest: Any) -> bool:
        return False if strikes(act.Persist(entries)) else persist(entries, *rest)

    node._do, node._persist = torn_do, torn_persist  # type: ignore[method-assign]
    return lambda: struck


def lose(world: World, blob: BlobId) -> None:
    """The bytes of a model are gone from every disk."""
    for node in world.nodes:
        node.disk.discard(blob)
        if node.up:
            node.engine.state.held.pop(blob, None)
