"""Which message may come when, with which ids and numbers: the pipe's rules as a pure state machine.

Owns order, session id and sequence numbers (rows F05-F10) and the ranges of a SessionRequest. No I/O; every breach
is a ProgramFault that names what came and what was due.
"""

from __future__ import annotations

import enum
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from swarmlearning.client.pipe.messages import MessageType, StatusCode

from swarm.core.dataschema import DataSchema
from swarm.core.errors import ProgramFault
from swarm.core.merge import known

from .api import LossReport, SessionOpen
from .syncbody import WEIGHTAGE_MAX

BATCHES_MAX = 2**31 - 1
PEERS_MAX = 10_000
JOB_BYTES_MAX = 160
MERGE_METHOD_DEFAULT = "mean"
CHECKIN_MODES = ("snapshot", "active", "inactive")


class NoSession(ProgramFault):
    """A program speaks of a session that another SL process opened: it has to open one here."""


class Phase(enum.Enum):
    IDLE = "no session is open"
    OPEN = "a session is open, the program trains"
    SYNCING = "a sync is under way"
    EVALUATING = "the program evaluates a merged model"


_DUE: dict[Phase, Set[MessageType]] = {
    Phase.IDLE: {MessageType.OPEN_REQUEST},
    Phase.OPEN: {MessageType.SYNC_REQUEST, MessageType.CLOSE_REQUEST, MessageType.KILL, MessageType.PROGRESS},
    Phase.SYNCING: {MessageType.PROGRESS},
    Phase.EVALUATING: {MessageType.LOSS_RESPONSE, MessageType.PROGRESS},
}


@dataclass(slots=True)
class Order:
    """Where one program's conversation stands."""

    phase: Phase = Phase.IDLE
    session: str = ""
    sync_number: int = 0
    loss_number: int = 0
    _counted: dict[MessageType, int] = field(default_factory=dict)

    def admit(self, kind: MessageType) -> None:
        """Check that a message of this type may come now. Raises ProgramFault.

        An OpenSession may always come: a new program can be there before the old one's end is seen, because a
        named pipe does not tell its writers apart.
        """
        if kind not in _DUE[self.phase] and kind is not MessageType.OPEN_REQUEST:
            due = " or ".join(sorted(one.name for one in _DUE[self.phase] if one is not MessageType.PROGRESS))
            fault = NoSession if self.phase is Phase.IDLE and not self.session else ProgramFault
            raise fault(f"the program sent {kind.name} while {self.phase.value}; due is {due or 'nothing'}")

    def opened(self, session: str) -> None:
        self.phase, self.session = Phase.OPEN, session
        self._counted = {MessageType.SYNC_REQUEST: 0, MessageType.CLOSE_REQUEST: 0}

    def syncing(self, kind: MessageType, session: str, number: int, weightage: int, most: int = WEIGHTAGE_MAX) -> None:
        """A Sync or Close request came. Raises ProgramFault for a wrong session, number or weightage."""
        self._check_session(session)
        expected = self._counted[kind] + 1
        if number != expected:
            raise ProgramFault(f"the program sent {kind.name} number {number}, due is {expected}")
        if not 0 <= weightage <= most:
            raise ProgramFault(f"nodeWeightage is {weightage}, allowed are 0 to {most}")
        self._counted[kind] = number
        self.phase, self.sync_number, self.loss_number = Phase.SYNCING, number, 0

    def evaluating(self) -> int:
        """A LossRequest goes out; returns its number."""
        self.phase = Phase.EVALUATING
        self.loss_number += 1
        return self.loss_number

    def reported(self, answer: Any) -> LossReport:
        """A LossResponse came. Raises ProgramFault for wrong numbers or an error of the user's code (F13)."""
        self._check_session(answer.sessionID)
        if (answer.syncSeqNum, answer.lossSeqNum) != (self.sync_number, self.loss_number):
            raise ProgramFault(
                f"the program answered sync {answer.syncSeqNum} loss {answer.lossSeqNum},"
                f" asked was sync {self.sync_number} loss {self.loss_number}"
            )
        if answer.status.code != StatusCode.OK:
            raise ProgramFault(f"the program failed on the merged model: {answer.status.msg[:1000]}")
        if answer.epochsdone < 0 or answer.totalepochs < 0:
            raise ProgramFault(f"the program reports {answer.epochsdone} of {answer.totalepochs} epochs")
        self.phase = Phase.SYNCING
        return LossReport(answer.loss, answer.metrics, answer.epochsdone, answer.totalepochs)

    def killed(self, session: str) -> None:
        self._check_session(session)

    def synced(self, *, final: bool) -> None:
        self.phase = Phase.IDLE if final else Phase.OPEN

    def _check_session(self, session: str) -> None:
        if session != self.session:
            raise ProgramFault(f"the program speaks of session {session[:80]!r}, open is {self.session!r}")


def session_open(request: Any) -> SessionOpen:
    """Check the ranges of a SessionRequest. Raises ProgramFault naming the field and its value."""
    for name, value, low, high in (
        ("syncInterval", request.syncInterval, 1, BATCHES_MAX),
        ("minPeers", request.minPeers, 1, PEERS_MAX),
        ("maxPeers", request.maxPeers, 0, PEERS_MAX),
        ("nodeWeightage", request.nodeWeightage, 1, WEIGHTAGE_MAX),
    ):
        if not low <= value <= high:
            raise ProgramFault(f"{name} is {value}, allowed are {low} to {high}")
    if 0 < request.maxPeers < request.minPeers:
        raise ProgramFault(f"maxPeers is {request.maxPeers}, below minPeers {request.minPeers}; 0 means no limit")
    mode = request.checkinModelOnTrainEnd or CHECKIN_MODES[0]
    method = (request.mergeMethod or MERGE_METHOD_DEFAULT).lower()
    if mode not in CHECKIN_MODES:
        raise ProgramFault(f"checkinModelOnTrainEnd is {mode[:80]!r}, allowed are {', '.join(CHECKIN_MODES)}")
    if method not in known():
        raise ProgramFault(f"mergeMethod is {method[:80]!r}, known on this node are {', '.join(known())}")
    if not 1 <= len(request.trainingContract.encode()) <= JOB_BYTES_MAX:
        raise ProgramFault(f"trainingContract must have 1 to {JOB_BYTES_MAX} bytes")
    try:
        schema = DataSchema.from_text(request.dataSchema) if request.dataSchema else None
    except ValueError as fault:
        raise ProgramFault(str(fault)) from fault
    return SessionOpen(
        sync_interval=request.syncInterval,
        min_peers=request.minPeers,
        max_peers=request.maxPeers,
        adaptive=request.useAdaptiveSync,
        checkin_mode=mode,
        weightage=request.nodeWeightage,
        job=request.trainingContract,
        merge_method=method,
        schema=schema,
        after=(request.afterRun, request.afterRound) if request.afterRun > 0 and request.afterRound >= 0 else None,
    )
