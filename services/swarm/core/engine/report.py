"""What an engine shows: who it waits for and why, its status, and who may read which blob from it."""

from __future__ import annotations

from typing import Any

from ..chain_view import Phase
from ..ids import ZERO32, Address, BlobId, to_hex
from ..statements import from_fixed
from . import controls, lateness, origins, remerging, stranded
from .events import ChainView
from .leading import gather
from .loading import unserved_until
from .peers import STALLED
from .pulses import phase_of
from .state import EngineState


def may_read(state: EngineState, node: Address, blob: BlobId) -> bool:
    """Own update: the leader of the attempt this node follows; a merged model: everybody joined to the job.

    The final model: also who had joined and was dropped while it was away.
    An own update of the round before: whoever makes its lost merged model again (remerging).
    """
    view, context = state.view, state.context
    if view is None:
        return False
    over = view.state.phase is Phase.COMPLETE
    known = view.joined(node) or node in view.roster or (over and node in view.joiners)
    if not known or node not in view.active:
        return False
    if blob in state.recent or origins.serves(state, blob) or remerging.may_read_input(state, node, blob, state.now):
        return True
    if context is None:
        return False
    # Only what this node has checked and stands for: a proposal that merely arrived may name any blob held here.
    vouched = [m.result.merged for m in (context.acked, context.proposal) if m is not None]
    if context.certificate is not None:
        vouched.append(context.certificate.result.merged)
    if blob in vouched:
        return True
    mine = context.check_ins.get(state.me, {})
    return node == context.leader() and any(s.statement.blob == blob for s in mine.values())


def waits(state: EngineState, now: float) -> list[dict[str, Any]]:
    """Rows of the waits table; times in seconds relative to ``now``."""
    view, context, program = state.view, state.context, state.program
    rows: list[dict[str, Any]] = []

    def row(what: str, whom: list[Address] | str, since: float, until: float | None, then: str) -> None:
        rows.append(
            {
                "what": what,
                "whom": whom if isinstance(whom, str) else ", ".join(to_hex(a) for a in whom),
                "since_seconds": round(max(0.0, now - since), 1),
                "until_seconds": None if until is None or until <= now else round(until - now, 1),
                "then": then,
            }
        )

    if state.finished or program.over or program.failed is not None:
        return rows  # what it waited for is no news any more
    if program.opened is None:
        then = "it goes on training" if state.joined else "it joins the run"
        row("an ML program", "this site's program", state.started_at, None, then)
        return rows
    if view is None:
        row("the chain", "the SN", state.started_at, None, "the run is read")
        return rows
    if state.refused_view is not None:
        row("an SN to be believed", "the SN", state.refused_view[1], None, f"the run goes on ({state.refused_view[0]})")
    if state.joined and not view.state.started:
        have, need = sum(j.joined for j in view.joiners.values()), view.state.min_peers
        row("founders of the run", f"{have} of {need} have joined", program.since, None, "round 0 opens")
    if (state.joined or view.state.phase is Phase.COMPLETE) and view.state.prev not in (ZERO32, *state.held):
        _model_row(state, view, row)
    waiting = stranded.wait(state, now)
    if waiting is not None:
        row(waiting.what, list(waiting.whom), waiting.since, waiting.until, waiting.then)
    if context is None or not state.open():
        return rows
    if context.check_in is not None and context.certificate is None:
        leader = context.leader()
        if leader == state.me:
            _leader_rows(state, now, row)
        elif leader is not None:
            peer = state.peers[leader]
            base = max(context.attempt_at, context.checked_in_at, peer.pulse_at or 0.0)
            until = base + state.config.live_seconds
            if context.doubted is not None and context.doubted[0] == context.promised:
                until = min(until, context.doubted[1] + state.config.live_seconds)
            row(f"the merge of round {context.name.round}", [leader], context.checked_in_at, until, "the next leads")
    if context.certificate is not None:
        row("the chain's record of the merge", "the SN", context.certificate_at, None, "the model is loaded")
    if view.state.call_id:
        row("answers to a call", "all members", now, None, "the roster is re-formed, or the call is void")
    return rows


def _model_row(state: EngineState, view: ChainView, row: Any) -> None:
    what, bundle = f"the merged model of round {view.state.round - 1}", state.commit
    if bundle is None or bundle.result.merged != view.state.prev:
        why = f" (what it handed out does not hold: {state.refused_bundle})" if state.refused_bundle else ""
        row(what, "the SN's record of its commit", state.commit_seen_at, None, f"the model is fetched{why}")
    elif state.remerge is not None:
        row(what, "this node's merge", state.commit_seen_at, None, "the model is loaded")
    else:
        transfer = state.transfers.get(view.state.prev)
        again = transfer is not None and transfer.failures >= remerging.FAILURES_BEFORE
        whom = [i.check_in.node for i in bundle.items if i.check_in.weight] if again else [bundle.leader]
        until = unserved_until(state)
        then = "it is made again from its inputs" if again else "it is loaded"
        if until is not None:
            then = f"{then}; if none of the run's members is heard of, the ML program fails"
        row(what, whom, state.commit_seen_at, until, then)


