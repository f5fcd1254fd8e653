"""What the watch makes of an SN's answers: one that lags, one that answers nonsense, reads that a change has torn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from support.model.training import MembershipModel, TrainingModel
from swarm.chain.events import (
    Joined,
    Left,
    MemberAdmitted,
    MemberExtended,
    MemberRebound,
    MemberResumed,
    MemberRevoked,
    MemberSuspended,
    Reformed,
    RunReset,
)
from swarm.chain.feed import Happened, Removed
from swarm.chain.keys import SignatureVerifier
from swarm.chain.wake import Waker
from swarm.core.chain_view import JobState, Joiner, Phase, Role
from swarm.core.engine.events import ChainView
from swarm.core.errors import ChainFault
from swarm.core.ids import DEFAULT_JOB, Address, Digest, job_id
from swarm.core.roster import Roster
from swarm.node.sn_list import SnList
from swarm.sl.watch import RETRY_SECONDS, TORN_READS_MAX, ChainWatch

JOB = job_id(DEFAULT_JOB)
A, B, C = (Address(b * 20) for b in (b"\xaa", b"\xbb", b"\xcc"))
EMPTY = TrainingModel(MembershipModel(A), SignatureVerifier(), Digest(bytes(32))).state(JOB)


class Reading:
    """What a ChainWatch reads, from an SN whose head is ``head``; each list's last answer is given again and again."""

    def __init__(self) -> None:
        self.head = 0
        self.states: list[JobState] = [EMPTY]
        self.rosters: list[Roster] = [Roster(())]
        self.joiners: list[tuple[Joiner, ...]] = [()]
        self.views: list[ChainView] = []
        self.notices: list[Any] = []
        self.changes: list[Address] = []
        self.listed = self.turns = 0
        self.admitted: dict[Address, int] = {}
        self.heirs: dict[Address, int] = {}
        self.asked_after: list[Address] = []
        self.link = type("Link", (), {"rpc": self.rpc, "url": "https://sn", "on_turn": [], "seen": lambda *_: None})()

    async def rpc(self, method: str, params: list[Any]) -> Any:
        return {"number": hex(self.head), "timestamp": "0x10"}

    async def state(self, job: Any) -> JobState:
        return _next(self.states)

    async def roster_of(self, job: Any) -> Roster:
        return _next(self.rosters)

    async def joiners_of(self, job: Any) -> tuple[Joiner, ...]:
        self.listed += 1
        return _next(self.joiners)

    async def catch_up(self, handler: Any) -> None:
        """The events that are due, each once."""
        for notice in self.notices:
            await handler(notice)
        self.notices = []

    def changed(self, node: Address) -> None:
        self.changes.append(node)

    async def nothing(self, *_: Any) -> Any:
        return ()

    refresh = nothing

    def all_changed(self) -> None:
        self.turns += 1

    def since(self, node: Address) -> int:
        return self.admitted.get(node, 0)

    async def counts_after(self, node: Address) -> int:
        self.asked_after.append(node)
        return self.heirs.get(node, 0)

    def active(self, *_: Any) -> bool:
        return True

    def reanchor(self) -> None: ...

    async def deliver(self, view: ChainView) -> None:
        self.views.append(view)

    def watch(self) -> ChainWatch:
        parts: dict[str, Any] = dict.fromkeys(("training", "feed", "members"), self)
        parts |= {"link": self.link, "sns": SnList(["https://sn"]), "waker": Waker(), "job": JOB}
        records = MagicMock(commit_of=lambda *_: bytes(32))
        return ChainWatch(**parts, deliver=self.deliver, records=records, options=None)


def _next(answers: list[Any]) -> Any:
    return answers.pop(0) if len(answers) > 1 else answers[0]


async def test_the_view_of_a_lagging_sn_is_not_taken_for_lost_rounds() -> None:
    """An older head is waited for, visibly, and never handed to the engine."""
    reading = Reading()
    watch = reading.watch()
    reading.head = 50
    await watch.look()
    reading.head = 48
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0.1)
    [row] = watch.told()
    assert (row["what"], row["whom"]) == ("the chain", "https://sn")
    assert "it is at block 48, this node has seen 50" in row["then"]
    reading.head = 51
    await asyncio.sleep(RETRY_SECONDS + 0.2)
    running.cancel()
    assert [view.head for view in reading.views] == [50, 51]
    assert watch.told() == []


