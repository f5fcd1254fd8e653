"""Everything one engine remembers, and the few moves every part of it shares (sign, journal, report, fetch)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..bundle import Bundle
from ..chain_view import Phase
from ..control.joboptions import JobOptions
from ..ids import Address, BlobId, Digest
from ..limits import (
    CALL_AFTER_SECONDS,
    FULL_QUORUM_SECONDS_DEFAULT,
    KEEP_ROUNDS,
    LEADER_FAILURE_SECONDS_DEFAULT,
    LIVE_SECONDS,
    PULL_GRACE_TIMES_DEFAULT,
    PULSE_OTHERS_SECONDS,
    PULSE_SECONDS,
    RESCUE_AFTER_SECONDS,
    STRANDED_SECONDS_DEFAULT,
)
from ..statements import CheckIn, RoundName, Signer, Statement, Verifier
from .actions import Action, Fetch, Persist, Report, Send, StopFetch, Submit, Transact
from .context import CONTEXT_KEY, CONTEXTS_KEPT, Held, RoundContext, Transfer
from .events import ChainView, ProgramOpened, ProgramSync
from .messages import Left, Pulse, Signed
from .peers import Peers

S = TypeVar("S", bound=Statement)

REFETCH_SECONDS, REFETCH_SECONDS_MAX = 1.0, 10.0
"""Pause before a failed pull is tried again; it doubles with each failure, up to the second."""
INPUT_FAILURES_MAX = 3
"""Failed pulls of a contribution before the leader refuses it."""
INTERVALS_PATIENCE = 4.0
"""A program that tells no steps is stuck after so many times its longest sync interval so far."""
REFRESH_SECONDS = 0.25
"""Pulses from further rounds make this node look at the chain at most this often."""
TRANSACTION_RETRY_SECONDS = 5.0
"""Pause before a transaction that did not succeed is asked for again."""


@dataclass(frozen=True, slots=True)
class Config:
    """Fixed for the life of an engine. All times in seconds."""

    me: Address
    job: Digest
    domain: Digest
    eligible: bool = True
    full_quorum_seconds: float = FULL_QUORUM_SECONDS_DEFAULT
    pull_grace_times: float = PULL_GRACE_TIMES_DEFAULT
    """How many times the grace pulls that move may add to it."""
    leader_failure_seconds: float = LEADER_FAILURE_SECONDS_DEFAULT
    live_seconds: float = LIVE_SECONDS
    pulse_seconds: float = PULSE_SECONDS
    pulse_others_seconds: float = PULSE_OTHERS_SECONDS
    call_after_seconds: float = CALL_AFTER_SECONDS
    rescue_after_seconds: float = RESCUE_AFTER_SECONDS
    join_depth_blocks: int = 0
    """Depth a join needs before a joiner counts; 0 on a chain that cannot reorganise."""
    strict: bool = False
    """A round that was merged without a member of its roster fails this node's program."""
    keep_rounds: int = KEEP_ROUNDS
    """Committed rounds of which merged models and the inputs held here are kept, 2 or more."""
    stranded_seconds: float = STRANDED_SECONDS_DEFAULT
    """How long a run that too many members have left for good waits for one of them to come back."""
    job_name: str = "JOB"
    """As an operator's command takes it."""

    @property
    def pull_grace_seconds(self) -> float:
        """The most that pulls may add to the grace."""
        return self.pull_grace_times * self.full_quorum_seconds


@dataclass(slots=True)
class Program:
    """The ML program's session, as far as the engine cares. ``waits_for``: the round whose commit answers it."""

    opened: ProgramOpened | None = None
    synced: int = 0
    pending: ProgramSync | None = None
    waits_for: int = -1
    since: float = 0.0
    loading: int | None = None
    loaded: int = -1
    base: int = -1
    """The round whose merged model the pending sync was trained from; -1: the program's own first parameters."""
    loss: float = math.nan
    metric: float = math.nan
    epochs_done: int = 0
    epochs_total: int = 0
    own_figure: bool = False
    told_min_peers: bool = False
    longest: float = 0.0
    """Most seconds between two signs of this session's program that were no steps; 0: none seen yet."""
    steps_told: bool = False
    step: int = 0
    steps: int = 0
    """How far the running sync interval is, and its length; 0: not told."""
    done: bool = False
    over: bool = False
    ended: bool = False
    failed: str | None = None
    failed_at: float = 0.0
    left: Left = field(default_factory=Left)
    """How it ended, as the others may know it."""
    told_wait: tuple[str, ...] = ()
    """Whom it was told last that the run waits for."""


