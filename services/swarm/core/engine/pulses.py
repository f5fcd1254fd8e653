"""What this node says, to whom, how often: builds pulses and keeps their schedule (design: protocol 5, step 1)."""

from __future__ import annotations

from ..chain_view import Phase
from ..ids import Address
from ..statements import Statement
from .messages import ProposalMessage, Pulse, Signed
from .peers import ABSENT, STALLED
from .state import EngineState, Out


def phase_of(state: EngineState) -> str:
    """One word a user can tell apart; docs/engine.md says what each means."""
    program = state.program
    if program.failed is not None:
        return "failed"
    if program.over or (state.complete_at is not None and program.ended):
        return "done"
    if not state.joined:
        return "registered"
    if not state.open():
        return "joined"
    if program.loading is not None:
        return "loading"
    if state.context is not None and state.context.merging:
        return "merging"
    if program.pending is not None:
        return "waiting" if program.done else "syncing"
    if program.opened is None:
        return ABSENT
    return "training" if state.gets_on() else STALLED


def pulse_for(state: EngineState, to: Address | None) -> Pulse:
    """Everything this node has to say; ``to`` picks the refusals meant for that peer (None: all of them)."""
    view, context = state.view, state.context
    statements: list[Signed[Statement]] = []
    proposal: ProposalMessage | None = None
    if context is not None:
        for own in (context.check_in, context.takeover, context.ack):
            if own is not None:
                statements.append(Signed(own.statement, own.signature))
        for (node, _), (refusal, _, _) in sorted(context.refused.items()):
            if to is None or node == to:
                statements.append(Signed(refusal.statement, refusal.signature))
        leading = context.proposal
        if leading is not None and leading.signed.statement.attempt == context.promised:
            proposal = leading
        elif context.takeover is not None:
            proposal = context.acked
    return Pulse(
        job=state.config.job,
        run=view.state.run if view else 0,
        node=state.me,
        round=view.state.round if view else 0,
        epoch=view.state.epoch if view else 0,
        attempt=context.promised if context else 0,
        phase=phase_of(state),
        progress=state.progress,
        statements=tuple(statements),
        proposal=proposal,
        certificate=context.certificate if context else None,
        left=state.program.left if state.program.failed is not None else None,
    )


def send_due(state: EngineState, now: float, out: Out) -> None:
    """Repeat to the leader and the next in the ring every 2 s, to everybody else every 10 s."""
    view, context = state.view, state.context
    if view is None or view.state.phase is Phase.IDLE:
        return
    over = view.state.phase is Phase.COMPLETE
    if not state.joined and not (over and state.me in view.joiners):  # one that was dropped needs the final model yet
        return
    due = [node for node in state.participants() if now >= state.peers[node].next_pulse_at]
    if not due:
        return
    often: set[Address] = set()
    if context is not None:
        for attempt in (context.promised, context.promised + 1):
            node = context.leader(attempt)
            if node is not None:
                often.add(node)
        if context.proposal is not None or context.certificate is not None:
            often.update(context.roster.addresses)
    if over:
        often.update(state.participants())
    for node in due:
        slow = state.config.pulse_others_seconds
        state.peers[node].next_pulse_at = now + (state.config.pulse_seconds if node in often else slow)
    for node in due:
        out.send([node], pulse_for(state, node))


def hurry(state: EngineState, now: float) -> None:
    """A new round or attempt has new leaders: do not wait out the slow schedule to greet them."""
    for node in state.participants():
        peer = state.peers[node]
        peer.next_pulse_at = min(peer.next_pulse_at, now + state.config.pulse_seconds)
