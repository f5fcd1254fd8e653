"""One pass of a SWOP: from what the chain says, what runs here and what is remembered, to what is to be done.

Level, not edge: a pass compares and never replays events, so a restart, a repeated pass and an adopted pair are the
same case. It starts what the head *and* the state some blocks below want, and stops only what *neither* wants: a block
that is taken back starts nothing and stops nothing. Pure; the shell carries out the actions in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..ids import NO_DIGEST, Digest
from ..limits import EXPECT_SECONDS, RUNNER_REPORTS_MAX
from ..taskview import Assignment, AssignmentPhase, Mine, PairState, Peer, PeerState
from .actions import (
    Action,
    Create,
    Decline,
    Enrol,
    Judge,
    Keep,
    KeepOver,
    KeepStarted,
    Remove,
    Renew,
    Report,
    Start,
    StartAssignment,
    Stop,
    TurnSn,
)
from .work import Key, Memory, Result, Why, Work, WorkState

VANISH_SECONDS = 15.0
"""An assignment that the chain no longer knows, and of which no end is known, may come back so long."""
RENEWALS_A_LEASE = 3

ALIVE = frozenset({WorkState.CREATED, WorkState.RUNNING, WorkState.STOPPING})


@dataclass(frozen=True, slots=True)
class Offer:
    """This site takes the task: so many pairs of its profile."""

    pairs: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """This site does not: a class of refusals, and the hash of the text that stays here."""

    fault: str
    text_hash: Digest = NO_DIGEST


@dataclass(frozen=True, slots=True)
class Rules:
    """Args: fresh_seconds: greatest age of a head that is decided on; None on a chain that seals on demand."""

    lease_seconds: float
    fresh_seconds: float | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the chain found.

    Args:
        head, deep: the newest state, and the one that no usual reorganisation takes back (embedded chain: the same).
        number: of the head; ``age``: seconds since it was made.
        now: seconds of block time.
        ended, ended_deep: of the assignments that run here, those whose end the head, or the deep state, knows.
        member: whether this SWOP is one, by the deep state.
    """

    head: Mine
    deep: Mine
    number: int
    age: float
    now: float
    ended: frozenset[Digest] = frozenset()
    ended_deep: frozenset[Digest] = frozenset()
    member: bool = True


@dataclass(frozen=True, slots=True)
class Lately:
    """What a SWOP knows of its recent past; lost in a restart, and nothing depends on that.

    Args:
        unknown_since: attempts that run here and whose assignment the chain does not know, since when.
        renewed: when each assignment was renewed last, and with which bit map.
        blind_since: since when the runtime did not answer.
    """

    unknown_since: Mapping[Key, float] = field(default_factory=dict)
    renewed: Mapping[Digest, tuple[float, int]] = field(default_factory=dict)
    blind_since: float | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """Args: again: something changed that the next pass goes on from, so it need not wait."""

    actions: tuple[Action, ...]
    lately: Lately
    again: bool


def wanted(mine: Mine) -> frozenset[Key]:
    """The attempts that this view of the chain wants run here."""
    current, peer = mine.current, mine.peer
    if current is None or peer is None or current.phase is not AssignmentPhase.RUNNING:
        return frozenset()
    return frozenset(Key(current.aid, number, peer.attempt) for number, pair in enumerate(mine.pairs) if pair.open)


def remember(memory: Memory, action: Action) -> Memory:
    """The journal after an action; only the three that keep something change it."""
    match action:
        case Keep(key, result):
            return memory.with_result(key, result)
        case KeepStarted(key):
            return memory.with_started(key)
        case KeepOver(aid):
            return memory.with_over(aid)
        case _:
            return memory


def take_pass(
    now: float,
    rules: Rules,
    sight: Sight,
    works: Iterable[Work] | None,
    memory: Memory,
    lately: Lately,
    judged: Mapping[Digest, Offer | Refusal],
    *,
    leaving: bool = False,
) -> Pass:
    """What is to be done now.

    Args:
        now: seconds of a clock that never goes back.
        works: all pairs that the runtime shows; None while it does not answer.
        judged: what this site said to assignments, as far as it was asked.
        leaving: this SWOP finishes what runs and takes nothing new.
    """
    one = _Pass(now, rules, sight, None if works is None else tuple(works), memory, lately, judged, leaving)
    return one.taken()


