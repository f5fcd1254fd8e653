"""Who asks for an import and the SN that carries it out meet in a folder: whatever either does, no wait is for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.chains import Embedded, running
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.deploy import Deployed, deploy
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.exported import Export, PastJob, to_text
from swarm.core.ids import ZERO32, Address, Digest, sha256
from swarm.obs.waits import Waits
from swarm.sn import carrying
from swarm.sn.carrying import HEARD_SECONDS_MAX, STAMP_SECONDS, Carrying, ImportFolder, import_file

OLD = Export(
    chain_id=7,
    genesis=Digest(b"\x07" * 32),
    directory=Address(b"\x09" * 20),
    contracts=1,
    block=39,
    members={
        Address(bytes([n]) * 20): Member(Role.SL, Status.ACTIVE, bytes([n]) * 32, ZERO32, b"\x05" * 32, 2**40, 0, 0)
        for n in (1, 2, 3)
    },
    jobs=(PastJob("lungs", 1, "", ()),),
)
OTHER = replace(OLD, members=dict(list(OLD.members.items())[2:]))


def written(folder: Path, export: Export) -> Path:
    file = folder / f"{len(export.members)}.json"
    file.write_text(to_text(export))
    return file


def quiet(_: str) -> None:
    pass


class Sn:
    """The import of an SN with a chain; ``hold`` keeps its next transaction back."""

    def __init__(self, live: Embedded, swarm: Deployed) -> None:
        self.live, self.swarm = live, swarm
        self.go, self.held = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def rpc(self, method: str, params: list[object]) -> object:
        if method == "eth_sendRawTransaction":
            self.held.set()
            await self.go.wait()
        return await self.live.rpc(method, params)

    @asynccontextmanager
    async def running(self, state: Path) -> AsyncIterator[asyncio.Task[None]]:
        client = ChainClient(self.rpc, self.live.funder, MemoryOutbox(), chain_id=self.live.client().chain_id)
        task = asyncio.create_task(Carrying(state, Deployed.at(client, self.swarm.addresses), Waits()).run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def sn(tmp_path: Path) -> AsyncIterator[Sn]:
    async with running("embedded", tmp_path / "chain") as live:
        swarm = await deploy(live.client())
        await swarm.membership.admit(
            swarm.membership.client.address,
            spki=sha256(b"sentinel"),
            spiffe=ZERO32,
            site=sha256(b"site"),
            role=Role.SN,
            expires=2**40,
            grant=0,
        )
        yield Sn(live, swarm)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - files, threads
            await asyncio.sleep(0.05)


def spoil_wanted(folder: ImportFolder) -> Path:
    folder.wanted.mkdir()
    return folder.wanted


def spoil_said(folder: ImportFolder) -> Path:
    (folder.wanted.parent / "said.json" / "full").mkdir(parents=True)
    folder.wanted.write_text(to_text(OLD))
    return folder.wanted.parent / "said.json"


@pytest.mark.parametrize("spoil", [spoil_wanted, spoil_said])
async def test_files_that_cannot_be_used_do_not_end_the_sn(
    sn: Sn,
    tmp_path: Path,
    spoil: Callable[[ImportFolder], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An export that cannot be read, a word that cannot be written: logged with path and remedy, then tried again."""
    monkeypatch.setattr(carrying, "RETRY_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    state = tmp_path / "state"
    spoilt = spoil(ImportFolder(state))
    async with sn.running(state) as task:
        await until(lambda: task.done() or caplog.text.count("is tried again") > 1)
        assert not task.done()
        assert str(spoilt.parent) in caplog.text
        assert "must let this node write there" in caplog.text
        for path in (spoilt / "full", spoilt):
            if path.exists():
                path.rmdir()
        await asyncio.to_thread(import_file, written(tmp_path, OLD), state, quiet)
    assert OLD.members.keys() <= (await sn.swarm.membership.members()).keys()


async def test_an_import_that_was_replaced_stops_and_each_command_hears_of_its_own(sn: Sn, tmp_path: Path) -> None:
    """The first file is removed, as a refusal tells, and another asked for, while the SN carries the first."""
    state = tmp_path / "state"
    told: list[str] = []
    sn.go.clear()
    async with sn.running(state):
        first = asyncio.create_task(asyncio.to_thread(import_file, written(tmp_path, OLD), state, told.append))
        await asyncio.wait_for(sn.held.wait(), 30)
        with pytest.raises(OperatorFault, match="another import is under way"):
            await asyncio.to_thread(import_file, written(tmp_path, OTHER), state, quiet)
        ImportFolder(state).wanted.unlink()
        second = asyncio.create_task(asyncio.to_thread(import_file, written(tmp_path, OTHER), state, told.append))
        await until(ImportFolder(state).wanted.exists)
        sn.go.set()
        with pytest.raises(OperatorFault, match=r"given up: .*export\.json was removed or replaced"):
            await asyncio.wait_for(first, 40)
        await asyncio.wait_for(second, 40)
    assert [text for text in told if "read back:" in text] == [
        "carried over and read back: 1 members, 1 jobs, 0 earlier runs"
    ]
    one, two, three = OLD.members
    there = await sn.swarm.membership.members()
    assert (one in there, two in there, three in there) == (True, False, True)


async def test_a_removed_import_stops_at_the_next_step(sn: Sn, tmp_path: Path) -> None:
    """Given up, with nothing in its place."""
    state = tmp_path / "state"
    sn.go.clear()
    async with sn.running(state):
        asked = asyncio.create_task(asyncio.to_thread(import_file, written(tmp_path, OLD), state, quiet))
        await asyncio.wait_for(sn.held.wait(), 30)
        ImportFolder(state).wanted.unlink()
        sn.go.set()
        with pytest.raises(OperatorFault, match="given up"):
            await asyncio.wait_for(asked, 40)
    assert len(OLD.members.keys() & (await sn.swarm.membership.members()).keys()) == 1


async def test_a_slow_disk_holds_up_nothing_else_of_the_sn(
    sn: Sn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word is synced to the disk: in a thread, not in the loop that answers everybody."""
    threads, say = [], ImportFolder.say

    def seen(folder: ImportFolder, *words: str, **told: str) -> None:
        threads.append(threading.current_thread())
        say(folder, *words, **told)

    monkeypatch.setattr(ImportFolder, "say", seen)
    async with sn.running(tmp_path / "state"):
        await asyncio.to_thread(import_file, written(tmp_path, OLD), tmp_path / "state", quiet)
    assert len(threads) > 5
    assert threading.main_thread() not in threads


async def test_an_import_that_is_removed_between_two_tries_is_over(
    sn: Sn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command would hear "trying again" for ever; meanwhile the SN's stamps keep it waiting."""
    monkeypatch.setattr(carrying, "STAMP_SECONDS", 0.05)
    monkeypatch.setattr(carrying, "RETRY_SECONDS", 1.0)
    state = tmp_path / "state"
    told: list[str] = []

    async def broken(method: str, params: list[object]) -> object:
        raise ChainFault("no chain today")

    monkeypatch.setattr(sn, "rpc", broken)
    async with sn.running(state):
        asked = asyncio.create_task(asyncio.to_thread(import_file, written(tmp_path, OLD), state, told.append))
        await until(lambda: "trying again: no chain today" in told)
        folder = ImportFolder(state)
        for _ in range(3):
            stamp = folder.said()[1]
            await until(lambda stamp=stamp: folder.said()[1] != stamp)
        folder.wanted.unlink()
        with pytest.raises(OperatorFault, match="given up"):
            await asyncio.wait_for(asked, 40)


class Time:
    """A clock that goes on by sleeping; ``each`` is done in every second. Ends what waits for more than 300 s."""

    def __init__(self, each: Callable[[float], None] = lambda now: None) -> None:
        self.now, self._each = 0.0, each

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        before, self.now = self.now, self.now + seconds
        assert self.now < 300, "it waits for ever"
        if int(before) != int(self.now):
            self._each(self.now)


@pytest.mark.parametrize("asked", [True, False])
def test_the_word_of_an_sn_that_died_is_not_waited_for(tmp_path: Path, asked: bool) -> None:
    """A step in said.json, with the file still asked for or not: after 30 s without a new stamp it ends."""
    file, state = written(tmp_path, OLD), tmp_path / "state"
    folder, time = ImportFolder(state), Time()
    if asked:
        folder.ask(file.read_bytes())
    folder.say(sha256(file.read_bytes()).hex(), step="member 2 of 3")
    with pytest.raises(OperatorFault, match="has taken the import for 30 s: start it"):
        import_file(file, state, quiet, clock=time.clock, sleep=time.sleep)
    assert HEARD_SECONDS_MAX < time.now < HEARD_SECONDS_MAX + 2


def test_an_sn_that_dies_meanwhile_is_named_with_its_last_word(tmp_path: Path) -> None:
    """What it took stays asked for: it goes on at its next start."""
    file, state = written(tmp_path, OLD), tmp_path / "state"
    folder = ImportFolder(state)
    told: list[str] = []
    time = Time(lambda now: folder.say(sha256(file.read_bytes()).hex(), step="member 2 of 3") if now < 11 else None)
    with pytest.raises(OperatorFault, match=r"said nothing for 30 s \(its last word: member 2 of 3\)"):
        import_file(file, state, told.append, clock=time.clock, sleep=time.sleep)
    assert HEARD_SECONDS_MAX < time.now < 11 + HEARD_SECONDS_MAX + 2
    assert told == ["member 2 of 3"]
    assert folder.wanted.exists()


def test_a_long_step_of_an_sn_that_lives_is_waited_for(tmp_path: Path) -> None:
    """It stamps its word; also while it ends an import that was given up for this one."""
    file, state = written(tmp_path, OLD), tmp_path / "state"
    folder, own = ImportFolder(state), sha256(file.read_bytes()).hex()

    def each(now: float) -> None:
        if now == 100:
            folder.over("another", fault="it was given up")
        elif now == 101:
            folder.say(own, step="job 1 of 1")
        elif now == 200:
            folder.over(own, notes=["a note"])
        elif not now % STAMP_SECONDS:
            folder.stamp()

    folder.say("another", step="member 1 of 9")
    time = Time(each)
    assert import_file(file, state, quiet, clock=time.clock, sleep=time.sleep) == ["a note"]
    assert not folder.wanted.exists()


def test_an_import_that_others_replaced_unseen_is_said(tmp_path: Path) -> None:
    """The SN is busy with another file: its stamps are no word about this one."""
    file, state = written(tmp_path, OLD), tmp_path / "state"
    folder = ImportFolder(state)

    def each(now: float) -> None:
        if now == 1:
            folder.wanted.unlink()
            ImportFolder(state).ask(to_text(OTHER).encode())
        folder.say("another", step=f"member {now}")

    time = Time(each)
    with pytest.raises(OperatorFault, match="another import took its place"):
        import_file(file, state, quiet, clock=time.clock, sleep=time.sleep)
    assert folder.wanted.read_bytes() == to_text(OTHER).encode()


def test_two_imports_at_once_are_one(tmp_path: Path) -> None:
    """The same file joins the one that is under way; another is refused; the end of one leaves the other's file."""
    folder = ImportFolder(tmp_path)
    folder.ask(b"one")
    folder.ask(b"one")
    with pytest.raises(OperatorFault, match="another import is under way"):
        folder.ask(b"two")
    folder.over("of something else", notes=[])
    assert folder.wanted.read_bytes() == b"one"
    folder.over(sha256(b"one").hex(), notes=[])
    assert not folder.wanted.exists()


def test_an_import_that_ends_while_another_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes between the look and the reading: the next one is asked for, without a trace."""
    folder = ImportFolder(tmp_path)
    folder.ask(b"one")
    read = Path.read_bytes

    def ends(path: Path) -> bytes:
        path.unlink()
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", ends)
        ImportFolder(tmp_path).ask(b"two")
    assert folder.wanted.read_bytes() == b"two"


def test_another_user_than_the_sns_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What root writes the SN cannot read; also where the SN has not made its folder yet."""
    file, state = written(tmp_path, OLD), tmp_path / "state"
    state.mkdir()
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    for _ in range(2):
        with pytest.raises(OperatorFault, match=rf"belongs to user id {own}, and this is user id {own + 1}"):
            import_file(file, state, quiet, sleep=Time().sleep)
        assert not (state / "import" / "export.json").exists()
        (state / "import").mkdir(exist_ok=True)
