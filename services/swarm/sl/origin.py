"""Reads on chain which model a warm-started run begins from: the final one of an earlier run of its job."""

from __future__ import annotations

from swarm.chain.training import Training
from swarm.core.chain_view import Phase
from swarm.core.engine.events import Origin
from swarm.core.ids import ZERO32, BlobId, Digest


async def find_origin(training: Training, job: Digest, run: int) -> Origin:
    """The final model of ``run``, or why a run cannot begin from it.

    Raises:
        ChainFault: the SN does not answer.
    """
    phase = await training.phase_of(job, run)
    if phase is not Phase.COMPLETE:
        what = "there is no such run" if phase is Phase.NONE else f"it is {phase.name.lower()}, not complete"
        return Origin(run, BlobId(ZERO32), 0, f"run {run} of this job has no final model: {what}")
    last = await training.last_round(job, run)
    if last is None:
        return Origin(run, BlobId(ZERO32), 0, f"run {run} of this job recorded no model")
    return Origin(run, last[1].blob, last[1].size)
