"""The leader's half of a round: gather check-ins, close, merge, propose, collect acks (design: protocol 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..blobid import BLOB_BYTES_MAX
from ..bundle import Bundle, Contribution
from ..ids import ZERO32, Address, BlobId, Digest
from ..statements import Ack, CheckIn, Proposal, Refusal, Result, Takeover, inputs_hash, method_word
from . import certificates, controls, judging, oddities, outers, remerging
from .actions import Merge
from .context import RoundContext
from .events import MergeDone, MergeFailed
from .messages import ProposalMessage, Signed
from .pulses import pulse_for
from .state import INPUT_FAILURES_MAX, EngineState, Out

REFUSED_HASH, REFUSED_MANIFEST, REFUSED_NOT_FINITE = 1, 2, 3
REFUSED_UNREADABLE, REFUSED_TOO_LARGE, REFUSED_UNREACHABLE = 4, 5, 6
FAILED_HERE = 0
"""Why a pull failed that is no fault of its peer: this node's own disk."""
REASONS = {
    REFUSED_HASH: "its bytes do not have the announced hash or size",
    REFUSED_MANIFEST: "its tensors (names, their order, shapes, dtypes or framework) differ from the swarm's",
    REFUSED_NOT_FINITE: "it holds NaN or infinite values that are not the same in the others",
    REFUSED_UNREADABLE: "it is not a readable tensor file",
    REFUSED_TOO_LARGE: "it is larger than allowed",
    REFUSED_UNREACHABLE: "it could not be fetched",
}

MERGE_RETRY_SECONDS = 5.0
"""Pause after a merge that this node's own disk made fail."""
SECOND_VERSION_SECONDS = 5.0
"""How long a close waits for the second version of a live node whose first check-in was refused."""
PULL_QUIET_SECONDS = 10.0
"""A pull that moved no byte for this long does not extend the grace any more."""


SIZE_FACTOR, SIZE_SLACK_BYTES = 2, 1024 * 1024
"""From round 1 on a model file is at most so many times the last merged one, and some bytes of header more:
all have the same tensors, so an announced size far above it can only be meant to fill disks."""


@dataclass(slots=True)
class Gathered:
    """Who is in, who is being pulled, and whom one would still wait for."""

    usable: list[Signed[CheckIn]]
    pulling: list[Address]
    missing: list[Address]