@dataclass(frozen=True, slots=True)
class Remerge:
    """A merge of a decided round under way here: it must give ``merged``, with these shares (remerging)."""

    name: RoundName
    attempt: int
    merged: BlobId
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KnownName:
    """The first name known of a run's round and epoch (names), its members, and the reorganisations seen by then."""

    name: RoundName
    members: frozenset[Address]
    reorgs: int


@dataclass(frozen=True, slots=True)
class Circle:
    """Who matters by one view of the chain; see :meth:`EngineState.participants` and :meth:`EngineState.others`."""

    view: ChainView | None
    participants: tuple[Address, ...] = ()
    others: tuple[Address, ...] = ()

    @classmethod
    def of(cls, view: ChainView | None, me: Address) -> Circle:
        if view is None:
            return cls(None)
        over = view.state.phase is Phase.COMPLETE
        nodes = {a for a, joiner in view.joiners.items() if joiner.joined or over}
        nodes.update(view.roster.addresses)
        everybody = sorted({*view.roster.addresses, *view.joiners} - {me})
        return cls(view, tuple(n for n in everybody if n in nodes and n in view.active), tuple(everybody))


@dataclass(slots=True)
class EngineState:
    """One node's whole state for one job."""

    config: Config
    signer: Signer
    verifier: Verifier
    coefficients: Callable[[str, Sequence[int]], tuple[float, ...] | None]
    """Coefficients a merge method must give for these weights; None if they depend on the inputs."""
    peers: Peers
    started_at: float
    view: ChainView | None = None
    options: JobOptions = field(default_factory=JobOptions)
    options_text: str = ""
    options_fault: str | None = None
    """The job's options as read; why they cannot be followed here."""
    context: RoundContext | None = None
    program: Program = field(default_factory=Program)
    held: dict[BlobId, Held] = field(default_factory=dict)
    transfers: dict[BlobId, Transfer] = field(default_factory=dict)
    transacting: dict[str, float] = field(default_factory=dict)
    """Small transactions under way (infinity) or waiting for their next try (its time)."""
    commit: Bundle | None = None
    """The verified bundle of the last committed round, once it is here."""
    recent: list[BlobId] = field(default_factory=list)
    """Merged models of the last rounds, newest last: kept, and served to everybody joined."""
    merged: dict[int, BlobId] = field(default_factory=dict)
    bundles: dict[int, Bundle] = field(default_factory=dict)
    """What the chain said of the last rounds of this run; outlives a reorganisation (history)."""
    remerge: Remerge | None = None
    remerge_at: dict[BlobId, float] = field(default_factory=dict)
    finding_at: float | None = None
    commit_seen_at: float = 0.0
    progress: int = 0
    call_wanted_since: float | None = None
    called_at: float | None = None
    answered_call: int = 0
    names: dict[tuple[int, int, int], KnownName] = field(default_factory=dict)
    refused_view: tuple[str, float] | None = None
    """What the SN says that cannot be, and since when: nothing it tells is taken up meanwhile (names)."""
    refused_bundle: str = ""
    """Why the last bundle that the SN handed out was not taken; told once."""
    capped: dict[Address, tuple[int, int]] = field(default_factory=dict)
    """Whose claimed weight does not count whole, by run: told once."""
    late: dict[Address, int] = field(default_factory=dict)
    """Whose model last counted for less since it was behind, by run: told once, until one is not."""
    weighed: tuple[int, int] | None = None
    """Run and round of the last commit that was looked at for such weights."""
    ahead: dict[Address, Pulse] = field(default_factory=dict)
    """Newest pulse of each participant that is a round further than this node's chain; heard when that opens."""
    refreshed_at: float = -math.inf
    join_refused: bool = False
    """The contract has said no to a join once; the second time counts."""
    disk_trouble: tuple[str, float] | None = None
    """Why this node's disk takes no model, and since when; None again with the next one it takes."""
    stranded_since: float | None = None
    """Since when too few members are left for minPeers, because others left for good."""
    dropped: set[Address] = field(default_factory=set)
    """Members that a reform dropped because they were silent: they may come back."""
    closed: bool = False
    complete_at: float | None = None
    finished: bool = False
    journal: dict[str, Any] = field(default_factory=dict)
    merged_rounds: int = 0
    program_moved_at: float = 0.0
    now: float = 0.0
    """Time of the event being handled."""
    circle: Circle = field(default_factory=lambda: Circle(None))

    @property
    def me(self) -> Address:
        return self.config.me

    @property
    def joined(self) -> bool:
        return self.view is not None and self.view.joined(self.me)

    def gets_on(self) -> bool:
        """Whether this site's program has finished, waits for the swarm, or made progress lately.

        A program that does not tell its steps is measured by its own sync intervals.
        """
        program, patience = self.program, self.config.leader_failure_seconds
        if program.failed is not None or program.opened is None or program.ended:
            return False
        if program.done or program.pending is not None:
            return True
        if not program.steps_told:
            if not program.longest:
                return True
            patience = max(patience, INTERVALS_PATIENCE * program.longest)
        return self.now - self.program_moved_at < patience

    def open(self) -> bool:
        """The run is open, its founders are complete, and this node stands in it."""
        return self.view is not None and self.view.state.phase is Phase.OPEN and self.view.state.started

    def sign(self, statement: S) -> Signed[S]:
        return Signed(statement, self.signer.sign(statement.digest(self.config.domain)))

    def own_check_in(self) -> CheckIn | None:
        context = self.context
        return context.check_in.statement if context and context.check_in else None

    def participants(self) -> tuple[Address, ...]:
        """Active members joined now or on the open round's roster, ascending, without this node.

        Once the run is over, also those that had joined and were dropped: they may come back for the final model.
        """
        return self._worked_out().participants

    def others(self) -> tuple[Address, ...]:
        """All that ever joined this run and the open round's roster, ascending, without this node."""
        return self._worked_out().others

    def _worked_out(self) -> Circle:
        """Once for each view: every event asks several times."""
        if self.circle.view is not self.view:
            self.circle = Circle.of(self.view, self.me)
        return self.circle

    def contributors_allowed(self) -> list[Address]:
        """Who may contribute to the open round: its roster, and joiners whose join is deep enough and who are not
        barred; active ones."""
        view = self.view
        if view is None:
            return []
        nodes = set(view.roster.addresses)
        for address, joiner in view.joiners.items():
            depth = max(self.config.join_depth_blocks, view.join_depth_blocks)
            deep = view.head - joiner.joined_block >= depth
            if joiner.joined and deep and address not in view.barred:
                nodes.add(address)
        return sorted(n for n in nodes if n in view.active)


