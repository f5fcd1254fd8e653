"""One pass of a SWOP, rule by rule: what starts, ends and is told, and what two views and the journal hold back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.taskviews import AID, NOBODY, NOTHING, TASK, assignment
from swarm.core.ids import Address, Digest
from swarm.core.limits import EXPECT_SECONDS, RUNNER_REPORTS_MAX
from swarm.core.taskrun import actions as do
from swarm.core.taskrun.passes import VANISH_SECONDS, Lately, Offer, Pass, Refusal, Rules, Sight, take_pass
from swarm.core.taskrun.work import ASSIGNMENTS_REMEMBERED, Key, Memory, Result, Why, Work, WorkState
from swarm.core.taskview import (
    AssignmentPhase,
    Mine,
    Pair,
    PairState,
    Peer,
    PeerState,
)

OTHER = Digest(b"b" * 32)
ME = Address(b"m" * 20)
LEASE, FRESH = 120.0, 30.0
IDLE = Mine(None, None, ())
KEY = Key(AID, 0, 1)
GOOD, BAD = Result(True, exit_code=0), Result(False, exit_code=1)
TAKEN: Mapping[Digest, Offer | Refusal] = {AID: Offer(2)}


def me(state: PeerState, *, attempt: int = 0) -> Peer:
    return Peer(ME, state, state is PeerState.NAMED, 2, 0, 0, 0, attempt, 1000, 0, "", NOTHING)


def running(*pairs: PairState, attempt: int = 1, **more: Any) -> Mine:
    rows = tuple(Pair(state, attempt, 0, 0, "", NOTHING, NOBODY, 0, NOTHING) for state in pairs)
    return Mine(assignment(AssignmentPhase.RUNNING, **more), me(PeerState.IN, attempt=attempt), rows)


def assigned(state: PeerState | None, **more: Any) -> Mine:
    """Args: state: of this SWOP's row; None: it has none."""
    return Mine(assignment(AssignmentPhase.ASSIGNED, **more), None if state is None else me(state), ())


ONE = running(PairState.ALLOTTED)
ENDED = Mine(assignment(AssignmentPhase.ENDED), None, ())


def look(
    head: Mine,
    deep: Mine | None = None,
    *works: Work,
    memory: Memory | None = None,
    lately: Lately | None = None,
    judged: Mapping[Digest, Offer | Refusal] = TAKEN,
    now: float = 0.0,
    number: int = 10,
    age: float = 1.0,
    blind: bool = False,
    leaving: bool = False,
    **sight: Any,
) -> Pass:
    seen = Sight(head, head if deep is None else deep, number, age, 1000.0 + now, **sight)
    return take_pass(
        now,
        Rules(LEASE, FRESH),
        seen,
        None if blind else works,
        memory or Memory(),
        lately or Lately(),
        judged,
        leaving=leaving,
    )


def acts(found: Pass, *kinds: type) -> list[do.Action]:
    return [action for action in found.actions if isinstance(action, kinds)]


def test_a_start_takes_three_looks() -> None:
    """Made, journaled, started: between any two the process may die, and the chain is looked at again before each."""
    made = look(ONE)
    assert acts(made, do.Create, do.KeepStarted, do.Start) == [do.Create(KEY)]
    assert made.again
    created = Work(KEY, WorkState.CREATED)
    assert acts(look(ONE, None, created), do.Create, do.KeepStarted, do.Start) == [do.KeepStarted(KEY)]
    marked = Memory().with_started(KEY)
    assert acts(look(ONE, None, created, memory=marked), do.Create, do.KeepStarted, do.Start) == [do.Start(KEY)]
    assert not look(ONE, None, Work(KEY, WorkState.RUNNING), memory=marked).again


@pytest.mark.parametrize(("head", "deep"), [(ONE, IDLE), (IDLE, ONE)])
def test_what_only_one_view_wants_neither_starts_nor_stops(head: Mine, deep: Mine) -> None:
    """A block that is taken back starts nothing and stops nothing."""
    assert acts(look(head, deep), do.Create) == []
    work = Work(KEY, WorkState.RUNNING)
    found = look(head, deep, work, memory=Memory().with_started(KEY), ended=frozenset({AID}))
    assert acts(found, do.Stop, do.Remove, do.Keep) == []


