"""What the Training contract's model does with jobs and runs of an earlier chain (TrainingCarried.sol)."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.core.chain_view import Merged, Phase
from swarm.core.errors import Reverted
from swarm.core.ids import JOB_NAME_BYTES_MAX, BlobId, Digest, job_id

from .membership import Event, MembershipModel, Tx
from .state import Job, Run

RUNS_MAX = 10_000


class Carrying:
    """The part of TrainingModel that enters what another chain recorded."""

    _members: MembershipModel
    _jobs: dict[Digest, Job]

    def carry_job(self, tx: Tx, name: str, origin: Digest, run: int) -> list[Event]:
        self._only_admitter(tx)
        made: list[Event] = []
        length = len(name.encode())
        if not 1 <= length <= JOB_NAME_BYTES_MAX:
            raise Reverted("TrainingBadName", {"bytesLength": length, "bytesMax": JOB_NAME_BYTES_MAX})
        job = job_id(name)
        entry = self._jobs.get(job)
        if entry is None:
            made = [Event("JobCreated", {"job": job, "name": name, "by": tx.sender})]
            entry = Job(name)
        if any(entry.origin) or entry.run.number != 1 or entry.run.phase is not Phase.IDLE or not any(origin):
            raise Reverted("TrainingJobExists", {"job": job})
        if not 1 <= run <= RUNS_MAX + 1:
            raise Reverted("TrainingWrongRun", {"run": run, "current": RUNS_MAX + 1})
        entry.origin = origin
        entry.runs = [*(Run(n, Phase.NONE) for n in range(1, run)), Run(run)]
        self._jobs[job] = entry
        return [*made, Event("JobCarried", {"job": job, "run": run, "origin": origin})]

    def carry_rounds(self, tx: Tx, job: Digest, run: int, first: int, words: Sequence[int]) -> list[Event]:
        found = self._carried(tx, job, run)
        if first != found.round:
            values = {"round": first, "epoch": 0, "openRound": found.round, "openEpoch": 0}
            raise Reverted("TrainingWrongRound", values)
        for blob, size in zip(words[::2], words[1::2], strict=False):
            found.merges.append(Merged(BlobId(blob.to_bytes(32, "big")), size))
        found.round = len(found.merges)
        return [Event("RoundsCarried", {"job": job, "run": run, "first": first, "words": tuple(words)})]

    def carry_run(
        self,
        tx: Tx,
        job: Digest,
        run: int,
        origin: Digest,
        phase: Phase,
        began: int,
        ended: int,
        members: Sequence[int],
    ) -> list[Event]:
        found = self._carried(tx, job, run)
        if phase in (Phase.NONE, Phase.IDLE):
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": phase})
        found.phase = phase
        values = {"job": job, "run": run, "origin": origin, "phase": phase, "rounds": found.round}
        return [Event("RunCarried", {**values, "began": began, "ended": ended, "members": tuple(members)})]

    def _carried(self, tx: Tx, job: Digest, run: int) -> Run:
        if job not in self._jobs:
            raise Reverted("TrainingUnknownJob", {"job": job})
        self._only_admitter(tx)
        entry = self._jobs[job]
        if not 1 <= run < entry.run.number:
            raise Reverted("TrainingWrongRun", {"run": run, "current": entry.run.number})
        found = entry.runs[run - 1]
        if found.phase is not Phase.NONE:
            raise Reverted("TrainingWrongPhase", {"job": job, "phase": found.phase})
        return found

    def _only_admitter(self, tx: Tx) -> None:
        if not self._members.is_admitter(tx.sender, tx.time):
            raise Reverted("MembershipNotAdmitter", {"caller": tx.sender})
