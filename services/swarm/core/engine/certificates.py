"""Certificates from their arrival to the chain: checked, journaled, and submitted by whoever holds one."""

from __future__ import annotations

from ..bundle import Bundle
from ..errors import PeerFault
from .context import RoundContext
from .state import EngineState, Out

RESUBMIT_SECONDS = 3.0
"""A certificate that is not on chain after this time (times one's place in the ring) is submitted by others."""


def hear_certificate(state: EngineState, context: RoundContext, bundle: Bundle, now: float, out: Out) -> None:
    if context.certificate is not None or bundle.name != context.name or state.view is None:
        return
    try:
        bundle.verify(state.config.domain, state.verifier, state.view.state.min_peers)
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
