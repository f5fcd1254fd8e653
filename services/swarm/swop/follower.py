"""A SWOP's life with its task runner: look, decide, act, remember, again; whatever it is told is looked up first.

Owns the loop. What is to be done is :mod:`swarm.core.taskrun.passes`'s, doing it on this host :mod:`.hands`', what this
site says to an assignment :mod:`.judging`'s.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from swarm.chain.names import RunnerError
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasksigned import TaskUnsigned
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault, Reverted
from swarm.core.ids import Digest, to_hex
from swarm.core.taskrun import actions as do
from swarm.core.taskrun.passes import ALIVE, Lately, Offer, Rules, Sight, remember, take_pass, wanted
from swarm.core.taskrun.work import Key, Result, Work
from swarm.core.taskview import Assignment, TaskType
from swarm.obs import log as obs_log
from swarm.obs.waits import Waits

from .hands import Hands
from .judging import Judge, Judged, unsigned
from .keeping import Keeping
from .runtime import RuntimeFault
from .sighting import Sighting

log = obs_log.get("swarm.SWOP")

PASS_SECONDS = 1.0
"""Between two passes, unless the chain or the pass itself says sooner."""
AGAIN_SECONDS = 0.05
"""Before a pass that is due at once: what fails again and again does not keep a core busy."""
JUDGED_MAX = 64
"""Assignments of which is remembered what this site said."""
UNSIGNED_SECONDS = 15.0
"""How long a task is shown without its creator's signature before it is declined: blocks may be taken back."""