class _Pass:
    def __init__(
        self,
        now: float,
        rules: Rules,
        sight: Sight,
        works: tuple[Work, ...] | None,
        memory: Memory,
        lately: Lately,
        judged: Mapping[Digest, Offer | Refusal],
        leaving: bool,
    ) -> None:
        self._now, self._rules, self._sight = now, rules, sight
        self._works, self._memory, self._lately = works, memory, lately
        self._judged, self._leaving = judged, leaving
        self._head, self._deep = wanted(sight.head), wanted(sight.deep)
        self._actions: list[Action] = []
        self._again = False
        self._unknown: dict[Key, float] = {}
        self._renewed = dict(lately.renewed)

    def taken(self) -> Pass:
        blind = None
        if self._works is None:
            blind = self._now if self._lately.blind_since is None else self._lately.blind_since
        behind = self._behind()
        if behind is not None:
            self._do(TurnSn(behind))
            self._renew()
        elif not self._sight.member:
            self._stop_all()
        else:
            self._note_ends()
            if self._works is None:
                self._give_up_blind(blind)
            else:
                self._end_unwanted(self._works)
                self._keep_vanished(self._works)
            self._report()
            if self._works is not None:
                self._start_wanted(self._works)
            self._answer()
            self._renew()
        return Pass(tuple(self._actions), Lately(self._unknown, self._renewed, blind), self._again)

    def _do(self, action: Action) -> None:
        self._actions.append(action)
        self._memory = remember(self._memory, action)

    def _behind(self) -> str | None:
        number, highest, fresh = self._sight.number, self._memory.highest, self._rules.fresh_seconds
        if number < highest:
            return f"it shows block {number}, and block {highest} was seen before"
        if fresh is not None and self._sight.age > fresh:
            return f"its newest block is {self._sight.age:.0f} s old, at most {fresh:.0f} s are usual"
        return None

    # ---- what ends

    def _note_ends(self) -> None:
        deep = self._sight.deep.current
        over = deep is not None and deep.phase is AssignmentPhase.ENDED
        for aid in (*self._sight.ended_deep, *((deep.aid,) if deep is not None and over else ())):
            if aid not in self._memory.over:
                self._do(KeepOver(aid))

    def _stop_all(self) -> None:
        for work in self._works or ():
            if work.state in (WorkState.CREATED, WorkState.RUNNING):
                self._stop(work)

    def _stop(self, work: Work) -> None:
        started = work.key in self._memory.started
        if work.state is WorkState.CREATED:
            if started and self._keeps(work.key):
                self._do(Keep(work.key, Result(False, Why.STOPPED)))
            self._do(Remove(work.key))  # without a start it may be made again
            return
        if self._keeps(work.key):
            self._do(Keep(work.key, Result(False, Why.STOPPED)))
        self._do(Stop(work.key))

    def _end_unwanted(self, works: tuple[Work, ...]) -> None:
        for work in works:
            if work.result is not None and self._keeps(work.key):
                self._do(Keep(work.key, work.result))
            if work.key in self._head or work.key in self._deep or work.state is WorkState.STOPPING:
                continue
            if not self._known(work.key.aid):
                since = self._lately.unknown_since.get(work.key, self._now)
                self._unknown[work.key] = since
                if self._now - since < VANISH_SECONDS:
                    continue
            if work.state is WorkState.EXITED:
                self._do(Remove(work.key))
            else:
                self._stop(work)

    def _keeps(self, key: Key) -> bool:
        """Whether a result of this attempt may still be asked for, and none is there."""
        return key not in self._memory.results and key.aid not in self._memory.over

    def _known(self, aid: Digest) -> bool:
        """Whether that this assignment is not wanted is an answer: it is over, or its runs are allotted otherwise.

        One that the chain does not know, or that waits for its start again, was lost in a reorganisation.
        """
        sight = self._sight
        for current in (sight.head.current, sight.deep.current):
            settled = current is not None and current.phase is not AssignmentPhase.ASSIGNED
            if current is not None and settled and current.aid == aid:
                return True
        return aid in sight.ended or aid in sight.ended_deep

    def _give_up_blind(self, since: float | None) -> None:
        if since is None or self._now - since < self._rules.lease_seconds:
            return
        for key in sorted(self._head - self._memory.results.keys()):
            self._do(Keep(key, Result(False, Why.DAEMON_GONE, fault=Why.DAEMON_GONE.value)))

    def _keep_vanished(self, works: tuple[Work, ...]) -> None:
        here = {work.key for work in works}
        pairs = self._sight.head.pairs
        for key in sorted(self._head - self._memory.results.keys() - here):
            if key in self._memory.started or pairs[key.pair].state is PairState.STARTED:
                self._do(Keep(key, Result(False, Why.VANISHED, fault=Why.VANISHED.value)))

    # ---- what is told

    def _report(self) -> None:
        known = [key for key in sorted(self._head) if key in self._memory.results]
        for first in range(0, len(known), RUNNER_REPORTS_MAX):
            part = known[first : first + RUNNER_REPORTS_MAX]
            told = tuple((key.pair, self._memory.results[key]) for key in part)
            self._do(Report(part[0].aid, part[0].attempt, told))

    def _answer(self) -> None:
        current, peer = self._sight.head.current, self._sight.head.peer
        if current is None or current.aid in self._memory.over or not _is_asked(current, peer):
            return
        if self._leaving:
            self._do(Decline(current.aid, "leaving"))
            return
        said = self._judged.get(current.aid)
        if said is None:
            self._do(Judge(current.aid, current.task))
        elif isinstance(said, Refusal):
            self._do(Decline(current.aid, said.fault, said.text_hash))
        elif peer is None or peer.state is not PeerState.ENROLLED:
            self._do(Enrol(current.aid, said.pairs))
        elif self._may_start(current):
            self._do(StartAssignment(current.aid))

    def _may_start(self, current: Assignment) -> bool:
        if current.named:
            return current.enrolled == current.named
        answered = current.enrolled + current.declined >= current.expect
        settled = answered or self._sight.now - current.assigned_time >= EXPECT_SECONDS
        return current.offered >= current.n and settled

    def _renew(self) -> None:
        current, peer = self._sight.head.current, self._sight.head.peer
        waits = (
            current is not None
            and peer is not None
            and current.phase is AssignmentPhase.ASSIGNED
            and peer.state is PeerState.ENROLLED
        )
        if current is None or not (self._head or waits):
            self._renewed = {}
            return
        bits = sum(1 << key.pair for key in self._head if key in self._memory.started)
        at, before = self._renewed.get(current.aid, (None, 0))
        due = at is None or self._now - at >= self._rules.lease_seconds / RENEWALS_A_LEASE
        if due or bits != before or current.suspected:
            self._do(Renew(current.aid, bits))
            self._renewed = {current.aid: (self._now, bits)}

    # ---- what starts

    def _start_wanted(self, works: tuple[Work, ...]) -> None:
        state = {work.key: work.state for work in works}
        for key in self._startable(works):
            said = self._judged.get(key.aid)
            if said is None:
                if self._sight.head.current is not None:
                    self._do(Judge(key.aid, self._sight.head.current.task))
                return
            if isinstance(said, Refusal) and key not in self._memory.started:
                self._do(Keep(key, Result(False, fault=said.fault, text_hash=said.text_hash)))
            elif key not in state:
                self._do(Create(key))
            elif key not in self._memory.started:
                self._do(KeepStarted(key))
            else:
                self._do(Start(key))  # was created and never ran: a crash lay between the journal and the start
            self._again = True

    def _startable(self, works: tuple[Work, ...]) -> Iterator[Key]:
        """What both views want, that has no result, and of whose place nothing else is left, ending ones included."""
        alive = [work.key for work in works if work.state in ALIVE]
        created = {work.key for work in works if work.state is WorkState.CREATED}
        gone = {work.key for work in works} - created
        for key in sorted(self._head & self._deep):
            if key in self._memory.results or key.aid in self._memory.over or key in gone:
                continue
            if all(other == key or other.pair != key.pair for other in alive):
                yield key


def _is_asked(current: Assignment, peer: Peer | None) -> bool:
    """Whether a word of this SWOP is wanted: anybody's before a start by number, named ones', those invited later."""
    state = PeerState.NONE if peer is None else peer.state
    if current.phase is AssignmentPhase.RUNNING:
        return state is PeerState.INVITED
    by_number = not current.named and state is PeerState.NONE
    return current.phase is AssignmentPhase.ASSIGNED and (by_number or state in (PeerState.NAMED, PeerState.ENROLLED))
