"""One swarm session of an ML program: open, sync, close, as messages and tensor files.

Owns message order, sequence numbers and the exchange folder on the program's side; the pipe itself is
``channel``'s, the model the callback's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy.typing as npt

from ... import tensorfile
from .channel import Channel, ChannelError, channel_paths
from .messages import (
    KillSessionRequest,
    LossResponse,
    MessageType,
    SessionRequest,
    Status,
    StatusCode,
    SyncRequest,
)

__all__ = [
    "EXCHANGE_DIR_DEFAULT",
    "MERGED_NAME",
    "TRAINED_NAME",
    "LossResult",
    "Session",
    "SessionSettings",
    "exchange_dir",
]

EXCHANGE_DIR_DEFAULT = "/tmp/hpe-swarm"  # noqa: S108 - the name both sides know (row F03)
TRAINED_NAME = "trained_weights.safetensors"
MERGED_NAME = "merged_weights.safetensors"
CHANNEL_WAIT_SECONDS_DEFAULT = 600.0
NUMBER_OF_NODES = 1
STATUS_TEXT_MAX = 1000


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


@dataclass(frozen=True)
class LossResult:
    """How the merged model does here."""

    loss: float
    metric: float
    epochs_done: int
    epochs_total: int


Evaluate = Callable[[tensorfile.TensorArrays], LossResult]


def exchange_dir(environ: Optional[Mapping[str, str]] = None) -> Path:
    """The folder in which program and SL hand each other model files."""
    source = os.environ if environ is None else environ
    return Path(source.get("SWARM_EXCHANGE_DIR") or EXCHANGE_DIR_DEFAULT)


def channel_wait_seconds(environ: Optional[Mapping[str, str]] = None) -> float:
    """How long to wait for the SL to appear, in seconds.

    Raises:
        ChannelError: SWARM_CHANNEL_WAIT_SECONDS is not a positive number.
    """
    source = os.environ if environ is None else environ
    text = source.get("SWARM_CHANNEL_WAIT_SECONDS", "")
    if not text:
        return CHANNEL_WAIT_SECONDS_DEFAULT
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ChannelError(f"SWARM_CHANNEL_WAIT_SECONDS is {text!r}, it must be a positive number of seconds")
    return seconds


class Session:
    """An open session. Not for use from several threads.

    Raises:
        ChannelError: the SL cannot be reached, refuses, or goes away.
    """

    def __init__(self, settings: SessionSettings, *, logger: logging.Logger) -> None:
        self._folder = exchange_dir()
        self._sequence = {MessageType.SYNC_REQUEST: 0, MessageType.CLOSE_REQUEST: 0}
        request, response = channel_paths()
        self._channel = Channel(request, response, wait_seconds=channel_wait_seconds(), logger=logger)
        self._channel.send(
            MessageType.OPEN_REQUEST,
            SessionRequest(
                syncInterval=settings.sync_interval,
                minPeers=settings.min_peers,
                maxPeers=settings.max_peers,
                useAdaptiveSync=settings.adaptive,
                checkinModelOnTrainEnd=settings.checkin_mode,
                nodeWeightage=settings.weightage,
                trainingContract=settings.job,
                mergeMethod=settings.merge_method,
            ),
        )
        answer = self._expect(MessageType.OPEN_RESPONSE, "for the SL to open the session")
        self.id: str = answer.sessionID

    def _expect(self, kind: MessageType, waiting: str) -> Any:
        got, answer = self._channel.receive(waiting)
        self._check(kind, got, answer)
        return answer

    def _check(self, wanted: MessageType, got: MessageType, answer: Any) -> None:
        status = answer if got is MessageType.STATUS else getattr(answer, "status", None)
        if status is not None and status.code != StatusCode.OK:
            self._channel.close()
            raise ChannelError(f"SL error: {status.msg}")
        if got is not wanted:
            self._channel.close()
            raise ChannelError(f"the SL answered {got.name} where {wanted.name} belongs")

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
            final: this is the last model of the program (a CloseSession request).

        Returns:
            batches until the next sync, and whether the swarm's training is over.

        Raises:
            ChannelError: the SL refused, went away, or broke the order of messages.
            tensorfile.TensorFileError: a parameter cannot be stored, or the merged file is broken.
        """
        kind = MessageType.CLOSE_REQUEST if final else MessageType.SYNC_REQUEST
        self._sequence[kind] += 1
        number = self._sequence[kind]
        try:
            tensorfile.write(self._folder / TRAINED_NAME, parameters, {"platform": platform}, durable=False, mode=0o644)
        except OSError as fault:
            raise ChannelError(
                f"the model cannot be written to {self._folder}: {fault.strerror or fault}."
                " Mount the folder that the SL uses there, writable, or set SWARM_EXCHANGE_DIR on both sides."
            ) from fault
        self._channel.send(
            kind,
            SyncRequest(
                sessionID=self.id,
                syncSeqNum=number,
                nodeWeightage=weightage,
                numberOfNodes=NUMBER_OF_NODES,
                fileName=TRAINED_NAME,
            ),
        )
        waiting = "for the other sites at the end of training" if final else "for the swarm to merge"
        while True:
            got, answer = self._channel.receive(waiting)
            if got is not MessageType.LOSS_REQUEST:
                break
            self._answer_loss(answer, number, evaluate)
        wanted = MessageType.CLOSE_RESPONSE if final else MessageType.SYNC_RESPONSE
        self._check(wanted, got, answer)
        if answer.syncSeqNum != number:
            raise ChannelError(f"the SL answered sync {answer.syncSeqNum}, this program asked for sync {number}")
        return int(answer.nextSyncInterval), bool(answer.trainingOver)

    def _answer_loss(self, request: Any, number: int, evaluate: Evaluate) -> None:
        reply = LossResponse(sessionID=request.sessionID, syncSeqNum=request.syncSeqNum, lossSeqNum=request.lossSeqNum)
        try:
            if request.sessionID != self.id or request.syncSeqNum != number:
                raise ChannelError(
                    f"the SL asks about session {request.sessionID!r} sync {request.syncSeqNum},"
                    f" this is session {self.id!r} sync {number}"
                )
            if request.fileName != MERGED_NAME:
                raise ChannelError(f"the SL names the file {request.fileName[:80]!r}, only {MERGED_NAME} is read")
            result = evaluate(tensorfile.TensorArrays(self._folder / MERGED_NAME, private=True))
        except Exception as fault:
            reply.loss = -1.0
            text = f"Loss computation failed: {type(fault).__name__}: {fault}"
            reply.status.CopyFrom(Status(code=int(StatusCode.ERROR_IN_USER), msg=text[:STATUS_TEXT_MAX]))
            self._channel.send(MessageType.LOSS_RESPONSE, reply)
            raise
        reply.status.CopyFrom(Status(code=int(StatusCode.OK), msg="StatusOK"))
        reply.loss, reply.metrics = result.loss, result.metric
        reply.epochsdone, reply.totalepochs = result.epochs_done, result.epochs_total
        self._channel.send(MessageType.LOSS_RESPONSE, reply)

    def kill(self, text: str, *, code: StatusCode = StatusCode.OK) -> None:
        """End the session without a last model (row K16); nothing is answered."""
        reason = Status(code=int(code), msg=text[:STATUS_TEXT_MAX])
        self._channel.send(MessageType.KILL, KillSessionRequest(sessionID=self.id, reason=reason))

    def close(self) -> None:
        """Close the pipes; safe to repeat."""
        self._channel.close()