def test_what_neither_view_wants_is_kept_as_stopped_and_then_stopped() -> None:
    """The end is journaled first, so that a crash in the grace is no new start."""
    memory = Memory().with_started(KEY)
    found = look(IDLE, IDLE, Work(KEY, WorkState.RUNNING), memory=memory, ended=frozenset({AID}))
    assert acts(found, do.Keep, do.Stop) == [do.Keep(KEY, Result(False, Why.STOPPED)), do.Stop(KEY)]
    over = look(ENDED, ENDED, Work(KEY, WorkState.RUNNING), memory=memory)
    assert over.actions == (do.KeepOver(AID), do.Stop(KEY))


def test_a_pair_that_was_made_and_never_started_goes_without_a_trace() -> None:
    """Unless the journal says that it was about to start: then it counts as stopped."""
    found = look(IDLE, IDLE, Work(KEY, WorkState.CREATED), ended=frozenset({AID}))
    assert acts(found, do.Keep, do.Stop, do.Remove) == [do.Remove(KEY)]
    marked = look(IDLE, IDLE, Work(KEY, WorkState.CREATED), memory=Memory().with_started(KEY), ended=frozenset({AID}))
    assert acts(marked, do.Keep, do.Remove) == [do.Keep(KEY, Result(False, Why.STOPPED)), do.Remove(KEY)]


def test_an_assignment_that_vanished_without_an_end_gets_its_time_to_come_back() -> None:
    """A deep reorganisation may bring it back; only its time over, the pair is stopped."""
    work, memory = Work(KEY, WorkState.RUNNING), Memory().with_started(KEY)
    again = assigned(PeerState.ENROLLED)
    assert acts(look(again, again, work, memory=memory), do.Stop) == []
    first = look(IDLE, IDLE, work, memory=memory)
    assert acts(first, do.Stop) == []
    soon = look(IDLE, IDLE, work, memory=memory, lately=first.lately, now=VANISH_SECONDS - 0.1)
    assert acts(soon, do.Stop) == []
    assert acts(look(IDLE, IDLE, work, memory=memory, lately=soon.lately, now=VANISH_SECONDS), do.Stop)
    back = look(ONE, ONE, work, memory=memory, lately=soon.lately, now=VANISH_SECONDS)
    assert acts(back, do.Stop) == []
    assert back.lately.unknown_since == {}


def test_a_result_is_kept_before_it_is_told_and_told_as_long_as_the_head_asks() -> None:
    """A report that a reorganisation took away is sent again; the container goes when the deep state knows."""
    done = Work(KEY, WorkState.EXITED, GOOD)
    found = look(ONE, ONE, done, memory=Memory().with_started(KEY))
    kept, told = do.Keep(KEY, GOOD), do.Report(AID, 1, ((0, GOOD),))
    assert found.actions.index(kept) < found.actions.index(told)
    known = Memory().with_started(KEY).with_result(KEY, GOOD)
    assert told in look(ONE, ONE, done, memory=known).actions
    assert told in look(ONE, ONE, memory=known).actions
    closed = running(PairState.SUCCEEDED)
    assert acts(look(closed, ONE, done, memory=known), do.Report, do.Remove) == []
    assert acts(look(closed, closed, done, memory=known), do.Report, do.Remove) == [do.Remove(KEY)]


def test_a_stop_does_not_replace_the_exit_code_that_was_there_first() -> None:
    """A program that ended well before it was stopped has ended well."""
    assert Memory().with_result(KEY, GOOD).with_result(KEY, BAD).results[KEY] == GOOD


def test_many_results_go_in_several_reports() -> None:
    """A transaction has room for sixteen."""
    head = running(*[PairState.ALLOTTED] * (RUNNER_REPORTS_MAX + 1))
    memory = Memory(results={Key(AID, pair, 1): GOOD for pair in range(RUNNER_REPORTS_MAX + 1)})
    assert [len(r.results) for r in acts(look(head, head, memory=memory), do.Report) if isinstance(r, do.Report)] == [
        RUNNER_REPORTS_MAX,
        1,
    ]


@pytest.mark.parametrize(
    ("head", "memory"),
    [(ONE, Memory().with_started(KEY)), (running(PairState.STARTED), Memory())],
    ids=["by the journal", "by the chain, after a lost journal"],
)
def test_what_was_started_and_is_gone_failed_and_is_not_started_again(head: Mine, memory: Memory) -> None:
    """Nobody knows what it did; a second start could do it twice."""
    found = look(head, head, memory=memory)
    gone = Result(False, Why.VANISHED, fault="vanished")
    assert acts(found, do.Keep, do.Create, do.Report) == [do.Keep(KEY, gone), do.Report(AID, 1, ((0, gone),))]


