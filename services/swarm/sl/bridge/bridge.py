"""The FIFO bridge: serves one ML program at a time over two named pipes (rows F01-F13).

Owns the conversation: frames in and out, the handler's calls, and what happens when a program dies. Order and ids
are ``order``'s, file forms ``forms``'s, descriptors ``link``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarmlearning.client.pipe import frames, messages
from swarmlearning.client.pipe.messages import MessageType, StatusCode

from swarm.core.engine.messages import Left
from swarm.core.errors import LocalFault, OperatorFault, ProgramFault, SwarmFault
from swarm.store.files import lock, room_for

from . import forms
from .api import BridgeState, Handler, LossReport, Merged, SyncCall, SyncDone, tell_nobody
from .forms import Form
from .link import Link, ProgramGone, make_pipe
from .order import NoSession, Order, Phase, session_open
from .syncbody import SyncBody

SPOOL_BYTES = 1 << 20
STATUS_TEXT_MAX = 1000
WAITS_TEXT_MAX = 2000
"""Characters of what a waiting program is told."""
FAILURE_PAUSE_SECONDS = 1.0
TELL_SECONDS = 5.0
"""How long a program may take to read the error that ends its session."""
_OPEN_HEADER = frames.encode_header(MessageType.OPEN_REQUEST, 1)[:-4]
"""What every OpenSession begins with."""
_PROGRESS_HEADER = frames.encode_header(MessageType.PROGRESS, 1)[:-4]


class FifoBridge:
    """Serves ML programs, one after the other, until cancelled.

    Args:
        request_channel: named pipe from the program to the SL; made if missing.
        response_channel: named pipe from the SL to the program; made if missing.
        exchange: folder shared with the program for model files.
        work: private folder of the SL; files handed to the handler lie here.
        handler: the SL's shell.
        log: a structlog-like logger (``info(event, **values)``).
        clock: seconds, for :attr:`state`.
    """

    def __init__(
        self,
        request_channel: Path,
        response_channel: Path,
        exchange: Path,
        work: Path,
        handler: Handler,
        *,
        log: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request, self._response = request_channel, response_channel
        self._exchange, self._work = exchange, work
        self._handler, self._log, self._clock = handler, log, clock
        self._state = BridgeState("not started", clock())
        self._lock: int | None = None

    @property
    def state(self) -> BridgeState:
        """What the bridge waits for, for the waits table."""
        return self._state

    def _now(self, what: str) -> None:
        self._state = BridgeState(what, self._clock())

    def prepare(self) -> None:
        """Make pipes and folders; done by :meth:`run` too.

        Raises:
            OperatorFault: one of them cannot be made or used, or another SL has these pipes.
        """
        try:
            self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as fault:
            raise OperatorFault(f"the folder {self._work} cannot be made: {fault.strerror or fault}") from fault
        forms.prepare_folder(self._exchange)
        make_pipe(self._request)
        make_pipe(self._response)
        if self._lock is None:
            # Two SLs on one pair of pipes would each read half of what a program says.
            name = self._request.with_name(f".{self._request.name}.lock")
            self._lock = lock(
                name,
                f"the pipe {self._request}",
                "give this SL pipes of its own (SL_REQUEST_CHANNEL, SL_RESPONSE_CHANNEL; its program the same)",
            )

    async def run(self) -> None:
        """Serve programs until cancelled.

        Raises:
            OperatorFault: pipes or folders cannot be used.
            Exception: what the handler raised, other than a SwarmFault.
        """
        await asyncio.to_thread(self.prepare)
        try:
            await self._serve()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _serve(self) -> None:
        self._log.info("Opening pipes to communicate with user container ...", request=str(self._request))
        link: Link | None = None
        try:
            while True:
                self._now("waiting for an ML program to open the pipes")
                last, link = link, await Link.open(self._request, self._response, link)
                if last is not None:
                    last.close()
                self._log.info("ml_program_connected")
                while await _Conversation(self, link).serve():
                    pass
                self._log.info("ml_program_disconnected")
                link.rest()
        finally:
            if link is not None:
                link.close()


class _Replaced(Exception):
    """A new program opened a session while an old one's session was open; carries its request."""

    def __init__(self, request: Any) -> None:
        self.request = request


