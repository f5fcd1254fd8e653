"""The follower's half of a round: check in, check proposals and acknowledge them, replace a silent leader."""

from __future__ import annotations

from ..checkinflags import FLAG_DONE, FLAG_OBSERVER, FLAG_OWN_FIGURE, behind_flags
from ..ids import ZERO32, Address, BlobId
from ..statements import Ack, CheckIn, Refusal, Takeover, inputs_hash, to_fixed
from . import controls, judging, lateness, oddities, origins, showing
from .certificates import hear_certificate
from .context import RoundContext
from .credit import may_move, said
from .events import ProgramSync
from .failing import fail_program
from .leading import (
    REASONS,
    REFUSED_MANIFEST,
    REFUSED_NOT_FINITE,
    REFUSED_UNREACHABLE,
    acknowledged,
    pulled_inputs,
    size_max,
)
from .messages import ProposalMessage, Pulse, Signed
from .pulses import hurry, pulse_for
from .state import EngineState, Out

ATTEMPT_MAX = 2**32 - 1
"""What the statements can carry."""


def check_in(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Sign this node's check-in for the open round once its program has something to say."""
    program = state.program
    if context.own_refusal is not None:
        refusal, context.own_refusal = context.own_refusal, None
        _hear_refusal(state, context, refusal, now, out)
    if context.check_in is not None or state.me not in state.contributors_allowed():
        return
    pending = program.pending
    if program.failed is not None:
        _sign_check_in(state, context, BlobId(ZERO32), 0, 0, FLAG_OBSERVER, now, out)
        return
    if pending is None or program.loading is not None or program.waits_for < context.name.round:
        return
    if not controls.ready(state):
        return
    begins = origins.ready(state, pending, now, out) if _warm(state, context) else None
    if begins is None and _warm(state, context):
        return
    enough = controls.stopped(state)
    if enough is not None and not program.done:
        out.report(f"the job's stop rule holds: {enough}", round=context.name.round)
    flags = FLAG_DONE if program.done or enough is not None else 0
    mode = program.opened.checkin_mode if program.opened else "snapshot"
    view = state.view
    assert view is not None
    if program.done and context.name.round > 0 and mode == "active" and view.state.prev in state.held:
        _sign_check_in(state, context, view.state.prev, view.state.prev_size, pending.weight, flags, now, out)
        return
    allowed = oddities.allowed(state, context, pending.odd)
    if allowed is None:
        return
    if not allowed and _first_model(state):
        fail_program(state, _not_finite(pending), now, out)
        return
    if pending.weight == 0 or not allowed or (program.done and mode == "inactive"):
        if not allowed:
            out.warn(f"this program's model holds NaN or infinite values ({pending.where}): it only watches this round")
        flags |= FLAG_OBSERVER
    weight = 0 if flags & FLAG_OBSERVER else pending.weight
    blob, size = (pending.blob, pending.size) if begins is None else (begins.blob, begins.size)
    _sign_check_in(state, context, blob, size, weight, flags, now, out)


def _first_model(state: EngineState) -> bool:
    """Whether the program's first sync waits, of a program that does not go on with a session that was cut off."""
    program = state.program
    return program.synced == 1 and program.opened is not None and program.opened.after is None


def _not_finite(pending: ProgramSync) -> str:
    return (
        f"this program's first model is not finite, and not in the same way at the other sites: {pending.where}."
        " Look at how that tensor is made at this site"
    )


def _warm(state: EngineState, context: RoundContext) -> bool:
    return context.name.round == 0 and state.options.warm_start is not None


def _sign_check_in(
    state: EngineState,
    context: RoundContext,
    blob: BlobId,
    size: int,
    weight: int,
    flags: int,
    now: float,
    out: Out,
) -> None:
    program = state.program
    version = context.check_in.statement.version + 1 if context.check_in else 1
    signed = state.sign(
        CheckIn(
            name=context.name,
            node=state.me,
            version=version,
            blob=blob,
            size=size,
            weight=weight,
            loss=to_fixed(program.loss),
            metric=to_fixed(program.metric),
            epochs_done=program.epochs_done,
            epochs_total=program.epochs_total,
            flags=flags
            | (FLAG_OWN_FIGURE if program.own_figure else 0)
            | behind_flags(lateness.behind(state, context, blob)),
        )
    )
    if context.check_in is None:
        context.checked_in_at = now
    context.check_in = signed
    context.file_check_in(signed)
    state.progress += 1
    out.persist(state)
    leader = context.leader()
    if leader is not None and leader != state.me:
        out.send([leader], pulse_for(state, leader))


def hear(state: EngineState, context: RoundContext, pulse: Pulse, now: float, out: Out) -> None:
    """File whatever is new in a peer's pulse about the open round. A member no longer active is not heard."""
    if state.view is None or pulse.node not in state.view.active:
        return
    for signed in said(pulse, state.me):
        statement = signed.statement
        if statement.name != context.name:
            continue
        if isinstance(statement, CheckIn):
            _hear_check_in(state, context, Signed(statement, signed.signature), out)
        elif isinstance(statement, Takeover):
            _hear_takeover(state, context, Signed(statement, signed.signature), now, out)
        elif isinstance(statement, Ack):
            _hear_ack(state, context, Signed(statement, signed.signature))
        elif isinstance(statement, Refusal):
            _hear_refusal(state, context, Signed(statement, signed.signature), now, out)
    theirs = (pulse.round, pulse.epoch)
    if theirs == (context.name.round, context.name.epoch) and pulse.node not in context.roster:
        _hear_joiner(state, context, pulse, now, out)
    if pulse.proposal is not None:
        _hear_proposal(state, context, pulse.proposal, now, out)
    if pulse.certificate is not None:
        hear_certificate(state, context, pulse.certificate, now, out)


def _hear_check_in(state: EngineState, context: RoundContext, signed: Signed[CheckIn], out: Out) -> None:
    statement = signed.statement
    known = context.check_ins.get(statement.node, {}).get(statement.version)
    if known == signed or statement.version > 2 or statement.node == state.me:
        return
    if statement.node not in state.contributors_allowed() or not judging.sound(statement):
        return
    if not signed.valid(state.config.domain, state.verifier):
        out.warn(f"a check-in is not signed by 0x{statement.node.hex()}, whom it names: ignored")
        return
    fault = origins.check_in_fault(state, statement)
    if fault is not None:
        out.warn(f"the check-in of 0x{statement.node.hex()} for round 0 does not count: {fault}")
        return
    if context.file_check_in(signed):
        state.progress += 1
    elif statement.node in context.equivocators:
        out.warn(
            f"0x{statement.node.hex()} signed two different check-ins for round {context.name.round}, "
            f"version {statement.version}: it is faulty; the first counts here"
        )


def _hear_takeover(state: EngineState, context: RoundContext, signed: Signed[Takeover], now: float, out: Out) -> None:
    statement = signed.statement
    if statement.node not in context.roster or statement.node == state.me:
        return
    if context.takeovers.get(statement.attempt, {}).get(statement.node) == signed:
        return
    if statement.attempt < 1 or not signed.valid(state.config.domain, state.verifier):
        return
    step = statement.attempt
    if statement.attempt > context.promised:
        step = may_move(context, statement.node, statement.attempt, now)
    if step == statement.attempt:  # else it says so again; filed, it would push out those that count
        context.file_takeover(signed)
        state.progress += 1
    if step > context.promised:
        adopt(state, context, step, f"0x{statement.node.hex()} is there already", now, out)


def _hear_joiner(state: EngineState, context: RoundContext, pulse: Pulse, now: float, out: Out) -> None:
    """A joiner signs no takeovers; where it followed one that has got lost since, it waits for a leader to come.

    It gives its model to that attempt's leader only: the roster goes there, as far as any one's word takes it.
    """
    if not context.promised < pulse.attempt <= ATTEMPT_MAX or pulse.node not in state.contributors_allowed():
        return
    step = may_move(context, pulse.node, pulse.attempt, now)
    if step > context.promised:
        adopt(state, context, step, f"0x{pulse.node.hex()}, a joiner, is there already", now, out)


def _hear_ack(state: EngineState, context: RoundContext, signed: Signed[Ack]) -> None:
    own = context.proposal
    if own is None or signed.statement.node == state.me:
        return
    key = (signed.statement.attempt, signed.statement.result)
    if key != (own.signed.statement.attempt, own.signed.statement.result):
        return
    if signed.statement.node not in context.roster or signed.statement.node in context.acks.get(key, {}):
        return
    if signed.valid(state.config.domain, state.verifier):
        context.file_ack(signed)
        state.progress += 1


def _hear_refusal(state: EngineState, context: RoundContext, signed: Signed[Refusal], now: float, out: Out) -> None:
    own = state.own_check_in()
    refusal = signed.statement
    if own is None or refusal.node != state.me or refusal.leader != context.leader():
        return
    if refusal.version != own.version or own.observer or not signed.valid(state.config.domain, state.verifier):
        return
    why = REASONS.get(refusal.reason, f"reason {refusal.reason}")
    if refusal.reason == REFUSED_UNREACHABLE and own.name.round == 0:
        # Round 0 needs a model: were all to step back, each for one leader's bad line, nobody's would be left.
        if refusal.leader not in context.unreached_by:
            context.unreached_by.add(refusal.leader)
            out.warn(f"the leader 0x{refusal.leader.hex()} could not fetch this node's model; it tries again")
        return
    pending, manifest = state.program.pending, state.view.state.manifest if state.view is not None else ZERO32
    if refusal.reason == REFUSED_MANIFEST and pending is not None and pending.manifest == manifest:
        out.warn(f"the leader 0x{refusal.leader.hex()} says that {why}, but the chain says they do not: ignored")
        return
    out.warn(f"the leader 0x{refusal.leader.hex()} cannot use this node's model: {why}")
    flags = FLAG_OBSERVER | (own.flags & FLAG_DONE)
    _sign_check_in(state, context, own.blob, own.size, 0, flags, now, out)
    if refusal.reason == REFUSED_NOT_FINITE and pending is not None and pending.odd and _first_model(state):
        fail_program(state, _not_finite(pending), now, out)
        return
    # In round 0 one leader's word is no proof: the manifest that its commit fixes is (loading.load).
    if refusal.reason == REFUSED_MANIFEST and manifest != ZERO32 and state.program.failed is None:
        text = f"the swarm refused this program's model: {why}. All programs of a job must build the same model"
        last = context.name.prev
        fail_program(state, text, now, out, unlike=BlobId(last) if last in state.held else None)


def _hear_proposal(state: EngineState, context: RoundContext, message: ProposalMessage, now: float, out: Out) -> None:
    statement = message.signed.statement
    if statement.name != context.name or statement.leader == state.me:
        return
    known = context.results.get(statement.result)
    same = context.pending is not None and context.pending.signed == message.signed
    if same and len(message.takeovers) <= len(context.pending.takeovers if context.pending else ()):
        return
    if statement.leader != context.leader(statement.attempt) or message.result.hash() != statement.result:
        return
    if not message.signed.valid(state.config.domain, state.verifier):
        return
    if known is None:
        digests = [(i.check_in.digest(state.config.domain), i.coefficient) for i in message.items]
        if inputs_hash(digests) != message.result.inputs:
            return
    if statement.attempt > context.promised:
        step = may_move(context, statement.leader, statement.attempt, now)
        adopt(state, context, step, "its leader proposes", now, out)
        if step < statement.attempt:
            return
    if known is None:
        context.file_result(message)
        state.progress += 1
    for takeover in message.takeovers:
        if takeover.statement.attempt == statement.attempt:
            _hear_takeover(state, context, takeover, now, out)
    if statement.attempt < context.promised:
        return  # an old leader's: nobody here acknowledges it any more
    context.pending = message


def acknowledge(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Acknowledge the pending proposal once its blob is here and everything it says holds."""
    message = context.pending
    if message is None or context.certificate is not None or state.me not in context.roster:
        return
    statement = message.signed.statement
    if statement.attempt != context.promised:
        context.pending = None
        return
    if context.ack is not None and context.ack.statement.attempt >= statement.attempt:
        return
    adopted = False
    if statement.attempt > 0:
        takeovers = judging.entitling(state, context, message)
        if len(takeovers) < context.roster.majority:
            distrust(context, statement.leader, "a majority's takeovers are not with it", now, out)
            return
        bound = acknowledged(takeovers)
        if bound is not None and bound != statement.result:
            distrust(context, statement.leader, "it does not re-propose the result acknowledged before it", now, out)
            return
        adopted = bound is not None
    if not adopted and not controls.ready(state):
        return
    fault = (judging.result_fault if adopted else judging.fresh_fault)(state, context, message)
    if fault is not None:
        distrust(context, statement.leader, fault, now, out)
        return
    result = message.result
    if result.size > size_max(state):
        distrust(
            context, statement.leader, f"its model has {result.size} bytes, allowed are {size_max(state)}", now, out
        )
        return
    if not adopted and not showing.shown(state, context, message, out):
        return
    if result.merged not in state.held:
        others = [i.check_in.node for i in message.items if i.check_in.node not in (state.me, statement.leader)]
        out.fetch(state, now, result.merged, result.size, [statement.leader, *others])
        return
    held = state.held[result.merged]
    allowed = oddities.allowed(state, context, held.odd, oddities.own_model(state))
    if allowed is None:
        return
    if not allowed or held.size != result.size or held.manifest != result.manifest:
        distrust(context, statement.leader, "the merged file is not what the proposal says", now, out)
        return
    context.ack = state.sign(Ack(context.name, statement.attempt, statement.result, state.me))
    context.acked, context.doubted = message, None
    context.file_ack(context.ack)
    state.progress += 1
    out.persist(state)
    out.send([statement.leader], pulse_for(state, statement.leader))


def distrust(context: RoundContext, leader: Address, fault: str, now: float, out: Out) -> None:
    if context.doubted is None or context.doubted[0] != context.promised:
        context.doubted = (context.promised, now)
        out.warn(f"not acknowledging the proposal of 0x{leader.hex()} for round {context.name.round}: {fault}")
    context.pending = None


def adopt(state: EngineState, context: RoundContext, attempt: int, why: str, now: float, out: Out) -> None:
    """Go to a higher attempt: promise it, sign the takeover, tell its leader and the others."""
    if not context.promised < attempt <= ATTEMPT_MAX or context.certificate is not None:
        return
    old = context.leader()
    context.promised, context.attempt_at = attempt, now
    context.quorum_at, context.pending = None, None
    context.merging = False
    _leave_pulls(state, context, out)
    leader = context.leader()
    out.warn(
        f"round {context.name.round}: leader 0x{(old or b'').hex()} replaced by 0x{(leader or b'').hex()}, "
        f"attempt {attempt}: {why}"
    )
    state.progress += 1
    if state.me in context.roster:
        acked = context.ack.statement if context.ack else None
        context.takeover = state.sign(
            Takeover(
                context.name,
                attempt,
                acked.attempt if acked else 0,
                acked.result if acked else ZERO32,
                state.me,
            )
        )
        context.file_takeover(context.takeover)
    out.persist(state)
    hurry(state, now)
    out.send([n for n in context.roster.addresses if n != state.me], pulse_for(state, None))


def _leave_pulls(state: EngineState, context: RoundContext, out: Out) -> None:
    """What was pulled for the leader before, or as it, is nobody's progress any more; what has come is kept."""
    acked = {t.statement.acked_result for by in context.takeovers.values() for t in by.values()}
    proposed = [m.result.merged for result, m in context.results.items() if result not in acked]
    inputs = [blob for _, blob in pulled_inputs(state, context)] if context.leader() != state.me else []
    for blob in {*proposed, *inputs} - {context.name.prev, *state.recent}:
        out.stop_fetch(state, blob)


def watch_leader(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Replace the leader when this node needs it and it is silent, unreachable or stuck."""
    leader = context.leader()
    if leader is None or leader == state.me or context.certificate is not None:
        return
    if context.check_in is None or state.me not in context.roster:
        return
    if state.view is not None and leader not in state.view.active:
        adopt(state, context, context.promised + 1, "it is no longer an active member", now, out)
        return
    doubted = context.doubted
    if doubted is not None and doubted[0] == context.promised and now - doubted[1] >= state.config.live_seconds:
        adopt(state, context, context.promised + 1, "what it proposes cannot be acknowledged", now, out)
        return
    pull = state.transfers.get(context.pending.result.merged) if context.pending is not None else None
    got = pull.arrived_at if pull is not None and pull.arrived_at is not None else 0.0
    why = state.peers.suspect(leader, now, max(context.attempt_at, context.checked_in_at), got)
    if why is not None:
        adopt(state, context, context.promised + 1, why, now, out)