class Out(list[Action]):
    """Actions of one step, in order."""

    def persist(self, state: EngineState) -> None:
        """Journal the open round's promises; those of the oldest names go."""
        assert state.context is not None
        key = state.context.key
        entries: dict[str, Any] = {key: state.context.to_json()}
        state.journal[key] = entries[key]
        kept = max(CONTEXTS_KEPT, state.config.keep_rounds + 1)  # inputs are found by them after a restart
        for old in sorted(k for k in state.journal if k.startswith(CONTEXT_KEY))[:-kept]:
            if old != key:
                del state.journal[old]
                entries[old] = None
        self.append(Persist(entries))

    def send(self, to: Sequence[Address], pulse: Pulse) -> None:
        if to:
            self.append(Send(tuple(to), pulse))

    def report(self, text: str, **values: Any) -> None:
        self.append(Report("info", text, values))

    def warn(self, text: str, **values: Any) -> None:
        self.append(Report("warning", text, values))

    def error(self, text: str, **values: Any) -> None:
        self.append(Report("error", text, values))

    def transact(self, state: EngineState, now: float, kind: Any, *args: Any) -> None:
        """Ask for a small transaction, unless one of its kind is under way (it ends in TransactionDone or -Failed)."""
        if now < state.transacting.get(kind, 0.0):
            return
        state.transacting[kind] = math.inf
        self.append(Transact(kind, args))

    def submit(self, state: EngineState, context: RoundContext, now: float) -> None:
        """Bring the certificate to the chain."""
        assert context.certificate is not None
        context.submitting, context.submitted_at = True, now
        self.append(Submit(context.certificate))

    def fetch(self, state: EngineState, now: float, blob: BlobId, size: int, sources: Sequence[Address]) -> None:
        """Pull a blob unless it is held, under way, or waiting for its next try."""
        if blob in state.held or not sources:
            return
        transfer = state.transfers.get(blob)
        if transfer is None:
            state.transfers[blob] = Transfer(blob, size, now, now, sources=tuple(sources))
            state.progress += 1
        elif transfer.retry_at is not None and now >= transfer.retry_at:
            transfer.retry_at, transfer.moved_at, transfer.sources = None, now, tuple(sources)
        else:
            return
        self.append(Fetch(blob, size, tuple(sources)))

    def stop_fetch(self, state: EngineState, blob: BlobId) -> None:
        """End a pull, if there is one: it would take up a peer's line, and count as progress, for nothing."""
        if state.transfers.pop(blob, None) is not None:
            self.append(StopFetch(blob))
