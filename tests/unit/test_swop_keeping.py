"""What a SWOP keeps over a crash: its memory and the texts of failures."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.errors import LocalFault
from swarm.core.failuretext import hash_of
from swarm.core.ids import NO_DIGEST, Address, Digest, to_hex
from swarm.core.taskrun.work import Key, Memory, Result, Why
from swarm.obs.recent import BYTES_MAX, LINE_BYTES_MAX, LINES_MAX
from swarm.store.journal import Journal
from swarm.swop.keeping import ENTRY, KEPT_MAX, MADE_MAX, Keeping, Kept, Made, MadeImage, _read, _written
from swarm.swop.texts import TEXTS_MAX, Texts, shown_lines

digests = st.binary(min_size=32, max_size=32).map(Digest)
keys = st.builds(Key, digests, st.integers(0, 249), st.integers(1, 5))
results = st.builds(
    Result,
    st.booleans(),
    st.sampled_from(Why),
    st.integers(-1, 255),
    st.text(max_size=31),
    digests,
    st.none() | st.binary(min_size=20, max_size=20).map(Address),
    digests,
    st.integers(0, 9),
)
memories = st.builds(
    Memory,
    st.frozensets(keys, max_size=4),
    st.dictionaries(keys, results, max_size=4),
    st.lists(digests, max_size=4).map(tuple),
    st.integers(0, 2**40),
)
KEY = Key(Digest(bytes(32)), 0, 1)


@given(memories)
def test_a_memory_is_read_back_as_it_was(memory: Memory) -> None:
    """All of it, whatever a fault's word is made of."""
    assert _read(_written(memory)) == memory


def test_a_memory_outlives_its_process(tmp_path: Path) -> None:
    """Durable when it is kept; nothing is written that has not changed."""
    with Journal(tmp_path / "journal.db") as journal:
        keeping = Keeping(journal)
        assert keeping.memory == Memory()
        keeping.keep(Memory())
        assert journal.get(ENTRY) is None
        keeping.keep(Memory().with_started(KEY).at(7))
    with Journal(tmp_path / "journal.db") as journal:
        assert Keeping(journal).memory == Memory(frozenset({KEY}), highest=7)


@pytest.mark.parametrize(
    "raw", [b"{}", b"[]", b"nothing", b'{"started": [[1]], "results": [], "over": [], "highest": 0}']
)
def test_a_journal_of_something_else_is_named(raw: bytes) -> None:
    """Rather than a SWOP that has forgotten what it started."""
    with pytest.raises(LocalFault, match="is not what a SWOP writes"):
        _read(raw)


def test_images_are_known_by_the_task_that_made_them(tmp_path: Path) -> None:
    """Over a restart; of a task made twice the last one; the oldest of many give way."""
    tasks = [Digest(n.to_bytes(32, "big")) for n in range(MADE_MAX + 2)]
    with Journal(tmp_path / "journal.db") as journal:
        made = Made(journal)
        made.note(tasks[0], MadeImage("sha256:1", "a:latest", KEY))
        made.note(tasks[0], MadeImage("sha256:2", "a:latest", KEY))
        assert Made(journal).of(tasks[0]) == MadeImage("sha256:2", "a:latest", KEY)
        assert (Made(journal).names(), made.of(tasks[1])) == ({"a:latest"}, None)
        many = {to_hex(task): ["sha256:1", "b:latest", [to_hex(KEY.aid), 0, 1]] for task in tasks[1:]}
        journal.put("swop/made", json.dumps(many).encode())
        made = Made(journal)
        made.note(tasks[0], MadeImage("sha256:2", "a:latest", KEY))
        assert [made.of(tasks[1]), made.of(tasks[2])] == [None, None]
        assert made.of(tasks[-1]) is not None


def test_so_many_attempts_keep_their_containers(tmp_path: Path) -> None:
    """One more is not kept, rather than an older one seen again as if it were new."""
    with Journal(tmp_path / "journal.db") as journal:
        kept = Kept(journal)
        assert all(kept.add(Key(KEY.aid, n, 1)) for n in range(KEPT_MAX))
        assert not kept.add(Key(KEY.aid, KEPT_MAX, 1))
        assert kept.add(Key(KEY.aid, 0, 1))
        assert Key(KEY.aid, 0, 1) in Kept(journal)
        assert Key(KEY.aid, KEPT_MAX, 1) not in Kept(journal)


def test_a_text_is_the_end_of_what_was_written() -> None:
    """Within the bounds of a log's lines, without control characters, secrets struck out."""
    lines = shown_lines("\n".join(f"line {n}" for n in range(2 * LINES_MAX)))
    assert (len(lines), lines[-1]) == (LINES_MAX, f"line {2 * LINES_MAX - 1}")
    assert shown_lines("a\x1b[2Jb\r\nlast\n") == ["a\\x1b[2Jb", "last"]
    assert shown_lines("token is abcd1234 now", ["abcd1234", "n"]) == ["token is <redacted> now"]
    value = "first-part\"\n second-part's\n"
    for written in (value, repr(value), repr({"k": value}), json.dumps({"k": value}), quote(value, safe="")):
        said = "\n".join(shown_lines(f"KeyError: {written}", [value]))
        assert "first-part" not in said, written
        assert "second-part" not in said, written
    assert shown_lines("    indented", ["a\n    \nb"]) == ["    indented"]
    assert "hunter2" not in shown_lines("connecting to postgres://user:hunter2@db/x")[0]
    wide = shown_lines("\n".join("x" * (2 * LINE_BYTES_MAX) for _ in range(200)))
    assert sum(len(line) + 1 for line in wide) <= BYTES_MAX
    assert shown_lines("") == []


def test_a_texts_hash_is_of_its_lines(tmp_path: Path) -> None:
    """As an operator computes it from what is served; the first text of an attempt stays, over a restart too."""
    with Journal(tmp_path / "journal.db") as journal:
        told = Texts(journal).keep(KEY, "one\ntwo\n")
        assert told == Digest(sha256(b"one\ntwo\n").digest())
        assert Texts(journal).keep(KEY, "another end\n") == told
        assert Texts(journal).lines(KEY) == ["one", "two"]
        assert Texts(journal).lines(Key(KEY.aid, 1, 1)) is None
        assert Texts(journal).keep(Key(KEY.aid, 1, 1), "") == hash_of([]) == NO_DIGEST


def test_the_newest_texts_are_kept(tmp_path: Path) -> None:
    """So many; the oldest goes first, also when a restart lies between."""
    with Journal(tmp_path / "journal.db") as journal:
        for pair in range(TEXTS_MAX + 3):
            Texts(journal).keep(Key(KEY.aid, pair, 1), f"text {pair}\n")
        texts = Texts(journal)
        assert [texts.lines(Key(KEY.aid, pair, 1)) for pair in range(3)] == [None] * 3
        assert texts.lines(Key(KEY.aid, 3, 1)) == ["text 3"]
        kept = [json.loads(value)["n"] for _, value in journal.items("swop/text/")]
        assert len(kept) == TEXTS_MAX
