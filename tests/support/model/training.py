"""The Training contract as plain Python: jobs, runs, rounds, calls.

Owns the rules and refusals of contracts/src/Training.sol (docs/protocol.md),
for tests that compare the two step by step and for the simulator. Signatures go through a Verifier; block
and time come with each call. It keeps no caches: what the contract remembers, the model works out again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from swarm.core.bundle import Bundle
from swarm.core.chain_view import JobState, Joiner, Merged, Phase, Role, Stats
from swarm.core.checkinflags import FLAG_OBSERVER, FLAGS_ALL
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_JOB, JOB_NAME_BYTES_MAX, ZERO32, Address, BlobId, Digest, job_id
from swarm.core.limits import (
    MEMBERS_JOINED_MAX,
    RESCUE_AFTER_SECONDS,
    RESCUE_AFTER_SECONDS_MAX,
    RESCUE_AFTER_SECONDS_MIN,
    URI_BYTES_MAX,
)
from swarm.core.roster import Roster, leader
from swarm.core.statements import CheckIn, Verifier, inputs_hash

from .carrying import Carrying
from .membership import Event, MembershipModel, Tx
from .state import Call, Job, Run, Seat

__all__ = ["Event", "MembershipModel", "TrainingModel", "Tx"]

JOBS_MAX, JOBS_PER_CREATOR_MAX, SEATS_MAX = 10_000, 100, 1_000
_NOBODY = Address(bytes(20))
_OPERATORS = (Role.SN, Role.SWCI, Role.SWOP)


class TrainingModel(Carrying):
    """Each mutating method returns the events it emits.

    Args:
        domain: EIP-712 domain separator that the statements were signed for.
        rescue_after: seconds of block time until a call is due.

    Raises:
        Reverted: with the contract's error name and values; nothing has changed then.
    """

    def __init__(
        self,
        membership: MembershipModel,
        verifier: Verifier,
        domain: Digest,
        rescue_after: int = RESCUE_AFTER_SECONDS,
    ) -> None:
        if not RESCUE_AFTER_SECONDS_MIN <= rescue_after <= RESCUE_AFTER_SECONDS_MAX:
            values = {"secondsMin": RESCUE_AFTER_SECONDS_MIN, "secondsMax": RESCUE_AFTER_SECONDS_MAX}
            raise Reverted("TrainingBadRescueAfter", {"seconds_": rescue_after, **values})
        self.rescue_after = rescue_after
        self.rescue_after_blocks = max(2, min(10, rescue_after // 12))
        self._members = membership
        self._verifier = verifier
        self._domain = domain
        self._created: dict[Address, int] = {}
        self._jobs: dict[Digest, Job] = {job_id(DEFAULT_JOB): Job(DEFAULT_JOB)}

    # ---- jobs, joining, leaving ---------------------------------------------------------------------

    def create_job(self, tx: Tx, name: str) -> list[Event]:
        self._only(tx, _OPERATORS, Role.SWCI)
        length = len(name.encode())
        if not 1 <= length <= JOB_NAME_BYTES_MAX:
            raise Reverted("TrainingBadName", {"bytesLength": length, "bytesMax": JOB_NAME_BYTES_MAX})
        job = job_id(name)
        if job in self._jobs:
            raise Reverted("TrainingJobExists", {"job": job})
        if len(self._jobs) >= JOBS_MAX:
            raise Reverted("TrainingTooManyJobs", {"jobs": len(self._jobs), "jobsMax": JOBS_MAX})
        created = self._created.get(tx.sender, 0)
        if created >= JOBS_PER_CREATOR_MAX:
            raise Reverted("TrainingTooManyJobs", {"jobs": created, "jobsMax": JOBS_PER_CREATOR_MAX})
        self._created[tx.sender] = created + 1
        self._jobs[job] = Job(name)
        return [Event("JobCreated", {"job": job, "name": name, "by": tx.sender})]

    def join(self, tx: Tx, job: Digest, uri: str, min_peers: int, eligible: bool) -> list[Event]:
        run = self._job(job).run
        self._only(tx, (Role.SL,), Role.SL)
        if run.phase not in (Phase.IDLE, Phase.OPEN):
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": run.phase})
        if len(uri.encode()) > URI_BYTES_MAX:
            raise Reverted("TrainingUriTooLong", {"bytesLength": len(uri.encode()), "bytesMax": URI_BYTES_MAX})
        if min_peers == 0:
            raise Reverted("TrainingMinPeersZero")
        ceiling = run.min_peers if run.started else MEMBERS_JOINED_MAX
        if min_peers > ceiling:
            raise Reverted("TrainingMinPeersAboveRun", {"asked": min_peers, "fixedFor": ceiling})
        if tx.sender in run.seats and run.seats[tx.sender].joined:
            raise Reverted("TrainingAlreadyJoined", {"node": tx.sender})
        if tx.sender not in run.seats and len(run.seats) >= SEATS_MAX:
            raise Reverted("TrainingFull", {"joined": len(run.seats), "max": SEATS_MAX})
        if len(run.joined()) >= MEMBERS_JOINED_MAX:
            raise Reverted("TrainingFull", {"joined": MEMBERS_JOINED_MAX, "max": MEMBERS_JOINED_MAX})
        run.phase = Phase.OPEN
        run.joins += 1
        run.seats[tx.sender] = Seat(eligible, run.joins, tx.block, run.openings)
        values = {"job": job, "run": run.number, "node": tx.sender, "uri": uri}
        events = [Event("Joined", {**values, "min_peers": min_peers, "eligible": eligible})]
        if not run.started:
            run.min_peers = max(run.min_peers, min_peers)
            active = sorted(self._joined_active(run, tx), key=lambda node: run.seats[node].order)
            if len(active) >= run.min_peers:
                run.started = True
                events.append(self._open(tx, job, run, active[: run.min_peers]))
        return events

    def leave(self, tx: Tx, job: Digest) -> list[Event]:
        run = self._job(job).run
        seat = run.seats.get(tx.sender)
        if seat is None or not seat.joined:
            raise Reverted("TrainingNotJoined", {"node": tx.sender})
        counts = run.started and self._counts(run, tx.sender)
        seat.joined, seat.left_block = False, tx.block
        seat.left_opening = run.openings if counts else 0
        return [Event("Left", {"job": job, "run": run.number, "node": tx.sender})]

    def reset(self, tx: Tx, job: Digest, force: bool) -> list[Event]:
        found = self._job(job)
        run = found.run
        self._only(tx, _OPERATORS, Role.SWCI)
        events = []
        if run.phase == Phase.IDLE:
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": run.phase})
        if run.phase == Phase.OPEN:
            live = self._joined_active(run, tx)
            if live and not force:
                raise Reverted("TrainingMembersLive", {"members": live})
            run.phase = Phase.FAILED
            why = "reset before completion"
            values = {"job": job, "run": run.number, "by": tx.sender, "reason": why}
            events.append(Event("RunFailed", values))
        found.runs.append(Run(run.number + 1))
        values = {"job": job, "run": run.number + 1, "by": tx.sender, "forced": force}
        return [*events, Event("RunReset", values)]

    def close(self, tx: Tx, job: Digest, run_: int, loss: int, metric: int) -> list[Event]:
        found = self._job(job)
        if not 1 <= run_ <= found.run.number:
            raise Reverted("TrainingWrongRun", {"run": run_, "current": found.run.number})
        run = found.runs[run_ - 1]
        if run.phase != Phase.COMPLETE:
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": run.phase})
        if not self._members.is_active(tx.sender, tx.time):
            raise Reverted("MembershipNotActive", {"caller": tx.sender})
        if tx.sender not in run.seats:
            raise Reverted("TrainingNotJoined", {"node": tx.sender})
        if tx.sender in run.closed:
            raise Reverted("TrainingAlreadyClosed", {"node": tx.sender, "run": run_})
        run.closed.add(tx.sender)
        values = {"job": job, "run": run_, "node": tx.sender, "loss": loss, "metric": metric}
        return [Event("Closed", values)]

    # ---- rounds -------------------------------------------------------------------------------------

    def commit(self, tx: Tx, bundles: Sequence[Bundle]) -> list[Event]:
        before = copy.deepcopy(self._jobs) if len(bundles) > 1 else self._jobs
        events: list[Event] = []
        try:
            for bundle in bundles:
                events += self._commit(tx, bundle)
        except Reverted:
            self._jobs = before
            raise
        return events

    def _commit(self, tx: Tx, bundle: Bundle) -> list[Event]:
        name, result = bundle.name, bundle.result
        run = self._named(name.job, name.run, name.round, name.epoch)
        if name.prev != run.prev.blob:
            raise Reverted("TrainingWrongPrev", {"prev": name.prev, "expected": run.prev.blob})
        for given, expected in ((name.roster, run.roster.hash()), (bundle.roster.hash(), name.roster)):
            if given != expected:
                raise Reverted("TrainingWrongRoster", {"roster": given, "expected": expected})
        turn = leader(run.roster, name.job, name.run, name.round, bundle.attempt) or _NOBODY
        if bundle.leader != turn:
            values = {"attempt": bundle.attempt, "leader": bundle.leader, "expected": turn}
            raise Reverted("TrainingWrongLeader", values)
        inputs = self._check_items(run, bundle)
        if len(bundle.items) < run.min_peers:
            raise Reverted("TrainingTooFewItems", {"items": len(bundle.items), "minPeers": run.min_peers})
        check_ins = [item.check_in for item in bundle.items]
        if name.round == 0 and not any(c.weight for c in check_ins):
            raise Reverted("TrainingEmpty")
        if result.inputs != inputs:
            raise Reverted("TrainingWrongInputs", {"inputs": result.inputs, "expected": inputs})
        if name.round and result.manifest != run.manifest:
            values = {"manifest": result.manifest, "expected": run.manifest}
            raise Reverted("TrainingWrongManifest", values)
        self._check_acks(run, bundle)

        run.prev = Merged(result.merged, result.size)
        run.merges.append(run.prev)
        run.interval, run.manifest, run.call = result.interval, result.manifest, None
        events = [_merged(bundle), *(_contributed(bundle, i) for i in range(len(bundle.items)))]
        run.round += 1
        contributors = {c.node for c in check_ins}
        if all(c.done for c in check_ins) and contributors.issuperset(run.roster.addresses):
            run.phase = Phase.COMPLETE
            values = {"job": name.job, "run": run.number, "rounds": run.round, "merged": result.merged}
            return [*events, Event("RunCompleted", values)]
        return [*events, self._open(tx, name.job, run, self._joined_active(run, tx))]

    def _check_items(self, run: Run, bundle: Bundle) -> Digest:
        digests = []
        last = _NOBODY
        for index, item in enumerate(bundle.items):
            check_in = item.check_in
            if check_in.node <= last:
                raise Reverted("TrainingOrder", {"index": index})
            last = check_in.node
            observer_with_weight = check_in.flags & FLAG_OBSERVER and check_in.weight
            if check_in.flags & ~FLAGS_ALL or observer_with_weight:
                raise Reverted("TrainingItemFlags", {"index": index, "flags": check_in.flags})
            if check_in.node not in run.roster and not self._counts(run, check_in.node):
                raise Reverted("TrainingItemNotMember", {"index": index, "node": check_in.node})
            # The calldata carries the name once, so the contract checks every item against that one.
            digest = CheckIn.digest(_renamed(check_in, bundle), self._domain)
            if self._verifier.recover(digest, item.signature) != check_in.node:
                raise Reverted("TrainingItemSignature", {"index": index, "node": check_in.node})
            digests.append((digest, item.coefficient))
        return inputs_hash(digests)

    def _check_acks(self, run: Run, bundle: Bundle) -> None:
        last = _NOBODY
        for index, (ack, signature) in enumerate(bundle.acks):
            if ack.node <= last:
                raise Reverted("TrainingOrder", {"index": index})
            last = ack.node
            if ack.node not in run.roster:
                raise Reverted("TrainingAckNotRoster", {"index": index, "node": ack.node})
            said = type(ack)(bundle.name, bundle.attempt, bundle.result.hash(), ack.node)
            if self._verifier.recover(said.digest(self._domain), signature) != ack.node:
                raise Reverted("TrainingAckSignature", {"index": index, "node": ack.node})
        if len(bundle.acks) < run.roster.majority:
            values = {"acks": len(bundle.acks), "majority": run.roster.majority}
            raise Reverted("TrainingTooFewAcks", values)

    # ---- call, here, settle -------------------------------------------------------------------------

    def call(self, tx: Tx, job: Digest, run_: int, round_: int, epoch: int) -> list[Event]:
        run = self._named(job, run_, round_, epoch)
        self._seated(tx, run)
        events = []
        if run.call is not None:
            if not self._lapsed(run.call, tx):
                raise Reverted("TrainingCallOpen", {"callId": run.call.id})
            events.append(Event("CallLapsed", {"job": job, "run": run_, "call_id": run.call.id}))
        if tx.sender in run.last_calls:
            self._passed(tx, *run.last_calls[tx.sender])
        run.last_calls[tx.sender] = (tx.block, tx.time)
        found = self._job(job)
        found.calls += 1
        run.call = Call(found.calls, tx.block, tx.time)
        values = {"job": job, "run": run_, "call_id": run.call.id, "by": tx.sender}
        return [*events, Event("Called", values)]

    def here(self, tx: Tx, job: Digest, call_id: int, done: bool) -> list[Event]:
        run = self._job(job).run
        call = _open_call(run, call_id)
        if self._lapsed(call, tx):
            raise Reverted("TrainingNoCall", {"callId": call_id, "open": 0})
        self._seated(tx, run)
        if tx.sender in call.answers:
            raise Reverted("TrainingAlreadyAnswered", {"node": tx.sender, "callId": call_id})
        call.answers[tx.sender] = done
        values = {"job": job, "run": run.number, "call_id": call_id, "node": tx.sender, "done": done}
        return [Event("Answered", values)]

    def settle(self, tx: Tx, job: Digest, call_id: int) -> list[Event]:
        run = self._job(job).run
        call = _open_call(run, call_id)
        values: dict[str, Any] = {"job": job, "run": run.number, "call_id": call_id}
        if self._lapsed(call, tx):
            run.call = None
            return [Event("CallLapsed", values)]
        self._passed(tx, call.block, call.time)
        run.call = None
        present = [node for node in self._joined_active(run, tx) if node in call.answers]
        silent = [node for node in run.roster.addresses if node not in present]
        majority = len(run.roster) - len(silent) >= run.roster.majority
        done_without_all = bool(silent) and all(call.answers[node] for node in present)
        if len(present) < run.min_peers or (majority and not done_without_all):
            return [Event("CallVoided", {**values, "answers": len(present)})]
        dropped = tuple(node for node in silent if run.seats[node].joined)
        for node in dropped:
            seat = run.seats[node]
            seat.joined, seat.left_block, seat.left_opening = False, tx.block, 0
        run.epoch += 1
        reformed = Event("Reformed", {**values, "epoch": run.epoch, "dropped": dropped})
        return [reformed, self._open(tx, job, run, present)]

    # ---- views --------------------------------------------------------------------------------------

    def state(self, job: Digest) -> JobState:
        if job not in self._jobs:
            return _UNKNOWN
        run = self._jobs[job].run
        call = run.call or Call(0, 0, 0)
        return JobState(
            phase=run.phase,
            started=run.started,
            run=run.number,
            round=run.round,
            epoch=run.epoch,
            min_peers=run.min_peers,
            interval=run.interval,
            prev=run.prev.blob,
            prev_size=run.prev.size,
            manifest=run.manifest,
            roster=run.roster.hash() if run.started else Digest(ZERO32),
            opened_block=run.opened_block,
            opened_time=run.opened_time,
            joined_count=len(run.joined()),
            call_id=call.id,
            call_block=call.block,
            call_time=call.time,
        )

    def roster_of(self, job: Digest) -> Roster:
        return self._jobs[job].run.roster if job in self._jobs else Roster(())

    def joiners_of(self, job: Digest) -> tuple[Joiner, ...]:
        seats = self._jobs[job].run.seats if job in self._jobs else {}
        return tuple(
            Joiner(node, s.eligible, s.joined, s.joined_block, s.left_block) for node, s in sorted(seats.items())
        )

    def merged_of(self, job: Digest, run: int, round_: int) -> Merged | None:
        runs = self._jobs[job].runs if job in self._jobs else []
        if not (1 <= run <= len(runs) and 0 <= round_ < len(runs[run - 1].merges)):
            return None
        return runs[run - 1].merges[round_]

    def phase_of(self, job: Digest, run: int) -> Phase:
        runs = self._jobs[job].runs if job in self._jobs else []
        return runs[run - 1].phase if 1 <= run <= len(runs) else Phase.NONE

    def leader_of(self, job: Digest, attempt: int) -> Address | None:
        if job not in self._jobs:
            return None
        run = self._jobs[job].run
        return leader(run.roster, job, run.number, run.round, attempt)

    def jobs(self) -> dict[Digest, str]:
        return {job: found.name for job, found in self._jobs.items()}

    # ---- shared steps -------------------------------------------------------------------------------

    def _open(self, tx: Tx, job: Digest, run: Run, members: Sequence[Address]) -> Event:
        run.roster = Roster.of((node, run.seats[node].eligible) for node in members)
        run.opened_block, run.opened_time = tx.block, tx.time
        run.openings += 1
        values = {"job": job, "run": run.number, "round": run.round, "epoch": run.epoch}
        values |= {"prev": run.prev.blob, "min_peers": run.min_peers, "roster": run.roster}
        return Event("RoundOpened", values)

    def _joined_active(self, run: Run, tx: Tx) -> list[Address]:
        return [node for node in run.joined() if self._members.is_active(node, tx.time)]

    def _counts(self, run: Run, node: Address) -> bool:
        """Joined and active at one time since the open round's opening."""
        seat, after = run.seats.get(node), self._members.counts_after(node)
        if seat is None or (after and after >= run.opened_block):
            return False
        if not seat.joined:
            return seat.left_opening == run.openings
        if seat.joined_opening == run.openings:
            return True
        return self._members.was_active_since(node, run.opened_block, run.opened_time)

    def _job(self, job: Digest) -> Job:
        if job not in self._jobs:
            raise Reverted("TrainingUnknownJob", {"job": job})
        return self._jobs[job]

    def _named(self, job: Digest, run_: int, round_: int, epoch: int) -> Run:
        run = self._job(job).run
        if run_ != run.number:
            raise Reverted("TrainingWrongRun", {"run": run_, "current": run.number})
        if (round_, epoch) != (run.round, run.epoch):
            values = {"round": round_, "epoch": epoch, "openRound": run.round, "openEpoch": run.epoch}
            raise Reverted("TrainingWrongRound", values)
        if run.phase != Phase.OPEN or not run.started:
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": run.phase})
        return run

    def _seated(self, tx: Tx, run: Run) -> None:
        if not self._members.is_active(tx.sender, tx.time):
            raise Reverted("MembershipNotActive", {"caller": tx.sender})
        if tx.sender not in run.seats or not run.seats[tx.sender].joined:
            raise Reverted("TrainingNotJoined", {"node": tx.sender})

    def _lapsed(self, call: Call, tx: Tx) -> bool:
        """Twice rescueAfter has passed, in blocks and in seconds."""
        return tx.time > call.time + 2 * self.rescue_after and tx.block > call.block + 2 * self.rescue_after_blocks

    def _passed(self, tx: Tx, since_block: int, since_time: int) -> None:
        blocks = max(0, self.rescue_after_blocks - (tx.block - since_block))
        seconds = max(0, self.rescue_after - (tx.time - since_time))
        if blocks or seconds:
            raise Reverted("TrainingCallTooEarly", {"blocks": blocks, "seconds_": seconds})

    def _only(self, tx: Tx, roles: Sequence[Role], needed: Role) -> None:
        if not self._members.is_active(tx.sender, tx.time):
            raise Reverted("MembershipNotActive", {"caller": tx.sender})
        if self._members.member(tx.sender).role not in roles:
            raise Reverted("MembershipNotAllowed", {"caller": tx.sender, "needed": needed})


