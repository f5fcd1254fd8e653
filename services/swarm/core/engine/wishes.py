"""What this site asked for against what holds in the run: minPeers of its program, and its strictness.

A run's minPeers is fixed by its founders. A strict node trains with everybody or not at all.
"""

from __future__ import annotations

from ..bundle import Bundle
from ..ids import Address, to_hex
from .events import ChainView
from .failing import fail_program
from .state import EngineState, Out


def above_run(state: EngineState) -> str | None:
    """Why this node's program cannot join the run that is under way, or None."""
    view, opened = state.view, state.program.opened
    if view is None or opened is None or not view.state.started or opened.min_peers <= view.state.min_peers:
        return None
    holds = view.state.min_peers
    return (
        f"this program asks for min_peers={opened.min_peers}, but run {view.state.run} was begun with {holds} and goes "
        f"on with {holds}: set min_peers to {holds} or less at this site, or have the job reset (swarm reset) and "
        f"begin again with {opened.min_peers}"
    )


def tell_min_peers(state: EngineState, out: Out) -> None:
    """Say once a session what holds, if it is not what this program asked for."""
    view, program = state.view, state.program
    if view is None or program.opened is None or program.told_min_peers or not state.joined or not view.state.started:
        return
    program.told_min_peers = True
    asked, holds = program.opened.min_peers, view.state.min_peers
    if asked < holds:
        out.report(f"this program asked for min_peers={asked}; {holds} holds in this run, a founder asked for it")
    elif asked > holds:
        out.warn(f"this program asks for min_peers={asked} now; {holds} holds, which this run was begun with")


def left_out(bundle: Bundle) -> list[Address]:
    """Members of the round's roster that neither contributed a weight nor were done."""
    counted = {i.check_in.node for i in bundle.items if i.check_in.weight or i.check_in.done}
    return [n for n in bundle.roster.addresses if n not in counted]


def insist(state: EngineState, bundle: Bundle, now: float, out: Out) -> None:
    """A strict node's program does not go on from a round that was merged without a member."""
    if _strict(state) and state.me in bundle.roster and (missing := left_out(bundle)):
        _give_up(state, f"round {bundle.name.round} was merged without", missing, now, out)


def insist_on_roster(state: EngineState, old: ChainView, now: float, out: Out) -> None:
    """A strict node's program does not go on after a reform that dropped a member."""
    view = state.view
    if view is None or not _strict(state) or view.state.epoch <= old.state.epoch or state.me not in old.roster:
        return
    missing = [n for n in old.roster.addresses if n not in view.roster]
    if missing:
        _give_up(state, f"the roster of round {view.state.round} was formed anew without", missing, now, out)


def _strict(state: EngineState) -> bool:
    program = state.program
    strict = state.config.strict or state.options.strict
    return strict and program.opened is not None and not program.ended and program.failed is None


def _give_up(state: EngineState, what: str, missing: list[Address], now: float, out: Out) -> None:
    names = ", ".join(to_hex(n) + (" (this node)" if n == state.me else "") for n in missing)
    who = "this node is strict (--strict, SL_STRICT)" if state.config.strict else "this job is strict"
    text = f"{who} and {what} {names}; it does not train with a part of the swarm"
    out.warn(text)
    fail_program(state, text, now, out)
