"""call / here / settle: how a round goes on when a majority of its roster, or a last member, cannot be found."""

from __future__ import annotations

from ..chain_view import Phase
from .context import RoundContext
from .leading import gather
from .state import EngineState, Out

SETTLE_MARGIN_SECONDS = 1.0


def stuck(state: EngineState, context: RoundContext, now: float) -> str | None:
    """Why this round cannot go on with its roster, or None (design: protocol 6)."""
    roster = context.roster
    live = [n for n in roster.addresses if n == state.me or state.peers.live(n, now, context.opened_at, None)]
    if len(live) < roster.majority:
        return f"{len(live)} of {len(roster)} members of the roster are alive, {roster.majority} are needed"
    found = gather(state, context, now, None)
    done = {s.statement.node for s in found.usable if s.statement.done}
    missing = [n for n in roster.addresses if n not in live]
    if missing and live and all(n in done for n in live):
        names = ", ".join("0x" + n.hex() for n in missing)
        return f"all live members are done; not heard from: {names}"
    return None


def rescue(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Call when stuck for long enough, answer everybody's call, settle one that is due."""
    view = state.view
    assert view is not None
    if not state.joined or view.state.phase is not Phase.OPEN:
        return
    call_id = view.state.call_id
    if call_id:  # whoever holds a certificate submits it first (following.resubmit): a commit ends the call
        if context.certificate is None and call_id != state.answered_call and state.program.failed is None:
            out.transact(state, now, "here", call_id, state.program.done)
        due = view.state.call_time + state.config.rescue_after_seconds + SETTLE_MARGIN_SECONDS
        if view.block_time >= due:
            out.transact(state, now, "settle", call_id)
        return
    why = stuck(state, context, now)
    if why is None:
        state.call_wanted_since = None
        return
    if state.call_wanted_since is None:
        state.call_wanted_since = now
        out.warn(f"round {context.name.round} cannot go on: {why}", call_in_seconds=state.config.call_after_seconds)
    if now - state.call_wanted_since >= state.config.call_after_seconds:
        out.transact(state, now, "call", context.name.round, context.name.epoch)