@pytest.mark.parametrize(
    "block", [None, {}, [], {"number": 7, "timestamp": "0x1"}, {"number": "0x1", "timestamp": "x"}]
)
async def test_a_block_that_is_none_is_the_chains_fault(block: Any) -> None:
    """An SN that answers nonsense is asked again, or left; it does not end this node."""
    reading = Reading()

    async def rpc(method: str, params: list[Any]) -> Any:
        return block if method == "eth_getBlockByNumber" else {"input": "0xabc"}

    reading.link.rpc = rpc
    watch = reading.watch()
    with pytest.raises(ChainFault):
        await watch.look()
    with pytest.raises(ChainFault):
        await watch.bundle(1, 1)


FOUNDERS = Roster(((A, True), (B, True)))
BOTH = tuple(Joiner(node, eligible=True, joined=True, joined_block=1, left_block=0) for node in (A, B))
OPEN = replace(EMPTY, run=1, started=True, joined_count=2, roster=FOUNDERS.hash())
LOBBY = replace(EMPTY, run=1, joined_count=2)
RESET = replace(EMPTY, run=2)


@pytest.mark.parametrize(
    ("states", "rosters", "joiners"),
    [
        pytest.param([OPEN, RESET], [Roster(()), Roster(())], [(), ()], id="reset after the state"),
        pytest.param([OPEN, RESET], [FOUNDERS, Roster(())], [(), ()], id="reset after the roster"),
        pytest.param([LOBBY, RESET], [Roster(())], [()], id="reset in the lobby"),
        pytest.param([replace(LOBBY, joined_count=1), RESET], [Roster(())], [BOTH, ()], id="joined after the state"),
    ],
)
async def test_reads_that_a_change_has_torn_are_repeated(states: Any, rosters: Any, joiners: Any) -> None:
    """The engine never sees an old run without its members: it would take a program into the next run."""
    reading = Reading()
    reading.states, reading.rosters, reading.joiners = list(states), list(rosters), list(joiners)
    await reading.watch().look()
    [view] = reading.views
    assert (view.state, dict(view.joiners)) == (RESET, {})


async def test_members_who_left_do_not_make_a_view_torn() -> None:
    """They stay among the run's joiners, and are not counted."""
    reading = Reading()
    left = replace(BOTH[1], joined=False, left_block=3)
    reading.states, reading.joiners = [replace(LOBBY, joined_count=1)], [(BOTH[0], left)]
    await reading.watch().look()
    assert set(reading.views[0].joiners) == {A, B}


async def test_an_sn_whose_answers_never_fit_is_at_fault() -> None:
    """Bounded: then it is a fault of the chain, told and tried again later."""
    reading = Reading()
    reading.states = [LOBBY] * (TORN_READS_MAX + 1)
    with pytest.raises(ChainFault, match="do not fit each other"):
        await reading.watch().look()
    assert reading.views == []
    assert len(reading.states) == 1


def happened(event: Any, *, removed: bool = False, block: int = 0) -> Any:
    log: Any = SimpleNamespace(block=block)
    return Removed(event, log) if removed else Happened(event, log, final=True)


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize(
    "event",
    [
        Joined(JOB, 1, B, "https://b:1", 1, True),
        Left(JOB, 1, B),
        Reformed(JOB, 1, 1, 1, (B,)),
        RunReset(JOB, 2, A, True),
    ],
)
async def test_joiners_are_read_once_and_after_each_event_that_changes_them(event: Any, removed: bool) -> None:
    """Not at every block: a run has up to 1,000 of them, ten pages. Events of another job change nothing."""
    reading = Reading()
    reading.states, reading.rosters, reading.joiners = [OPEN], [FOUNDERS], [BOTH]
    watch = reading.watch()
    watch._members.learn_uri = lambda *_: None  # type: ignore[method-assign]
    for reading.head in range(1, 11):
        await watch.look()
    assert (reading.listed, len(reading.views)) == (1, 10)
    other = replace(event, job=job_id("another"))
    for number, due in enumerate(([happened(other, removed=removed)], [happened(event, removed=removed)]), 11):
        reading.head, reading.notices = number, due
        await watch.look()
    assert reading.listed == 2
    reading.states = [replace(OPEN, joined_count=1)]  # their number has changed, and the event is still to come
    reading.joiners = [(BOTH[0], replace(BOTH[1], joined=False, left_block=3))]
    reading.head = 13
    await watch.look()
    assert reading.listed == 3


