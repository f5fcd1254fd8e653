"""SWCI's commands begun again, cut off, or left alone by their SN: what is taken up, and what is another thing."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.chain.keys import LocalSigner
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.taskstatements import assignment_id, item_hash, task_id
from swarm.core.taskview import (
    Assignment,
    AssignmentPhase,
    ItemKind,
    Order,
    Outcome,
    Pair,
    PairState,
    Peer,
    PeerState,
    TaskBody,
    TaskHeader,
    TaskType,
)
from swarm.store.journal import Journal
from swarm.swci import freeing, running, tasking, waiting, wrote
from swarm.swci.faces import piped_lines
from swarm.swci.folder import Folder
from swarm.swci.freeing import Runner
from swarm.swci.grammar import LINE_CHARS_MAX
from swarm.swci.running import Prepared, Version, Wanted
from swarm.swci.say import Say
from swarm.swci.web import save

from .test_swci_waiting import BEGAN, RUNNING

ME = LocalSigner(b"\x11" * 32)
HEADER = TaskHeader(TaskType.MAKE_USER_CONTAINER, "train", "me", "ROOTTASK", "out")
RUNNER = Runner(Digest(b"\x22" * 32), "line")


class TasksStand:
    """A Tasks contract of one operator: what was written is final at once, the newest under its name."""

    def __init__(self) -> None:
        self.known: dict[Digest, Any] = {}
        self.newest: Digest | None = None

    async def latest(self, name: str) -> tuple[Digest, int] | None:
        return None if self.newest is None else (self.newest, len(self.known))

    async def info(self, task: Digest) -> Any:
        return self.known.get(task)

    async def drafts_of(self, creator: Address) -> list[Digest]:
        return []

    async def write(self, key: Digest, header: TaskHeader, body: TaskBody) -> None:
        self.newest = task_id(ME.address, key)
        self.known[self.newest] = SimpleNamespace(final=True, removed=False)


async def test_a_text_that_was_replaced_is_the_next_version_again(tmp_path: Path) -> None:
    """Its name means the newest version: taking the old one for done would have the other text run."""
    tasks: Any = TasksStand()
    journal = Journal(tmp_path / "journal.db")
    first, second = (TaskBody((b"---", line), (line,)) for line in (b"a", b"b"))
    a = await tasking.write(tasks, ME.address, HEADER, first, journal)
    assert await tasking.write(tasks, ME.address, HEADER, first, journal) == a
    b = await tasking.write(tasks, ME.address, HEADER, second, journal)
    again = await tasking.write(tasks, ME.address, HEADER, first, journal)
    assert len({a, b, again}) == 3
    assert tasks.newest == again
    journal.close()


class LyingTasks(TasksStand):
    """A contract as a lying SN shows it: a draft of the operator's with other items than were written."""

    domain = Digest(b"\x55" * 32)

    def __init__(self, shown: TaskBody) -> None:
        super().__init__()
        self.shown, self.signed = shown, 0

    async def hashes(self, task: Digest, kind: ItemKind) -> list[Digest]:
        return list(map(item_hash, self.shown.lines if kind is ItemKind.LINE else self.shown.chunks))

    async def body(self, task: Digest, info: Any) -> TaskBody:
        return self.shown

    async def finalise(self, *given: Any) -> None:
        self.signed += 1


def shown_draft(task: Digest, body: TaskBody, header: TaskHeader = HEADER) -> tasking.Found:
    info: Any = SimpleNamespace(header=header, lines=len(body.lines), chunks=len(body.chunks), final=False)
    return tasking.Found(task, info)


