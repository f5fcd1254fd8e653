"""The Taskrunners contract as plain Python: followers, assignments, peers and pairs.

Owns the rules and refusals of contracts/src/Taskrunners.sol (docs/tasks.md), for tests that compare the two and for
simulations. What the contract counts, the model works out again from the peers and their results.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarm.chain.taskcodec import read_fault
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_RUNNER, Address, Digest
from swarm.core.limits import (
    ENROL_SECONDS_MAX,
    ENROL_SECONDS_MIN,
    EXPECT_SECONDS,
    RUNNER_FOLLOWERS_MAX,
    RUNNER_PAIRS_MAX,
    RUNNER_REPORTS_MAX,
    RUNNER_SWOPS_MAX,
    TASK_LEASE_SECONDS,
    TASK_LEASE_SECONDS_MAX,
    TASK_LEASE_SECONDS_MIN,
)
from swarm.core.taskstatements import assignment_id, runner_id
from swarm.core.taskview import (
    Assignment,
    AssignmentPhase,
    Follower,
    Mine,
    Order,
    Outcome,
    Pair,
    Peer,
    PeerState,
    Report,
    RunnerState,
    RunnerView,
    TaskType,
)

from .assignments import NOTHING, Line, Row, Runner, pair_of, peer_of, record, require_count, require_phase, share
from .membership import Event, MembershipModel, Tx
from .tasks import CONDUCTORS, TasksModel, check_text, only

RUNNERS_MAX, RUNNERS_BY_CREATOR_MAX, PEERS_MAX, WHY_BYTES_MAX = 10_000, 100, 250, 160


class TaskrunnersModel:
    """Each mutating method returns the events it emits.

    Args:
        lease: seconds of block time after which a silent peer is suspected.

    Raises:
        Reverted: with the contract's error name and values; nothing has changed then.
    """

    def __init__(self, membership: MembershipModel, tasks: TasksModel, lease: int = TASK_LEASE_SECONDS) -> None:
        if not TASK_LEASE_SECONDS_MIN <= lease <= TASK_LEASE_SECONDS_MAX:
            values = {"secondsMin": TASK_LEASE_SECONDS_MIN, "secondsMax": TASK_LEASE_SECONDS_MAX}
            raise Reverted("RunnerBadLease", {"seconds_": lease, **values})
        self.lease, self.grace_blocks = lease, max(2, min(10, lease // 12))
        self._members, self._tasks = membership, tasks
        self._created: dict[Address, int] = {}
        self._runners: dict[Digest, Runner] = {runner_id(DEFAULT_RUNNER): Runner(DEFAULT_RUNNER)}
        self._lines: dict[Digest, Line] = {}

    # ---- runners and followers ----------------------------------------------------------------------

    def create_runner(self, tx: Tx, name: str) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        check_text("name", name, "RunnerBadName")
        runner = runner_id(name)
        if runner in self._runners:
            raise Reverted("RunnerExists", {"runner": runner})
        for count, most in (
            (len(self._runners), RUNNERS_MAX),
            (self._created.get(tx.sender, 0), RUNNERS_BY_CREATOR_MAX),
        ):
            if count >= most:
                raise Reverted("RunnerTooMany", {"runners": count, "runnersMax": most})
        self._created[tx.sender] = self._created.get(tx.sender, 0) + 1
        self._runners[runner] = Runner(name)
        return [Event("RunnerCreated", {"runner": runner, "name": name, "by": tx.sender})]

    def follow(self, tx: Tx, runner: Digest, pairs: int) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        found = self._known(runner)
        require_count("pairs", pairs, 1, RUNNER_PAIRS_MAX)
        if tx.sender in found.seats and found.seats[tx.sender][0] == pairs:
            return []
        events = []
        if tx.sender not in found.seats:
            if len(found.followers) < RUNNER_FOLLOWERS_MAX:
                found.followers.append(tx.sender)
            else:
                gone = [who for who in found.followers if not self._members.is_active(who, tx.time)]
                if not gone:
                    values = {"what": "followers", "count": RUNNER_FOLLOWERS_MAX, "max": RUNNER_FOLLOWERS_MAX}
                    raise Reverted("RunnerFull", values)
                found.followers[found.followers.index(gone[0])] = tx.sender
                del found.seats[gone[0]]
                events.append(Event("Unfollowed", {"runner": runner, "swop": gone[0]}))
        found.seats[tx.sender] = pairs, tx.time
        return [*events, Event("Followed", {"runner": runner, "swop": tx.sender, "pairs": pairs})]

    def unfollow(self, tx: Tx, runner: Digest) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        found = self._known(runner)
        if tx.sender not in found.seats:
            return []
        place, last = found.followers.index(tx.sender), found.followers.pop()
        if last != tx.sender:
            found.followers[place] = last
        del found.seats[tx.sender]
        return [Event("Unfollowed", {"runner": runner, "swop": tx.sender})]

    # ---- operators ----------------------------------------------------------------------------------

    def assign(self, tx: Tx, runner: Digest, order: Order, r: bytes, vs: bytes) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        found = self._known(runner)
        aid = assignment_id(runner, tx.sender, order.key)
        if aid in self._lines:
            if self._lines[aid].order != order:
                raise Reverted("RunnerKeyReused", {"aid": aid})
            return [Event("AssignedBefore", {"runner": runner, "aid": aid, "op": self._lines[aid].op})]
        current = found.current
        lapsed = current is not None and current.phase is AssignmentPhase.ASSIGNED and self._start_due(current, tx)
        if current is not None and current.busy and not lapsed:
            raise Reverted("RunnerBusy", {"aid": current.aid, "op": current.op, "state": record(current).shown})
        require_count("enrolSeconds", order.enrol_seconds, ENROL_SECONDS_MIN, ENROL_SECONDS_MAX)
        require_count("expect", order.expect, 0, RUNNER_FOLLOWERS_MAX)
        require_count("n", order.n, *((0, 0) if order.named else (1, RUNNER_PAIRS_MAX)))
        task_type = self._runnable(order)
        require_count("named", len(order.named), 0, RUNNER_SWOPS_MAX)
        for place, swop in enumerate(order.named):
            if place and swop <= order.named[place - 1]:
                raise Reverted("RunnerOrder", {"index": place})
            self._follower(found, swop, tx)
        events = self._end(current, tx, Outcome.TOO_FEW) if current is not None and lapsed else []
        line = Line(aid, runner, len(found.lines) + 1, tx.sender, order, task_type, tx.block, tx.time, tx.time)
        line.rows = {swop: Row(PeerState.NAMED, named=True) for swop in order.named}
        found.lines.append(line)
        found.current = self._lines[aid] = line
        values = {"runner": runner, "aid": aid, "by": tx.sender, "op": line.op, "order": order, "r": r, "vs": vs}
        return [*events, Event("Assigned", values)]

    def invite(self, tx: Tx, runner: Digest, aid: Digest, swop: Address, attempt: int) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        line = self._current(runner, aid)
        require_phase(line, AssignmentPhase.RUNNING)
        row = line.rows.get(swop, Row())
        if not row.given:
            if attempt != 1:
                raise Reverted("RunnerWrongAttempt", {"attempt": attempt, "current": 0})
            if row.state is PeerState.INVITED:
                return []
            self._follower(self._runners[runner], swop, tx)
            self._row(line, swop).state = PeerState.INVITED
        else:
            if row.open:
                raise Reverted("RunnerPairsOpen", {"swop": swop, "open": row.open})
            if not row.failed:
                raise Reverted("RunnerNothingFailed", {"swop": swop})
            if attempt != row.attempt + 1:
                raise Reverted("RunnerWrongAttempt", {"attempt": attempt, "current": row.attempt})
            again = {pair for pair, (result, _, _) in row.results.items() if not result.ok}
            row.results = {pair: kept for pair, kept in row.results.items() if pair not in again}
            row.started -= again
            row.attempt = attempt
        return [Event("Invited", {"aid": aid, "swop": swop, "attempt": attempt, "by": tx.sender})]

    def abort(self, tx: Tx, runner: Digest, aid: Digest, why: str) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        line = self._current(runner, aid)
        if not line.busy:
            raise Reverted("RunnerNotBusy", {"aid": aid, "outcome": line.outcome})
        require_count("why", len(why.encode()), 0, WHY_BYTES_MAX)
        return self._end(line, tx, Outcome.ABORTED, why)

    def reset(self, tx: Tx, runner: Digest, aid: Digest, force: bool) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        line = self._current(runner, aid)
        events = []
        if line.busy:
            if not force:
                raise Reverted("RunnerBusy", {"aid": aid, "op": line.op, "state": record(line).shown})
            events = self._end(line, tx, Outcome.RESET)
        line.reset_by, line.reset_time = tx.sender, tx.time
        self._runners[runner].current = None
        return [*events, Event("ResetDone", {"runner": runner, "aid": aid, "by": tx.sender, "forced": force})]

    # ---- peers --------------------------------------------------------------------------------------

    def enrol(self, tx: Tx, runner: Digest, aid: Digest, offer: int) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        line = self._current(runner, aid)
        require_count("offer", offer, 1, RUNNER_PAIRS_MAX if line.task_type is TaskType.RUN_SWARM else 1)
        row = line.rows.get(tx.sender, Row())
        enrolled = Event("Enrolled", {"aid": aid, "swop": tx.sender, "offer": offer})
        if line.phase is AssignmentPhase.RUNNING:
            if row.state is PeerState.IN:
                return []
            if row.state is not PeerState.INVITED:
                raise Reverted("RunnerNotNamed", {"swop": tx.sender})
            swops = len(line.in_state(PeerState.IN))
            if swops >= RUNNER_SWOPS_MAX:
                raise Reverted("RunnerFull", {"what": "swops", "count": swops, "max": RUNNER_SWOPS_MAX})
            row.state, row.offer, row.given, row.attempt = PeerState.IN, offer, offer, 1
            self._heard(line, row, tx)
            return [enrolled]
        require_phase(line, AssignmentPhase.ASSIGNED)
        self._may_answer(line, row, tx)
        if row.state is not PeerState.ENROLLED and line.enrolled >= RUNNER_SWOPS_MAX:
            self._row(line, tx.sender, dry=True)
            raise Reverted("RunnerFull", {"what": "enrolled", "count": line.enrolled, "max": RUNNER_SWOPS_MAX})
        row = self._row(line, tx.sender)
        changed = row.offer != offer
        row.state, row.offer, row.fault, row.text_hash = PeerState.ENROLLED, offer, "", NOTHING
        self._heard(line, row, tx)
        return [enrolled] if changed else []

    def decline(self, tx: Tx, runner: Digest, aid: Digest, fault: bytes, text_hash: Digest) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        line = self._current(runner, aid)
        row = line.rows.get(tx.sender, Row())
        if line.phase is AssignmentPhase.RUNNING:
            if row.state not in (PeerState.INVITED, PeerState.DECLINED):
                raise Reverted("RunnerNotNamed", {"swop": tx.sender})
        else:
            require_phase(line, AssignmentPhase.ASSIGNED)
            self._may_answer(line, row, tx)
        why = read_fault(fault)
        if row.state is PeerState.DECLINED and (row.fault, row.text_hash) == (why, text_hash):
            return []
        row = self._row(line, tx.sender)
        if row.state is PeerState.ENROLLED:
            row.offer = 0
        row.state, row.fault, row.text_hash, row.heard = PeerState.DECLINED, why, text_hash, tx.time
        events = [Event("Declined", {"aid": aid, "swop": tx.sender, "fault": why, "text_hash": text_hash})]
        if row.named and line.phase is AssignmentPhase.ASSIGNED:
            events += self._end(line, tx, Outcome.DECLINED)
        return events

    def start(self, tx: Tx, runner: Digest, aid: Digest) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        line = self._current(runner, aid)
        require_phase(line, AssignmentPhase.ASSIGNED)
        caller = line.rows.get(tx.sender)
        if caller is None or caller.state is not PeerState.ENROLLED:
            raise Reverted("RunnerNotEnrolled", {"swop": tx.sender})
        living = {
            swop: row.offer
            for swop, row in sorted(line.rows.items())
            if row.state is PeerState.ENROLLED
            and (row is caller or tx.time <= row.heard + self.lease)
            and self._members.is_active(swop, tx.time)
        }
        if line.order.named:
            if len(living) < len(line.order.named):
                raise Reverted("RunnerNotReady", {"offered": len(living), "wanted": len(line.order.named)})
            given = living
        else:
            offered = sum(living.values())
            if offered < line.order.n:
                raise Reverted("RunnerNotReady", {"offered": offered, "wanted": line.order.n})
            due = line.time + EXPECT_SECONDS
            if line.enrolled + line.declined < line.order.expect and tx.time < due:
                raise Reverted("RunnerNotDue", {"time": due, "block_": 0})
            given = share(living, line.order.n)
        self._heard(line, caller, tx)
        line.at_start, line.offered_at_start = line.enrolled, line.total("offer")
        line.phase, line.began = AssignmentPhase.RUNNING, (tx.block, tx.time)
        for swop, row in line.rows.items():
            if given.get(swop):
                row.state, row.given, row.attempt = PeerState.IN, given[swop], 1
            elif row.state is PeerState.ENROLLED:
                row.state = PeerState.OUT
        values = {"aid": aid, "swops": tuple(given), "given": tuple(given.values())}
        return [Event("Started", values)]

    def renew(self, tx: Tx, runner: Digest, aid: Digest, started: int) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        line = self._current(runner, aid)
        row = line.rows.get(tx.sender, Row())
        if line.phase is AssignmentPhase.RUNNING:
            if not row.open:
                raise Reverted("RunnerNothingOpen", {"swop": tx.sender})
            row.started |= {pair for pair in range(row.given) if started >> pair & 1}
        else:
            require_phase(line, AssignmentPhase.ASSIGNED)
            if row.state is not PeerState.ENROLLED:
                raise Reverted("RunnerNotEnrolled", {"swop": tx.sender})
        self._heard(line, row, tx)
        return []

    def report(self, tx: Tx, runner: Digest, aid: Digest, attempt: int, reports: Sequence[Report]) -> list[Event]:
        only(self._members, tx, (Role.SWOP,), Role.SWOP)
        require_count("reports", len(reports), 1, RUNNER_REPORTS_MAX)
        current = self._known(runner).current
        line = self._lines.get(aid)
        if line is None or line.runner != runner:
            raise Reverted("RunnerNotCurrent", {"aid": aid, "current": current.aid if current else NOTHING})
        row = line.rows.get(tx.sender, Row())
        if not row.given:
            raise Reverted("RunnerNotIn", {"swop": tx.sender})
        values = {"aid": aid, "swop": tx.sender, "attempt": attempt}
        if line.phase is AssignmentPhase.ENDED:
            return [Event("ReportedLate", {**values, "reports": tuple(reports)})]
        if attempt != row.attempt:
            raise Reverted("RunnerWrongAttempt", {"attempt": attempt, "current": row.attempt})
        results, events = dict(row.results), []
        for said in reports:
            require_count("pair", said.pair, 0, row.given - 1)
            if said.pair not in results:
                results[said.pair] = said, tx.time, attempt
                events.append(Event("Reported", {**values, "report": said}))
            elif results[said.pair][0] != said:
                raise Reverted("RunnerReported", {"pair": said.pair, "attempt": results[said.pair][2]})
        if row.open:
            self._heard(line, row, tx)
        row.results = results
        if not line.total("open"):
            events += self._end(line, tx, Outcome.FAILED if line.total("failed") else Outcome.COMPLETE)
        return events

    # ---- any member ---------------------------------------------------------------------------------

    def suspect(self, tx: Tx, runner: Digest, aid: Digest) -> list[Event]:
        only(self._members, tx, tuple(Role), Role.NONE)
        line = self._current(runner, aid)
        require_phase(line, AssignmentPhase.RUNNING)
        if line.suspected[0]:
            return []
        due = line.heard + self.lease + 1
        if tx.time < due:
            raise Reverted("RunnerNotDue", {"time": due, "block_": 0})
        line.suspected = tx.time, tx.block
        return [Event("Suspected", {"aid": aid, "by": tx.sender, "heard": line.heard})]

    def expire(self, tx: Tx, runner: Digest, aid: Digest) -> list[Event]:
        only(self._members, tx, tuple(Role), Role.NONE)
        line = self._current(runner, aid)
        if line.phase is AssignmentPhase.ASSIGNED:
            time, block = line.time + line.order.enrol_seconds, line.block + self.grace_blocks
            outcome = Outcome.TOO_FEW
        else:
            require_phase(line, AssignmentPhase.RUNNING)
            if not line.suspected[0]:
                raise Reverted("RunnerNotDue", {"time": 0, "block_": 0})
            time, block = line.suspected[0] + self.lease // 4, line.suspected[1] + self.grace_blocks
            outcome = Outcome.EXPIRED
        if tx.time < time or tx.block < block:
            raise Reverted("RunnerNotDue", {"time": time, "block_": block})
        return self._end(line, tx, outcome)

    # ---- views --------------------------------------------------------------------------------------

    def state(self, runner: Digest) -> RunnerView:
        found = self._runners.get(runner)
        line = found.current if found else None
        if line is None:
            return RunnerView(RunnerState.IDLE, False, None)
        view = record(line)
        return RunnerView(view.shown, line.busy, view)

    def assignment(self, aid: Digest) -> Assignment | None:
        return record(self._lines[aid]) if aid in self._lines else None

    def mine(self, runner: Digest, swop: Address) -> Mine:
        current = self.state(runner).current
        if current is None or swop not in self._lines[current.aid].rows:
            return Mine(current, None, ())
        line = self._lines[current.aid]
        return Mine(current, peer_of(swop, line.rows[swop]), self.pairs(line.aid, swop))

    def peers(self, aid: Digest) -> tuple[Peer, ...]:
        rows = self._lines[aid].rows if aid in self._lines else {}
        return tuple(peer_of(swop, row) for swop, row in rows.items())

    def pairs(self, aid: Digest, swop: Address) -> tuple[Pair, ...]:
        line = self._lines.get(aid)
        row = line.rows.get(swop) if line else None
        if line is None or row is None:
            return ()
        return tuple(pair_of(line, row, number) for number in range(row.given))

    def history(self, runner: Digest) -> tuple[Assignment, ...]:
        return tuple(map(record, self._runners[runner].lines))

    def runners(self) -> dict[Digest, str]:
        return {runner: found.name for runner, found in self._runners.items()}

    def followers(self, runner: Digest, time: int) -> tuple[Follower, ...]:
        found = self._runners[runner]
        return tuple(Follower(s, *found.seats[s], self._members.is_active(s, time)) for s in found.followers)

    def waiting(self) -> int:
        lines = [r.current for r in self._runners.values() if r.current is not None]
        return sum(x.phase is AssignmentPhase.ASSIGNED or (x.busy and bool(x.suspected[0])) for x in lines)

    # ---- shared steps -------------------------------------------------------------------------------

    def _end(self, line: Line, tx: Tx, outcome: Outcome, why: str = "") -> list[Event]:
        line.phase, line.outcome, line.ended = AssignmentPhase.ENDED, outcome, (tx.block, tx.time)
        line.ended_by, line.why = tx.sender, why
        values = {"runner": line.runner, "aid": line.aid, "outcome": outcome, "by": tx.sender, "why": why}
        return [Event("Ended", values)]

    def _heard(self, line: Line, row: Row, tx: Tx) -> None:
        row.heard = line.heard = tx.time
        line.suspected = 0, 0

    def _row(self, line: Line, swop: Address, *, dry: bool = False) -> Row:
        if swop not in line.rows and len(line.rows) >= PEERS_MAX:
            raise Reverted("RunnerFull", {"what": "peers", "count": PEERS_MAX, "max": PEERS_MAX})
        return Row() if dry else line.rows.setdefault(swop, Row())

    def _may_answer(self, line: Line, row: Row, tx: Tx) -> None:
        if line.order.named and not row.named:
            raise Reverted("RunnerNotNamed", {"swop": tx.sender})

    def _known(self, runner: Digest) -> Runner:
        if runner not in self._runners:
            raise Reverted("RunnerUnknown", {"runner": runner})
        return self._runners[runner]

    def _current(self, runner: Digest, aid: Digest) -> Line:
        current = self._known(runner).current
        if current is None or current.aid != aid:
            raise Reverted("RunnerNotCurrent", {"aid": aid, "current": current.aid if current else NOTHING})
        return current

    def _start_due(self, line: Line, tx: Tx) -> bool:
        return tx.time >= line.time + line.order.enrol_seconds and tx.block >= line.block + self.grace_blocks

    def _runnable(self, order: Order) -> TaskType:
        task, prereq = self._tasks.info(order.task), self._tasks.info(order.prereq)
        if task is None or not task.final:
            raise Reverted("RunnerTaskNotFinal", {"task": order.task})
        if task.header.task_type is TaskType.ROOT_TASK:
            raise Reverted("RunnerTaskNotRunnable", {"task": order.task})
        if prereq is None or not prereq.final or prereq.header.name != task.header.prereq:
            raise Reverted("RunnerWrongPrereq", {"task": order.task, "prereq": order.prereq})
        return task.header.task_type

    def _follower(self, found: Runner, swop: Address, tx: Tx) -> None:
        if swop not in found.seats or not self._members.is_active(swop, tx.time):
            raise Reverted("RunnerNotFollower", {"swop": swop})