@pytest.mark.parametrize("state", [WorkState.CREATED, WorkState.RUNNING, WorkState.STOPPING])
@pytest.mark.parametrize("other", [Key(OTHER, 0, 1), Key(AID, 0, 1)], ids=["another assignment", "an earlier attempt"])
def test_nothing_starts_while_something_else_of_its_place_is_left(other: Key, state: WorkState) -> None:
    """An old pair in its grace still holds the SL's folder, its data and its GPU."""
    head = running(PairState.ALLOTTED, attempt=2)
    found = look(head, head, Work(other, state), ended=frozenset({OTHER}))
    assert acts(found, do.Create) == []
    next_place = running(PairState.SUCCEEDED, PairState.ALLOTTED, attempt=2)
    assert do.Create(Key(AID, 1, 2)) in look(next_place, next_place, Work(other, state)).actions


def test_only_the_current_attempt_runs_and_counts() -> None:
    """The result of the attempt before is neither told nor in the way."""
    head = running(PairState.ALLOTTED, attempt=2)
    memory = Memory().with_started(KEY).with_result(KEY, BAD)
    found = look(head, head, Work(KEY, WorkState.EXITED, BAD), memory=memory)
    assert acts(found, do.Report) == []
    assert acts(found, do.Remove) == [do.Remove(KEY)]
    assert do.Create(Key(AID, 0, 2)) in found.actions


def test_an_assignment_is_honoured_once() -> None:
    """What was seen to end for good is not taken up again, whatever an SN says later."""
    memory = Memory().with_over(AID)
    assert acts(look(ONE, ONE, memory=memory), do.Create) == []
    assert acts(look(assigned(None), memory=memory), do.Enrol, do.Judge, do.Decline) == []
    full = Memory()
    for number in range(ASSIGNMENTS_REMEMBERED + 1):
        full = full.with_over(Digest(number.to_bytes(32, "big")))
    assert len(full.over) == ASSIGNMENTS_REMEMBERED


@pytest.mark.parametrize(("number", "age"), [(9, 1.0), (11, FRESH + 1)])
def test_an_sn_that_is_behind_starts_and_stops_nothing(number: int, age: float) -> None:
    """It may show what has long ended; the lease is kept all the same."""
    memory = Memory(highest=10).with_started(KEY)
    found = look(ENDED, ENDED, Work(KEY, WorkState.RUNNING), memory=memory, number=number, age=age)
    assert [type(action) for action in found.actions] == [do.TurnSn]
    alive = look(ONE, ONE, Work(KEY, WorkState.RUNNING), memory=memory, number=number, age=age)
    assert [type(action) for action in alive.actions] == [do.TurnSn, do.Renew]


def test_on_a_chain_that_seals_on_demand_an_old_block_is_the_newest() -> None:
    """Nothing happened for an hour: that is no reason to wait."""
    sight = Sight(ONE, ONE, 10, 3600.0, 5000.0)
    found = take_pass(0.0, Rules(LEASE, None), sight, (), Memory(), Lately(), TAKEN)
    assert do.Create(KEY) in found.actions


def test_who_is_no_member_any_more_ends_what_it_runs_and_says_nothing() -> None:
    """The contract would take no word of it."""
    memory = Memory().with_started(KEY)
    found = look(ONE, ONE, Work(KEY, WorkState.RUNNING), memory=memory, member=False)
    assert [type(action) for action in found.actions] == [do.Keep, do.Stop]


@pytest.mark.parametrize("state", [None, PeerState.NAMED])
def test_it_asks_its_site_before_it_enrols(state: PeerState | None) -> None:
    """Task, signatures and policy are looked at first; a refusal is said with its class."""
    head = assigned(state, named=0 if state is None else 1)
    assert acts(look(head, judged={}), do.Judge, do.Enrol) == [do.Judge(AID, TASK)]
    assert acts(look(head), do.Enrol) == [do.Enrol(AID, 2)]
    assert acts(look(head, judged={AID: Refusal("policy")}), do.Enrol, do.Decline) == [do.Decline(AID, "policy")]
    assert acts(look(assigned(PeerState.DECLINED)), do.Enrol, do.Decline, do.Judge) == []
    assert acts(look(head, leaving=True), do.Enrol, do.Decline) == [do.Decline(AID, "leaving")]


