"""call / here / settle: how a round goes on when a majority of its roster, or a last member, cannot be found."""

from __future__ import annotations

from ..chain_view import Phase
from . import controls
from .context import RoundContext
from .state import EngineState, Out

SETTLE_MARGIN_SECONDS = 1.0
STAGGER_SECONDS_MAX = 3.0
"""Each further member of the roster waits so much longer, so that one transaction is sent and not n."""
STAGGER_SHARE = 0.5
"""... but all turns fit into this part of the time in which a call can be settled (rescueAfter; then it lapses)."""


def stuck(state: EngineState, context: RoundContext, now: float) -> str | None:
    """Why this round cannot go on with its roster, or None (design: protocol 6)."""
    roster, active = context.roster, state.view.active if state.view is not None else frozenset()
    others = [n for n in roster.addresses if n in active and state.peers.live(n, now, context.opened_at, None)]
    live = [n for n in roster.addresses if n == state.me or n in others]  # a revoked one no longer counts
    if len(live) < roster.majority:
        return f"{len(live)} of {len(roster)} members of the roster are alive, {roster.majority} are needed"
    stuck_programs = {n for n in live if n != state.me and state.peers.program_gone(n, now)}
    missing = [n for n in roster.addresses if n not in live or n in stuck_programs]
    latest = [context.latest(n) for n in live if n not in stuck_programs]
    if missing and all(s is not None and s.statement.done for s in latest):
        names = ", ".join("0x" + n.hex() for n in missing)
        return f"all live members are done; nothing comes from: {names}"
    return None


def rescue(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Call when stuck for long enough, answer everybody's call, settle one that is due."""
    view, config = state.view, state.config
    assert view is not None
    if not state.joined or view.state.phase is not Phase.OPEN:
        return
    ring = context.roster.addresses
    step = min(STAGGER_SECONDS_MAX, STAGGER_SHARE * config.rescue_after_seconds / max(1, len(ring)))
    turn = step * (ring.index(state.me) if state.me in ring else len(ring))
    call_id = view.state.call_id
    if call_id:  # whoever holds a certificate submits it first (following.resubmit): a commit ends the call
        if context.certificate is None and call_id != state.answered_call and state.gets_on():
            out.transact(state, now, "here", call_id, controls.done(state))
        due = view.state.call_time + config.rescue_after_seconds + SETTLE_MARGIN_SECONDS
        if view.block_time >= due + turn:
            out.transact(state, now, "settle", call_id)
        return
    why = stuck(state, context, now)
    if why is None:
        state.call_wanted_since = None
        return
    if state.call_wanted_since is None:
        state.call_wanted_since = now
        out.warn(f"round {context.name.round} cannot go on: {why}", call_in_seconds=config.call_after_seconds)
    if state.called_at is not None and now - state.called_at < config.rescue_after_seconds:
        return
    if now - state.call_wanted_since >= config.call_after_seconds + turn:
        out.transact(state, now, "call", context.name.round, context.name.epoch)
