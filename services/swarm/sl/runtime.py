"""One job's engine at work: feeds it events in order, carries out its actions, one after the other.

Owns order and durability (a Persist is on disk before the next action begins, and before any answer to a peer);
decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from swarm.chain.training import Training
from swarm.core.bundle import Bundle
from swarm.core.engine import Engine
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.leading import REFUSED_MANIFEST, REFUSED_NOT_FINITE, REFUSED_UNREADABLE
from swarm.core.engine.messages import Pulse
from swarm.core.errors import ChainFault, LocalFault, OperatorFault, Reverted, SwarmFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.statements import to_fixed
from swarm.net.answers import ApiError
from swarm.obs import log as obs_log
from swarm.store.blobs import BlobStore
from swarm.store.journal import Journal

from .directory import Members
from .mergework import MergeOptions, merge_inputs
from .modelfiles import UnusableInput
from .outcome import record_text
from .peering import Peering
from .program import Program
from .schemas import Schemas
from .sweeping import Sweeper
from .timeline import Timeline
from .transfers import Transfers, look_at
from .watch import ChainWatch

log = obs_log.get("swarm.SL")

EVENTS_MAX = 10_000
"""Events waiting for the engine; peers are answered 'busy' long before (net.server bounds them)."""
TICK_SECONDS = 0.25
STRANGER_LOOK_SECONDS = 0.25
"""At most this often does a member that is not known to be joined make this node look at the chain."""
ENGINE_PREFIX = "engine/"
_ALREADY_DONE = ("TrainingAlreadyJoined", "TrainingAlreadyAnswered", "TrainingAlreadyClosed")
_KINDS = {
    "unreadable": REFUSED_UNREADABLE,
    "manifest": REFUSED_MANIFEST,
    "not_finite": REFUSED_NOT_FINITE,
    "far": REFUSED_NOT_FINITE,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How this node's part in the run ended."""

    exit_code: int
    text: str


