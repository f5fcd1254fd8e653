"""The next program on the same pipes: it may come at any moment, sees no end of them, and nothing of the last one's."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support.fake_shell import Place, bridge_at
from support.original_client import OriginalClient
from swarm.sl.bridge.link import OPEN_POLL_SECONDS, Link

IDLE = "waiting for an ML program to open the pipes"
AT_REST = 3
"""Files that an SL keeps open between two programs: the pipes' lock, and its end of each."""


async def come_and_go(place: Place) -> None:
    """One program opens a session and dies; returns when the SL waits for another."""
    client = OriginalClient("inline", *place.args)
    await asyncio.to_thread(client.open_pipes)
    await asyncio.to_thread(client.open_session)
    client.close_pipes()
    await idle(place)


async def idle(place: Place) -> None:
    async with asyncio.timeout(10):
        while place.bridge.state.what != IDLE:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def open_at(folder: Path) -> list[str]:
    """The files in this folder that this process has open: what other tests leave is not counted."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [f for f in found if f.startswith(str(folder))]


def unread(descriptor: int) -> int:
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


async def test_a_program_that_comes_just_after_the_sl_looked_sees_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the response pipe right after the SL found nobody there: the last one's end is not closed under it."""
    look = Link._try_open
    came: list[int] = []

    def look_and_come(cls: type[Link], request: Path, response: Path) -> Link | None:
        found = look(request, response)
        if found is None and armed and not came:
            came.append(os.open(response, os.O_RDONLY | os.O_NONBLOCK))
        return found

    armed = False
    monkeypatch.setattr(Link, "_try_open", classmethod(look_and_come))
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)
        await asyncio.to_thread(client.open_pipes)
        await asyncio.to_thread(client.open_session)
        armed = True
        client.close_pipes()
        async with asyncio.timeout(10):
            while not came:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            for _ in range(20):
                with pytest.raises(BlockingIOError):  # an end would be b""
                    os.read(came[0], 1)
                await asyncio.sleep(OPEN_POLL_SECONDS / 5)
        following = OriginalClient("inline", *place.args)
        await asyncio.to_thread(following.open_pipes)
        os.close(came[0])
        await asyncio.to_thread(following.open_session)
        assert following.session == "session-2"
        following.close_pipes()


async def test_what_a_dead_program_left_unread_is_not_the_next_ones(tmp_path: Path) -> None:
    """It dies before it reads what the SL says to it, an error here; the next one, long after, gets its own answer."""
    async with bridge_at(tmp_path) as place:
        dying, following = (OriginalClient("inline", *place.args) for _ in range(2))
        await asyncio.to_thread(dying.open_pipes)
        dying.send(1, b"")
        async with asyncio.timeout(10):
            while not unread(dying.response.fileno()):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        dying.close_pipes()
        await idle(place)
        await asyncio.sleep(2 * OPEN_POLL_SECONDS)
        await asyncio.to_thread(following.open_pipes)
        await asyncio.to_thread(following.open_session)
        assert following.session == "session-1"
        following.close_pipes()


async def test_many_programs_leave_no_descriptors(tmp_path: Path) -> None:
    """Each link is closed once the next is open."""
    async with bridge_at(tmp_path) as place:
        for _ in range(2):
            await come_and_go(place)
        async with asyncio.timeout(10):
            while len(open_at(tmp_path)) > AT_REST:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        for _ in range(5):
            await come_and_go(place)
        async with asyncio.timeout(10):
            while len(open_at(tmp_path)) > AT_REST:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


async def test_an_sl_that_stops_after_the_last_answer_tells_of_no_failure(tmp_path: Path) -> None:
    """A large program is still ending when the run is complete and its SL stops: no session has failed."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)
        await asyncio.to_thread(client.open_pipes)
        await asyncio.to_thread(client.open_session)
        await asyncio.to_thread(client.sync, {"w": np.ones(3, np.float32)}, kind=4)
        await place.shell.wait_ended()
        place.task.cancel()
        await asyncio.gather(place.task, return_exceptions=True)
        assert place.shell.endings == [None]
        assert "session_failed" not in [event for event, _ in place.log.lines]
        client.close_pipes()
