"""The blob store: names are roots, only verified bytes arrive, nothing is lost or half visible."""

from __future__ import annotations

import os
import stat
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm.core.blobid import CHUNK_BYTES, ChunkList, chunk_hash
from swarm.core.errors import LocalFault, OperatorFault, PeerFault
from swarm.store.blobs import BlobStore

SIZE = 2 * CHUNK_BYTES + 12345


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "state" / "blobs")


def file_of(folder: Path, data: bytes, name: str = "model") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def chunk_list(data: bytes) -> ChunkList:
    pieces = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    return ChunkList(len(data), tuple(chunk_hash(p) for p in pieces))


@pytest.mark.parametrize("move", [True, False])
def test_a_file_is_named_by_its_chunk_root_and_read_back(store: BlobStore, tmp_path: Path, move: bool) -> None:
    """add_file gives the root that anyone computes from the bytes, and keeps or takes the source as told."""
    data = os.urandom(SIZE)
    source = file_of(tmp_path, data)
    blob_id, chunks = store.add_file(source, move=move)
    assert blob_id == chunk_list(data).root()
    assert chunks == store.chunks(blob_id) == chunk_list(data)
    assert store.path(blob_id).read_bytes() == data
    assert source.exists() is not move
    assert stat.S_IMODE(store.path(blob_id).stat().st_mode) == 0o600
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_adding_the_same_bytes_twice_changes_nothing(store: BlobStore, tmp_path: Path) -> None:
    """Two adds of equal bytes give one blob and leave no scratch file behind."""
    first, _ = store.add_file(file_of(tmp_path, b"same", "a"), move=True)
    second, _ = store.add_file(file_of(tmp_path, b"same", "b"), move=False)
    assert first == second
    assert store.ids() == [first]
    assert list((store.root / "scratch").iterdir()) == []


def test_a_file_that_grows_while_it_is_hashed_is_refused(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever still writes to it would get a name for half of it; nothing of it stays in the store."""
    source = file_of(tmp_path, b"first half")
    sync = os.fsync

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_ino == inode:
            os.write(writer, b"second half")
        sync(handle)

    inode, writer = source.stat().st_ino, os.open(source, os.O_WRONLY | os.O_APPEND)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(LocalFault, match="10 bytes at first, 10 read, 21 now"):
        store.add_file(source, move=True)
    os.close(writer)
    assert store.ids() == []
    assert list((store.root / "scratch").iterdir()) == []


@pytest.mark.parametrize("move", [True, False])
def test_a_small_file_costs_no_large_buffer(store: BlobStore, tmp_path: Path, move: bool) -> None:
    """Worker threads keep what they once allocated: a model of kilobytes must not cost each of them megabytes."""
    source = file_of(tmp_path, os.urandom(2000))
    tracemalloc.start()
    try:
        store.add_file(source, move=move)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


def test_an_empty_file_is_refused_and_stays(store: BlobStore, tmp_path: Path) -> None:
    """A file of zero bytes has no chunk; the error names it and the file is untouched."""
    source = file_of(tmp_path, b"")
    with pytest.raises(LocalFault, match="0 bytes"):
        store.add_file(source, move=True)
    assert source.exists()


def test_a_list_with_another_root_is_refused_before_anything_is_written(store: BlobStore) -> None:
    """begin() compares the list's root with the id before a part file exists."""
    wanted, other = chunk_list(b"wanted"), chunk_list(b"other!")
    with pytest.raises(PeerFault, match=other.root().hex()):
        store.begin(wanted.root(), other)
    assert list((store.root / "parts").iterdir()) == []


def test_a_wrong_chunk_is_refused_by_number_and_not_written(store: BlobStore) -> None:
    """One flipped bit in chunk 1 raises PeerFault naming chunk 1; the chunk stays missing."""
    data = os.urandom(SIZE)
    chunks = chunk_list(data)
    partial = store.begin(chunks.root(), chunks)
    bad = bytearray(data[CHUNK_BYTES : 2 * CHUNK_BYTES])
    bad[7] ^= 1
    with pytest.raises(PeerFault, match=f"chunk 1 of blob {chunks.root().hex()}"):
        partial.write_chunk(1, bytes(bad))
    assert partial.missing() == [0, 1, 2]
    with pytest.raises(LocalFault, match="lacks chunks"):
        partial.finish()
    assert not store.has(chunks.root())


def test_a_transfer_resumes_and_trusts_no_byte_of_the_part_file(store: BlobStore) -> None:
    """A new Partial counts chunks that verify on disk and asks again for one that was damaged meanwhile."""
    data = os.urandom(SIZE)
    chunks = chunk_list(data)
    first = store.begin(chunks.root(), chunks)
    first.write_chunk(2, data[2 * CHUNK_BYTES :])
    first.write_chunk(0, data[:CHUNK_BYTES])
    assert store.begin(chunks.root(), chunks).missing() == [1]
    with (store.root / "parts" / f"{chunks.root().hex()}.part").open("r+b") as part:
        part.seek(3)
        part.write(bytes([data[3] ^ 0xFF]))
    again = store.begin(chunks.root(), chunks)
    assert again.missing() == [0, 1]
    again.write_chunk(0, data[:CHUNK_BYTES])
    again.write_chunk(1, memoryview(data)[CHUNK_BYTES : 2 * CHUNK_BYTES])
    assert again.finish().read_bytes() == data
    assert store.begin(chunks.root(), chunks).missing() == []
    assert list((store.root / "parts").iterdir()) == []


def test_a_removed_blob_leaves_nothing_on_disk(store: BlobStore, tmp_path: Path) -> None:
    """Blob and list are gone from the disk, a second remove is harmless, and the id is unknown by name."""
    blob_id, _ = store.add_file(file_of(tmp_path, os.urandom(100_000)), move=True)
    assert [p for p in store.root.rglob("*") if p.is_file()]
    store.remove(blob_id)
    store.remove(blob_id)
    assert [p for p in store.root.rglob("*") if p.is_file()] == []
    with pytest.raises(LocalFault, match="is not in"):
        store.path(blob_id)


def test_a_damaged_list_on_disk_is_noticed(store: BlobStore, tmp_path: Path) -> None:
    """chunks() recomputes the root of what it read."""
    blob_id, _ = store.add_file(file_of(tmp_path, b"x" * 100), move=True)
    listed = store.root / "lists" / blob_id.hex()
    raw = bytearray(listed.read_bytes())
    raw[-1] ^= 1
    listed.write_bytes(raw)
    with pytest.raises(LocalFault, match="damaged"):
        store.chunks(blob_id)


@pytest.mark.parametrize("rot", ["a bit", "the last byte", "all of it", "one byte more"])
def test_rot_on_disk_is_noticed(rot: str, store: BlobStore, tmp_path: Path) -> None:
    """verify() reads all bytes again; a blob whose bytes changed under its name is no blob."""
    blob_id, _ = store.add_file(file_of(tmp_path, os.urandom(SIZE)), move=True)
    store.verify(blob_id)
    with store.path(blob_id).open("r+b") as file:
        match rot:
            case "a bit":
                file.seek(CHUNK_BYTES + 7)
                byte = file.read(1)[0]
                file.seek(CHUNK_BYTES + 7)
                file.write(bytes([byte ^ 1]))
            case "the last byte":
                file.truncate(SIZE - 1)
            case "all of it":
                file.truncate(0)
            case "one byte more":
                file.seek(SIZE)
                file.write(b"x")
    with pytest.raises(LocalFault, match="damaged"):
        store.verify(blob_id)


def test_what_a_killed_process_left_is_swept_and_nothing_else(store: BlobStore, tmp_path: Path) -> None:
    """A list whose blob never came goes at the next start; a blob and its list stay."""
    blob_id, _ = store.add_file(file_of(tmp_path, b"x" * 100), move=True)
    stray = store.root / "lists" / ("ab" * 32)
    stray.write_bytes(b"list of a blob that was never published")
    store.sweep()
    assert not stray.exists()
    assert store.chunks(blob_id).size == 100


def test_usage_counts_all_that_lies_in_the_store(store: BlobStore, tmp_path: Path) -> None:
    """Models, their lists, parts and scratch files; a part that was given up is freed by remove."""
    data = os.urandom(CHUNK_BYTES + 10)
    chunks = ChunkList(len(data), (chunk_hash(data[:CHUNK_BYTES]), chunk_hash(data[CHUNK_BYTES:])))
    store.begin(chunks.root(), chunks).write_chunk(0, data[:CHUNK_BYTES])
    assert store.usage() == (0, CHUNK_BYTES)
    assert store.partials() == [chunks.root()]
    store.add_file(file_of(tmp_path, b"x" * 100), move=True)
    models, size = store.usage()
    assert models == 1
    assert size == sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file()) > CHUNK_BYTES + 100
    store.set_part_aside(chunks.root())
    assert store.partials() == []
    store.remove(chunks.root())
    assert store.usage()[1] == size - CHUNK_BYTES