async def test_an_operator_signs_nothing_that_it_did_not_write(tmp_path: Path) -> None:
    """Whatever an SN shows as its draft: other lines, another text, another header, or one of another state folder."""
    mine, evil = (TaskBody((b"---", line), (line,)) for line in (b"RUN good", b"RUN evil"))
    with Journal(tmp_path / "journal.db") as journal:
        honest: Any = LyingTasks(mine)
        task = await tasking.write(honest, ME.address, HEADER, mine, journal)
        lying: Any = LyingTasks(evil)
        header = replace(HEADER, outcome="other")
        for tasks, found, told in (
            (lying, shown_draft(task, evil), "do not trust this SN"),
            (honest, shown_draft(task, mine, header), "do not trust this SN"),
            (honest, shown_draft(Digest(b"\x66" * 32), mine), "not written with this state folder"),
        ):
            with pytest.raises(OperatorFault, match=told):
                await tasking.freeze(tasks, ME, found, journal, plain_secrets=False)
            assert tasks.signed == 0
        await tasking.freeze(honest, ME, shown_draft(task, mine), journal, plain_secrets=False)
        assert honest.signed == 1
        assert not journal.items("swci/wrote/")


async def test_a_name_without_a_version_is_asked_for_once() -> None:
    """An SN that lists what it does not have: said, not asked for without end."""

    class Hollow(TasksStand):
        async def names(self) -> list[tuple[str, int]]:
            return [("train", 1)]

    tasks: Any = Hollow()
    for typed in ("train", "trai"):
        with pytest.raises(OperatorFault, match="has no version of it"):
            await tasking.find(tasks, ME.address, typed)


async def test_a_typed_task_is_what_was_typed(tmp_path: Path) -> None:
    """Line by line: one that an SN puts in, or shows otherwise, ends it before anything is written or signed."""
    draft = Digest(b"\x77" * 32)
    with Journal(tmp_path / "journal.db") as journal:
        wrote.line(journal, draft, 1, b"BuildContext : ")
        for lines, told in (
            ((b"---", b"BuildContext : volume"), "another line 1"),
            ((b"---", b"BuildContext : ", b"BuildSteps   :"), "line 2 .* was not typed"),
        ):
            tasks: Any = LyingTasks(TaskBody(lines, ()))
            with pytest.raises(OperatorFault, match=told):
                await tasking.freeze(tasks, ME, shown_draft(draft, tasks.shown), journal, plain_secrets=False)
            assert (tasks.signed, tasks.known) == (0, {})


class RunnersStand:
    """A Taskrunners contract with one runner that nobody works for."""

    domain = Digest(b"\x33" * 32)

    def __init__(self) -> None:
        self.known: dict[Digest, Assignment] = {}

    async def state(self, runner: Digest) -> Any:
        return SimpleNamespace(current=None, busy=False)

    async def assignment(self, aid: Digest, block: int | None = None) -> Assignment | None:
        return self.known.get(aid)

    async def assign(self, runner: Digest, order: Order, signature: Any) -> None:
        aid = assignment_id(runner, ME.address, order.key)
        assert aid not in self.known, "the same key twice is the same assignment, which is over"
        self.known[aid] = replace(RUNNING, aid=aid, phase=AssignmentPhase.ENDED, outcome=Outcome.COMPLETE)

    async def lease_seconds(self) -> int:
        return 120

    async def grace_blocks(self) -> int:
        return 2


