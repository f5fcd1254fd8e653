"""The round engine of one node: ``handle(event, now) -> actions``. No I/O, no clock, no randomness of its own.

Every event first changes what is known; then all rules are tried once, in the order of a round (join, open,
check in, lead, acknowledge, submit, load, finish). Rules are conditions on the state, so an interrupted or
repeated step is simply found unfinished and done again. docs/engine.md is the table of events and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..blobid import CHUNK_BYTES
from ..chain_view import Phase
from ..ids import Address, BlobId
from ..statements import Signer, Verifier
from . import (
    certificates,
    controls,
    following,
    history,
    lateness,
    leading,
    loading,
    names,
    origins,
    outers,
    remerging,
    report,
    rescue,
    showing,
    stranded,
    wishes,
)
from . import events as ev
from .actions import Action, FailProgram, Finish, Refresh
from .context import Held, RoundContext
from .failing import fail_program
from .messages import Left
from .peers import Peers
from .pulses import hurry, pulse_for, send_due
from .state import (
    INPUT_FAILURES_MAX,
    REFETCH_SECONDS,
    REFETCH_SECONDS_MAX,
    REFRESH_SECONDS,
    TRANSACTION_RETRY_SECONDS,
    Config,
    EngineState,
    Out,
)


class Engine:
    """One node's engine for one job.

    Args:
        journal: entries this engine asked to persist before a restart.
        held: blobs in the store at start, with what was read off them.
        now: monotonic seconds, like every later ``now``.
    """

    def __init__(
        self,
        config: Config,
        signer: Signer,
        verifier: Verifier,
        coefficients: Callable[[str, Sequence[int]], tuple[float, ...] | None],
        *,
        now: float,
        journal: Mapping[str, Any] | None = None,
        held: Mapping[BlobId, Held] | None = None,
    ) -> None:
        peers = Peers(now, config.live_seconds, config.leader_failure_seconds)
        self.state = EngineState(config, signer, verifier, coefficients, peers, now)
        self.state.journal = dict(journal or {})
        self.state.held = dict(held or {})
        self.state.now = now
        names.recall(self.state)

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """Take in one event and return what to do about it, in order."""
        out = Out()
        self.state.now = now
        self._take(event, now, out)
        self._advance(now, out)
        return out

    def pulse_for(self, peer: Address) -> Any:
        """What to answer to a peer's pulse."""
        return pulse_for(self.state, peer)

    def may_read(self, peer: Address, blob: BlobId) -> bool:
        """Whether this peer may read this blob from here, now."""
        return report.may_read(self.state, peer, blob)

    def status(self, now: float) -> dict[str, Any]:
        """What a person or a program wants to know; see :mod:`.report`."""
        return report.status(self.state, now)

    def _take(self, event: ev.Event, now: float, out: Out) -> None:
        state = self.state
        program = state.program
        match event:
            case ev.ChainAdvanced(view):
                self._chain(view, now, out)
            case ev.BundleFound():
                loading.bundle_found(state, event, now, out)
            case ev.BundleMissing():
                state.finding_at = now
            case ev.TransactionDone("commit") | ev.TransactionFailed("commit"):
                if state.context is not None:
                    state.context.submitting = False
            case ev.TransactionDone(kind, args):
                state.transacting[kind] = now + TRANSACTION_RETRY_SECONDS  # by then the view shows it
                if kind == "here":
                    state.answered_call = args[0]
                elif kind == "call":
                    state.called_at = now
                elif kind == "close":
                    state.closed = True
            case ev.TransactionFailed(kind, text, refused):
                state.transacting[kind] = now + TRANSACTION_RETRY_SECONDS
                raced = refused and kind in ("call", "settle")  # another node was faster
                (out.report if raced else out.warn)(f"transaction {kind} failed: {text}")
                if kind == "join" and refused and not state.join_refused:
                    state.join_refused = True  # the run may have ended meanwhile: look again, once
                    out.append(Refresh())
                elif kind == "join" and refused:
                    why = wishes.above_run(state) or f"this node could not join the run: {text}"
                    fail_program(state, why, now, out)
                elif kind == "close" and refused:
                    state.closed = True
            case ev.ProgramOpened():
                self._opened(event, now, out)
            case ev.ProgramSync():
                self._sync(event, now, out)
            case ev.ProgramMoved(step, total):
                self._moved(step, total, now)
            case ev.ProgramLoaded():
                loading.program_loaded(state, event, now, out)
            case ev.ProgramEnded(reason):
                program.ended = True
                program.pending, program.loading = None, None
                if not program.over and program.failed is None:
                    program.failed = reason or "its session ended before the run was over"
                    program.failed_at, program.left = now, event.left or program.left
                    out.warn(f"the ML program ended: {program.failed}")
                    if state.joined:  # the others need not find out by this node's silence
                        out.send(state.participants(), pulse_for(state, None))
            case ev.PulseArrived(sender, pulse):
                self._pulse(sender, pulse, now, out)
            case ev.PeerSilent(peer, text):
                state.peers.silent(peer, now, text)
            case ev.BlobVerified(blob, size, manifest, odd, where):
                state.transfers.pop(blob, None)
                state.disk_trouble = None
                state.held[blob] = Held(size, manifest, odd, where)
                state.progress += 1
            case ev.BlobFailed(blob, reason, text):
                self._blob_failed(blob, reason, text, now, out)
            case ev.BlobMoved(blob, moved):
                transfer = state.transfers.get(blob)
                if transfer is not None:
                    transfer.bytes, transfer.moved_at, transfer.arrived_at = moved, now, now
                    if moved >= CHUNK_BYTES:  # what is kept whatever happens: failures in a row count, not all of them
                        transfer.failures = 0
                    state.progress += 1
                elif state.context is not None and state.context.showing is not None:
                    state.progress += blob == state.context.showing[1]
            case ev.BlobShown():
                context = state.context
                unshown = showing.hear(context, event) if context is not None else None
                if context is not None and unshown is not None:
                    following.distrust(context, event.peer, unshown, now, out)
            case ev.MergeDone():
                state.disk_trouble = None
                state.held[event.blob] = Held(event.size, event.manifest, event.odd)
                out.stop_fetch(state, event.blob)
                if not remerging.ended(state, event, now, out) and state.context is not None:
                    leading.merge_done(state, state.context, event, now, out)
            case ev.MergeFailed():
                if event.node is None:
                    stranded.disk_refused(state, event.text, now)
                if not remerging.ended(state, event, now, out) and state.context is not None:
                    leading.merge_failed(state, state.context, event, now, out)
            case ev.Tick():
                pass

    def _advance(self, now: float, out: Out) -> None:
        state = self.state
        if state.view is None:
            return
        if state.options_fault is not None and state.program.opened is not None:
            fail_program(state, state.options_fault, now, out)
        elif state.program.opened is not None and state.program.failed is None and (unfit := outers.unfit(state)):
            fail_program(state, unfit, now, out)
        origins.refuse(state, now, out)
        self._join(now, out)
        wishes.tell_min_peers(state, out)
        stranded.watch(state, now, out)
        context = state.context
        if context is not None and state.open():
            following.check_in(state, context, now, out)
            if context.leader() == state.me:
                leading.lead(state, context, now, out)
            else:
                following.acknowledge(state, context, now, out)
                following.watch_leader(state, context, now, out)
            certificates.resubmit(state, context, now, out)
            rescue.rescue(state, context, now, out)
        loading.take_commit(state, now, out)
        loading.load(state, now, out)
        loading.finish(state, now, out)
        send_due(state, now, out)

    # -- the chain -------------------------------------------------------------------------------------

    def _chain(self, view: ev.ChainView, now: float, out: Out) -> None:
        state = self.state
        old = state.view
        if old is not None and history.late(old, view):
            return
        unlike = names.contradiction(state, view)
        if unlike is not None:
            names.refuse_view(state, unlike, now, out)
            return
        state.view, state.refused_view = view, None
        controls.read_options(state, out)
        if old is not None and view.state.run != old.state.run:
            self._reset(old, now, out)
        elif old is not None:
            stranded.note_dropped(state, old)
            history.look_back(state, old, out)
            wishes.insist_on_roster(state, old, now, out)
        if old is None:
            loading.recall_end(state)
            if state.program.pending is not None:
                self._aim()
            history.recall(state)
        if old is None or (view.state.round, view.state.prev) != (old.state.round, old.state.prev):
            self._committed(now, out)
        if view.state.call_id == 0:
            state.answered_call = 0
        if not view.state.started:
            state.context = None
            return
        name = view.state.round_name(state.config.job)
        if view.state.phase is Phase.OPEN and (state.context is None or state.context.name != name):
            self._open_round(now, out)

    def _reset(self, old: ev.ChainView, now: float, out: Out) -> None:
        """Another run has begun: nothing of the old one counts, and a program that was in it cannot go on."""
        state = self.state
        state.context, state.commit, state.complete_at, state.closed = None, None, None, False
        state.call_wanted_since, state.called_at, state.answered_call = None, None, 0
        state.stranded_since = None
        state.dropped.clear()
        state.transacting.clear()
        history.forget(state)
        program, view = state.program, state.view
        if view is not None and view.state.run < old.state.run:
            out.warn(f"the chain was reorganised: the reset to run {old.state.run} is withdrawn", incident="reset")
        elif program.over and not state.finished:
            state.finished = True
            out.append(Finish(0, f"run {old.state.run} is complete; the job was reset since"))
        elif state.me in old.joiners and program.opened is not None:
            text = f"run {old.state.run} was reset before it was complete; start the program again for the new run"
            fail_program(state, text, now, out)

    def _committed(self, now: float, out: Out) -> None:
        state = self.state
        state.commit_seen_at = now
        state.finding_at = None
        history.committed(state, out)

    def _open_round(self, now: float, out: Out) -> None:
        state = self.state
        view = state.view
        assert view is not None
        context = RoundContext(view.state.round_name(state.config.job), view.roster, now, now)
        names.opened(state, context)
        journaled = state.journal.get(context.key)
        if journaled is not None:
            context.restore(journaled, now)
            out.report("going on where the journal ends", round=context.name.round, attempt=context.promised)
        state.context = context
        state.progress += 1
        known = history.certificate_of(state, context)
        if context.certificate is None and known is not None:
            context.certificate, context.certificate_at = known, now
            out.persist(state)
        loading.keep(state, out)
        hurry(state, now)
        ahead, state.ahead = state.ahead, {}
        for pulse in ahead.values():
            following.hear(state, context, pulse, now, out)

    def _join(self, now: float, out: Out) -> None:
        state = self.state
        view, program = state.view, state.program
        assert view is not None
        if program.opened is None or program.failed is not None or program.ended or state.joined:
            return
        above = wishes.above_run(state)
        if above is not None and view.state.phase is Phase.OPEN:
            fail_program(state, above, now, out)
        elif view.state.phase in (Phase.IDLE, Phase.OPEN):
            out.transact(state, now, "join", program.opened.min_peers, state.config.eligible)
        elif view.state.phase is Phase.COMPLETE and state.me not in view.joiners:
            program.failed, program.failed_at = "the run is complete", now
            out.append(
                FailProgram(
                    f"run {view.state.run} of this job is complete; to train again an operator resets the job first "
                    "(swarm reset [JOB]), then the SLs and the programs are started again"
                )
            )

    # -- the program -----------------------------------------------------------------------------------

    def _opened(self, event: ev.ProgramOpened, now: float, out: Out) -> None:
        program = self.state.program
        program.opened = event
        program.synced, program.pending, program.loading = 0, None, None
        program.ended = program.over = program.done = False
        program.failed = None
        program.loaded = program.base = -1
        program.told_min_peers = program.steps_told = False
        program.longest, program.step, program.steps = 0.0, 0, 0
        program.left = Left()
        self.state.program_moved_at = now

    def _sync(self, event: ev.ProgramSync, now: float, out: Out) -> None:
        state = self.state
        program = state.program
        program.pending, program.since = event, now
        program.told_wait = ()
        program.done = event.final
        program.step = program.steps = 0
        program.longest = max(program.longest, now - state.program_moved_at)
        program.synced += 1
        lateness.note_base(state)
        state.program_moved_at = now
        state.held[event.blob] = Held(event.size, event.manifest, event.odd, event.where)
        out.stop_fetch(state, event.blob)
        state.progress += 1
        self._aim()

    def _aim(self) -> None:
        """Which round's commit answers the sync that waits."""
        program, view = self.state.program, self.state.view
        committed = loading.last_round(self.state)
        first = program.synced == 1
        over = view is not None and view.state.phase is Phase.COMPLETE
        after = program.opened.after if program.opened is not None else None
        if first and not over and view is not None and after is not None and after[0] == view.state.run:
            # Its session was cut off. If its update's round is committed meanwhile, it gets the newest model.
            program.waits_for = after[1] + 1
            return
        # A program that starts in the middle of a run, or comes late to its end, gets the newest model as it is.
        program.waits_for = committed if (first or over) and committed >= 0 else committed + 1

    def _moved(self, step: int, total: int, now: float) -> None:
        """A training program that gets on is alive, however long its sync interval."""
        program = self.state.program
        program.steps_told = True
        if (step, total) != (program.step, program.steps):
            program.step, program.steps = step, total
            self.state.program_moved_at = now
            self.state.progress += 1

    # -- the peers -------------------------------------------------------------------------------------

    def _pulse(self, sender: Address, pulse: Any, now: float, out: Out) -> None:
        state = self.state
        view, context = state.view, state.context
        if pulse.node != sender or pulse.job != state.config.job:
            out.warn(f"0x{sender.hex()} sent a pulse that is not about itself or this job: ignored")
            return
        state.peers.heard(sender, now, pulse.progress, pulse.phase, pulse.round, pulse.attempt, pulse.left)
        if view is None:
            return
        theirs = (pulse.run, pulse.round, pulse.epoch)
        ours = (view.state.run, view.state.round, view.state.epoch)
        if theirs > ours:
            if now - state.refreshed_at >= REFRESH_SECONDS:
                state.refreshed_at = now
                out.append(Refresh())
            if sender in state.participants():
                # Its proposal, if any, comes again; the check-in may be all we wait for when that round opens here.
                state.ahead[sender] = replace(pulse, statements=pulse.statements[:3], proposal=None, certificate=None)
        if context is not None and pulse.run == view.state.run:
            following.hear(state, context, pulse, now, out)

    def _blob_failed(self, blob: BlobId, reason: int, text: str, now: float, out: Out) -> None:
        state = self.state
        transfer = state.transfers.get(blob)
        if transfer is None:
            return
        if reason == leading.FAILED_HERE:
            transfer.retry_at = now + REFETCH_SECONDS_MAX
            stranded.disk_refused(state, text, now)
            out.warn(f"could not keep blob 0x{blob.hex()[:16]}: {text}")
            return
        transfer.failures += 1
        transfer.retry_at = now + min(REFETCH_SECONDS * 2.0 ** min(transfer.failures - 1, 10), REFETCH_SECONDS_MAX)
        out.warn(f"could not get blob 0x{blob.hex()[:16]}: {text}", failures=transfer.failures)
        context = state.context
        fatal = reason != leading.REFUSED_UNREACHABLE or transfer.failures >= INPUT_FAILURES_MAX
        if context is None or not fatal or context.leader() != state.me:
            return
        for node in list(context.check_ins):
            signed = context.latest(node)
            asked = node in transfer.sources  # or who names another member's blob could shut that one out
            if signed is not None and signed.statement.blob == blob and node != state.me and asked:
                leading.refuse(state, context, signed.statement, reason, text, now, out)