def lead(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    """Do whatever this node, leader of its promised attempt, can do now."""
    if context.certificate is not None or context.merging:
        return
    own = context.proposal
    if own is not None and own.signed.statement.attempt == context.promised:
        certify(state, context, own, now, out)
        if context.certificate is None:
            certificates.get_on_with(state, context, own)
        return
    context.entitling = ()
    if context.promised > 0:
        context.entitling, result = _entitling(state, context)
        if not context.entitling:
            return
        if result is not None:
            _adopt_result(state, context, result, now, out)
            return
    _merge_when_closed(state, context, now, out)


def _entitling(state: EngineState, context: RoundContext) -> tuple[tuple[Signed[Takeover], ...], Digest | None]:
    """A majority's takeovers, and the result they bind this leader to.

    A result that nobody serves is left out if a majority without it is there: that shows it was not chosen. One that
    no honest member can have acknowledged binds nobody: its takeovers are left out, and others waited for.
    """
    takeovers = context.entitled(context.promised)
    while takeovers:
        result = acknowledged(takeovers)
        if result is None:
            break
        known = context.results.get(result)
        transfer = state.transfers.get(known.result.merged) if known is not None else None
        lost = known is None or (transfer is not None and transfer.failures >= INPUT_FAILURES_MAX)
        rest = tuple(t for t in takeovers if t.statement.acked_result != result)
        if known is not None and judging.result_fault(state, context, known) is not None:
            if len(rest) < context.roster.majority:
                return (), None
            takeovers = rest
            continue
        if not lost or len(rest) < context.roster.majority:
            return takeovers, result
        takeovers = rest
    return takeovers, None


def acknowledged(takeovers: Sequence[Signed[Takeover]]) -> Digest | None:
    """The result acknowledged at the highest attempt among these, or None."""
    acked = [t.statement for t in takeovers if t.statement.acked_result != ZERO32]
    return Digest(max(acked, key=lambda t: t.acked_attempt).acked_result) if acked else None


def _adopt_result(state: EngineState, context: RoundContext, result: Digest, now: float, out: Out) -> None:
    known = context.results.get(result)
    if known is None:
        return
    if known.result.merged not in state.held:
        sources = [n for n in _ackers(context, result) if n != state.me]
        out.fetch(state, now, known.result.merged, known.result.size, sources or state.participants())
        remerging.make_again(state, context.name, context.promised, known.result, known.items, now, out)
        return
    out.report("taking over an acknowledged result", round=context.name.round, attempt=context.promised)
    propose(state, context, known.result, known.items, now, out)


def _ackers(context: RoundContext, result: Digest) -> list[Address]:
    by_takeover = {n for by in context.takeovers.values() for n, t in by.items() if t.statement.acked_result == result}
    by_ack = {n for (_, r), by in context.acks.items() if r == result for n in by}
    return sorted(by_takeover | by_ack)


def gather(state: EngineState, context: RoundContext, now: float, out: Out | None) -> Gathered:
    """Sort everybody who may contribute; starts pulls and refuses bad ones when ``out`` is given."""
    found = Gathered([], [], [])
    for node in state.contributors_allowed():
        live = _awaited(state, context, node, now)
        signed = context.latest(node)
        if signed is None:
            if live:
                found.missing.append(node)
            continue
        check_in = signed.statement
        refusal = context.refused.get((node, check_in.version))
        if refusal is not None and out is not None and _tried_again(context, refusal[0].statement, refusal[2], now):
            del context.refused[(node, check_in.version)]
            refusal = None
        if refusal is not None:
            if live and now - refusal[2] < SECOND_VERSION_SECONDS:
                found.missing.append(node)
        elif check_in.observer or _usable(state, context, signed, now, out):
            found.usable.append(signed)
        elif (node, check_in.version) not in context.refused and (live or _moving(state, check_in.blob, now, 0)):
            found.pulling.append(node)
    return found


def _tried_again(context: RoundContext, refusal: Refusal, at: float, now: float) -> bool:
    """A model of round 0 that could not be fetched stays offered: see following."""
    late = now - at >= SECOND_VERSION_SECONDS
    return late and context.name.round == 0 and refusal.reason == REFUSED_UNREACHABLE


def _moving(state: EngineState, blob: BlobId, now: float, failures_max: int = INPUT_FAILURES_MAX) -> bool:
    """Whether a pull moved bytes lately, and did not fail more often than that."""
    transfer = state.transfers.get(blob)
    if transfer is None or transfer.failures > failures_max:
        return False
    return now - transfer.moved_at < PULL_QUIET_SECONDS


def _awaited(state: EngineState, context: RoundContext, node: Address, now: float) -> bool:
    """Whether a close waits for this node: it is alive, and its ML program is not away for long."""
    if node == state.me:
        away = state.program.opened is None and not state.program.over
        return not away or now - state.started_at < state.config.live_seconds
    # Whom this attempt replaced has been waited for already: only what it says counts.
    replaced = range(max(0, context.promised - len(context.roster)), context.promised)
    since = context.opened_at if any(context.leader(a) == node for a in replaced) else context.attempt_at
    live = state.peers.live(node, now, since, context.quorum_at)
    return live and not state.peers.absent(node, now)


def size_max(state: EngineState) -> int:
    """Bytes of the largest model file that is pulled for the open round."""
    known = state.view.state.prev_size if state.view is not None else 0
    return min(BLOB_BYTES_MAX, SIZE_FACTOR * known + SIZE_SLACK_BYTES) if known else BLOB_BYTES_MAX


def _usable(state: EngineState, context: RoundContext, signed: Signed[CheckIn], now: float, out: Out | None) -> bool:
    check_in = signed.statement
    held = state.held.get(check_in.blob)
    if held is None and check_in.size > size_max(state):
        if out is not None:
            refuse(state, context, check_in, REFUSED_TOO_LARGE, "", now, out)
        return False
    if held is None and check_in.blob == context.name.prev:
        return False  # a done member's: every node gets the last merged model by itself, or makes it again
    if held is None:
        transfer = state.transfers.get(check_in.blob)
        asked = transfer is not None and check_in.node in transfer.sources  # another may name the same blob
        if transfer is not None and asked and transfer.failures >= INPUT_FAILURES_MAX and out is not None:
            refuse(state, context, check_in, REFUSED_UNREACHABLE, "", now, out)
        elif out is not None:
            out.fetch(state, now, check_in.blob, check_in.size, [check_in.node])
        return False
    reason = 0
    expected = state.view.state.manifest if state.view else ZERO32
    if held.size != check_in.size:
        reason = REFUSED_HASH
    elif expected != ZERO32 and held.manifest != expected:
        reason = REFUSED_MANIFEST
    else:
        allowed = oddities.allowed(state, context, held.odd)
        if allowed is None:
            return False  # the merged model before is on its way: every member gets it, or makes it again
        reason = 0 if allowed else REFUSED_NOT_FINITE
    if reason and out is not None:
        refuse(state, context, check_in, reason, "", now, out)
    return reason == 0


def refuse(
    state: EngineState, context: RoundContext, check_in: CheckIn, reason: int, text: str, now: float, out: Out
) -> None:
    """Tell a node that its contribution cannot be used, and remember it."""
    key = (check_in.node, check_in.version)
    if key in context.refused:
        return
    signed = state.sign(Refusal(context.name, check_in.node, check_in.version, check_in.blob, reason, state.me))
    context.refused[key] = (signed, text, now)
    out.stop_fetch(state, check_in.blob)
    out.warn(
        f"refused the model of 0x{check_in.node.hex()}: {text or REASONS.get(reason, str(reason))}",
        round=context.name.round,
        version=check_in.version,
    )
    if check_in.node == state.me:
        context.own_refusal = signed
    else:
        out.send([check_in.node], pulse_for(state, check_in.node))


def _merge_when_closed(state: EngineState, context: RoundContext, now: float, out: Out) -> None:
    view = state.view
    assert view is not None
    if not controls.ready(state):
        return
    found = gather(state, context, now, out)
    enough = len(found.usable) >= view.state.min_peers
    if not enough:
        context.quorum_at = None
        if not found.pulling:  # a pull that gets on says so itself
            state.progress += 1  # waiting for minPeers is no lack of progress
        return
    if context.merge_failed_at is not None and now - context.merge_failed_at < MERGE_RETRY_SECONDS:
        return
    training = any(not s.statement.done for s in found.usable)
    if context.quorum_at is None and training:
        context.quorum_at = now
    if found.missing or found.pulling:
        state.progress += 1
        if context.quorum_at is None or now - context.quorum_at < state.config.full_quorum_seconds:
            return
        late = now - context.quorum_at - state.config.full_quorum_seconds >= state.config.pull_grace_seconds
        if not late and any(_moving(state, s.statement.blob, now) for n in found.pulling if (s := context.latest(n))):
            return
    nodes = {s.statement.node for s in found.usable}
    if not training and not nodes.issuperset(context.roster.addresses):
        state.progress += 1
        return  # the run must not end behind the back of a member that still trains: see rescue
    if context.name.round == 0 and not any(s.statement.weight for s in found.usable):
        return
    if not _same_manifest(state, context, found, now, out) or not _same_oddities(state, context, found, now, out):
        return
    _start_merge(state, context, found, now, out)


def _same_manifest(state: EngineState, context: RoundContext, found: Gathered, now: float, out: Out) -> bool:
    """Round 0 sets the manifest: the one shared by most check-ins, ties by the leader's own."""
    by_node = {s.statement.node: s for s in found.usable if s.statement.weight}
    manifests = {n: state.held[s.statement.blob].manifest for n, s in by_node.items()}
    if not manifests:
        return True
    own = manifests.get(state.me)
    counts = Counter(manifests.values())
    chosen = max(counts, key=lambda m: (counts[m], m == own, m))
    others = [n for n, m in manifests.items() if m != chosen]
    for node in others:
        refuse(state, context, by_node[node].statement, REFUSED_MANIFEST, "", now, out)
    return not others


def _same_oddities(state: EngineState, context: RoundContext, found: Gathered, now: float, out: Out) -> bool:
    """What is not finite must be the same, place by place, in all that is merged."""
    weighted = [s.statement for s in found.usable if s.statement.weight]
    odds = [state.held[check_in.blob].odd for check_in in weighted]
    common = oddities.shared(odds)
    others = [check_in for check_in, odd in zip(weighted, odds, strict=True) if odd != common]
    for check_in in others:
        where = state.held[check_in.blob].where
        text = f"{REASONS[REFUSED_NOT_FINITE]} ({where})" if where else ""
        refuse(state, context, check_in, REFUSED_NOT_FINITE, text, now, out)
    return not others


def _start_merge(state: EngineState, context: RoundContext, found: Gathered, now: float, out: Out) -> None:
    view = state.view
    assert view is not None
    step = outers.for_open(state, context.name, now, out)
    if step is None:
        return
    outer, before = step
    chosen = sorted(found.usable, key=lambda s: s.statement.node)
    weighted = [s.statement for s in chosen if s.statement.weight]
    counted = controls.counted(state, weighted)
    inputs = tuple((c.node, c.blob, weight) for c, weight in zip(weighted, counted, strict=True))
    let_go(state, context, chosen, now, out)
    context.closing = tuple(chosen)
    context.closed_at = now
    if context.merge_failed_at is None:  # else only success is progress: a leader with a full disk is replaced
        state.progress += 1
    program = state.program.opened
    spare = (*state.options.methods, "mean")[0]
    method = program.method if program and outers.unfit(state) is None else spare
    context.method = outer.word(method) if outer is not None else method
    if inputs:
        context.merging = True
        out.append(Merge(context.name, context.promised, method, inputs, None, outer, before))
        return
    items = tuple(Contribution(s.statement, s.signature, 0.0) for s in chosen)
    _propose_items(
        state, context, context.method, view.state.prev, view.state.prev_size, view.state.manifest, items, now, out
    )


def let_go(state: EngineState, context: RoundContext, chosen: Sequence[Signed[CheckIn]], now: float, out: Out) -> None:
    """The round closes: pulls of models that came too slowly end, and whose they are is said."""
    used = {s.statement.blob for s in chosen}
    for node, blob in pulled_inputs(state, context):
        if blob not in used:
            if _moving(state, blob, now):
                out.warn(
                    f"round {context.name.round} closes without the model of 0x{node.hex()}: it was still being pulled "
                    f"{state.config.pull_grace_seconds:g} s after the grace (SL_PULL_GRACE_TIMES)"
                )
            out.stop_fetch(state, blob)


def pulled_inputs(state: EngineState, context: RoundContext) -> list[tuple[Address, BlobId]]:
    """Contributions that are being pulled here, with whose they are; not the merged models among them."""
    merged = {context.name.prev, *state.recent}
    found = [(n, s.statement.blob) for n, by in context.check_ins.items() for s in by.values() if n != state.me]
    return [(node, blob) for node, blob in found if blob in state.transfers and blob not in merged]


def merge_done(state: EngineState, context: RoundContext, event: MergeDone, now: float, out: Out) -> None:
    if not context.merging or event.name != context.name or event.attempt != context.promised:
        return  # of another round, or of an attempt this node has given up
    context.merging, context.merge_failed_at = False, None
    weighted = iter(event.coefficients)
    items = tuple(
        Contribution(s.statement, s.signature, next(weighted) if s.statement.weight else 0.0) for s in context.closing
    )
    _propose_items(state, context, context.method, event.blob, event.size, event.manifest, items, now, out)


def merge_failed(state: EngineState, context: RoundContext, event: MergeFailed, now: float, out: Out) -> None:
    if not context.merging or event.name != context.name or event.attempt != context.promised:
        return
    context.merging = False
    signed = context.latest(event.node) if event.node is not None else None
    if signed is None:
        context.merge_failed_at = now
        out.warn(f"the merge failed here: {event.text}", round=context.name.round)
        return
    state.held.pop(signed.statement.blob, None)
    refuse(state, context, signed.statement, event.reason, event.text, now, out)


def _propose_items(
    state: EngineState,
    context: RoundContext,
    method: str,
    merged: bytes,
    size: int,
    manifest: bytes,
    items: tuple[Contribution, ...],
    now: float,
    out: Out,
) -> None:
    inputs = inputs_hash([(i.check_in.digest(state.config.domain), i.coefficient) for i in items])
    interval = controls.proposed_interval(state, items)
    result = Result(BlobId(merged), size, method_word(method), inputs, interval, Digest(manifest))
    propose(state, context, result, items, now, out)


def propose(
    state: EngineState,
    context: RoundContext,
    result: Result,
    items: tuple[Contribution, ...],
    now: float,
    out: Out,
) -> None:
    """Sign the proposal and this node's own ack, journal both, then send the proposal."""
    digest = result.hash()
    signed = state.sign(Proposal(context.name, context.promised, state.me, digest))
    message = ProposalMessage(signed, result, items, context.entitling)
    context.proposal = message
    context.file_result(message)
    if state.me in context.roster:
        context.ack = state.sign(Ack(context.name, context.promised, digest, state.me))
        context.acked = message
        context.file_ack(context.ack)
    state.progress += 1
    out.persist(state)
    to = {i.check_in.node for i in items} | set(context.roster.addresses)
    to.discard(state.me)
    out.report(
        "Merged; proposing",
        round=context.name.round,
        attempt=context.promised,
        contributors=sum(1 for i in items if i.check_in.weight),
        blob=result.merged.hex()[:16],
    )
    out.send(sorted(to), pulse_for(state, None))
    certify(state, context, message, now, out)


def certify(state: EngineState, context: RoundContext, message: ProposalMessage, now: float, out: Out) -> None:
    """With a majority's acks the result is decided: make the certificate, tell everybody, submit it."""
    statement = message.signed.statement
    acks = context.acks.get((statement.attempt, statement.result), {})
    members = set(context.roster.addresses)
    have = sorted(n for n in acks if n in members)
    if len(have) < context.roster.majority:
        return
    bundle = Bundle(
        name=context.name,
        attempt=statement.attempt,
        leader=state.me,
        result=message.result,
        roster=context.roster,
        items=message.items,
        acks=tuple((acks[n].statement, acks[n].signature) for n in have),
    )
    context.certificate = bundle
    context.certificate_at = now
    state.progress += 1
    out.persist(state)
    out.submit(state, context, now)
    out.send(state.participants(), pulse_for(state, None))