def test_an_enrolment_is_taken_back_when_the_site_changes_its_mind() -> None:
    """Before the start it costs nobody anything."""
    head = assigned(PeerState.ENROLLED)
    assert acts(look(head, judged={AID: Refusal("policy")}), do.Decline) == [do.Decline(AID, "policy")]


def test_who_is_not_called_does_not_enrol_and_who_is_invited_later_does() -> None:
    """Named ones are asked for by name, invited ones join what runs."""
    assert acts(look(assigned(None, named=1)), do.Enrol, do.Judge) == []
    assert acts(look(Mine(assignment(AssignmentPhase.RUNNING), None, ())), do.Enrol, do.Judge) == []
    invited = Mine(assignment(AssignmentPhase.RUNNING), me(PeerState.INVITED), ())
    assert acts(look(invited), do.Enrol) == [do.Enrol(AID, 2)]


def test_a_start_waits_for_all_that_were_seen_but_not_for_long() -> None:
    """One quick SWOP does not take all; one that never answers holds nobody."""

    def starts(now: float = 0.0, **more: Any) -> list[do.Action]:
        return acts(look(assigned(PeerState.ENROLLED, **more), now=now), do.StartAssignment)

    enough = {"offered": 2, "expect": 3, "enrolled": 1}
    assert starts(**enough) == []
    assert starts(EXPECT_SECONDS, **enough) == [do.StartAssignment(AID)]
    assert starts(**enough, declined=2) == [do.StartAssignment(AID)]
    assert starts(60, offered=1, enrolled=1) == []
    assert starts(named=2, n=0, enrolled=2) == [do.StartAssignment(AID)]
    assert starts(60, named=2, n=0, enrolled=1, offered=9) == []


def test_a_lease_is_renewed_by_thirds_at_once_when_doubted_and_when_a_pair_started() -> None:
    """The chain hears of each pair that started, and of every third of a lease."""
    memory = Memory().with_started(KEY)
    work = Work(KEY, WorkState.RUNNING)
    first = look(ONE, ONE, work, memory=memory)
    assert acts(first, do.Renew) == [do.Renew(AID, 1)]
    assert acts(look(ONE, ONE, work, memory=memory, lately=first.lately, now=LEASE / 3 - 1), do.Renew) == []
    assert acts(look(ONE, ONE, work, memory=memory, lately=first.lately, now=LEASE / 3), do.Renew)
    doubted = running(PairState.ALLOTTED, suspected=1)
    assert acts(look(doubted, ONE, work, memory=memory, lately=first.lately, now=1), do.Renew)
    waits = look(assigned(PeerState.ENROLLED))
    assert acts(waits, do.Renew) == [do.Renew(AID, 0)]
    assert acts(look(running(PairState.SUCCEEDED)), do.Renew) == []


def test_a_runtime_that_stays_away_for_a_lease_fails_its_pairs_by_name() -> None:
    """Shorter absences cost nothing."""
    memory = Memory().with_started(KEY)
    first = look(ONE, ONE, memory=memory, blind=True)
    assert acts(first, do.Keep, do.Create, do.Stop) == []
    later = look(ONE, ONE, memory=memory, lately=first.lately, now=LEASE - 1, blind=True)
    assert acts(later, do.Keep) == []
    gone = Result(False, Why.DAEMON_GONE, fault="DaemonGone")
    last = look(ONE, ONE, memory=memory, lately=later.lately, now=LEASE, blind=True)
    assert acts(last, do.Keep, do.Report) == [do.Keep(KEY, gone), do.Report(AID, 1, ((0, gone),))]
    back = look(ONE, ONE, Work(KEY, WorkState.RUNNING), memory=memory, lately=later.lately, now=LEASE)
    assert back.lately.blind_since is None
    assert acts(back, do.Keep) == []


def test_a_policy_that_changed_while_it_ran_starts_nothing_and_says_why() -> None:
    """What runs already runs on."""
    refused = {AID: Refusal("policy")}
    found = look(ONE, ONE, judged=refused)
    assert acts(found, do.Create, do.Keep) == [do.Keep(KEY, Result(False, fault="policy"))]
    running_on = look(ONE, ONE, Work(KEY, WorkState.RUNNING), memory=Memory().with_started(KEY), judged=refused)
    assert acts(running_on, do.Keep, do.Stop) == []
