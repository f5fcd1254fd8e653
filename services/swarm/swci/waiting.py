"""WAIT FOR TASKRUNNER: follows one assignment to its end, and tells who failed, and how. Watches, and ends nothing.

An end counts once it stands so many blocks deep as its chain may still take back. An assignment that the chain itself
took back is given again if this shell signed it, else the wait ends and names the command: nobody is left who works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from swarm.chain.names import RunnerError
from swarm.chain.taskrunners import Taskrunners
from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault, OperatorFault, Reverted, SwarmFault
from swarm.core.ids import Digest, to_hex
from swarm.core.shown import shown
from swarm.core.taskrun.work import Key
from swarm.core.taskview import Assignment, Outcome, Pair, PairState, Peer, PeerState, RunnerState, TaskType
from swarm.inspect.assignments import described as told
from swarm.inspect.assignments import why
from swarm.inspect.operator import Member

from .failuretexts import last_words
from .freeing import Runner, busy, now_of, runners_of, task_name
from .say import Say, stamp
from .session import GENERIC_WAIT, MINUTES_DEFAULT, MINUTES_MAX, OLD_WAIT, RUN_WAIT, Session, TimedOut

LOOK_SECONDS = 1.0
MARK_SECONDS = 5.0
DEEP_BLOCKS = 2
"""On a chain that may take blocks back."""
VANISHED_SECONDS = 15.0
"""What is gone without an end may come back by itself within this: chains put the transactions of lost blocks back."""
LATE_SECONDS = 5
"""After the time for enrolling: a start may be in flight."""
LISTED_MAX = 20
"""Peers that failed, in one answer."""
OVER = "WARNING - Maximum configured SWCI wait time is over"


class TaskFailed(SwarmFault):
    """The task ended without success."""

    exit_code = 1


class Verdict(Enum):
    """What one look at an assignment comes to."""

    ON = "wait on"
    OVER = "it is over, or cannot come to a good end"
    LIMIT = "the user's limit has come"
    SILENT = "the usual time is over, and no peer is heard"


@dataclass(slots=True)
class Watch:
    """What is said while an assignment is watched, and when watching ends. Pure: time comes in with each look.

    Args:
        lease_seconds: of the contract; a peer not heard for so long is silent.
        minutes: the limit; given: the user set it. Without one only silence ends the wait.
    """

    lease_seconds: int
    minutes: int
    given: bool
    warned: bool = False
    silent: bool = False
    away: bool = False

    def look(self, found: Assignment, now: float, elapsed: float) -> tuple[Verdict, list[str]]:
        """Args: now: block time or later; elapsed: seconds since the wait began."""
        lines: list[str] = []
        heard = found.heard or found.assigned_time
        self.away = False
        if _over(found, now):
            return Verdict.OVER, lines
        silent = now - heard > self.lease_seconds
        if silent and not self.silent:
            lines.append(f"no peer was heard since {stamp(heard)}; waiting on")
        self.silent = silent
        if elapsed > self.minutes * 60 and not self.warned:
            self.warned = True
            lines.append(OVER)
        if self.warned and (self.given or silent):
            return (Verdict.LIMIT if self.given else Verdict.SILENT), lines
        return Verdict.ON, lines

    def missed(self, fault: ChainFault) -> list[str]:
        """The SN does not answer for a moment; the task goes on without it."""
        lines = [] if self.away else [f"the SN does not answer ({fault}); asking again"]
        self.away = True
        return lines


@dataclass(slots=True)
class ChainClock:
    """The chain's present time: its newest block's, and what has passed here since that block was first seen.

    An idle chain's newest block is old, and this host's own time of day may be wrong by any amount: only what it counts
    between two looks is used. Args: steady: seconds, set by nobody.
    """

    steady: Callable[[], float]
    _block: int = 0
    _seen: float = 0.0

    def at(self, block_time: int) -> float:
        if block_time > self._block:  # an SN that lags shows an older one
            self._block, self._seen = block_time, self.steady()
        return self._block + self.steady() - self._seen


async def wait(session: Session, member: Member, runner: Runner, aid: Digest | None, say: Say) -> None:
    """Wait for the end of an assignment.

    Args:
        aid: None: what the runner has now.

    Raises:
        TaskFailed: it ended otherwise than complete, a pair failed, or it was not started in time.
        TimedOut: no limit was set, the usual one is over, and no peer is heard any more.
        OperatorFault: the chain took the assignment back, and it cannot be given again from here.
    """
    runners = runners_of(member.reader, member)
    found = await _found(runners, runner, aid)
    watch = Watch(await runners.lease_seconds(), *_limit(session, found))
    say.line(f"WAITING FOR TASKRUNNER TO COMPLETE - Maximum wait time is : {watch.minutes} mins")
    began = marked = session.steady()
    gone: float | None = None
    chain = ChainClock(session.steady)
    now = chain.at((await now_of(member.reader))[1])
    aid = aid if found is None else found.aid
    if aid is None:
        _finished(say, RunnerState.IDLE, now)
        return
    while True:
        try:
            there = await runners.assignment(aid)
            now = chain.at((await now_of(member.reader))[1])
            if there is not None:
                found, gone = there, None
                verdict, lines = watch.look(found, now, session.steady() - began)
                if verdict is Verdict.OVER and await _stands(member, runners, found, now):
                    await _tell_end(member, runners, runner, found, now, say, texts=not session.viewer)
                    return
            else:
                verdict, lines = Verdict.ON, []
                gone = session.steady() if gone is None else gone
                if session.steady() - gone >= VANISHED_SECONDS:
                    gone = session.steady()  # a try that fails is made again as much later
                    await _again(session, member, runner, aid, found, say)
        except Reverted:
            raise
        except ChainFault as fault:
            verdict, lines = Verdict.ON, watch.missed(fault)
        if verdict in (Verdict.ON, Verdict.OVER) and watch.given and session.steady() - began > watch.minutes * 60:
            # No SN answers, or an end that was seen does not stand: the user's limit holds all the same.
            verdict, lines = Verdict.LIMIT, [*lines, OVER]
        for line in lines:
            say.line(line)
        if verdict is Verdict.LIMIT:
            return
        if verdict is Verdict.SILENT:
            assert found is not None  # whose silence that is
            heard = stamp(found.heard or found.assigned_time)
            raise TimedOut(f"{runner.name}: no peer was heard since {heard}, and the wait time is over")
        if session.steady() - marked >= MARK_SECONDS:
            marked = session.steady()
            say.mark()
        await session.sleep(LOOK_SECONDS)


async def _again(
    session: Session, member: Member, runner: Runner, aid: Digest, lost: Assignment | None, say: Say
) -> None:
    """Give an assignment again that the chain took back; under its key it is the same one.

    Raises:
        OperatorFault: another shell signed it, or the runner has another task now; says which.
    """
    given = session.given.get(runner.id)
    if given is not None and given.aid != aid:
        given = None
    which = lost.task if lost is not None else given.order.task if given is not None else None
    task = "<task>" if which is None else await task_name(member, which)
    back = f"the chain took the assignment of task {task} to {runner.name} back"
    if given is None:
        raise OperatorFault(f"{back}, and nobody works on it: ASSIGN TASK {task} TO {runner.name} ... gives it again")
    async with session.access.writing(member) as (client, _):
        try:
            await runners_of(client, member).assign(runner.id, given.order, given.signature)
        except Reverted as refusal:
            current = (await runners_of(client, member).state(runner.id)).current
            if refusal.name != RunnerError.BUSY or current is None:
                raise
            raise OperatorFault(f"{back}; {await busy(member, runner, current)}") from refusal
    say.line(f"{back}: given again")


def _finished(say: Say, state: RunnerState, at: float) -> None:
    say.line("TASKRUNNER FINISHED")
    say.line(f"  STATE : {state.name}")
    say.line(f"  TIME  : {stamp(at)}")


async def _found(runners: Taskrunners, runner: Runner, aid: Digest | None) -> Assignment | None:
    """The one that is meant, which the chain may have lost; without one what the runner has."""
    return await runners.assignment(aid) if aid is not None else (await runners.state(runner.id)).current


def _limit(session: Session, found: Assignment | None) -> tuple[int, bool]:
    """Minutes, and whether the user set them: for this process, or as a variable of the context."""
    run = found is not None and found.task_type is TaskType.RUN_SWARM
    env = session.book.get().env
    text = env.get(RUN_WAIT if run else GENERIC_WAIT) or env.get(OLD_WAIT) or ""
    own = session.limits.run if run else session.limits.generic
    if text and not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MINUTES_MAX):
        name = next(name for name in (RUN_WAIT if run else GENERIC_WAIT, OLD_WAIT) if env.get(name))
        raise OperatorFault(f"{name}={text!r:.80} in this context: expected minutes, 1 to {MINUTES_MAX}")
    minutes = int(text) if text else own
    return (MINUTES_DEFAULT, False) if minutes is None else (minutes, True)


def _over(found: Assignment, now: float) -> bool:
    """Ended, or as good as: a pair failed, those who answered are too few, or it was not started in its time."""
    if not found.busy or found.failed:
        return True
    if found.shown is not RunnerState.ASSIGNED:
        return False
    answered = found.enrolled + found.declined >= found.expect > 0
    return bool(answered and found.declined and found.offered < found.n) or _late(found, now)


def _late(found: Assignment, now: float) -> bool:
    return found.shown is RunnerState.ASSIGNED and now - found.assigned_time > found.enrol_seconds + LATE_SECONDS


async def _stands(member: Member, runners: Taskrunners, found: Assignment, now: float) -> bool:
    if not member.swarm.can_reorganise:
        return True
    head, _ = await now_of(member.reader)
    deep = await runners.assignment(found.aid, block=max(0, head - DEEP_BLOCKS))
    return deep is not None and _over(deep, now)


async def _tell_end(
    member: Member, runners: Taskrunners, runner: Runner, found: Assignment, now: float, say: Say, *, texts: bool
) -> None:
    """Say the end. Args: texts: whether the caller may read what a program wrote before it failed."""
    complete = found.outcome is Outcome.COMPLETE
    # All is asked before anything is said: an SN that goes away in between must not have it said twice.
    causes = [] if complete else await failures(member, runners, found)
    name = "" if complete else await task_name(member, found.task)
    words = [] if complete or not texts else await first_words(member, runners, found)
    _finished(say, RunnerState.COMPLETE if complete else RunnerState.ERROR, found.ended_time or now)
    if complete:
        return
    if found.open:
        say.line(f"  OPEN PAIRS : {found.open}")
    for line in [*causes[:LISTED_MAX], *words]:
        say.line(f"  {line}")
    raise TaskFailed(f"task {name} on {runner.name}: {why(found)}" + (f"; {causes[0]}" if causes else ""))


async def failures(member: Member, runners: Taskrunners, found: Assignment) -> list[str]:
    """A line for each peer that declined and each pair that did not succeed: who, exit code, class, what of its run."""
    lines = []
    for peer in await runners.peers(found.aid):
        if peer.state is PeerState.DECLINED:
            lines.append(f"SWOP {to_hex(peer.swop)} declined: {shown(peer.fault) or 'no reason given'}")
        for number, pair in await _ended_badly(runners, found, peer):
            lines.append(f"SWOP {to_hex(peer.swop)} pair {number}: {await described(member, pair)}")
    return lines


async def first_words(member: Member, runners: Taskrunners, found: Assignment) -> list[str]:
    """What the first program that failed wrote last, or where it is kept."""
    for peer in await runners.peers(found.aid):
        for number, pair in await _ended_badly(runners, found, peer):
            if pair.state is PairState.FAILED:
                return await last_words(member, peer.swop, Key(found.aid, number, pair.attempt), pair)
    return []


async def _ended_badly(runners: Taskrunners, found: Assignment, peer: Peer) -> list[tuple[int, Pair]]:
    if not peer.allotted or (not peer.failed and found.busy):
        return []
    bad = (PairState.FAILED, PairState.LOST, PairState.STOPPED)
    return [(n, pair) for n, pair in enumerate(await runners.pairs(found.aid, peer.swop)) if pair.state in bad]


async def described(member: Member, pair: Pair) -> str:
    async def phase_of(job: Digest, run: int) -> Phase:
        return await member.on.training.phase_of(job, run)

    return await told(phase_of, pair)
