"""When a merged file ends: its blocks on disk are freed beside the training loop, not in it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarmlearning.client.pipe.lastreference import LastReference
from swarmlearning.client.pipe.session import MERGED_NAME
from swarmlearning.plain import SwarmCallback

JOIN_SECONDS = 10.0


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(JOIN_SECONDS)
        assert not thread.is_alive()


def closers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "swarm-file-close"]


def mapped(inode: int) -> bool:
    return any(line.split()[4] == str(inode) for line in Path("/proc/self/maps").read_text().splitlines())


async def test_a_replaced_merged_file_ends_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping goes before the next model is loaded and is not the last reference: that is closed in a thread."""
    closed: list[tuple[int, bool, bool]] = []
    loaded: list[tuple[int, list[bool]]] = []
    close = os.close

    def noted(descriptor: int) -> None:
        if threading.current_thread().name == "swarm-file-close":
            found = os.fstat(descriptor)
            closed.append((found.st_ino, found.st_nlink == 0, mapped(found.st_ino)))
        close(descriptor)

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        monkeypatch.setenv("SWARM_RESULT", "off")
        monkeypatch.setattr(os, "close", noted)
        held = np.zeros(100_000, np.float32)

        def load(_: dict[str, np.ndarray]) -> None:
            loaded.append(((place.exchange / MERGED_NAME).stat().st_ino, [mapped(one) for one, _ in loaded[-1:]]))

        def train() -> None:
            callback = SwarmCallback(1, 1, get_parameters=lambda: {"w": held}, set_parameters=load)
            callback.on_train_begin()
            for _ in range(3):
                callback.on_batch_end()
                join(closers())
            assert mapped(loaded[-1][0])
            callback.on_train_end()
            join(closers())

        await asyncio.to_thread(train)
    between = len(loaded) - 2
    assert between >= 2
    assert [before for _, before in loaded[:-1]] == [[]] + [[False]] * between
    inodes = [inode for inode, _ in loaded]
    assert closed[:between] == [(inode, True, False) for inode in inodes[:between]]
    # At the end two files go one after the other, in two threads: each once, in whichever order.
    assert sorted(inode for inode, *_ in closed) == sorted(inodes)


def test_the_file_before_is_closed_even_where_no_thread_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is gone is not held, and costs no training; without threads the close happens at once."""
    path = tmp_path / MERGED_NAME
    path.write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    reference = LastReference()
    reference.move_to(tmp_path / "gone")
    assert len(os.listdir("/proc/self/fd")) == before
    reference.move_to(path)
    assert len(os.listdir("/proc/self/fd")) == before + 1

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    reference.move_to(None)
    assert len(os.listdir("/proc/self/fd")) == before