class JobRuntime:
    """Runs one engine until its part in the run is over."""

    def __init__(
        self,
        job: Digest,
        job_name: str,
        make_engine: Callable[[dict[str, Any]], Engine],
        training: Training,
        own_uri: str,
        journal: Journal,
        store: BlobStore,
        members: Members,
        program: Program,
        timeline: Timeline,
        merging: MergeOptions,
    ) -> None:
        self.job, self.job_name = job, job_name
        self.timeline, self._merging = timeline, merging
        self._norms: dict[str, Any] | None = None
        self._training, self._own_uri = training, own_uri
        self._journal, self._store, self._members, self._program = journal, store, members, program
        kept = {key: json.loads(value) for key, value in journal.items(ENGINE_PREFIX)}
        self._engine = make_engine(kept)
        self._events: asyncio.Queue[tuple[ev.Event, asyncio.Future[Pulse] | None]] = asyncio.Queue(EVENTS_MAX)
        self._jobs: set[asyncio.Task[None]] = set()
        self._watch: ChainWatch | None = None
        self._peering: Peering | None = None
        self._transfers: Transfers | None = None
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._submitted: dict[int, float] = {}
        self._proposed: dict[int, float] = {}
        self._pulling: dict[BlobId, float] = {}
        self._sweeper = Sweeper(store)
        self._looked_at = -STRANGER_LOOK_SECONDS
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        """Of its own: models being hashed, or a silent name server, take all shared threads; promises must not wait."""

    def attach(self, watch: ChainWatch, peering: Peering, transfers: Transfers) -> None:
        self._watch, self._peering, self._transfers = watch, peering, transfers
        self.schemas = Schemas(self._engine.state.participants, peering.ask)

    # -- what comes in ---------------------------------------------------------------------------------

    def deliver(self, event: ev.Event) -> None:
        """Queue an event (event loop's thread only)."""
        if self._events.full():
            raise LocalFault(f"{EVENTS_MAX} events wait for the engine; this node is overwhelmed")
        self._events.put_nowait((event, None))

    async def view(self, view: ev.ChainView) -> None:
        self.deliver(ev.ChainAdvanced(view))

    async def holder(self, spki: Digest) -> Address | None:
        return await self._members.holder(spki, self._watch.block_time if self._watch else 0)

    def takes_part(self, node: Address) -> bool:
        """Whether this member is joined to the job; if not yet for all we know, the chain is looked at again."""
        view = self._engine.state.view
        if view is not None and (view.joined(node) or node in view.roster):
            return True
        now = time.monotonic()
        if self._watch is not None and now - self._looked_at >= STRANGER_LOOK_SECONDS:
            self._looked_at = now
            self._watch.wake()
        return False

    async def pulse(self, sender: Address, pulse: Pulse) -> Pulse:
        """Take in a peer's pulse; the answer is ours, after everything it made us promise is on disk."""
        if self.ended.done():
            raise ApiError(503, "stopping", "this node is stopping")
        answer: asyncio.Future[Pulse] = asyncio.get_running_loop().create_future()
        await self._events.put((ev.PulseArrived(sender, pulse), answer))
        return await answer

    def may_read(self, reader: Address, blob: BlobId) -> bool:
        return self._engine.may_read(reader, blob)

    def schema(self, sender: Address, body: Any) -> dict[str, Any]:
        """A member says what its data look like; the answer is what this site's do. ValueError: it is none."""
        return self.schemas.answer(sender, body)

    @property
    def strict(self) -> bool:
        """Whether this node or its job trains with everybody as agreed, or not at all."""
        return self._engine.state.config.strict or self._engine.state.options.strict

    def open_round(self) -> int:
        view = self._engine.state.view
        return view.state.round if view is not None else 0

    def open_run(self) -> int:
        """Number of the run, 0 while the chain was not read yet."""
        view = self._engine.state.view
        return view.state.run if view is not None else 0

    def joined_run(self) -> int:
        """Number of the run that this node joined for a program that has opened a session here; 0 if there is none."""
        state = self._engine.state
        return state.view.state.run if state.joined and state.view and state.program.opened is not None else 0

    @property
    def swarm(self) -> str:
        """What no other swarm has: the domain of the contract's statements, 64 hex digits."""
        return bytes(self._training.domain).hex()

    def status(self) -> dict[str, Any]:
        return {"job": self.job_name, **self._engine.status(time.monotonic()), "norms": self._norms}

    def height(self) -> int:
        """Number of the newest block seen, 0 before the first."""
        return self._watch.head if self._watch is not None else 0

    def figures(self) -> dict[str, Any]:
        """Values for :data:`swarm.obs.metrics.FIGURES`."""
        now, state = time.monotonic(), self._engine.state
        view, context = state.view, state.context
        others = state.participants()
        found: dict[str, Any] = {
            "swarm_queue_depth": {"engine": self._events.qsize(), "work": len(self._jobs)},
            "swarm_chain_height": self.height(),
            "swarm_peers": len(others),
            "swarm_peers_live": sum(1 for n in others if state.peers.heard_within(n, now, state.config.live_seconds)),
            "swarm_rounds_loaded_total": state.merged_rounds,
            "swarm_epochs_done": state.program.epochs_done,
        }
        if self._watch is not None:
            found["swarm_chain_head_age_seconds"] = now - self._watch.head_at
        if view is not None:
            found |= {"swarm_run": view.state.run, "swarm_round": view.state.round}
        if context is not None:
            leads = state.open() and context.leader() == state.me
            found |= {"swarm_attempt": context.promised, "swarm_leading": float(leads)}
        return found

    def record(self) -> str:
        """What the run came to, for the ML program's result file."""
        state = self._engine.state
        rounds = self._watch.own_rounds(self.open_run()) if self._watch is not None else ()
        return record_text(state, rounds)

    def final(self) -> BlobId | None:
        """The run's final model, once this node's program has loaded it."""
        state = self._engine.state
        if state.view is None or not state.program.over:
            return None
        return state.view.state.prev

    # -- the loop --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle events until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(TICK_SECONDS):
                        event, answer = await self._events.get()
                except TimeoutError:
                    event, answer = ev.Tick(), None
                try:
                    self._note(event)
                    actions = self._engine.handle(event, time.monotonic())
                    if isinstance(event, ev.ProgramSync):
                        self._program.taking_in = False  # the engine holds it now
                    for action in actions:
                        await self._do(action)
                    if answer is not None and not answer.done():
                        assert isinstance(event, ev.PulseArrived)
                        answer.set_result(self._engine.pulse_for(event.sender))
                finally:
                    _stop_waiting(answer)
        finally:
            while not self._events.empty():
                _stop_waiting(self._events.get_nowait()[1])
            for task in self._jobs:
                task.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)
            self._writer.shutdown(wait=False)

    def _note(self, event: ev.Event) -> None:
        state = self._engine.state
        if isinstance(event, ev.ChainAdvanced) and state.view is not None:
            before, after = state.view.state, event.view.state
            if after.run == before.run and after.round > before.round:
                last = after.round - 1
                self.timeline.mark(last, "merged_at")
                sent_at = self._submitted.pop(last, None)
                if sent_at is not None:
                    self.timeline.add(last, "chain", time.monotonic() - sent_at)
                role = "FOLLOWER" if sent_at is None else "ADMIN"
                log.info(f"SMLBB:RV:{role}:{self.job_name}:{last}:CHECKOUT:DONE")
                log.info(f"SMLBB:WAITFORSYNC:{self.job_name}:updated current Sync id : {after.round}")
        elif isinstance(event, ev.BlobVerified | ev.BlobFailed):
            began, context = self._pulling.pop(event.blob, None), state.context
            if began is not None and context is not None:
                inputs = {s.statement.blob for by in context.check_ins.values() for s in by.values()}
                phase = "pull" if event.blob in inputs else "push"
                self.timeline.add(context.name.round, phase, time.monotonic() - began)

    async def _do(self, action: act.Action) -> None:
        assert self._peering is not None
        assert self._transfers is not None
        match action:
            case act.Persist(entries):
                puts = {k: json.dumps(v, separators=(",", ":")).encode() for k, v in entries.items() if v is not None}
                deletes = [k for k, v in entries.items() if v is None]
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._writer, self._journal.batch, puts, deletes)
                self._note_promises()
            case act.Send(to, pulse):
                for node in to:
                    self._peering.send(node, pulse)
            case act.Fetch(blob, size, sources):
                self._pulling.setdefault(blob, time.monotonic())
                self._transfers.start(blob, size, sources)
            case act.StopFetch(blob):
                self._pulling.pop(blob, None)
                self._transfers.stop(blob)
            case act.LetShow(blob, size, peer):
                self._transfers.let_show(blob, size, peer)
            case act.Merge():
                self._spawn(self._merge(action))
            case act.Submit(bundle):
                self._spawn(self._submit(bundle))
            case act.Transact(kind, args):
                self._spawn(self._transact(kind, args))
            case act.FindBundle(run, round_):
                self._spawn(self._find(run, round_))
            case act.Refresh():
                self._spawn(self._refresh())
            case act.LoadProgram() | act.AnswerProgram() | act.FailProgram() | act.TellProgram():
                self._program.wish(action)
            case act.Keep(blobs):
                self._spawn(self._sweep(blobs))
            case act.Report(level, text, values):
                getattr(log, level)(text, **values)
            case act.Finish(code, text):
                if not self.ended.done():
                    self.ended.set_result(Ended(code, text))

    def _note_promises(self) -> None:
        context = self._engine.state.context
        if context is None:
            return
        own = self._engine.state.own_check_in()
        if own is not None and self.timeline.mark(own.name.round, "check_in_at"):
            log.info(f"SMLBB:CHKIN:{self.job_name}:{own.name.round}:Checkin Done")
        round_, now = context.name.round, time.monotonic()
        if context.proposal is not None and self.timeline.mark(round_, "proposed_at"):
            self._proposed[round_] = now
        if context.certificate is not None and round_ in self._proposed:
            self.timeline.add(round_, "ack", now - self._proposed.pop(round_))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except SwarmFault as fault:
            log.warning(str(fault))
        except Exception as error:
            # A bug here must end the node with a reason, never leave it half alive.
            log.exception("this node failed")
            if not self.ended.done():
                self.ended.set_result(Ended(1, f"internal error: {error!r}"))

    # -- the work --------------------------------------------------------------------------------------

    async def _merge(self, action: act.Merge) -> None:
        began = time.monotonic()
        name = action.name
        nodes = [node for node, _, _ in action.inputs]
        log.info("Merging in SL container ...", round=name.round, models=len(nodes))
        try:
            merged = await asyncio.to_thread(merge_inputs, self._store, action, self._merging)
            self.timeline.add(name.round, "merge", time.monotonic() - began)
            began = time.monotonic()
            blob, chunks = await asyncio.to_thread(self._store.add_file, merged.path, move=True)
            held = await asyncio.to_thread(look_at, self._store.path(blob))
            self.timeline.add(name.round, "hash", time.monotonic() - began)
        except UnusableInput as fault:
            node = nodes[fault.index]
            self.deliver(ev.MergeFailed(name, action.attempt, node, _KINDS[fault.kind], str(fault)))
        except (LocalFault, OperatorFault, OSError) as fault:
            self.deliver(ev.MergeFailed(name, action.attempt, None, 0, str(fault)))
        else:
            if self._engine.state.remerge is None:
                self.timeline.mark(name.round, "leader", True)
            shares = merged.coefficients
            self.deliver(ev.MergeDone(name, action.attempt, blob, chunks.size, held.manifest, shares, held.odd))
            if merged.norms is not None:
                self._norms = {"round": name.round, "from_previous": merged.norms}
                log.info("how far the contributions lie from the model before", round=name.round, **merged.norms)

    async def _submit(self, bundle: Bundle) -> None:
        self._submitted.setdefault(bundle.name.round, time.monotonic())
        merged_from = sum(1 for i in bundle.items if i.check_in.weight)
        log.info(f"SMLBB:RV:ADMIN:{self.job_name}:{bundle.name.round}", contributors=merged_from)
        try:
            await self._training.commit([bundle])
        except Reverted as fault:
            if fault.name != "TrainingWrongRound":  # another one was faster: the same result is recorded
                log.warning(str(fault), round=bundle.name.round)
            self.deliver(ev.TransactionFailed("commit", str(fault), refused=True))
        except ChainFault as fault:
            log.warning(str(fault), round=bundle.name.round)
            self.deliver(ev.TransactionFailed("commit", str(fault), refused=False))
        else:
            self.deliver(ev.TransactionDone("commit", (bundle.name.round,)))
        await self._refresh()

    async def _transact(self, kind: str, args: tuple[Any, ...]) -> None:
        view = self._engine.state.view
        assert view is not None
        run = view.state.run
        try:
            match kind:
                case "join":
                    await self._training.join(self.job, self._own_uri, args[0], eligible=args[1])
                    log.info("Registration with Node DB is successful", job=self.job_name)
                case "leave":
                    await self._training.leave(self.job)
                case "call":
                    await self._training.call(self.job, run, args[0], args[1])
                case "here":
                    await self._training.here(self.job, args[0], args[1])
                case "settle":
                    await self._training.settle(self.job, args[0])
                case "close":
                    await self._training.close(self.job, run, to_fixed(args[0]), to_fixed(args[1]))
        except Reverted as fault:
            if fault.name in _ALREADY_DONE:
                self.deliver(ev.TransactionDone(kind, args))
            else:
                self.deliver(ev.TransactionFailed(kind, str(fault), refused=True))
        except ChainFault as fault:
            self.deliver(ev.TransactionFailed(kind, str(fault), refused=False))
        else:
            self.deliver(ev.TransactionDone(kind, args))
        await self._refresh()

    async def _find(self, run: int, round_: int) -> None:
        assert self._watch is not None
        try:
            self.deliver(ev.BundleFound(await self._watch.bundle(run, round_)))
        except ChainFault as fault:
            log.info(f"looking for the commit of round {round_}: {fault}")
            self.deliver(ev.BundleMissing(run, round_))

    async def _refresh(self) -> None:
        assert self._watch is not None
        self._watch.wake()

    async def _sweep(self, needed: frozenset[BlobId]) -> None:
        assert self._transfers is not None
        if self._program.taking_in:
            return
        try:
            await self._sweeper.sweep(lambda: needed | self._engine.state.held.keys(), self._transfers.running)
        except OSError as error:
            log.warning(f"model files that nobody needs stay on disk until the next round: {error}")


def _stop_waiting(answer: asyncio.Future[Pulse] | None) -> None:
    if answer is not None and not answer.done():
        answer.set_exception(ApiError(503, "stopping", "this node is stopping"))
