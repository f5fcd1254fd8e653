"""WAIT FOR TASKRUNNER: follows one assignment to its end, and tells who failed, and how. Watches, and ends nothing.

An end counts once it stands so many blocks deep as its chain may still take back.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarm.chain.taskrunners import Taskrunners
from swarm.chain.training import Training
from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault, SwarmFault
from swarm.core.ids import Digest, to_hex
from swarm.core.shown import shown
from swarm.core.taskview import Assignment, Outcome, Pair, PairState, Peer, PeerState, RunnerState, TaskType
from swarm.inspect.operator import Member

from .running import Runner, now_of, runners_of, task_name
from .say import Say, stamp
from .session import GENERIC_WAIT, MINUTES_DEFAULT, OLD_WAIT, RUN_WAIT, Session, TimedOut

LOOK_SECONDS = 1.0
MARK_SECONDS = 5.0
DEEP_BLOCKS = 2
"""On a chain that may take blocks back."""
LISTED_MAX = 20
"""Peers that failed, in one answer."""
OVER = "WARNING - Maximum configured SWCI wait time is over"


class TaskFailed(SwarmFault):
    """The task ended without success."""

    exit_code = 1


@dataclass(slots=True)
class _Watch:
    """What was told already."""

    marked: float
    warned: bool = False
    silent: bool = False


async def wait(session: Session, member: Member, runner: Runner, aid: Digest | None, say: Say) -> None:
    """Wait for the end of an assignment.

    Args:
        aid: None: what the runner has now.

    Raises:
        TaskFailed: it ended otherwise than complete, or a pair failed.
        TimedOut: no limit was set, the usual one is over, and no peer is heard any more.
    """
    runners = runners_of(member.reader, member)
    found = await _found(runners, runner, aid)
    minutes, given = _limit(session, found)
    say.line(f"WAITING FOR TASKRUNNER TO COMPLETE - Maximum wait time is : {minutes} mins")
    began = session.clock()
    lease, watch = await runners.lease_seconds(), _Watch(session.clock())
    while found is not None:
        try:
            seen = await runners.assignment(found.aid)
            if seen is not None:
                found = seen
            elif member.swarm.can_reorganise:
                say.line(f"assignment {found.op} was taken back by the chain; whoever gave it sends it again")
            if _over(found) and await _stands(member, runners, found):
                await _tell_end(member, runners, runner, found, say)
                return
            _, now = await now_of(member.reader)
            now = max(now, int(session.clock()))  # an idle chain's newest block is old
        except ChainFault as fault:  # the SN is away for a moment; the task goes on without it
            if not watch.silent:
                say.line(f"the SN does not answer ({fault}); asking again")
            watch.silent = True
            now = 0
        silent = now - max(found.heard, found.assigned_time) > lease
        if silent and not watch.silent:
            say.line(f"no peer was heard since {stamp(found.heard or found.assigned_time)}; waiting on")
        watch.silent = silent or now == 0
        if session.clock() - began > minutes * 60 and not watch.warned:
            watch.warned = True
            say.line(OVER)
            if given:
                return
        if watch.warned and silent and now:
            raise TimedOut(f"{runner.name}: no peer was heard since {stamp(found.heard)}, and the wait time is over")
        if session.clock() - watch.marked >= MARK_SECONDS:
            watch.marked = session.clock()
            say.mark()
        await session.sleep(LOOK_SECONDS)
    say.line("TASKRUNNER FINISHED")
    say.line(f"  STATE : {RunnerState.IDLE.name}")
    say.line(f"  TIME  : {stamp(session.clock())}")


async def _found(runners: Taskrunners, runner: Runner, aid: Digest | None) -> Assignment | None:
    if aid is not None:
        found = await runners.assignment(aid)
        if found is not None:
            return found
    return (await runners.state(runner.id)).current


def _limit(session: Session, found: Assignment | None) -> tuple[int, bool]:
    """Minutes, and whether the user set them: for this process, or as a variable of the context."""
    run = found is not None and found.task_type is TaskType.RUN_SWARM
    env = session.book.get().env
    text = env.get(RUN_WAIT if run else GENERIC_WAIT) or env.get(OLD_WAIT) or ""
    own = session.limits.run if run else session.limits.generic
    minutes = int(text) if text.isascii() and text.isdigit() else own
    return (MINUTES_DEFAULT, False) if minutes is None else (minutes, True)


def _over(found: Assignment) -> bool:
    """Ended, or as good as: a pair failed, or those who answered are too few."""
    short = found.enrolled + found.declined >= found.expect > 0 and found.declined and found.offered < found.n
    return not found.busy or found.failed > 0 or (found.shown is RunnerState.ASSIGNED and bool(short))


async def _stands(member: Member, runners: Taskrunners, found: Assignment) -> bool:
    if not member.swarm.can_reorganise:
        return True
    head, _ = await now_of(member.reader)
    deep = await runners.assignment(found.aid, block=max(0, head - DEEP_BLOCKS))
    return deep is not None and _over(deep)


async def _tell_end(member: Member, runners: Taskrunners, runner: Runner, found: Assignment, say: Say) -> None:
    complete = found.outcome is Outcome.COMPLETE
    state = RunnerState.COMPLETE if complete else RunnerState.ERROR
    _, now = await now_of(member.reader)
    say.line("TASKRUNNER FINISHED")
    say.line(f"  STATE : {state.name}")
    say.line(f"  TIME  : {stamp(found.ended_time or now)}")
    if complete:
        return
    if found.open:
        say.line(f"  OPEN PAIRS : {found.open}")
    causes = await failures(member, runners, found)
    for line in causes[:LISTED_MAX]:
        say.line(f"  {line}")
    name = await task_name(member, found.task)
    raise TaskFailed(f"task {name} on {runner.name}: {why(found)}" + (f"; {causes[0]}" if causes else ""))


def why(found: Assignment) -> str:
    """How an assignment ended, or stands, in a few words."""
    at = stamp(found.heard or found.assigned_time)
    return {
        Outcome.NONE: f"{found.failed} pairs failed" if found.failed else "too few SWOPs take it",
        Outcome.COMPLETE: "complete",
        Outcome.FAILED: f"{found.failed} of {found.allotted} pairs failed",
        Outcome.DECLINED: "a SWOP that it named declined",
        Outcome.TOO_FEW: f"not started in time: {found.offered} offered, {found.n or found.named} wanted",
        Outcome.EXPIRED: f"no peer answered since {at}",
        Outcome.ABORTED: f"aborted by {to_hex(found.ended_by)}" + (f": {shown(found.why)}" if found.why else ""),
        Outcome.RESET: f"reset by {to_hex(found.ended_by)} while it ran",
    }[found.outcome]


async def failures(member: Member, runners: Taskrunners, found: Assignment) -> list[str]:
    """A line for each peer that declined and each pair that did not succeed: who, exit code, class, what of its run."""
    lines = []
    for peer in await runners.peers(found.aid):
        if peer.state is PeerState.DECLINED:
            lines.append(f"SWOP {to_hex(peer.swop)} declined: {shown(peer.fault) or 'no reason given'}")
        for number, pair in enumerate(await _ended_badly(runners, found, peer)):
            lines.append(f"SWOP {to_hex(peer.swop)} pair {number}: {await described(member, pair)}")
    return lines


async def _ended_badly(runners: Taskrunners, found: Assignment, peer: Peer) -> list[Pair]:
    if not peer.allotted or (not peer.failed and found.busy):
        return []
    bad = (PairState.FAILED, PairState.LOST, PairState.STOPPED)
    return [pair for pair in await runners.pairs(found.aid, peer.swop) if pair.state in bad]


async def described(member: Member, pair: Pair) -> str:
    """State, exit code and class of a pair; and that its model is safe, if its run came to its end."""
    text = pair.state.name
    if pair.state is PairState.FAILED:
        text += f", exit code {pair.exit_code}" + (f", {shown(pair.fault)}" if pair.fault else "")
    if any(pair.job):
        text += f", SL {to_hex(pair.sl)}, run {pair.run}"
        training = Training(member.reader, member.swarm.training)
        if pair.state is not PairState.SUCCEEDED and await training.phase_of(pair.job, pair.run) is Phase.COMPLETE:
            text += " is complete: the model is safe"
    return text