class _Conversation:
    """One program on one link; it may open several sessions, one after the other."""

    def __init__(self, bridge: FifoBridge, link: Link) -> None:
        self._bridge, self._link = bridge, link
        self._handler, self._log = bridge._handler, bridge._log
        self._order = Order()
        self._form = Form.TENSORS
        self._spool: Path | None = None
        self._extended = self._hears_waits = False

    async def serve(self) -> bool:
        """Until the program has gone (False), or broke the rules and may begin anew (True).

        ``ended`` is told once for each open session.
        """
        try:
            await self._talk()
        except ProgramGone:
            if self._order.phase is not Phase.IDLE:
                await self._lost(f"the ML program ended while {self._order.phase.value}, without closing its session")
            elif not self._order.session:
                self._log.warning("ml_program_left", reason="the program opened the pipes but no session")
        except SwarmFault as fault:
            await self._tell(fault)
            await self._failed(str(fault))
            return await self._recover()
        except OSError as error:  # a disk that is full, most likely: the fault of no program, and no end of this SL
            refused = OperatorFault(f"this SL cannot keep what the program hands over: {error}; {room_for(error)}")
            await self._tell(refused)
            await self._failed(str(refused))
            return await self._recover()
        except BaseException as fault:
            verdict = self._handler.verdict()
            text = verdict or "this SL is stopping"
            if isinstance(fault, Exception):
                text = f"internal error: {type(fault).__name__}: {fault}"
            stopping = verdict is None and not isinstance(fault, Exception)
            await self._tell(LocalFault(text), come_back=stopping)
            if not stopping or self._order.phase is not Phase.IDLE:  # else the program has had its last answer
                await self._failed(text)
            raise
        finally:
            if self._spool is not None:
                self._spool.unlink(missing_ok=True)
        return False

    async def _recover(self) -> bool:
        """Skip what a program that failed still sends, up to a new program's first words.

        One that keeps breaking the rules is read once in a while only, so that it cannot spin this process.
        """
        self._bridge._now("waiting for the failed ML program to end, or for a new one")
        try:
            async with asyncio.timeout(FAILURE_PAUSE_SECONDS):
                await self._link.skip_to(_OPEN_HEADER)
        except ProgramGone:
            return False
        except TimeoutError:
            self._log.debug("ml_program_lingers")
        return True

    async def _failed(self, reason: str) -> None:
        self._log.warning("session_failed", reason=reason, session=self._order.session)
        if self._order.phase is not Phase.IDLE:
            self._order.phase = Phase.IDLE
            await self._handler.ended(reason)

    async def _lost(self, reason: str) -> None:
        self._log.warning("session_lost", reason=reason, session=self._order.session)
        self._order.phase = Phase.IDLE
        await self._handler.lost(reason)

    async def _talk(self) -> None:
        while True:
            self._bridge._now(f"waiting for the ML program: {self._order.phase.value}")
            try:
                kind, body = await self._receive()
                if kind is MessageType.OPEN_REQUEST:
                    await self._open(body)
                elif kind is MessageType.KILL:
                    await self._killed(body)
                else:
                    await self._sync(kind, body)
            except _Replaced as new:
                await self._lost("the ML program was replaced by a new one without closing its session")
                await self._open(new.request)

    async def _open(self, request: Any) -> None:
        session = await self._while_alive(self._handler.opened(session_open(request)))
        if not 1 <= len(session) <= 200:
            raise LocalFault(f"a session id has 1 to 200 characters, got {len(session)}")
        self._order.opened(session)
        self._link.told = False
        answer = messages.SessionResponse(sessionID=session)
        self._extended = request.extension >= messages.EXTENSION_PROGRESS
        self._hears_waits = request.extension >= messages.EXTENSION_WAITS
        if self._extended:
            answer.extension = messages.EXTENSION
        answer.status.CopyFrom(_ok())
        await self._send(MessageType.OPEN_RESPONSE, answer)

    async def _killed(self, request: Any) -> None:
        self._order.killed(request.sessionID)
        reason = request.reason
        self._order.phase = Phase.IDLE
        text = None if reason.code == StatusCode.OK else f"the ML program gave up: {reason.msg[:STATUS_TEXT_MAX]}"
        self._log.info("session_killed", session=request.sessionID, reason=reason.msg[:STATUS_TEXT_MAX])
        if text is None:
            await self._handler.ended(None)
        else:
            await self._handler.ended(text, left_of(request))

    async def _sync(self, kind: MessageType, body: SyncBody) -> None:
        final = kind is MessageType.CLOSE_REQUEST
        self._order.syncing(kind, body.session, body.number, body.weightage, body.weightage_max)
        self._form = body.form
        target = self._bridge._work / f"handed-over-{secrets.token_hex(8)}.safetensors"
        await asyncio.to_thread(forms.take, body.form, self._bridge._exchange, self._spool, body.field, target)
        if self._spool is not None:
            self._spool.unlink(missing_ok=True)
            self._spool = None
        self._bridge._now(f"the SL works on {kind.name} {body.number}")
        tell = self._waits_for if self._hears_waits else tell_nobody
        call = SyncCall(body.number, body.weightage, final, target, tell)
        done: SyncDone = await self._while_alive(self._handler.sync(call, self._evaluate))
        if done.next_interval < 1:
            raise LocalFault(f"the next interval is {done.next_interval}: 0 would end syncing for good (K14)")
        answer = messages.SyncResponse(
            sessionID=self._order.session,
            syncSeqNum=body.number,
            nextSyncInterval=done.next_interval,
            trainingOver=done.training_over,
        )
        if self._extended:
            answer.record = done.record
        answer.status.CopyFrom(_ok())
        await self._send(MessageType.CLOSE_RESPONSE if final else MessageType.SYNC_RESPONSE, answer)
        self._order.synced(final=final)
        if final:
            await self._handler.ended(None)

    async def _waits_for(self, text: str, /) -> None:
        """Tell the program whom the swarm waits for; nothing is answered."""
        report = messages.ProgressReport(sessionID=self._order.session, waitsFor=text[:WAITS_TEXT_MAX])
        await self._send(MessageType.PROGRESS, report)

    async def _evaluate(self, merged: Path, what: Merged | None = None, /) -> LossReport:
        """Make the program load ``merged`` and report on it; the file stays the caller's."""
        order = self._order
        number = order.evaluating()
        request = messages.LossRequest(sessionID=order.session, syncSeqNum=order.sync_number, lossSeqNum=number)
        if what is not None and self._extended:
            request.swarm, request.run, request.round, request.blob = what.swarm, what.run, what.round, what.blob
            request.differs, request.differsLater = what.differs, what.differs_later
        if self._form is Form.INLINE:
            size, parts = await asyncio.to_thread(
                forms.give_inline, merged, messages.encode(request), frames.INLINE_BYTES_MAX
            )
            await self._link.write([frames.encode_header(MessageType.LOSS_REQUEST, size), *parts])
        else:
            give, name = {
                Form.TENSORS: (forms.give_tensors, forms.MERGED_TENSORS),
                Form.PICKLE: (forms.give_pickle, forms.MERGED_PICKLE),
            }[self._form]
            await asyncio.to_thread(give, merged, self._bridge._exchange)
            request.fileName = name
            await self._send(MessageType.LOSS_REQUEST, request)
        self._bridge._now("waiting for the ML program to evaluate the merged model")
        _, answer = await self._receive()
        report = order.reported(answer)
        if self._form is not Form.TENSORS:
            report = forms.of_original(report)
        self._bridge._now("the SL works on the sync")
        return report

    async def _while_alive(self, work: Any) -> Any:
        """Run a handler's call; cancel it when the program goes or speaks out of turn.

        Raises what the call raises, or ProgramGone, ProgramFault, _Replaced.
        """
        task = asyncio.ensure_future(work)
        watch = asyncio.ensure_future(self._interrupted())
        try:
            await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            for one in (task, watch):
                one.cancel()
            await asyncio.gather(task, watch, return_exceptions=True)
        if self._link.gone.is_set():
            raise ProgramGone
        kind, _ = await self._receive()
        raise ProgramFault(f"the program sent {kind.name} while {self._order.phase.value}")

    async def _interrupted(self) -> None:
        """Until the program goes, or speaks while it has to wait for its sync."""
        while not self._link.gone.is_set():
            if self._order.phase is Phase.SYNCING and self._link.unread and not self._skip_progress():
                return
            await self._link.change()

    def _skip_progress(self) -> bool:
        """Drop what a program says of itself while it waits; False if it says anything else."""
        while head := self._link.peek(frames.HEADER_BYTES):
            if not head.startswith(_PROGRESS_HEADER[: len(head)]):
                return False
            if len(head) < frames.HEADER_BYTES:
                break  # the rest of the header is to come
            size = int.from_bytes(head[-4:], "little")
            if size > frames.BODY_BYTES_MAX:
                return False
            if len(self._link.peek(frames.HEADER_BYTES + size)) < frames.HEADER_BYTES + size:
                break
            self._link.take(frames.HEADER_BYTES + size)
        return True

    def _progress(self, report: Any) -> None:
        order, bridge = self._order, self._bridge
        if order.phase is not Phase.OPEN or report.sessionID != order.session or not 0 <= report.step <= report.total:
            return  # said before a sync was asked for, or by a program that is replaced
        if report.total > 0:
            self._handler.moved(report.step, report.total)
            done = f"batch {report.step} of {report.total} before the next sync"
            epochs = f", {report.epochsdone} of {report.totalepochs} epochs done" if report.totalepochs > 0 else ""
            what = f"waiting for the ML program: {order.phase.value}, {done}{epochs}"
            bridge._state = BridgeState(what, bridge._state.since)

    # ---- frames

    async def _receive(self) -> tuple[MessageType, Any]:
        try:
            while True:
                header = frames.decode_header(await self._link.read_exactly(frames.HEADER_BYTES), inline=True)
                self._order.admit(header.type)
                if header.type is not MessageType.PROGRESS:
                    break
                self._progress(frames.decode_body(header.type, await self._link.read_exactly(header.size)))
            if header.type is MessageType.OPEN_REQUEST and self._order.phase is not Phase.IDLE:
                raise _Replaced(frames.decode_body(header.type, await self._link.read_exactly(header.size)))
            if header.type in (MessageType.SYNC_REQUEST, MessageType.CLOSE_REQUEST):
                return header.type, await self._receive_sync(header.size)
            body = await self._link.read_exactly(header.size)
            return header.type, frames.decode_body(header.type, body)
        except frames.FrameError as fault:
            raise ProgramFault(f"the program broke the pipe's rules: {fault}") from fault

    async def _receive_sync(self, size: int) -> SyncBody:
        if size <= frames.BODY_BYTES_MAX:
            raw = await self._link.read_exactly(size)
            found = SyncBody.parse(memoryview(raw))
            if found.form is Form.INLINE:
                self._spool = self._spool_path()
                await asyncio.to_thread(self._spool.write_bytes, raw)
            return found
        self._spool = self._spool_path()
        left = size
        with await asyncio.to_thread(open, self._spool, "w+b") as file:
            while left:
                piece = bytearray()
                while left > len(piece) and len(piece) < SPOOL_BYTES:
                    piece += await self._link.read_some(left - len(piece))
                left -= len(piece)
                await asyncio.to_thread(file.write, piece)
        return await asyncio.to_thread(SyncBody.parse, forms.mapped(self._spool))

    def _spool_path(self) -> Path:
        return self._bridge._work / "message.spool"

    async def _send(self, kind: MessageType, message: Any) -> None:
        await self._link.write(frames.frame(kind, message))

    async def _tell(self, fault: SwarmFault, *, come_back: bool = False) -> None:
        """Say what went wrong to a program that may be gone or deaf; ``come_back``: it may open a new session.

        Not again while it has yet to read the last error: the next program would find the second.
        """
        if self._link.told and self._link.unheard:
            return
        self._link.told = True
        code = StatusCode.ERROR_IN_USER if isinstance(fault, ProgramFault) else StatusCode.ERROR_IN_SL
        status = messages.Status(code=int(code), msg=str(fault)[:STATUS_TEXT_MAX])
        status.comeBack = come_back or isinstance(fault, NoSession)
        with contextlib.suppress(ProgramGone, TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await self._send(MessageType.STATUS, status)


def _ok() -> Any:
    return messages.Status(code=int(StatusCode.OK), msg="StatusOK")


def left_of(request: Any) -> Left:
    """What a program says of its own end; what is no exit code or no name of a class counts as not known."""
    try:
        return Left(request.exitCode or None, request.exception or None)
    except ValueError:
        return Left()