def test_scratch_files_are_swept_and_names_stay_inside(store: BlobStore) -> None:
    """Leftovers of a killed process go; a name with a path in it is refused."""
    store.scratch("merged").write_bytes(b"half")
    store.sweep()
    assert not store.scratch("merged").exists()
    for name in ("../x", "a/b", "..", ""):
        with pytest.raises(LocalFault, match="plain name"):
            store.scratch(name)


def test_a_folder_that_cannot_be_made_is_the_operators_fault(tmp_path: Path) -> None:
    """The error names the path."""
    file_of(tmp_path, b"", "taken")
    with pytest.raises(OperatorFault, match="taken"):
        BlobStore(tmp_path / "taken" / "blobs")


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(3)), cut=st.integers(0, 3))
def test_chunks_in_any_order_with_a_restart_anywhere_give_the_same_blob(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int
) -> None:
    """However chunks arrive, and wherever the process restarts, the finished file has exactly the bytes."""
    data = bytes(range(256)) * (SIZE // 256)
    chunks = chunk_list(data)
    store = BlobStore(tmp_path_factory.mktemp("s"))
    for part in (order[:cut], order[cut:]):
        partial = store.begin(chunks.root(), chunks)
        for index in part:
            start, end = chunks.span(index)
            partial.write_chunk(index, data[start:end])
    assert store.begin(chunks.root(), chunks).finish().read_bytes() == data


def test_looking_at_what_has_arrived_leaves_no_file_open(store: BlobStore) -> None:
    """Each pull and each try of it begins so: a node that trains for weeks must not run out of descriptors."""
    chunks = chunk_list(os.urandom(SIZE))
    before = len(os.listdir("/proc/self/fd"))
    kept = [store.begin(chunks.root(), chunks) for _ in range(20)]
    assert len(kept) == 20
    assert len(os.listdir("/proc/self/fd")) <= before + 5
