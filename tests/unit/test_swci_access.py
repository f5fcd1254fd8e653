"""The way to swarms of a SWCI that serves many clients: links are shared, bounded by caller, closed unused."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.errors import OperatorFault
from swarm.core.ids import Digest
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity
from swarm.net.uri import same_place
from swarm.store.journal import Journal
from swarm.swci import access, streams, web
from swarm.swci.access import GIVES_WAY_SECONDS, LINKS_MAX, LINKS_OF_ONE_MAX, UNUSED_SECONDS, RealAccess, _Open
from swarm.swci.contexts import Context, ContextBook, sn_url


class Links(RealAccess):
    """Opens nothing: what a link is is what the test says."""

    def __init__(self, folder: Path) -> None:
        settings: Any = None
        super().__init__(settings, folder)
        self.entered: list[str] = []
        self.closed: list[str] = []
        self.hold: asyncio.Event | None = None
        self.pin = b"pin"

    async def _enter(self, context: Context, pin: bytes | None) -> _Open:
        self.entered.append(context.name)
        if self.hold is not None:
            await self.hold.wait()
        stack = AsyncExitStack()
        stack.callback(self.closed.append, context.name)
        link = SimpleNamespace(unused_seconds=0.0, touch=lambda: None, url=context.url)
        member: Any = SimpleNamespace(name=context.name, link=link)
        return _Open(member, self.pin, stack)

    async def open(self, name: str, host: str = "", owner: str = "") -> Any:
        book = ContextBook(None)
        book.create(name, sn_url(host or f"h{name}", None))
        return await self.of(owner).member(book.get(name), book.pin(name))


async def test_an_sn_that_hangs_holds_up_nobody_in_another_context(tmp_path: Path) -> None:
    """It is entered while others are; who means the same one waits for that, and enters nothing twice."""
    links = Links(tmp_path)
    links.hold = asyncio.Event()
    slow = [asyncio.ensure_future(links.open("hangs")) for _ in range(2)]
    await asyncio.sleep(0)
    links.hold, there = None, links.hold
    found = await asyncio.wait_for(links.open("lives"), 5)
    assert found.name == "lives"
    there.set()
    first, second = await asyncio.gather(*slow)
    assert first is second
    assert sorted(links.entered) == ["hangs", "lives"]
    await links.aclose()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A", "a"),
        ("a", "a."),
        ("a", "a:30304"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("[::1]:30304", "::1"),
        ("FE80::A", "fe80::a"),
    ],
)
async def test_one_address_is_one_link_however_it_is_written(tmp_path: Path, one: str, other: str) -> None:
    """Letter case, a last dot, the port that is meant anyway, an address's zeros."""
    links = Links(tmp_path)
    assert await links.open("x", one) is await links.open("y", other)
    assert len(links.entered) == 1
    assert same_place("https://a:1") != same_place("https://a:2")
    await links.aclose()


async def test_a_caller_has_a_few_links_and_takes_none_from_others(tmp_path: Path) -> None:
    """The bound is taken before an SN is asked: also those that are being opened count; what is unused gives way."""
    links = Links(tmp_path)
    links.hold = asyncio.Event()
    many = [asyncio.ensure_future(links.open(f"{n}", owner="eve")) for n in range(LINKS_OF_ONE_MAX + 5)]
    await asyncio.sleep(0.05)
    assert len(links.entered) == LINKS_OF_ONE_MAX
    refused = [task for task in many if task.done()]
    assert len(refused) == 5
    for task in refused:
        with pytest.raises(OperatorFault, match=f"'eve' uses {LINKS_OF_ONE_MAX} swarms here already"):
            task.result()
    links.hold.set()
    links.hold = None
    opened = [await task for task in many if task not in refused]
    assert (await links.open("bob's", owner="bob")).name == "bob's"
    assert (await links.open("shared", "h0", owner="bob")) is opened[0]
    with pytest.raises(OperatorFault):
        await links.open("more", owner="eve")
    opened[3].link.unused_seconds = GIVES_WAY_SECONDS
    await links.open("more", owner="eve")
    await asyncio.sleep(0)
    assert links.closed == ["3"]
    for number in range(LINKS_MAX - LINKS_OF_ONE_MAX - 1):
        await links.open(f"s{number}")
    with pytest.raises(OperatorFault, match=f"{LINKS_MAX} swarms are in use here already"):
        await links.open("one-more")
    assert len(links.entered) - len(links.closed) == LINKS_MAX
    await links.aclose()
    assert len(links.closed) == len(links.entered)


