"""What a program that broke the rules leaves in the pipes is neither read by the next nor taken for its words."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.original_client import OriginalClient, SlError

MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}


async def test_a_program_that_broke_the_rules_does_not_spoil_the_next(tmp_path: Path) -> None:
    """Garbage that a program left in the pipe is not read as the next program's words."""
    async with bridge_at(tmp_path) as place:

        def program(garbage: bytes) -> None:
            client = OriginalClient("inline", *place.args)
            client.open_pipes()
            client.open_session()
            client.request.write(garbage)
            client.request.flush()
            with contextlib.suppress(SlError):
                client.sync(MODEL, kind=4)
            client.close_pipes()

        for number in range(6):
            await asyncio.to_thread(program, b"garbage" * 1000 if number % 2 == 0 else b"")
            await place.shell.wait_ended(number + 1)
        assert [reason is None for reason in place.shell.endings] == [False, True] * 3


async def test_what_a_lingering_failed_program_left_stands_before_no_ones_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program fails and stays; long after, a new one opens its session, and its first words are understood."""
    monkeypatch.setattr("swarm.sl.bridge.bridge.FAILURE_PAUSE_SECONDS", 0.05)
    async with bridge_at(tmp_path) as place:
        old, fresh = (OriginalClient("inline", *place.args) for _ in range(2))

        def fail() -> None:
            old.open_pipes()
            old.open_session()
            old.request.write(b"garbage" * 10)
            old.request.flush()
            with pytest.raises(SlError, match="broke the pipe's rules"):
                old.receive()

        def follow() -> None:
            fresh.open_pipes()
            fresh.open_session()
            fresh.sync(MODEL, kind=4)

        await asyncio.to_thread(fail)
        await asyncio.sleep(0.2)
        async with asyncio.timeout(10):
            await asyncio.to_thread(follow)
        await place.shell.wait_ended(2)
        assert place.shell.endings[1] is None
        for client in (old, fresh):
            client.close_pipes()


async def test_a_failed_program_is_told_again_only_when_it_has_read_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a program goes on unasked without reading its error, one error waits for it, not a row of them."""
    monkeypatch.setattr("swarm.sl.bridge.bridge.FAILURE_PAUSE_SECONDS", 0.05)
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)
        await asyncio.to_thread(client.open_pipes)
        await asyncio.to_thread(client.open_session)

        def waiting() -> bytes:
            return fcntl.ioctl(client.response.fileno(), termios.FIONREAD, bytes(4))

        async def goes_on(times: int) -> None:
            for _ in range(times):
                client.send(6, client.sync_body(6, MODEL))
                await asyncio.sleep(0.1)

        client.request.write(b"garbage" * 10)
        client.request.flush()
        await place.shell.wait_ended()
        one = waiting()
        await goes_on(3)
        assert waiting() == one
        with pytest.raises(SlError, match="broke the pipe's rules"):
            await asyncio.to_thread(client.receive)
        await asyncio.sleep(0.1)
        await goes_on(1)
        with pytest.raises(SlError, match="no session"):
            await asyncio.to_thread(client.receive)
        client.close_pipes()


@pytest.mark.parametrize(("code", "fix"), [(errno.ENOSPC, "make room there"), (errno.EACCES, "owner, mode and mount")])
@pytest.mark.parametrize("step", ["take", "give_pickle"])
async def test_a_disk_that_takes_no_model_is_told_to_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, fix: str
) -> None:
    """Neither the way in nor the way out of a model ends the SL: the program hears why, and the next one is served."""
    async with bridge_at(tmp_path) as place:
        real_open, real_replace, full = os.open, os.replace, [True]

        def refuse(path: Any, *rest: Any, **more: Any) -> Any:
            if full[0] and str(path).endswith("merged_weights.pkl"):
                raise OSError(code, os.strerror(code), str(path))
            return real_open(path, *rest, **more)

        def refuse_replace(source: Any, target: Any, **more: Any) -> None:
            if full[0] and "handed-over" in str(target):
                raise OSError(code, os.strerror(code), str(target))
            real_replace(source, target, **more)

        monkeypatch.setattr(os, "replace" if step == "take" else "open", refuse_replace if step == "take" else refuse)

        def program() -> None:
            client = OriginalClient("pickle", *place.args)
            client.open_pipes()
            client.open_session()
            try:
                client.sync(MODEL, kind=4)
            finally:
                client.close_pipes()

        with pytest.raises(SlError, match=fix):
            await asyncio.to_thread(program)
        await place.shell.wait_ended()
        assert not place.task.done()
        full[0] = False
        await asyncio.to_thread(program)
        await place.shell.wait_ended(2)
        assert place.shell.endings[1] is None
