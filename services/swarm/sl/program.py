"""The ML program's side of an SL: turns the bridge's calls into engine events, and the engine's wishes into answers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarmlearning import tensorfile

from swarm.core.engine.actions import AnswerProgram, FailProgram, LoadProgram, TellProgram
from swarm.core.engine.events import Event, ProgramEnded, ProgramLoaded, ProgramMoved, ProgramOpened, ProgramSync
from swarm.core.engine.messages import Left
from swarm.core.errors import LocalFault, ProgramFault
from swarm.core.ids import BlobId
from swarm.core.merge import get as merge_method
from swarm.obs import log as obs_log
from swarm.obs.waits import iso
from swarm.store.blobs import BlobStore
from swarm.store.files import room_for

from .bridge import Evaluate, Merged, SessionOpen, SyncCall, SyncDone
from .merging import look_ahead
from .oddities import negative_variance
from .schemas import Schemas, told
from .timeline import Timeline
from .transfers import look_at

log = obs_log.get("swarm.SL")

Wish = LoadProgram | AnswerProgram | FailProgram | TellProgram
WISHES_MAX = 16
DIFFERENCES_TOLD = 5
"""So many differences between two models are told to a program."""
RETURN_SECONDS = 30.0
"""How long a program that went away without a word may take to come back; then this node leaves the run."""


@dataclass(slots=True)
class Target:
    """The job runtime that a session feeds: where events go, and what is open there; ``swarm`` is 64 hex digits."""

    deliver: Callable[[Event], None]
    timeline: Timeline
    open_round: Callable[[], int]
    open_run: Callable[[], int]
    swarm: str
    record: Callable[[], str]
    """What the run came to, for the program."""
    schemas: Schemas
    strict: Callable[[], bool]


class Program:
    """The bridge's handler. One session at a time.

    Args:
        take_part: finds or makes the runtime of a job; raises a SwarmFault the program is told.
        method: name of the merge method used where the program asks for one.
        return_seconds: how long a program that vanished may take to come back.
    """

    def __init__(
        self,
        store: BlobStore,
        take_part: Callable[[str], Awaitable[Target]],
        method: Callable[[str], str] = str.lower,
        *,
        return_seconds: float = RETURN_SECONDS,
    ) -> None:
        self._store, self._take_part, self._return_seconds = store, take_part, return_seconds
        self._method = method
        self._compared = False
        self.taking_in = False
        """A model of the program lies in the store, or will at once, and the engine does not know it yet."""
        self._giving_up: asyncio.TimerHandle | None = None
        self._verdict: str | None = None
        self._target: Target | None = None
        self._session: SessionOpen | None = None
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue(WISHES_MAX)

    def wish(self, wish: Wish) -> None:
        """The engine wants something of the program."""
        if isinstance(wish, TellProgram) and self._wishes.qsize() >= WISHES_MAX // 2:
            return  # a program that evaluates hears it later, or not at all; the waits table has it
        if self._wishes.full():
            raise LocalFault(f"{WISHES_MAX} wishes wait for the ML program; the engine repeats itself")
        if isinstance(wish, FailProgram):
            self._verdict = wish.text
        self._wishes.put_nowait(wish)

    async def opened(self, request: SessionOpen) -> str:
        method = self._method(request.merge_method)
        merge_method(method)  # or the program hears at once that there is none
        self._target = await self._take_part(request.job)
        self._keep_waiting_no_more()
        self._session, self._verdict = request, None
        self._target.schemas.hold(request.schema)
        self._compared = False
        self._wishes = asyncio.Queue(WISHES_MAX)
        if request.after is None:
            log.info("Starting Swarm Learning Training", job=request.job, min_peers=request.min_peers)
        else:
            run, round_ = request.after
            log.info("the ML program goes on with its session", job=request.job, run=run, trained_from_round=round_)
        self._target.deliver(
            ProgramOpened(
                min_peers=request.min_peers,
                sync_interval=request.sync_interval,
                method=method,
                checkin_mode=request.checkin_mode,
                after=request.after,
                adaptive=request.adaptive,
            )
        )
        return secrets.token_hex(8)

    async def sync(self, call: SyncCall, evaluate: Evaluate) -> SyncDone:
        target, session = self._running()
        began = time.monotonic()
        self.taking_in = True
        try:
            header = tensorfile.read_header(call.path)
            blob, chunks = await asyncio.to_thread(self._store.add_file, call.path, move=True)
            held = await asyncio.to_thread(look_at, self._store.path(blob))
            wrong = await asyncio.to_thread(negative_variance, self._store.path(blob))
        except BaseException as fault:
            self.taking_in = False
            if isinstance(fault, OSError):
                raise LocalFault(f"this SL cannot keep the program's model: {fault}; {room_for(fault)}") from fault
            if not isinstance(fault, tensorfile.TensorFileError):
                raise
            raise ProgramFault(f"the model file of the ML program cannot be used: {fault}") from fault
        if wrong:
            self.taking_in = False
            raise ProgramFault(
                f"this program's model holds a variance below zero, with which it computes NaN: {wrong}. "
                "Look at how that tensor is made at this site; nothing of it was shared"
            )
        round_ = target.open_round()
        target.timeline.add(round_, "hash", time.monotonic() - began)
        target.deliver(
            ProgramSync(
                seq=call.seq,
                final=call.final,
                blob=blob,
                size=chunks.size,
                manifest=held.manifest,
                weight=call.weightage,
                odd=held.odd,
                where=held.where,
            )
        )
        while True:
            wish = await self._wishes.get()
            if isinstance(wish, LoadProgram):
                await self._load(target, header, wish, evaluate)
            elif isinstance(wish, FailProgram):
                raise ProgramFault(wish.text + self._unlike(header, wish.unlike))
            elif isinstance(wish, TellProgram):
                await call.tell(_with_times(wish))
            elif wish.seq == call.seq:
                record = target.record() if wish.training_over else ""
                return SyncDone(wish.interval or session.sync_interval, wish.training_over, record)

    async def _load(self, target: Target, own: tensorfile.Header, wish: LoadProgram, evaluate: Evaluate) -> None:
        path, made = self._store.path(wish.blob), None
        differences = tensorfile.read_header(path).differences(own)
        if differences:
            raise ProgramFault(
                f"this program's model is not the swarm's: {'; '.join(differences[:DIFFERENCES_TOLD])}. All programs of"
                " a job must build the same model with the same framework"
            )
        began = time.monotonic()
        differs = await self._differences(target)
        later = told(target.schemas.unsaid())
        what = Merged(target.swarm, target.open_run(), wish.round, wish.blob.hex(), differs, later)
        if wish.outer is not None and wish.before is not None:
            made = self._store.scratch("ahead")
            await asyncio.to_thread(look_ahead, path, self._store.path(wish.before), wish.outer, made)
        try:
            report = await evaluate(made or path, what)
        finally:
            if made is not None:
                made.unlink(missing_ok=True)
        target.timeline.add(wish.round, "load", time.monotonic() - began)
        target.timeline.mark(wish.round, "loaded_at")
        done, total = report.epochs_done, report.epochs_total
        target.deliver(ProgramLoaded(wish.round, report.loss, report.metric, done, total, report.own_figure))

    def _unlike(self, own: tensorfile.Header, blob: BlobId | None) -> str:
        """How the program's tensors differ from a blob's, the first of them; nothing if that cannot be told."""
        if blob is None:
            return ""
        try:
            found = tensorfile.read_header(self._store.path(blob)).differences(own)
        except (tensorfile.TensorFileError, OSError):
            return ""  # swept meanwhile: the sentence stands without
        return ": " + "; ".join(found[:DIFFERENCES_TOLD]) if found else ""

    async def _differences(self, target: Target) -> str:
        """Before a session's first merged model: how other sites' data differ from this one's."""
        if self._compared:
            return ""
        self._compared = True
        found = told(await target.schemas.compare())
        if found and target.strict():
            raise ProgramFault(f"this site or its job is strict, and {found}")
        return found

    async def ended(self, reason: str | None, left: Left | None = None) -> None:
        target, _ = self._running()
        self._target = self._session = None
        if reason is not None:
            log.error("the ML program failed", reason=reason)
        target.deliver(ProgramEnded(reason, left))

    async def lost(self, reason: str) -> None:
        target, _ = self._running()
        self._keep_waiting_no_more()
        log.warning(
            f"the ML program went away; this node leaves the run if it is not back in {self._return_seconds:g} s",
            reason=reason,
        )

        def give_up() -> None:
            self._target = self._session = self._giving_up = None
            log.error("the ML program failed", reason=reason)
            target.deliver(ProgramEnded(reason))

        self._giving_up = asyncio.get_running_loop().call_later(self._return_seconds, give_up)

    def _keep_waiting_no_more(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def moved(self, step: int, total: int) -> None:
        target, _ = self._running()
        target.deliver(ProgramMoved(step, total))

    def verdict(self) -> str | None:
        return self._verdict

    def _running(self) -> tuple[Target, SessionOpen]:
        if self._target is None or self._session is None:
            raise LocalFault("the bridge speaks of a session that was never opened")
        return self._target, self._session


def _with_times(wish: TellProgram) -> str:
    """The sentence with its times of the day: a program repeats it for as long as it holds."""
    if not wish.text:
        return ""
    now = time.time() - time.monotonic()
    ends = "" if wish.until is None else f", until {iso(now + wish.until)}"
    return f"{wish.text} (since {iso(now + wish.since)}{ends})"
