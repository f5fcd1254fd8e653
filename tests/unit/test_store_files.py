"""Files of a node: what is written is whole or not there, and nothing stays behind, neither on disk nor open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from swarm.store.files import sync_folder, write_private


def test_a_name_that_is_taken_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """Decided at once: the other's bytes stay, ours are gone."""
    there = tmp_path / "key"
    write_private(there, b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_private(there, b"second", replace=False)
    assert there.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [there]
    write_private(there, b"third")
    assert there.read_bytes() == b"third"
    assert there.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [there]


def test_a_disk_that_refuses_leaves_nothing_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before is still there."""
    there = tmp_path / "key"
    write_private(there, b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(there, b"second")
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_bytes() == b"first"


def test_a_folder_that_was_synced_is_not_kept_open(tmp_path: Path) -> None:
    """A node does it with each promise: a leak would end it in days."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        sync_folder(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