class Follower:
    """Args:
    turn: leave the SN for another one, because of what it shows.
    """

    def __init__(
        self,
        runners: Taskrunners,
        runner: Digest,
        rules: Rules,
        sighting: Sighting,
        judge: Judge,
        keeping: Keeping,
        waits: Waits,
        waker: Waker,
        turn: Callable[[str], Awaitable[Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runners, self._runner, self._rules = runners, runner, rules
        self._sighting, self._judge, self._keeping = sighting, judge, keeping
        self._waits, self._waker, self._turn, self._clock = waits, waker, turn, clock
        self._lately = Lately()
        self._judged: dict[Digest, Judged] = {}
        self._unsigned: tuple[Digest, float] | None = None
        """The assignment whose task is shown unsigned, and since when."""
        self._current: Assignment | None = None
        self.hands: Hands | None = None
        self.running = 0
        self.trouble = ""
        self._noted = False
        """There was a trouble in this pass, which went on in spite of it."""

    def judged(self, key: Key) -> Judged | None:
        """What this site said to the attempt's assignment."""
        return self._judged.get(key.aid)

    async def run(self) -> None:
        """Passes for ever; an SN or an engine that does not answer is waited for, visibly."""
        with self._waits.row(
            what="a task", whom="operators", then="it is judged, and run if this site takes it"
        ) as row:
            while True:
                ticket = self._waker.ticket()
                again = False
                self._noted = False
                try:
                    again = await self.step()
                    if not self._noted:
                        self._well()
                except (ChainFault, RuntimeFault) as fault:
                    self._note(str(fault))
                row.what, row.whom, row.then = self._waited_for()
                await ticket.wait(AGAIN_SECONDS if again else PASS_SECONDS)

    def _waited_for(self) -> tuple[str, str, str]:
        current = self._current
        if self.trouble:
            return "the SN, or the container engine", self.trouble[:200], "this SWOP goes on where it was"
        if self.running:
            return "the end of its programs", f"{self.running} of {self._name(current.aid)}" if current else "", "told"
        return "a task", "operators", "it is judged, and run if this site takes it"

    async def step(self) -> bool:
        """One pass; whether the next one is due at once.

        Raises:
            ChainFault: the SN does not answer; RuntimeFault: the engine stopped answering in mid-pass.
        """
        assert self.hands is not None
        memory = self._keeping.memory
        works: list[Work] | None
        sight = await self._sighting.look({key.aid for key in memory.started})
        if self._current is not None and sight.head.current is None:
            log.info("TASKRUNNER WAS RESET")
        self._current = sight.head.current
        try:
            if wanted(sight.head) and self._current is not None:
                await self._look_into(self._current.aid)  # what its results mean depends on the task
            works = await self.hands.works(wanted(sight.head), _kind(sight))
        except RuntimeFault as fault:
            works = None
            self._note(str(fault))
        self.running = sum(work.state in ALIVE for work in works or ())
        unseen = {work.key.aid for work in works or ()} - {key.aid for key in memory.started}
        if unseen:
            sight = await self._sighting.look({key.aid for key in memory.started} | unseen)
        said = {aid: one.said for aid, one in self._judged.items()}
        found = take_pass(self._clock(), self._rules, sight, works, memory, self._lately, said)
        again = found.again
        behind = any(isinstance(action, do.TurnSn) for action in found.actions)
        # A renewal counts as sent once it was; what is known of the runtime counts at once.
        self._lately = replace(found.lately, renewed=self._lately.renewed)
        for action in sorted(found.actions, key=lambda one: not isinstance(one, do.Renew)):
            try:
                again |= await self._carry_out(action)
            except RuntimeFault as fault:
                self._note(str(fault))  # the next pass looks again; the others must not wait for it
        self._lately = found.lately
        if not behind:
            self._keeping.keep(self._keeping.memory.at(sight.number))
        return again

    async def _carry_out(self, action: do.Action) -> bool:
        """Whether the next pass should come at once."""
        assert self.hands is not None
        if isinstance(action, do.KeepStarted) and (late := await self._judged_again(action.key)) is not None:
            return self._over(action.key, late)
        self._keeping.keep(remember(self._keeping.memory, action))
        match action:
            case do.TurnSn(why):
                await self._turn(why)
            case do.Create(key):
                return self._over(key, await self.hands.create(key))
            case do.Start(key):
                return self._over(key, await self.hands.start(key))
            case do.Stop(key):
                self.hands.stop(key)
            case do.Remove(key):
                await self.hands.remove(key)
            case do.Judge(aid, _):
                return await self._look_into(aid)
            case _:
                await self._tell(action)
        return False

    async def _judged_again(self, key: Key) -> Result | None:
        """The site's word may be another one since the offer: a start asks for it once more."""
        self._judged.pop(key.aid, None)
        await self._look_into(key.aid)
        judged = self._judged.get(key.aid)
        if judged is None or isinstance(judged.said, Offer):
            return None
        return Result(False, fault=judged.said.fault, text_hash=judged.said.text_hash)

    def _over(self, key: Key, result: Result | None) -> bool:
        """An attempt that could not be made or started has its result."""
        if result is not None:
            self._keeping.keep(self._keeping.memory.with_result(key, result))
        return result is not None

    async def _look_into(self, aid: Digest) -> bool:
        current = self._current
        known = self._judged.get(aid)
        if current is None or current.aid != aid:
            return False
        if known is not None and known.of == (current.task, current.prereq):
            return False
        try:
            found = await self._judge.judge(current)
            self._unsigned = None
        except TaskUnsigned as fault:
            now = self._clock()
            if self._unsigned is None or self._unsigned[0] != aid:
                self._unsigned = aid, now
            if now - self._unsigned[1] < UNSIGNED_SECONDS:
                raise
            found = unsigned(current, str(fault))
        while len(self._judged) >= JUDGED_MAX:
            del self._judged[next(iter(self._judged))]
        self._judged[aid] = found
        if found.text:
            log.warning("this site does not take the task", why=found.text)
        return True

    async def _tell(self, action: do.Action) -> None:
        """One transaction; what a contract refuses was decided by another's a moment before, and is looked at again."""
        runners, runner = self._runners, self._runner
        try:
            match action:
                case do.Enrol(aid, offer):
                    log.info(f"ENROLL TO Task : {self._name(aid)} , opId : {self._op()} - Begins")
                    await runners.enrol(runner, aid, offer)
                    log.info(f"ENROLL TO Task : {self._name(aid)} , opId : {self._op()} - Ends")
                case do.Decline(aid, fault, text_hash):
                    await runners.decline(runner, aid, fault, text_hash)
                case do.StartAssignment(aid):
                    await runners.start(runner, aid)
                case do.Renew(aid, started):
                    await runners.renew(runner, aid, started)
                case do.Report(aid, attempt, results):
                    await runners.report(runner, aid, attempt, [result.report(pair) for pair, result in results])
        except Reverted as refusal:
            if refusal.name != RunnerError.NOT_READY:
                log.info("the chain decided otherwise meanwhile", why=str(refusal))

    def _name(self, aid: Digest) -> str:
        judged = self._judged.get(aid)
        return judged.task.header.name if judged is not None and judged.task is not None else to_hex(aid)[:10]

    def _op(self) -> int:
        return self._current.op if self._current is not None else 0

    def _note(self, trouble: str) -> None:
        self._noted = True
        if trouble != self.trouble:
            log.warning(trouble)
        self.trouble = trouble

    def _well(self) -> None:
        if self.trouble:
            log.info("goes on")
        self.trouble = ""


def _kind(sight: Sight) -> TaskType | None:
    return None if sight.head.current is None else sight.head.current.task_type
