"""The journal: one transaction is all or nothing, survives kill -9, and belongs to one process."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm.core.errors import LocalFault, OperatorFault
from swarm.store.journal import Journal

WRITER = """
import sys
from pathlib import Path
from swarm.store.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    journal.batch({"promise/a": str(number).encode(), "promise/b": str(number).encode()})
    print(number, flush=True)
"""


def test_put_get_delete_and_items_by_prefix(tmp_path: Path) -> None:
    """Values come back byte for byte; a prefix lists its keys in order and no neighbour."""
    with Journal(tmp_path / "j") as journal:
        journal.batch({"round/2": b"two", "round/1": b"one", "rounds": b"no", "round/é": b"\x00"})
        assert journal.get("round/1") == b"one"
        assert journal.get("nothing") is None
        assert journal.items("round/") == [("round/1", b"one"), ("round/2", b"two"), ("round/é", b"\x00")]
        journal.batch({"round/1": b"new"}, deletes=["round/1", "round/2"])
        assert journal.items("round/") == [("round/1", b"new"), ("round/é", b"\x00")]
        journal.delete("round/1")
        journal.delete("round/1")
    with Journal(tmp_path / "j") as journal:
        assert [key for key, _ in journal.items()] == ["round/é", "rounds"]


def test_kill_9_loses_nothing_that_was_reported_and_tears_no_batch(tmp_path: Path) -> None:
    """What the writer printed is on disk after SIGKILL, and both keys of each batch agree."""
    path = tmp_path / "j"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        for _ in range(50):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        seen = 50 + len(child.stdout.read().splitlines())
    finally:
        child.kill()
        child.wait(10)
    with Journal(path) as journal:
        first, second = journal.get("promise/a"), journal.get("promise/b")
    assert first == second
    assert first is not None
    assert int(first) >= seen - 1  # the last line may be cut in the middle of its digits


def test_a_failed_batch_changes_nothing(tmp_path: Path) -> None:
    """A value above the bound refuses the whole batch, deletes included."""
    with Journal(tmp_path / "j") as journal:
        journal.put("keep", b"1")
        with pytest.raises(LocalFault, match="above"):
            journal.batch({"other": b"2", "huge": bytes(9 * 1024 * 1024)}, deletes=["keep"])
        with pytest.raises(LocalFault, match="journal key"):
            journal.batch({"": b"2"}, deletes=["keep"])
        assert journal.items() == [("keep", b"1")]


@pytest.mark.parametrize("deletes", [[], ["keep"]])
def test_a_batch_that_the_disk_fails_in_its_middle_changes_nothing(tmp_path: Path, deletes: list[str]) -> None:
    """What was written before the fault goes back with it: a promise without its proposal would be worse than none."""
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put("keep", b"1")
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.key = CAST('middle' AS BLOB) "
                "BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
            )
            other.commit()
        with pytest.raises(LocalFault, match="disk I/O error"):
            journal.batch({"before": b"2", "middle": b"3", "after": b"4"}, deletes)
        assert journal.items() == [("keep", b"1")]
    with Journal(path) as journal:
        assert journal.items() == [("keep", b"1")]


def test_a_reader_never_sees_half_a_batch(tmp_path: Path) -> None:
    """However often another connection looks while batches are written, both keys have one number."""
    path, over, torn = tmp_path / "j", threading.Event(), []

    def look() -> None:
        with contextlib.closing(sqlite3.connect(path)) as other:
            while not over.is_set():
                found = {bytes(value) for (value,) in other.execute("SELECT value FROM entries")}
                if len(found) > 1:
                    torn.append(found)

    with Journal(path) as journal:
        reader = threading.Thread(target=look)
        reader.start()
        for number in range(200):
            journal.batch({f"promise/{key}": str(number).encode() for key in range(20)})
        over.set()
        reader.join(timeout=10)
    assert not reader.is_alive()
    assert not torn


def test_what_was_reported_survives_a_power_cut(tmp_path: Path) -> None:
    """A commit waits for the disk, also behind the write-ahead log: FULL, in every connection that is made."""
    with Journal(tmp_path / "j") as journal:
        journal.put("promise", b"1")
        assert journal._run([("PRAGMA synchronous", ())]) == [(2,)]
        assert journal._run([("PRAGMA journal_mode", ())]) == [("wal",)]
    with Journal(tmp_path / "j") as again:
        assert again._run([("PRAGMA synchronous", ())]) == [(2,)]


def test_a_second_process_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """While one process holds the journal another gets one sentence; after its death it may open it."""
    path = tmp_path / "j"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(OperatorFault, match=f"pid {child.pid}"):
            Journal(path)
    finally:
        child.kill()
        child.communicate(timeout=10)
    Journal(path).close()


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """Foreign bytes are the operator's fault, and the lock is given back."""
    path = tmp_path / "j"
    path.write_bytes(b"this is not a database" * 100)
    for _ in range(2):
        with pytest.raises(OperatorFault, match="journal"):
            Journal(path)


def test_a_state_folder_is_this_users_alone(tmp_path: Path) -> None:
    """Made where it is not there, and closed to others where somebody left it open."""
    (tmp_path / "open").mkdir(mode=0o755)
    for folder in (tmp_path / "made" / "here", tmp_path / "open"):
        Journal(folder / "j").close()
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    """A place where not even root may make a folder gives OperatorFault with its path."""
    with pytest.raises(OperatorFault, match="/proc/nowhere"):
        Journal(Path("/proc/nowhere/j"))


def test_a_state_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the path that cannot be a folder."""
    (tmp_path / "state").write_text("")
    with pytest.raises(OperatorFault, match="state"):
        Journal(tmp_path / "state" / "j")


def test_threads_may_share_it_and_closing_is_final(tmp_path: Path) -> None:
    """Concurrent batches all land; after close every call says so."""
    journal = Journal(tmp_path / "j")
    threads = [threading.Thread(target=journal.put, args=(f"k{i}", b"v")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.items("k")) == 8
    journal.close()
    journal.close()
    with pytest.raises(LocalFault, match="closed"):
        journal.get("k1")


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@settings(max_examples=20, deadline=None)
@given(entries=st.dictionaries(KEYS, st.binary(max_size=8)), prefix=st.text("ab/\u00e9", max_size=2))
def test_items_equals_a_plain_dict(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, bytes], prefix: str
) -> None:
    """For any keys and any prefix the answer is that of a sorted dict."""
    with Journal(tmp_path_factory.mktemp("j") / "j") as journal:
        journal.batch(entries)
        expected = sorted(((k, v) for k, v in entries.items() if k.startswith(prefix)), key=lambda e: e[0].encode())
        assert journal.items(prefix) == expected


def test_a_value_may_be_as_long_as_its_bound_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound itself is within; one byte more is refused and nothing of its batch is kept."""
    monkeypatch.setattr("swarm.store.journal.VALUE_BYTES_MAX", 8)
    with Journal(tmp_path / "j") as journal:
        journal.batch({"a": b"12345678"})
        with pytest.raises(LocalFault, match="has 9 bytes, above 8"):
            journal.batch({"b": b"1", "c": b"123456789"})
        assert journal.items() == [("a", b"12345678")]
