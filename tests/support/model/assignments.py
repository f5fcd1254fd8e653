"""What the Taskrunners contract's model remembers: runners, assignments, peers' rows; and what views make of them.

Owns no rule but the share of pairs, and two checks that many calls make.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from swarm.core.errors import Reverted
from swarm.core.ids import ZERO32, Address, Digest
from swarm.core.taskview import (
    Assignment,
    AssignmentPhase,
    Order,
    Outcome,
    Pair,
    PairState,
    Peer,
    PeerState,
    Report,
    TaskType,
)

NOBODY, NOTHING = Address(bytes(20)), Digest(ZERO32)


@dataclass(slots=True)
class Row:
    """A peer: what it said and what it was given; ``results`` by pair, with time and attempt of each."""

    state: PeerState = PeerState.NONE
    named: bool = False
    offer: int = 0
    given: int = 0
    attempt: int = 0
    heard: int = 0
    started: set[int] = field(default_factory=set)
    fault: str = ""
    text_hash: Digest = NOTHING
    results: dict[int, tuple[Report, int, int]] = field(default_factory=dict)

    @property
    def open(self) -> int:
        return self.given - len(self.results)

    @property
    def failed(self) -> int:
        return sum(not r.ok for r, _, _ in self.results.values())


@dataclass(slots=True)
class Line:
    """An assignment."""

    aid: Digest
    runner: Digest
    op: int
    by: Address
    order: Order
    task_type: TaskType
    block: int
    time: int
    heard: int
    rows: dict[Address, Row] = field(default_factory=dict)
    phase: AssignmentPhase = AssignmentPhase.ASSIGNED
    outcome: Outcome = Outcome.NONE
    began: tuple[int, int] = (0, 0)
    ended: tuple[int, int] = (0, 0)
    ended_by: Address = NOBODY
    why: str = ""
    suspected: tuple[int, int] = (0, 0)
    reset_by: Address = NOBODY
    reset_time: int = 0

    @property
    def busy(self) -> bool:
        return self.phase in (AssignmentPhase.ASSIGNED, AssignmentPhase.RUNNING)

    def in_state(self, state: PeerState) -> list[Row]:
        return [row for row in self.rows.values() if row.state is state]

    def total(self, what: str) -> int:
        return sum(getattr(row, what) for row in self.rows.values())

    @property
    def declined(self) -> int:
        return len(self.in_state(PeerState.DECLINED))

    @property
    def enrolled(self) -> int:
        """Frozen at the start: those who were let in or left out then, not those invited later."""
        if self.phase is AssignmentPhase.ASSIGNED or self.began == (0, 0):
            return len(self.in_state(PeerState.ENROLLED))
        return self.at_start

    at_start: int = 0
    offered_at_start: int = 0


@dataclass(slots=True)
class Runner:
    name: str
    lines: list[Line] = field(default_factory=list)
    current: Line | None = None
    followers: list[Address] = field(default_factory=list)
    seats: dict[Address, tuple[int, int]] = field(default_factory=dict)


def record(line: Line) -> Assignment:
    order, began = line.order, line.began != (0, 0)
    return Assignment(
        aid=line.aid,
        runner=line.runner,
        op=line.op,
        phase=line.phase,
        outcome=line.outcome,
        by=line.by,
        key=order.key,
        task=order.task,
        prereq=order.prereq,
        task_type=line.task_type,
        n=order.n,
        named=len(order.named),
        expect=order.expect,
        enrol_seconds=order.enrol_seconds,
        peers=len(line.rows),
        enrolled=line.enrolled,
        declined=line.declined,
        offered=line.offered_at_start if began else line.total("offer"),
        swops=len(line.in_state(PeerState.IN)),
        allotted=line.total("given"),
        open=line.total("open"),
        succeeded=line.total("given") - line.total("open") - line.total("failed"),
        failed=line.total("failed"),
        assigned_block=line.block,
        assigned_time=line.time,
        started_block=line.began[0],
        started_time=line.began[1],
        ended_block=line.ended[0],
        ended_time=line.ended[1],
        heard=line.heard,
        suspected=line.suspected[0],
        suspected_block=line.suspected[1],
        ended_by=line.ended_by,
        reset_by=line.reset_by,
        reset_time=line.reset_time,
        why=line.why,
    )


def share(offers: dict[Address, int], n: int) -> dict[Address, int]:
    """``n`` pairs one at a time by ascending address: a function of the offers, not of their order."""
    order = sorted(offers)
    turns = sorted((turn, swop) for swop in order for turn in range(offers[swop]))[:n]
    return {swop: sum(s == swop for _, s in turns) for swop in order}


def peer_of(swop: Address, row: Row) -> Peer:
    return Peer(
        swop=swop,
        state=row.state,
        named=row.named,
        offer=row.offer,
        allotted=row.given,
        open=row.open,
        failed=row.failed,
        attempt=row.attempt,
        heard=row.heard,
        started=sum(1 << pair for pair in row.started),
        fault=row.fault,
        text_hash=row.text_hash,
    )


def pair_of(line: Line, row: Row, number: int) -> Pair:
    if number in row.results:
        said, time, attempt = row.results[number]
        state = PairState.SUCCEEDED if said.ok else PairState.FAILED
        where = (said.sl, said.run, said.job)
        return Pair(state, attempt, said.exit_code, time, said.fault, said.text_hash, *where)
    blank = Pair(PairState.ALLOTTED, row.attempt, 0, 0, "", NOTHING, NOBODY, 0, NOTHING)
    if line.phase is AssignmentPhase.ENDED:
        return replace(blank, state=PairState.LOST if line.outcome is Outcome.EXPIRED else PairState.STOPPED)
    return replace(blank, state=PairState.STARTED) if number in row.started else blank


def require_phase(line: Line, phase: AssignmentPhase) -> None:
    if line.phase is not phase:
        raise Reverted("RunnerWrongPhase", {"aid": line.aid, "phase": line.phase})


def require_count(what: str, given: int, low: int, high: int) -> None:
    if not low <= given <= high:
        raise Reverted("RunnerBadCount", {"what": what, "given": given, "min": low, "max": high})
