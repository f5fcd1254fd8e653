"""Hostile tensor files: every broken header is refused by name, before any tensor is allocated."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from swarmlearning import tensorfile
from swarmlearning.tensorfile import TensorFileError, read_header

fuzz = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def put(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


CASES: list[tuple[str, Any, bytes, str]] = [
    ("hole", {"a": entry(), "b": entry(offsets=[8, 12])}, bytes(12), "leaves a hole"),
    ("overlap", {"a": entry(), "b": entry(offsets=[2, 6])}, bytes(6), "overlaps"),
    ("same bytes", {"a": entry(), "b": entry()}, bytes(4), "overlaps"),
    ("beyond", {"a": entry(shape=[9], offsets=[0, 36])}, bytes(4), "take 36 bytes, the file holds 4"),
    ("trailing", {"a": entry()}, bytes(5), "take 4 bytes, the file holds 5"),
    ("size lie", {"a": entry(shape=[2])}, bytes(4), "needs 8 bytes"),
    ("huge", {"a": entry(shape=[2**62, 2**62])}, bytes(4), "needs"),
    ("negative", {"a": entry(shape=[-1])}, bytes(4), "shape"),
    ("negative offset", {"a": entry(offsets=[-4, 0])}, bytes(4), "data_offsets"),
    ("bool size", {"a": entry(shape=[True])}, bytes(4), "shape"),
    ("float size", {"a": entry(shape=[1.0])}, bytes(4), "shape"),
    ("dimensions", {"a": entry(shape=[1] * 33)}, bytes(4), "shape"),
    ("dtype", {"a": entry(dtype="O")}, bytes(4), "unknown dtype 'O'"),
    ("dtype list", {"a": entry(dtype=["F32"])}, bytes(4), "unknown dtype"),  # type: ignore[arg-type]
    ("extra key", {"a": {**entry(), "x": 1}}, bytes(4), "exactly dtype"),
    ("not an object", {"a": 3}, b"", "exactly dtype"),
    ("empty name", {"": entry()}, bytes(4), "0 bytes"),
    ("long name", {"a" * 513: entry()}, bytes(4), "513 bytes"),
    ("surrogate", b'{"\\ud800":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', b"1", "not valid text"),
    ("duplicate", b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}', b"1", "stands twice"),
    ("metadata", {"__metadata__": {"a": 1}}, b"", "texts"),
    ("big metadata", {"__metadata__": {"a": "x" * 70_000}}, b"", "metadata"),
    ("list", b"[]", b"", "not a tensor file"),
    ("nesting", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "not JSON"),
    ("brackets", b'{"a":[' + b"[]," * 900_000 + b"[]]}", b"", "brackets"),
    ("nan", b'{"a":NaN}', b"", "NaN"),
    ("big number", b'{"a":' + b"9" * 10_000 + b"}", b"", "not JSON"),
    ("binary", b"{\xff\xfe}", b"", "not JSON"),
]


@pytest.mark.parametrize(("header", "data", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_each_broken_header_is_refused_by_name(tmp_path: Path, header: Any, data: bytes, text: str) -> None:
    """Each rule of the format has its own sentence."""
    with pytest.raises(TensorFileError, match=text):
        read_header(put(tmp_path / "x", header, data))


@pytest.mark.parametrize("length", [17 * 1024 * 1024, 10**11, 2**64 - 1])
def test_a_header_length_beyond_the_bound_allocates_nothing(tmp_path: Path, length: int) -> None:
    """A length of 100 GB is refused from its eight bytes alone."""
    path = put(tmp_path / "x", b"{}", length=length)
    os.truncate(path, 20 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(TensorFileError, match=f"header length {length} is above"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    """100,001 tensors are one too many."""
    entries = {f"t{i}": entry("U8", [0], [0, 0]) for i in range(tensorfile.TENSORS_MAX + 1)}
    with pytest.raises(TensorFileError, match="100001 tensors"):
        read_header(put(tmp_path / "x", entries))


def test_pickle_bytes_are_never_loaded(tmp_path: Path) -> None:
    """A pickle that would run a command is read as a (bad) header and does nothing."""
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    path = tmp_path / "trained_weights.safetensors"
    path.write_bytes(pickle.dumps({"w": Bomb()}))
    with pytest.raises(TensorFileError):
        tensorfile.open_arrays(path)
    assert not mark.exists()


@fuzz
@given(st.binary(max_size=400))
def test_random_bytes_only_ever_raise_the_named_error(tmp_path: Path, raw: bytes) -> None:
    """Whatever stands in the file, the reader answers with a header or with TensorFileError."""
    path = tmp_path / "x"
    path.write_bytes(raw)
    with pytest.raises(TensorFileError):
        read_header(path)


@fuzz
@given(st.data())
def test_a_flipped_byte_raises_or_stays_within_the_file(tmp_path: Path, data: st.DataObject) -> None:
    """A file with one changed byte is refused, or every view still lies within the file."""
    path = tmp_path / "x"
    tensorfile.write(path, {"a": np.arange(6.0), "b": np.array(1, np.int8)}, {"platform": "numpy"}, durable=False)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        got = tensorfile.open_arrays(path)
    except TensorFileError:
        return
    assert sum(got[name].nbytes for name in got) == got.header.file_size - got.header.data_offset


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@fuzz
@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), json_values, min_size=1))
def test_random_json_only_ever_raises_the_named_error(tmp_path: Path, body: dict[str, Any]) -> None:
    """Well-formed JSON of the wrong shape is refused with the named error, never with another exception."""
    try:
        header = read_header(put(tmp_path / "x", body))
    except TensorFileError:
        return
    assert not header.tensors
