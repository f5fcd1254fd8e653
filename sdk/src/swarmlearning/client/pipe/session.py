"""One swarm session of an ML program: open, sync, close, as messages and tensor files.

Owns message order, sequence numbers, the exchange folder on the program's side, and going on after the SL was away;
the pipe itself is ``channel``'s, the model the callback's.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy.typing as npt

from ... import tensorfile
from .channel import Channel, ChannelError, SlAbsent, SlLost
from .lastreference import LastReference
from .messages import (
    EXTENSION,
    EXTENSION_PROGRESS,
    EXTENSION_WEIGHT,
    KillSessionRequest,
    LossResponse,
    MessageType,
    ProgressReport,
    SessionRequest,
    Status,
    StatusCode,
    SyncRequest,
)
from .places import channel_paths, channel_wait_seconds, exchange_dir

__all__ = [
    "MERGED_NAME",
    "TRAINED_NAME",
    "LossResult",
    "MergedModel",
    "Session",
    "SessionSettings",
]

TRAINED_NAME = "trained_weights.safetensors"
MERGED_NAME = "merged_weights.safetensors"
NUMBER_OF_NODES = 1
WEIGHTAGE_MAX = 100
"""What the original's field may hold; more goes into this project's own."""
STATUS_TEXT_MAX = 1000
DIFFERENCES_CHARS_MAX = 20_000
WAITS_CHARS_MAX = 2000
REOPEN_PAUSE_SECONDS = 0.5
KNOCK_SECONDS = 0.2
"""How long a training program looks for an SL that is back: an SL finds a program within 0.05 s."""
OPEN_ANSWER_SECONDS = 10.0
"""How long a training program waits for an SL that is back to open its session; else it tries again later."""
STEADY_SECONDS = 60.0
LOSSES_MAX = 20
"""How often in a row an SL may go away within STEADY_SECONDS of a session's start."""


@dataclass(frozen=True)
class SessionSettings:
    """What a session asks of the SL (row F07)."""

    sync_interval: int
    min_peers: int
    max_peers: int
    adaptive: bool
    checkin_mode: str
    weightage: int
    job: str
    merge_method: str
    data_schema: str = ""


@dataclass(frozen=True)
class LossResult:
    """How the merged model does here."""

    loss: float
    metric: float
    epochs_done: int
    epochs_total: int


@dataclass(frozen=True)
class MergedModel:
    """Which merged model the SL handed over last: ``swarm`` and ``blob`` are 64 hex digits."""

    swarm: str
    run: int
    round: int
    blob: str


_TO_THE_LAST_SESSION = (
    MessageType.STATUS,
    MessageType.SYNC_RESPONSE,
    MessageType.CLOSE_RESPONSE,
    MessageType.LOSS_REQUEST,
    MessageType.PROGRESS,
)
"""What may still come to a session that was let go of in the middle of a request."""

Evaluate = Callable[[tensorfile.TensorArrays], LossResult]