def _leader_rows(state: EngineState, now: float, row: Any) -> None:
    context, view = state.context, state.view
    assert context is not None
    assert view is not None
    own = context.proposal
    since = context.checked_in_at
    if own is not None and own.signed.statement.attempt == context.promised:
        key = (own.signed.statement.attempt, own.signed.statement.result)
        missing = [n for n in context.roster.addresses if n not in context.acks.get(key, {})]
        row("acknowledgements", missing, context.closed_at or since, None, "the round is recorded")
        return
    found = gather(state, context, now, None)
    until = None if context.quorum_at is None else context.quorum_at + state.config.full_quorum_seconds
    if found.missing:
        row("check-ins", found.missing, since, until, "the round closes without them" if until else "the round closes")
    if found.pulling:
        late = None if until is None else until + state.config.pull_grace_seconds
        row("models being pulled", found.pulling, since, late, "the round closes without them" if late else "it closes")
    if found.missing or found.pulling:
        return
    if len(found.usable) < view.state.min_peers:
        row("minPeers", f"{len(found.usable)} of {view.state.min_peers} are in", since, None, "the round closes")
    elif context.name.round == 0 and not any(s.statement.weight for s in found.usable):
        nobody = [s.statement.node for s in found.usable]
        row("a model to begin with: none of theirs can be used", nobody, since, None, "round 0 closes")


def detail(state: EngineState, now: float) -> str:
    """A sentence behind the state's word: with whom, waiting for what, why it failed."""
    view, context, program = state.view, state.context, state.program
    phase, rows = phase_of(state), waits(state, now)
    merged = f"merged in round {program.loaded}" if program.loaded >= 0 else ""
    if late := lateness.now_behind(state):
        merged += f", {late} round{'s' if late > 1 else ''} behind"
    if view is None:
        said = ["the chain has not been read yet"]
    elif phase == "failed":
        said = [program.failed or ""]
    elif phase == "done":
        said = [f"run {view.state.run}", f"{view.state.round} rounds", merged]
    elif phase == "training":
        step = f"step {program.step} of {program.steps}" if program.steps else f"step {program.step}"
        said = [merged, "training", step if program.steps_told else ""]
    elif phase == STALLED:
        said = [merged, f"no step of the ML program for {now - state.program_moved_at:.0f} s"]
    elif phase == "loading":
        said = [f"the model of round {program.loading}"]
    else:
        said = [f"waits for {row['what']}: {row['whom']}" for row in rows[:1]] or [merged]
        leader = context.leader() if context is not None and state.open() else None
        if leader == state.me:
            said.insert(0, f"leads round {view.state.round}")
        elif leader is not None and program.pending is not None:
            said.insert(0, f"with {to_hex(leader)}, the leader of round {view.state.round}")
    return ", ".join(s for s in said if s)


def status(state: EngineState, now: float) -> dict[str, Any]:
    """The engine's part of a node's status."""
    view, context, program = state.view, state.context, state.program
    leader = context.leader() if context is not None and state.open() else None
    role = "-" if leader is None else "leader" if leader == state.me else "follower"
    return {
        "state": phase_of(state),
        "detail": detail(state, now),
        "run": view.state.run if view else 0,
        "round": view.state.round if view else 0,
        "epoch": view.state.epoch if view else 0,
        "attempt": context.promised if context else 0,
        "role": role,
        "leader": to_hex(leader) if leader else None,
        "complete": view is not None and view.state.phase is Phase.COMPLETE,
        "min_peers": view.state.min_peers if view else 0,
        "interval": view.state.interval if view else 0,
        "combined": _combined(view),
        "stop": controls.stopped(state),
        "epochs_done": program.epochs_done,
        "epochs_total": program.epochs_total,
        "loss": None if program.loss != program.loss else program.loss,
        "metric": None if program.metric != program.metric else program.metric,
        "loaded_round": program.loaded,
        "behind": lateness.now_behind(state),
        "error": program.failed,
        "waits": waits(state, now),
    }


def _combined(view: ChainView | None) -> dict[str, float | None]:
    """The last committed round's combined loss and metric, None where nobody reported one."""
    last = view.history[-1] if view is not None and view.history else None
    figures = {"loss": last.loss, "metric": last.metric} if last is not None else {"loss": None, "metric": None}
    return {name: None if value is None else from_fixed(value) for name, value in figures.items()}
