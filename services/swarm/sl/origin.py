"""Reads on chain which model a warm-started run begins from: the final one of an earlier run of its job."""

from __future__ import annotations

from swarm.chain.training import Training
from swarm.core.chain_view import Merged, Phase
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
    final = await _last(training, job, run)
    if final is None:
        return Origin(run, BlobId(ZERO32), 0, f"run {run} of this job recorded no model")
    return Origin(run, final.blob, final.size)


async def _last(training: Training, job: Digest, run: int) -> Merged | None:
    """The outcome of a complete run's last round: rounds are recorded without gaps, so doubling, then halving."""
    found, low, step = await training.merged_of(job, run, 0), 0, 1
    if found is None:
        return None
    while (further := await training.merged_of(job, run, low + step)) is not None:
        found, low, step = further, low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        between = await training.merged_of(job, run, middle)
        if between is None:
            high = middle
        else:
            found, low = between, middle
    return found