class Session:
    """An open session. Not for use from several threads.

    When the SL goes away and comes back, a new session is opened and the request that it left unanswered is made
    again. ``merged`` is the model it handed over last, ``manifest`` the SHA-256 (hex) of names, shapes and dtypes of
    the model handed over to it, ``record`` what the SL says that the run came to, once it is over (JSON, unchecked).

    Args:
        differs: told, before a session's first merged model, how other sites' data differ; may raise.

    Raises:
        ChannelError: the SL cannot be reached, refuses, or stays away.
    """

    def __init__(
        self, settings: SessionSettings, *, logger: logging.Logger, differs: Optional[Callable[[str], None]] = None
    ) -> None:
        self._settings, self._logger = settings, logger
        self._differs = differs or logger.warning
        self._folder, self._paths, self._wait = exchange_dir(), channel_paths(), channel_wait_seconds()
        self._channel: Optional[Channel] = None
        self._sequence: dict[MessageType, int] = {}
        self._extended = self._knows_weights = self._closed = False
        self._cut = ""
        """Why this side let go of the pipes in the middle of a request."""
        self._losses, self._opened_at = 0, 0.0
        self._base: Optional[MergedModel] = None
        self._kept = LastReference()
        self.merged: Optional[MergedModel] = None
        self.manifest = self.id = self.record = ""
        try:
            self._open(self._wait)
        except SlLost as fault:
            self._reopen(fault)

    def _open(self, wait: float, answer_seconds: Optional[float] = None) -> None:
        self._drop()
        asked = self._settings
        request = SessionRequest(
            syncInterval=asked.sync_interval,
            minPeers=asked.min_peers,
            maxPeers=asked.max_peers,
            useAdaptiveSync=asked.adaptive,
            checkinModelOnTrainEnd=asked.checkin_mode,
            nodeWeightage=asked.weightage,
            trainingContract=asked.job,
            mergeMethod=asked.merge_method,
            extension=EXTENSION,
            dataSchema=asked.data_schema,
        )
        if self._base is not None:  # this session goes on: what is handed over next was trained from that model
            request.afterRun, request.afterRound = self._base.run, self._base.round
        self._channel = Channel(*self._paths, wait_seconds=wait, logger=self._logger)
        try:
            self._channel.send(MessageType.OPEN_REQUEST, request)
            until = None if answer_seconds is None else time.monotonic() + answer_seconds
            while True:
                left = None if until is None else until - time.monotonic()
                got, answer = self._channel.receive("for the SL to open the session", seconds=left)
                if got is MessageType.STATUS and not answer.comeBack:
                    break
                if got not in _TO_THE_LAST_SESSION:
                    break
            self._check(MessageType.OPEN_RESPONSE, got, answer)
        except BaseException:
            self._drop()
            raise
        self.id = answer.sessionID
        self._extended = answer.extension >= EXTENSION_PROGRESS
        self._knows_weights = answer.extension >= EXTENSION_WEIGHT
        if asked.data_schema and not self._knows_weights:
            self._logger.warning("dataSchema is not compared with other sites': this SL is too old for it")
        self._sequence = {MessageType.SYNC_REQUEST: 0, MessageType.CLOSE_REQUEST: 0}
        self._opened_at = time.monotonic()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _reopen(self, fault: SlLost) -> None:
        """Wait for the SL to come back, and open a session again; bounded in time and in losses in a row."""
        began = time.monotonic()
        self._count_loss()
        self._logger.warning(
            "%s. This program goes on when the SL is back, at most %.0f s from now (SWARM_CHANNEL_WAIT_SECONDS).",
            fault,
            self._wait,
        )
        while True:
            try:
                self._open(max(0.0, began + self._wait - time.monotonic()))
                break
            except SlAbsent as absent:
                raise ChannelError(
                    f"{fault}, and did not come back within {self._wait:.0f} s ({absent})"
                    " Restart it, then this program."
                ) from absent
            except SlLost as again:
                self._count_loss()
                if time.monotonic() - began >= self._wait:
                    raise ChannelError(f"the SL did not come back within {self._wait:.0f} s: {again}") from again
                time.sleep(REOPEN_PAUSE_SECONDS)
        self._logger.info("The SL is back after %.0f s, the session goes on.", time.monotonic() - began)

    def _count_loss(self) -> None:
        if time.monotonic() - self._opened_at >= STEADY_SECONDS:
            self._losses = 0
        self._losses += 1
        if self._losses > LOSSES_MAX:
            raise ChannelError(
                f"the SL went away {LOSSES_MAX} times in a row, each time within {STEADY_SECONDS:.0f} s:"
                " its log says why"
            )

    def _check(self, wanted: MessageType, got: MessageType, answer: Any) -> None:
        status = answer if got is MessageType.STATUS else getattr(answer, "status", None)
        if status is not None and status.code != StatusCode.OK:
            if got is MessageType.STATUS and status.comeBack:
                raise SlLost(f"the SL went away: {status.msg}")
            self.close()
            raise ChannelError(f"SL error: {status.msg}")
        if got is not wanted:
            self.close()
            raise ChannelError(f"the SL answered {got.name} where {wanted.name} belongs")

    def _present(self) -> Channel:
        """The channel, if the SL has said nothing unasked. Raises SlLost if it is another SL process by now."""
        if self._channel is None:
            raise SlLost(self._cut or "the SL went away")
        if self._channel.stirred:
            self._check(MessageType.PROGRESS, *self._channel.receive("for the SL", seconds=OPEN_ANSWER_SECONDS))
        return self._channel

    def sync(
        self,
        parameters: Mapping[str, npt.NDArray[Any]],
        platform: str,
        weightage: int,
        evaluate: Evaluate,
        *,
        final: bool = False,
    ) -> tuple[int, bool]:
        """Hand over the local model, load and evaluate merged ones, until the SL says go on.

        Args:
            parameters: with ``final`` they must stay as they are while merged models are loaded.
            weightage: 0 (only watches) to 100, or a number of samples up to 2^32 - 1.
            final: this is the last model of the program (a CloseSession request).

        Returns:
            batches until the next sync, and whether the swarm's training is over.

        Raises:
            ChannelError: the SL refused, stays away, or broke the order of messages.
            tensorfile.TensorFileError: a parameter cannot be stored, or the merged file is broken.
        """
        if self._closed:
            raise ChannelError("this session is closed")
        while True:
            try:
                answer = self._request(parameters, platform, weightage, evaluate, final)
            except SlLost as fault:
                self._reopen(fault)
            except (KeyboardInterrupt, SystemExit):
                # The SL still works on it: an answer that comes now would be taken for one to the next request.
                self._drop()
                self._cut = "the last request was interrupted"
                raise
            else:
                self._base, self.record = self.merged, answer.record
                return int(answer.nextSyncInterval), bool(answer.trainingOver)

    @property
    def merged_file(self) -> Path:
        """The file that the SL handed over last."""
        return self._folder / MERGED_NAME

    def keep_merged_file(self) -> None:
        """Say when the merged file before is mapped no more: it ends in a thread, and the new one is kept instead."""
        self._kept.move_to(self.merged_file)

    def _request(
        self,
        parameters: Mapping[str, npt.NDArray[Any]],
        platform: str,
        weightage: int,
        evaluate: Evaluate,
        final: bool,
    ) -> Any:
        channel = self._present()
        if weightage > WEIGHTAGE_MAX and not self._knows_weights:
            raise ChannelError(f"this SL takes weights up to {WEIGHTAGE_MAX}, not {weightage} samples: it is too old")
        kind = MessageType.CLOSE_REQUEST if final else MessageType.SYNC_REQUEST
        try:
            header = tensorfile.write(
                self._folder / TRAINED_NAME, parameters, {"platform": platform}, durable=False, mode=0o644
            )
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                fix = "Make room there: it holds this program's model and the merged one, each as a file."
            else:
                fix = "Mount the folder that the SL uses there, writable, or set SWARM_EXCHANGE_DIR on both sides."
            raise ChannelError(
                f"the model cannot be written to {self._folder}: {fault.strerror or fault}. {fix}"
            ) from fault
        self.manifest = hashlib.sha256(header.manifest()).hexdigest()
        self._sequence[kind] += 1
        number = self._sequence[kind]
        channel.send(
            kind,
            SyncRequest(
                sessionID=self.id,
                syncSeqNum=number,
                nodeWeightage=min(weightage, WEIGHTAGE_MAX),
                numberOfNodes=NUMBER_OF_NODES,
                fileName=TRAINED_NAME,
                weight=weightage if weightage > WEIGHTAGE_MAX else 0,
            ),
        )
        waiting = "for the other sites at the end of training" if final else "for the swarm to merge"
        while True:
            got, answer = channel.receive(waiting, each=self._ask_if_there)
            if got is MessageType.PROGRESS:
                self._told_of_waits(channel, answer.waitsFor[:WAITS_CHARS_MAX])
            elif got is MessageType.LOSS_REQUEST:
                self._answer_loss(channel, answer, number, evaluate)
            else:
                break
        channel.note = ""
        self._check(MessageType.CLOSE_RESPONSE if final else MessageType.SYNC_RESPONSE, got, answer)
        if answer.syncSeqNum != number:
            raise ChannelError(f"the SL answered sync {answer.syncSeqNum}, this program asked for sync {number}")
        return answer

    def _told_of_waits(self, channel: Channel, text: str) -> None:
        text = "".join(c if c.isprintable() else "?" for c in text)
        if text:
            self._logger.warning("%s", text)
        elif channel.note:
            self._logger.info("The swarm waits for nobody in particular any more.")
        channel.note = text

    def _answer_loss(self, channel: Channel, request: Any, number: int, evaluate: Evaluate) -> None:
        reply = LossResponse(sessionID=request.sessionID, syncSeqNum=request.syncSeqNum, lossSeqNum=request.lossSeqNum)
        try:
            if request.sessionID != self.id or request.syncSeqNum != number:
                raise ChannelError(
                    f"the SL asks about session {request.sessionID!r} sync {request.syncSeqNum},"
                    f" this is session {self.id!r} sync {number}"
                )
            if request.fileName != MERGED_NAME:
                raise ChannelError(f"the SL names the file {request.fileName[:80]!r}, only {MERGED_NAME} is read")
            merged = _merged_model(request)
            for line in request.differsLater[:DIFFERENCES_CHARS_MAX].splitlines():
                self._logger.warning("%s", line)
            if request.differs:
                self._differs(request.differs[:DIFFERENCES_CHARS_MAX])
            result = evaluate(self._merged_arrays())
        except Exception as fault:
            reply.loss = -1.0
            text = f"Loss computation failed: {type(fault).__name__}: {fault}"
            reply.status.CopyFrom(Status(code=int(StatusCode.ERROR_IN_USER), msg=text[:STATUS_TEXT_MAX]))
            with contextlib.suppress(SlLost):  # the program's own fault counts
                channel.send(MessageType.LOSS_RESPONSE, reply)
            raise
        self.merged = merged
        reply.status.CopyFrom(Status(code=int(StatusCode.OK), msg="StatusOK"))
        reply.loss, reply.metrics = result.loss, result.metric
        reply.epochsdone, reply.totalepochs = result.epochs_done, result.epochs_total
        channel.send(MessageType.LOSS_RESPONSE, reply)

    def _merged_arrays(self) -> tensorfile.TensorArrays:
        try:
            return tensorfile.TensorArrays(self.merged_file, private=True)
        except OSError as fault:
            raise ChannelError(
                f"{self.merged_file} cannot be read by user id {os.geteuid()}: {fault.strerror or fault}. Mount the"
                " folder that the SL uses there, or run SL and program as one user."
            ) from fault

    def progress(self, step: int, total: int, epochs_done: int, epochs_total: int) -> None:
        """Say how far the program is between two syncs: batch ``step`` of ``total``; and see that the SL is there.

        An SL that was away is given a session again, if it is back; else training goes on.

        Raises:
            ChannelError: the SL refuses the program.
        """
        if self._closed:
            return
        try:
            if self._channel is None:
                self._open(KNOCK_SECONDS, OPEN_ANSWER_SECONDS)
                self._logger.info("The SL is back, the session goes on.")
            channel = self._present()
            if self._extended:
                report = ProgressReport(
                    sessionID=self.id, step=step, total=total, epochsdone=epochs_done, totalepochs=epochs_total
                )
                channel.try_send(MessageType.PROGRESS, report)
        except SlAbsent:
            self._drop()
        except SlLost as fault:
            self._drop()
            self._logger.warning("%s. Training goes on; the session is opened again when the SL is back.", fault)

    def _ask_if_there(self) -> None:
        """Said while waiting for an answer: an SL that knows nothing of this session, being a new process, says so."""
        if self._extended and self._channel is not None:
            self._channel.try_send(MessageType.PROGRESS, ProgressReport(sessionID=self.id))

    def kill(self, text: str, *, code: StatusCode = StatusCode.OK) -> None:
        """End the session without a last model (row K16); nothing is answered."""
        reason = Status(code=int(code), msg=text[:STATUS_TEXT_MAX])
        self._present().send(MessageType.KILL, KillSessionRequest(sessionID=self.id, reason=reason))

    def abandon(self, exit_code: int, exception: str) -> None:
        """The program ends with the session open: say so, so that the SL need not wait for it to come back.

        Args:
            exit_code: 0 if it is not known, or none.
            exception: its class, empty if there was none.
        """
        if self._channel is None:
            return
        how = f" with {exception}" if exception else ""
        reason = Status(code=int(StatusCode.ERROR_IN_USER), msg=f"it ended{how} before on_train_end was called")
        said = KillSessionRequest(sessionID=self.id, reason=reason, exitCode=exit_code, exception=exception)
        with contextlib.suppress(ChannelError, OSError):
            self._channel.try_send(MessageType.KILL, said)

    def close(self) -> None:
        """Close the pipes; safe to repeat."""
        self._closed = True
        self._kept.move_to(None)
        self._drop()


_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def _merged_model(request: Any) -> Optional[MergedModel]:
    """What the SL says of the model it hands over; None if it says nothing."""
    if not request.run:
        return None
    if request.run < 0 or request.round < 0 or not all(map(_DIGEST.match, (request.swarm, request.blob))):
        raise ChannelError(f"the SL names a merged model of run {request.run} round {request.round} that cannot be")
    return MergedModel(request.swarm, request.run, request.round, request.blob)
