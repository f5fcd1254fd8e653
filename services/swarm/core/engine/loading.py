"""From a commit on chain to the ML program: verify the bundle, hold the blob, load, answer, end the run."""

from __future__ import annotations

from ..bundle import Bundle
from ..chain_view import Phase
from ..errors import PeerFault
from ..ids import ZERO32, Address, BlobId
from ..statements import from_fixed, to_fixed
from . import controls, history, names, origins, outers, remerging, wishes
from .actions import AnswerProgram, FindBundle, Finish, Keep, Persist
from .events import BundleFound, ProgramLoaded
from .failing import fail_program
from .pulses import pulse_for
from .state import EngineState, Out

OVER_KEY = "engine/over"
"""Journal key: the run whose final model this node's program has loaded, with its last loss and metric."""
FIND_AGAIN_SECONDS = 1.0
LINGER_SECONDS = 60.0
UNSERVED_SECONDS = 120.0
"""Who needs the final model of a complete run, and hears so long of nobody who may have it, gives up."""
"""How long a finished node serves the final model to slower ones before it ends."""
LEAVE_SECONDS = 60.0
"""How long a node whose program failed stays to acknowledge the open round before it ends."""


def last_round(state: EngineState) -> int:
    """Number of the last committed round, -1 before the first."""
    return state.view.state.round - 1 if state.view is not None else -1


def take_commit(state: EngineState, now: float, out: Out) -> None:
    """After each commit: get hold of its bundle, verify it, and pull the merged blob (load comes later)."""
    view = state.view
    assert view is not None
    merged = view.state.prev
    if merged == ZERO32 or (not state.joined and view.state.phase is not Phase.COMPLETE):
        return
    bundle = _verified(state)
    if bundle is None:
        if state.finding_at is None or now - state.finding_at >= FIND_AGAIN_SECONDS:
            state.finding_at = now
            out.append(FindBundle(view.state.run, last_round(state)))
        return
    wishes.insist(state, bundle, now, out)
    controls.tell_counted(state, bundle, out)
    if merged not in state.held:
        out.fetch(state, now, merged, view.state.prev_size, _holders(state))
    outers.keep_past(state, bundle, _holders, now, out)
    if merged not in state.held and remerging.keeper(state, bundle, now) == state.me:
        remerging.make_again(state, bundle.name, bundle.attempt, bundle.result, bundle.items, now, out)


def _verified(state: EngineState) -> Bundle | None:
    bundle, view = state.commit, state.view
    if bundle is None or view is None:
        return None
    same = (bundle.name.run, bundle.name.round) == (view.state.run, last_round(state))
    return bundle if same and bundle.result.merged == view.state.prev else None


def _holders(state: EngineState) -> list[Address]:
    """Leader first, then everybody who acknowledged, then all others."""
    bundle = state.commit
    assert bundle is not None
    ordered = [bundle.leader, *(ack.node for ack, _ in bundle.acks), *state.participants()]
    return [n for n in dict.fromkeys(ordered) if n != state.me]


def bundle_found(state: EngineState, event: BundleFound, now: float, out: Out) -> None:
    view, last = state.view, last_round(state)
    state.finding_at = now
    if view is None or event.bundle.name.run != view.state.run:
        return
    # The one before the last is asked for where the outer optimiser needs it; the last names its model.
    expected = view.state.prev if event.bundle.name.round == last else state.merged.get(last - 1)
    if expected is None or event.bundle.name.round not in (last, last - 1):
        return
    try:
        event.bundle.verify(state.config.domain, state.verifier, view.state.min_peers)
        if event.bundle.result.merged != expected:
            raise PeerFault(f"its model is 0x{event.bundle.result.merged.hex()}, the chain says another")
        unlike = names.fault(state, event.bundle)
        if unlike is not None:
            raise PeerFault(unlike)
    except PeerFault as fault:
        if state.refused_bundle != str(fault):
            state.refused_bundle = str(fault)
            out.error(f"the SN handed out a commit that does not hold: {fault}; its model is not used", incident="sn")
        return
    state.refused_bundle = ""
    if event.bundle.name.round < last:
        history.remember(state, event.bundle)
        return
    state.commit = event.bundle
    history.remember(state, event.bundle)
    if event.bundle.name.round > 0:
        history.learn(state, event.bundle.name.round - 1, BlobId(event.bundle.name.prev), out)


def load(state: EngineState, now: float, out: Out) -> None:
    """Hand the newest committed model to a program that waits for it."""
    view, program = state.view, state.program
    assert view is not None
    last = last_round(state)
    pending = program.pending
    if pending is None or program.loading is not None or last < program.waits_for or last < 0:
        return
    if program.loaded >= last and program.waits_for <= program.loaded:
        _answer(state, out)
        return
    if _verified(state) is None or view.state.prev not in state.held:
        return
    wish = outers.start_of(state, last)
    if wish is None:
        return
    if view.state.manifest not in (ZERO32, pending.manifest):
        text = (
            "this program's model is not the swarm's: "
            "its tensors (names, their order, shapes, dtypes or framework) differ. "
            "All programs of a job must build the same model"
        )
        fail_program(state, text, now, out, unlike=BlobId(view.state.prev))
        return
    program.loading = last
    state.progress += 1
    out.append(wish)


def program_loaded(state: EngineState, event: ProgramLoaded, now: float, out: Out) -> None:
    program = state.program
    if program.loading != event.round:
        return
    program.loading = None
    program.loaded = event.round
    program.loss, program.metric, program.own_figure = event.loss, event.metric, event.own_figure
    program.epochs_done, program.epochs_total = event.epochs_done, event.epochs_total
    state.program_moved_at = now
    state.merged_rounds += 1
    state.progress += 1
    _answer(state, out)