async def test_what_nobody_uses_is_closed_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of an address that means another swarm now: only once the commands over the old link have ended."""
    monkeypatch.setattr(access, "SWEEP_SECONDS", 0.01)
    links = Links(tmp_path)
    idle, old = await links.open("idle"), await links.open("old")
    idle.link.unused_seconds, old.link.unused_seconds = UNUSED_SECONDS, UNUSED_SECONDS - 1
    await asyncio.sleep(0.05)
    assert links.closed == ["idle"]
    # The context is pinned to another swarm than the link's: that one is asked anew, the old link is not cut.
    old.link.unused_seconds, links.pin = 0.0, b"other"
    book = ContextBook(None)
    book.create("old", sn_url("hold", None))
    book.pin("old").put("", b"other")
    renewed = await links.of("").member(book.get("old"), book.pin("old"))
    await asyncio.sleep(0.05)
    assert renewed is not old
    assert links.closed == ["idle"]
    with pytest.raises(OperatorFault, match="was closed meanwhile"):
        await links._journal(idle)
    old.link.unused_seconds = GIVES_WAY_SECONDS
    await asyncio.sleep(0.05)
    assert links.closed == ["idle", "old"]
    await links.aclose()


def caller(name: str, key: int) -> PeerIdentity:
    return PeerIdentity(Digest(bytes([key] * 32)), None, name, datetime(2099, 1, 1, tzinfo=UTC), key)


def test_another_key_under_the_same_name_is_no_other_caller() -> None:
    """Its shells are counted as the name's; others keep theirs."""
    fresh: Any = SimpleNamespace
    shells = web.Shells(lambda who: fresh())
    bob = shells.of(caller("bob", 99), None)
    for key in range(web.OF_ONE_MAX):
        shells.of(caller("eve", key), None).queued = 1
    with pytest.raises(OperatorFault, match=f"{web.OF_ONE_MAX} shells are at work here"):
        shells.of(caller("eve", 50), None)
    assert shells.of(caller("bob", 99), None) is bob
    assert shells.of(caller("eve", 0), None) is not shells.of(caller("eve", 1), None)


def test_seats_are_taken_before_work_and_given_back() -> None:
    """So many of one name, so many in all; one that failed is free again."""
    seats = streams.Seats(3, 2)
    with seats.taken("eve"), seats.taken("eve"):
        with pytest.raises(ApiError, match="2 clients with this certificate's name"), seats.taken("eve"):
            pass
        with seats.taken("bob"), pytest.raises(ApiError, match="3 clients listen already"), seats.taken("ann"):
            pass
    with pytest.raises(KeyError), seats.taken("eve"):
        raise KeyError
    with seats.taken("eve"), seats.taken("eve"), seats.taken("bob"):
        pass


async def test_a_change_that_is_called_off_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the journal is being opened, which a thread does: the next change gets it."""
    links, entered, go = Links(tmp_path), threading.Event(), threading.Event()

    def slowly(path: Path) -> Journal:
        found = Journal(path)
        entered.set()
        go.wait(10)
        return found

    monkeypatch.setattr(access, "Journal", slowly)
    change = asyncio.ensure_future(links._locked(tmp_path / "journal.db"))
    await asyncio.to_thread(entered.wait, 10)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    go.set()
    monkeypatch.setattr(access, "Journal", Journal)
    monkeypatch.setattr(access, "JOURNAL_SECONDS", 5.0)
    (await links._locked(tmp_path / "journal.db")).close()


class Request:
    """Of a caller that is there, or has hung up."""

    def __init__(self, gone: bool) -> None:
        self.gone = gone

    async def body(self) -> bytes:
        return b""

    async def is_disconnected(self) -> bool:
        return self.gone

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}


async def test_a_command_whose_caller_hung_up_before_its_turn_is_not_begun() -> None:
    """It waited for its shell; nobody is left to hear of what it would change."""
    ran: list[str] = []

    async def run(line: str, write: Any, bare: bool) -> Any:
        ran.append(line)
        write("done\n")
        return SimpleNamespace(ends=False)

    shell: Any = SimpleNamespace(lock=asyncio.Lock(), queued=0, used=0.0, session=SimpleNamespace(run=run))
    shell.session.looking = asyncio.Event()
    nobody: Any = None
    for line, gone in (("first", False), ("second", True), ("third", False)):
        request: Any = Request(gone)
        assert (await web._run(nobody, shell, line, request) == ["done"]) is not gone
    assert ran == ["first", "third"]


async def test_a_failure_is_told_at_the_end_of_a_long_answer_too() -> None:
    """A client knows it by its line alone (row R02)."""

    async def run(line: str, write: Any, bare: bool) -> Any:
        for number in range(web.LINES_MAX + 10):
            write(f"{number}\n")
        write("ERROR it failed\n")
        return SimpleNamespace(ends=False)

    shell: Any = SimpleNamespace(lock=asyncio.Lock(), queued=0, used=0.0, session=SimpleNamespace(run=run))
    shell.session.looking = asyncio.Event()
    nobody: Any = None
    request: Any = Request(False)
    lines = await web._run(nobody, shell, "LIST TASKS", request)
    assert lines[-2:] == ["and 10 more lines", "ERROR it failed"]
    assert len(lines) == web.LINES_MAX + 2
