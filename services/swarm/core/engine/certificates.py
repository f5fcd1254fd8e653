"""Certificates from the acks that are waited for to the chain: heard, checked, journaled, submitted by any holder."""

from __future__ import annotations

from ..bundle import Bundle
from ..errors import PeerFault
from . import names
from .context import RoundContext
from .messages import ProposalMessage
from .state import EngineState, Out

RESUBMIT_SECONDS = 3.0
"""A certificate that is not on chain after this time (times one's place in the ring) is submitted by others."""

PULLING_PHASES = ("syncing", "waiting")
"""Phases of members that have nothing to get on with but the proposal."""


def get_on_with(state: EngineState, context: RoundContext, own: ProposalMessage) -> None:
    """A leader gets on while those whose acks it waits for do: over a slow line its model takes them long to pull."""
    acks = context.acks.get((own.signed.statement.attempt, own.signed.statement.result), {})
    missing = [state.peers[n] for n in context.roster.addresses if n not in acks and n != state.me]
    latest = max((p.progress_at or 0.0 for p in missing if p.phase in PULLING_PHASES), default=0.0)
    if latest > context.acknowledgers_moved_at:
        context.acknowledgers_moved_at = latest
        state.progress += 1


def hear_certificate(state: EngineState, context: RoundContext, bundle: Bundle, now: float, out: Out) -> None:
    if context.certificate is not None or bundle.name != context.name or state.view is None:
        return
    try:
        bundle.verify(state.config.domain, state.verifier, state.view.state.min_peers)
        unlike = names.fault(state, bundle)
        if unlike is not None:
            raise PeerFault(unlike)
    except PeerFault as fault:
        out.warn(f"ignored a certificate that does not hold: {fault}")
        return
    context.certificate, context.certificate_at = bundle, now
    state.progress += 1
    out.persist(state)


def resubmit(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Whoever holds a certificate that the chain has not recorded submits it, one after the other."""
    if context.certificate is None or context.submitting:
        return
    ring = context.roster.addresses
    place = 1 + (ring.index(state.me) if state.me in ring else len(ring))
    last = context.submitted_at
    wait = RESUBMIT_SECONDS * (place if last is None else len(ring) + 1)
    if now - (context.certificate_at if last is None else last) >= wait:
        out.submit(state, context, now)