_UNKNOWN = JobState(
    Phase.NONE, False, 0, 0, 0, 0, 0, BlobId(ZERO32), 0, Digest(ZERO32), Digest(ZERO32), 0, 0, 0, 0, 0, 0
)  # fmt: skip


def _renamed(check_in: CheckIn, bundle: Bundle) -> CheckIn:
    fields = {key: getattr(check_in, key) for key in CheckIn.ABI}
    return CheckIn(name=bundle.name, **fields)


def _merged(bundle: Bundle) -> Event:
    name = bundle.name
    values = {"job": name.job, "run": name.run, "round": name.round, "epoch": name.epoch}
    values |= {"attempt": bundle.attempt, "leader": bundle.leader, "result": bundle.result}
    return Event("Merged", {**values, "contributors": len(bundle.items), "acks": len(bundle.acks)})


def _contributed(bundle: Bundle, index: int) -> Event:
    name, item = bundle.name, bundle.items[index]
    c = item.check_in
    stats = Stats(c.weight, c.loss, c.metric, c.epochs_done, c.epochs_total, c.flags)
    values = {"job": name.job, "run": name.run, "node": c.node, "round": name.round, "version": c.version}
    values |= {"blob": c.blob, "size": c.size, "stats": stats, "coefficient": item.coefficient}
    return Event("Contributed", values)


def _open_call(run: Run, call_id: int) -> Call:
    if run.call is None or call_id != run.call.id:
        raise Reverted("TrainingNoCall", {"callId": call_id, "open": run.call.id if run.call else 0})
    return run.call
