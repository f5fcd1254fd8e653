"""One pass of a SWOP: from what the chain says, what runs here and what is remembered, to what is to be done.

Level, not edge: a pass compares and never replays events, so a restart, a repeated pass and an adopted pair are the
same case. It starts what the head *and* the state some blocks below want, and stops only what *neither* wants: a block
that is taken back starts nothing and stops nothing. Pure; the shell carries out the actions in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..ids import NO_DIGEST, Digest
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
from .views import Call, Mine, PairState, Phase
from .work import Key, Memory, Result, Why, Work, WorkState

REPORTS_MAX = 16
"""Results in one transaction."""
SETTLE_SECONDS = 5
"""A start by number waits so long for the answers of all SWOPs that were seen alive: one quick one takes not all."""
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

    reason: str
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
    if mine.phase is not Phase.RUNNING:
        return frozenset()
    return frozenset(Key(mine.aid, pair, mine.seat.attempt) for pair in mine.seat.open_pairs())


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
        deep = self._sight.deep
        for aid in (*self._sight.ended_deep, *((deep.aid,) if deep.phase is Phase.ENDED else ())):
            if aid not in self._memory.over:
                self._do(KeepOver(aid))

    def _stop_all(self) -> None:
        for work in self._works or ():
            if work.state in (WorkState.CREATED, WorkState.RUNNING):
                self._stop(work)

    def _stop(self, work: Work) -> None:
        started = work.key in self._memory.started
        if work.state is WorkState.CREATED:
            if started:
                self._do(Keep(work.key, Result(False, Why.STOPPED)))
            self._do(Remove(work.key))  # without a start it may be made again
            return
        self._do(Keep(work.key, Result(False, Why.STOPPED)))
        self._do(Stop(work.key))

    def _end_unwanted(self, works: tuple[Work, ...]) -> None:
        for work in works:
            if work.state is WorkState.EXITED and work.result is not None and work.key not in self._memory.results:
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

    def _known(self, aid: Digest) -> bool:
        """Whether the chain still knows this assignment, so that not to want it is an answer."""
        sight = self._sight
        return aid in (sight.head.aid, sight.deep.aid) or aid in sight.ended or aid in sight.ended_deep

    def _give_up_blind(self, since: float | None) -> None:
        if since is None or self._now - since < self._rules.lease_seconds:
            return
        for key in sorted(self._head - self._memory.results.keys()):
            self._do(Keep(key, Result(False, Why.DAEMON_GONE, reason=Why.DAEMON_GONE.value)))

    def _keep_vanished(self, works: tuple[Work, ...]) -> None:
        here = {work.key for work in works}
        seat = self._sight.head.seat
        for key in sorted(self._head - self._memory.results.keys() - here):
            if key in self._memory.started or seat.pairs[key.pair] is PairState.STARTED:
                self._do(Keep(key, Result(False, Why.VANISHED, reason=Why.VANISHED.value)))

    # ---- what is told

    def _report(self) -> None:
        known = [(key.pair, self._memory.results[key]) for key in sorted(self._head) if key in self._memory.results]
        head = self._sight.head
        for first in range(0, len(known), REPORTS_MAX):
            self._do(Report(head.aid, head.seat.attempt, tuple(known[first : first + REPORTS_MAX])))

    def _answer(self) -> None:
        head = self._sight.head
        seat = head.seat
        open_to_me = head.phase is Phase.ASSIGNED and seat.call in (Call.ANYBODY, Call.NAMED)
        invited = head.phase is Phase.RUNNING and seat.call is Call.INVITED and not seat.attempt
        if not (open_to_me or invited) or seat.declined or head.aid in self._memory.over:
            return
        if self._leaving:
            self._do(Decline(head.aid, "leaving"))
            return
        said = self._judged.get(head.aid)
        if said is None:
            self._do(Judge(head.aid, head.task))
        elif isinstance(said, Refusal):
            self._do(Decline(head.aid, said.reason, said.text_hash))
        elif seat.offer is None:
            self._do(Enrol(head.aid, said.pairs))
        elif open_to_me and self._may_start(head):
            self._do(StartAssignment(head.aid))

    def _may_start(self, head: Mine) -> bool:
        settled = not head.needed or head.answered >= head.expect or self._sight.now - head.since >= SETTLE_SECONDS
        return head.complete and settled

    def _renew(self) -> None:
        head = self._sight.head
        held = head.phase is Phase.RUNNING and head.seat.open_pairs()
        waits = head.phase is Phase.ASSIGNED and head.seat.offer is not None
        if not (held or waits):
            self._renewed = {}
            return
        bits = sum(1 << key.pair for key in self._head if key in self._memory.started)
        at, before = self._renewed.get(head.aid, (None, 0))
        due = at is None or self._now - at >= self._rules.lease_seconds / RENEWALS_A_LEASE
        if due or bits != before or head.suspected:
            self._do(Renew(head.aid, bits))
            self._renewed = {head.aid: (self._now, bits)}

    # ---- what starts

    def _start_wanted(self, works: tuple[Work, ...]) -> None:
        state = {work.key: work.state for work in works}
        for key in self._startable(works):
            said = self._judged.get(key.aid)
            if said is None:
                self._do(Judge(key.aid, self._sight.head.task))
                return
            if isinstance(said, Refusal) and key not in self._memory.started:
                self._do(Keep(key, Result(False, reason=said.reason, text_hash=said.text_hash)))
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