@pytest.mark.parametrize(
    "event",
    [
        MemberAdmitted(B, Role.SL, bytes(32), bytes(32), 1),
        MemberSuspended(B, A),
        MemberResumed(B, A),
        MemberRevoked(B, A),
        MemberExtended(B, 1),
        MemberRebound(B, bytes(32), 1),
    ],
)
async def test_each_change_of_a_member_is_told_to_those_who_keep_records(event: Any) -> None:
    """When it happens, and when it is taken back."""
    reading = Reading()
    reading.notices = [happened(event), happened(event, removed=True)]
    await reading.watch().look()
    assert reading.changes == [B, B]


async def test_an_sn_that_has_not_the_block_of_an_event_is_behind() -> None:
    """The event came by the SN of before: a record that this one gives now may be the one that the event ended."""
    reading = Reading()
    watch = reading.watch()
    reading.head, reading.notices = 99, [happened(MemberRevoked(B, A), block=100)]
    with pytest.raises(ChainFault, match="it is at block 99, this node has seen 100"):
        await watch.look()
    reading.head = 100
    await watch.look()
    assert [view.head for view in reading.views] == [100]


async def test_an_event_that_is_taken_back_asks_for_no_block_of_its_own() -> None:
    """After a reorganisation a shorter chain is not behind for ever."""
    reading = Reading()
    watch = reading.watch()
    event = MemberRevoked(B, A)
    reading.head, reading.notices = 99, [happened(event, block=100), happened(event, removed=True, block=100)]
    await watch.look()
    assert [view.head for view in reading.views] == [99]


async def test_after_a_turn_to_another_sn_joiners_and_records_are_read_anew() -> None:
    """What the one before told may be of a block that the new one does not have, and the other way round."""
    reading = Reading()
    reading.states, reading.rosters, reading.joiners = [OPEN], [FOUNDERS], [BOTH]
    watch = reading.watch()
    await watch.look()
    for turned in reading.link.on_turn:
        turned()
    await watch.look()
    assert (reading.listed, reading.turns) == (2, 1)


async def test_joiners_are_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that never came is made up for."""
    reading = Reading()
    reading.states, reading.rosters, reading.joiners = [OPEN], [FOUNDERS], [BOTH]
    watch = reading.watch()
    await watch.look()
    await watch.look()
    assert reading.listed == 1
    monkeypatch.setattr("swarm.sl.watch.AGAIN_SECONDS", 0.0)
    await watch.look()
    assert reading.listed == 2


async def test_an_heir_is_barred_from_a_round_that_was_opened_before_it_came() -> None:
    """Asked about once, and only of joiners who were admitted since the opening; free from the next opening on."""
    reading = Reading()
    watch = reading.watch()
    roster = Roster.of([(A, True)])
    open_ = replace(EMPTY, phase=Phase.OPEN, started=True, run=1, joined_count=3, roster=roster.hash(), opened_block=20)
    reading.states, reading.rosters = [open_], [roster]
    reading.joiners = [tuple(Joiner(n, True, True, 21, 0) for n in (A, B, C))]
    reading.admitted, reading.heirs = {A: 30, B: 20, C: 19}, {A: 30, B: 20, C: 19}
    for reading.head in (22, 23):
        await watch.look()
        assert reading.views[-1].barred == {B}
    assert reading.asked_after == [B]
    reading.states = [replace(open_, opened_block=24)]
    reading.head = 24
    await watch.look()
    assert reading.views[-1].barred == set()
