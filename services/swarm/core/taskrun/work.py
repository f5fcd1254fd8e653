"""What a host has of its pairs, and what its SWOP remembers of them.

A pair is what one task runs at one place of a SWOP's profile: an SL and a program's container, or a build. Owns names,
states and results; how a pair is started and stopped is the runtime's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum

from ..ids import NO_DIGEST, Address, Digest
from ..taskview import Report

ASSIGNMENTS_REMEMBERED = 256
"""Ended assignments that a SWOP still refuses to take up again."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One attempt of one pair; ``pair`` is the place in the SWOP's profile, from 0."""

    aid: Digest
    pair: int
    attempt: int


class WorkState(IntEnum):
    """Of a pair on this host. STOPPING: told to end, and in its grace."""

    CREATED = 1
    RUNNING = 2
    STOPPING = 3
    EXITED = 4


class Why(Enum):
    """How an attempt ended: by itself, or by what its SWOP did or found."""

    EXITED = "exited"
    STOPPED = "stopped"
    VANISHED = "vanished"
    DAEMON_GONE = "DaemonGone"


@dataclass(frozen=True, slots=True)
class Result:
    """What is reported of an attempt, and kept in the journal before.

    Args:
        ok: the program ended well, and its part of the training with it.
        exit_code: of the program's container; -1 where none is known.
        fault: exception class or word, at most 31 bytes.
        text_hash: of the text that stays at the site; zeros if there is none.
        run: of the job that its SL joined, 0 if it never joined one; ``sl`` is that SL.
    """

    ok: bool
    why: Why = Why.EXITED
    exit_code: int = -1
    fault: str = ""
    text_hash: Digest = NO_DIGEST
    sl: Address | None = None
    job: Digest = NO_DIGEST
    run: int = 0

    def report(self, pair: int) -> Report:
        """As the contract takes it."""
        said = Report(pair, self.ok, self.exit_code, self.fault, self.text_hash, run=self.run, job=self.job)
        return said if self.sl is None else replace(said, sl=self.sl)


@dataclass(frozen=True, slots=True)
class Work:
    """A pair as the runtime shows it, found by its labels. ``result`` belongs to EXITED."""

    key: Key
    state: WorkState
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """A SWOP's journal: what must not be forgotten over a crash.

    Args:
        started: attempts that were about to be started; results: what came of attempts, reported or to be reported.
        over: newest assignments whose end was seen for good, oldest first.
        highest: the highest block that a pass decided on.
    """

    started: frozenset[Key] = frozenset()
    results: Mapping[Key, Result] = field(default_factory=dict)
    over: tuple[Digest, ...] = ()
    highest: int = 0

    def with_started(self, key: Key) -> Memory:
        return replace(self, started=self.started | {key})

    def with_result(self, key: Key, result: Result) -> Memory:
        """The first result of an attempt stays: a stop that comes after its exit is no news."""
        return self if key in self.results else replace(self, results={**self.results, key: result})

    def with_over(self, aid: Digest) -> Memory:
        """What is kept of its attempts goes: nothing of it is started or told any more."""
        if aid in self.over:
            return self
        return replace(
            self,
            started=frozenset(key for key in self.started if key.aid != aid),
            results={key: result for key, result in self.results.items() if key.aid != aid},
            over=(*self.over, aid)[-ASSIGNMENTS_REMEMBERED:],
        )

    def at(self, number: int) -> Memory:
        return self if number <= self.highest else replace(self, highest=number)