def _answer(state: EngineState, out: Out) -> None:
    program, view = state.program, state.view
    assert view is not None
    pending = program.pending
    over = view.state.phase is Phase.COMPLETE
    if pending is None or program.loaded < program.waits_for:
        return
    if over and program.loaded < last_round(state):
        return  # the final model comes first
    if program.done and not over:
        program.waits_for = last_round(state) + 1
        return
    program.pending = None
    program.over = over
    out.append(AnswerProgram(pending.seq, over, controls.answer_interval(state)))
    if over:
        state.journal[OVER_KEY] = {
            "run": view.state.run,
            "loss": to_fixed(program.loss),
            "metric": to_fixed(program.metric),
        }
        out.append(Persist({OVER_KEY: state.journal[OVER_KEY], **origins.finals(state)}))
        out.send(state.participants(), pulse_for(state, None))  # nobody lingers for this node any more
        out.report("All peers and Swarm training finished!", rounds=view.state.round)


def recall_end(state: EngineState) -> None:
    """After a restart: a program that had its final model before does not come back, and need not."""
    view, kept, program = state.view, state.journal.get(OVER_KEY), state.program
    if view is None or kept is None or program.opened is not None or kept["run"] != view.state.run:
        return
    program.over = program.ended = program.done = True
    program.loaded = last_round(state)
    program.loss, program.metric = from_fixed(kept["loss"]), from_fixed(kept["metric"])


def finish(state: EngineState, now: float, out: Out) -> None:
    """Closing report, lingering for slower nodes, and the end of this node's part."""
    view, program = state.view, state.program
    assert view is not None
    if state.finished:
        return
    if program.failed is not None:
        _leave(state, now, out)
        return
    if view.state.phase is not Phase.COMPLETE:
        return
    if state.complete_at is None:
        state.complete_at = now
    if not program.over:
        _give_up(state, now, out)
        return
    if not state.closed and state.me in view.joiners:
        out.transact(state, now, "close", program.loss, program.metric)
    done = all(_needs_nothing(state, n, now) for n in {*view.roster.addresses, *view.joiners} if n != state.me)
    if (done and state.closed and program.ended) or now - state.complete_at >= LINGER_SECONDS:
        state.finished = True
        out.append(Finish(0, f"run {view.state.run} is complete after {view.state.round} rounds"))


def _needs_nothing(state: EngineState, node: Address, now: float) -> bool:
    """Whether a member has the final model, or is gone; one that a reform dropped counts only if it is back."""
    assert state.complete_at is not None
    assert state.view is not None
    if state.peers[node].phase in ("done", "failed"):
        return True
    if node not in state.view.roster:
        return not state.peers.heard_within(node, now, state.config.live_seconds)
    return not state.peers.live(node, now, state.complete_at, None)


def unserved_until(state: EngineState) -> float | None:
    """When a node that lacks a complete run's final model gives up, should nobody be heard of; None if it need not."""
    view, program = state.view, state.program
    if view is None or state.complete_at is None or program.over or program.pending is None:
        return None
    if view.state.prev in state.held or state.remerge is not None:
        return None
    heard = [state.peers[n].pulse_at for n in {*view.roster.addresses, *view.joiners} if n != state.me]
    return max(state.complete_at, program.since, *(at for at in heard if at is not None)) + UNSERVED_SECONDS


def _give_up(state: EngineState, now: float, out: Out) -> None:
    """A node that was away at the end may find nobody who serves the final model: it says so, instead of waiting."""
    view = state.view
    assert view is not None
    until = unserved_until(state)
    if until is not None and now >= until:
        names = ", ".join(f"0x{n.hex()}" for n in view.roster.addresses)
        text = (
            f"run {view.state.run} was completed while this node was away; for {UNSERVED_SECONDS:.0f} s none of its "
            f"last members ({names}) has been there to serve the final model; start one of their SLs, then this one"
        )
        fail_program(state, text, now, out)


def _leave(state: EngineState, now: float, out: Out) -> None:
    view, program = state.view, state.program
    assert view is not None
    if state.joined and view.state.phase is Phase.OPEN:
        out.transact(state, now, "leave")
    needless = state.stranded_since is not None  # no round can be recorded any more: there is nothing to acknowledge
    gone = not state.joined and (needless or state.me not in view.roster)
    if gone or view.state.phase is not Phase.OPEN or now - program.failed_at >= LEAVE_SECONDS:
        state.finished = True
        out.append(Finish(1, f"the ML program failed: {program.failed}"))


def keep(state: EngineState, out: Out) -> None:
    """Tell the store what is still needed: merged models and inputs of the last rounds, the pending file."""
    needed = set(state.recent) | history.inputs(state) | origins.needed(state)
    if state.program.pending is not None:
        needed.add(state.program.pending.blob)
    context = state.context
    if context is not None:
        needed.update(s.statement.blob for by in context.check_ins.values() for s in by.values())
    if state.commit is not None:
        needed.update(i.check_in.blob for i in state.commit.items)
    elif state.view is not None and state.view.state.prev != ZERO32:
        needed.update(state.held)  # just started: which of them the last merge was made from is not known yet
    for blob in list(state.held):
        if blob not in needed:
            del state.held[blob]
    for blob in list(state.transfers):
        if blob not in needed:
            out.stop_fetch(state, blob)
    out.append(Keep(frozenset(needed)))
