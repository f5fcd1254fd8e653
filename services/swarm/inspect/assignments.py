"""How an assignment of a task runner ended, or stands, and its pairs: in a few words, from the contract's records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from swarm.core.chain_view import Phase
from swarm.core.ids import Digest, to_hex
from swarm.core.shown import shown, stamp
from swarm.core.taskview import Assignment, Outcome, Pair, PairState, RunnerState

PhaseOf = Callable[[Digest, int], Awaitable[Phase]]


def why(found: Assignment) -> str:
    """How it ended, or stands."""
    at = stamp(found.heard or found.assigned_time)
    return {
        Outcome.NONE: _stuck(found),
        Outcome.COMPLETE: "complete",
        Outcome.FAILED: f"{found.failed} of {found.allotted} pairs failed",
        Outcome.DECLINED: "a SWOP that it named declined",
        Outcome.TOO_FEW: f"not started in time: {found.offered} offered, {found.n or found.named} wanted",
        Outcome.EXPIRED: f"no peer answered since {at}",
        Outcome.ABORTED: f"aborted by {to_hex(found.ended_by)}" + (f": {shown(found.why)}" if found.why else ""),
        Outcome.RESET: f"reset by {to_hex(found.ended_by)} while it ran",
    }[found.outcome]


def _stuck(found: Assignment) -> str:
    """What is wrong with an assignment that has not ended."""
    if found.failed:
        return f"{found.failed} pairs failed"
    if found.shown is RunnerState.RUNNING:
        return f"running, {found.open} pairs open"
    offered = f"{found.offered} offered by {found.enrolled} SWOPs, {found.declined} declined"
    return f"not started: {found.n or found.named} wanted, {offered} ({found.enrol_seconds} s to enrol)"


async def described(phase_of: PhaseOf, pair: Pair) -> str:
    """State, exit code and class of a pair; and that its model is safe, if its run came to its end.

    Args:
        phase_of: how a run of a job stands; asked only for a pair that joined one.
    """
    text = pair.state.name
    if pair.state is PairState.FAILED:
        text += f", exit code {pair.exit_code}" + (f", {shown(pair.fault)}" if pair.fault else "")
    if any(pair.job):
        text += f", SL {to_hex(pair.sl)}, run {pair.run}"
        if pair.state is not PairState.SUCCEEDED and await phase_of(pair.job, pair.run) is Phase.COMPLETE:
            text += " is complete: the model is safe"
    return text
