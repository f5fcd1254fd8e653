"""Which model files go from an SL's disk, and when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from swarm.core.blobid import CHUNK_BYTES, ChunkList, chunk_hash
from swarm.core.errors import OperatorFault
from swarm.core.ids import BlobId
from swarm.sl.settings import load_settings
from swarm.sl.sweeping import Sweeper
from swarm.store.blobs import BlobStore

GIVEN = ["--host-ip", "10.0.0.1", "--sn-ip", "10.0.0.2", "--cert", "c.pem", "--key", "k.key", "--cacert", "ca.pem"]


def blob(store: BlobStore, text: bytes) -> BlobId:
    path = store.scratch("made")
    path.write_bytes(text)
    return store.add_file(path, move=True)[0]


def part(store: BlobStore) -> tuple[BlobId, bytes, ChunkList]:
    data = os.urandom(CHUNK_BYTES + 10)
    chunks = ChunkList(len(data), (chunk_hash(data[:CHUNK_BYTES]), chunk_hash(data[CHUNK_BYTES:])))
    store.begin(chunks.root(), chunks).write_chunk(0, data[:CHUNK_BYTES])
    return chunks.root(), data, chunks


async def test_a_model_goes_at_the_second_look_that_finds_it_spare(tmp_path: Path) -> None:
    """One that the engine learns of between two looks stays."""
    store = BlobStore(tmp_path)
    sweeper = Sweeper(store)
    needed, spare, late = (blob(store, text) for text in (b"needed", b"spare", b"late"))
    await sweeper.sweep(lambda: {needed}, set)
    assert store.ids() == sorted([needed, spare, late])
    await sweeper.sweep(lambda: {needed, late}, set)
    assert store.ids() == sorted([needed, late])


async def test_what_a_given_up_pull_left_goes_and_a_running_pull_is_left_alone(tmp_path: Path) -> None:
    """The running one ends with the right bytes."""
    store = BlobStore(tmp_path)
    sweeper = Sweeper(store)
    given_up, running = part(store)[0], part(store)
    receiving = store.begin(running[0], running[2])
    for _ in range(3):
        await sweeper.sweep(set, lambda: {running[0]})
    assert store.partials() == [running[0]]
    assert store.usage() == (0, CHUNK_BYTES)  # the other part
    assert not store.has(given_up)
    receiving.write_chunk(1, running[1][CHUNK_BYTES:])
    assert receiving.finish().read_bytes() == running[1]


def test_how_many_rounds_are_kept_is_a_setting_with_bounds() -> None:
    """Flag and variable; 3 by default; fewer than a chain may take back, or a thousand, are refused by name."""
    assert load_settings(GIVEN, {}).keep_rounds == 3
    assert load_settings([*GIVEN, "--keep-rounds", "2"], {}).keep_rounds == 2
    assert load_settings(GIVEN, {"SL_KEEP_ROUNDS": "64"}).keep_rounds == 64
    for wrong in ("1", "65", "-3", "all"):
        with pytest.raises(OperatorFault, match="--keep-rounds"):
            load_settings([*GIVEN, "--keep-rounds", wrong], {})