async def test_an_assignment_that_is_past_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell died before it heard of it; it ran and was reset since: the same command is another assignment."""
    runners = RunnersStand()
    for module in (running, freeing):
        monkeypatch.setattr(module, "runners_of", lambda *_: runners)
    member = SimpleNamespace(who=SimpleNamespace(account=SimpleNamespace(key=b"\x11" * 32)), reader=None)
    info: Any = SimpleNamespace(header=HEADER, version=1, creator=ME.address)
    meant = Version(Digest(b"\x44" * 32), info)
    ready, wanted = Prepared(meant, meant, (ME.address,)), Wanted(1)
    say, client = Say(lambda _: None), SimpleNamespace(address=ME.address)
    with Journal(tmp_path / "journal") as journal:

        @contextlib.asynccontextmanager
        async def writing(_: Any) -> AsyncIterator[Any]:
            yield client, journal

        access = SimpleNamespace(writing=writing)
        session = SimpleNamespace(assigned={}, given={}, steady=lambda: 0.0, access=access)

        async def given() -> Digest:
            rest: Any = (session, member, RUNNER, ready, wanted, say)
            return await running.assign(*rest)

        key = running._pending(journal, f"{running.PENDING}line", meant.id, wanted)
        past = assignment_id(RUNNER.id, ME.address, key)
        runners.known[past] = replace(RUNNING, aid=past, phase=AssignmentPhase.ENDED, outcome=Outcome.COMPLETE)
        assert await given() != past
        assert await given() != past
    assert len(runners.known) == 3


class Watched:
    """An assignment as an SN shows it: once, and then as ``later`` says."""

    def __init__(self, later: Any) -> None:
        self.later, self.asked = later, 0

    async def lease_seconds(self) -> int:
        return 120

    async def assignment(self, aid: Digest, block: int | None = None) -> Assignment | None:
        self.asked += 1
        if self.asked == 1:
            return RUNNING
        found: Assignment | None = self.later(block)
        return found


def away(block: int | None) -> Assignment | None:
    raise ChainFault("no line")


def unstable(block: int | None) -> Assignment | None:
    """Ended at the head, and never below."""
    return replace(RUNNING, phase=AssignmentPhase.ENDED, outcome=Outcome.FAILED) if block is None else RUNNING


@pytest.mark.parametrize("later", [away, unstable])
async def test_the_users_limit_holds_whatever_the_sn_shows(later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SN for good, or an end that is seen and never stands: the wait ends with the WARNING."""
    now, told = [float(BEGAN)], list[str]()

    async def sleep(seconds: float) -> None:
        now[0] += 30
        assert now[0] < BEGAN + 3600, "waits on"

    async def newest(_: Any) -> tuple[int, int]:
        return 100, int(now[0])

    monkeypatch.setattr(waiting, "runners_of", lambda *_: Watched(later))
    monkeypatch.setattr(waiting, "now_of", newest)
    session: Any = SimpleNamespace(
        steady=lambda: now[0],
        given={},
        sleep=sleep,
        book=SimpleNamespace(get=lambda: SimpleNamespace(env={})),
        limits=SimpleNamespace(run=5, generic=5),
    )
    member: Any = SimpleNamespace(reader=None, swarm=SimpleNamespace(can_reorganise=True))
    await waiting.wait(session, member, RUNNER, Digest(b"\x55" * 32), Say(told.append))
    assert told[-1].strip() == waiting.OVER


async def test_a_failed_pair_is_told_by_its_own_number() -> None:
    """Also where those before it succeeded."""
    good = Pair(PairState.SUCCEEDED, 1, 0, 0, "", Digest(bytes(32)), Address(bytes(20)), 0, Digest(bytes(32)))
    bad = replace(good, state=PairState.FAILED, exit_code=7, fault="ValueError")
    swop = Address(b"\x66" * 20)
    peer: Any = SimpleNamespace(swop=swop, state=PeerState.IN, allotted=3, failed=1, fault="")

    class One:
        async def peers(self, aid: Digest) -> tuple[Peer, ...]:
            return (peer,)

        async def pairs(self, aid: Digest, swop: Address) -> tuple[Pair, ...]:
            return (good, good, bad)

    runners: Any = One()
    member: Any = None
    told = await waiting.failures(member, runners, replace(RUNNING, failed=1))
    assert told == [f"SWOP 0x{'66' * 20} pair 2: FAILED, exit code 7, ValueError"]


@pytest.mark.parametrize("character", ["x", "é", "\U0001f41d"])
async def test_the_rest_of_a_long_line_is_no_command(character: str) -> None:
    """A line beyond the bound comes as one, too long to be taken; the next one is whole."""
    line = character * 5 * LINE_CHARS_MAX + "EXIT"
    lines = [one async for one in piped_lines(io.BytesIO(line.encode() + b"\nPWD\n"))]
    assert len(lines) == 2
    assert len(lines[0]) > LINE_CHARS_MAX
    assert lines[1] == "PWD"


def test_names_that_no_file_can_have_are_refused_as_such(tmp_path: Path) -> None:
    """Not by a fault of SWCI itself."""
    folder = Folder(tmp_path)
    for look in (folder.change, folder.listing, folder.read):
        with pytest.raises(OperatorFault):
            look("x" * 300)
    with pytest.raises(OperatorFault, match="cannot be a file's name"):
        save(tmp_path, "é" * 160, b"x")
