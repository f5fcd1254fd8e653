"""Hostile pickles: nothing is ever imported, called or allocated because a file says so."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import resource
import struct
import subprocess
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_shell import bridge_at
from support.original_client import OriginalClient, SlError
from swarmlearning import legacy_pickle
from swarmlearning.legacy_pickle import PickleRefused

fuzz = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
MODEL: dict[str, Any] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "t": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "strided": np.arange(10, dtype=np.int16)[::3],
    "big": np.arange(3, dtype=">f4"),
    "scalar": np.array(5, np.int64),
    "bare": np.float32(1.5),
    "empty": np.zeros((2, 0), np.float32),
    "flags": np.array([True, False]),
}


class Call:
    """Pickles into a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def put(folder: Path, raw: bytes) -> Path:
    path = folder / "trained_weights.pkl"
    path.write_bytes(raw)
    return path


@pytest.mark.row("F12")
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_models_are_read(tmp_path: Path, protocol: int) -> None:
    """What a 2.3 program writes is read exactly: strides, byte order, scalars, empty and bool arrays."""
    got = legacy_pickle.load(put(tmp_path, pickle.dumps(MODEL, protocol=protocol)))
    assert list(got) == list(MODEL)
    for name, array in MODEL.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        np.testing.assert_array_equal(got[name], array)
        assert not got[name].flags.writeable


@pytest.mark.row("F12")
def test_what_is_written_loads_with_plain_pickle() -> None:
    """The SL's pickles load with the standard library, name numpy 1's modules, and come back through our reader."""
    out = io.BytesIO()
    legacy_pickle.dump(out, {name: np.asarray(array) for name, array in MODEL.items()})
    raw = out.getvalue()
    assert b"numpy.core.multiarray" in raw
    assert b"numpy._core" not in raw
    assert raw[:2] == b"\x80\x04"
    for name, array in pickle.loads(raw).items():
        np.testing.assert_array_equal(array, MODEL[name])
        assert array.shape == MODEL[name].shape


@pytest.mark.row("D25")
@pytest.mark.row("F12")
def test_nothing_is_executed_and_the_refusal_names_it(tmp_path: Path) -> None:
    """os.system, subprocess, eval, builtins and numpy's own loaders are refused by name; no mark appears."""
    mark = tmp_path / "ran"
    bombs: list[tuple[Any, str]] = [
        (Call(os.system, f"touch {mark}"), "system"),
        (Call(subprocess.call, ["touch", str(mark)]), "call"),
        (Call(eval, f"open({str(mark)!r}, 'w')"), "eval"),
        (Call(getattr, os, "system"), "getattr"),
        (Call(np.load, str(mark)), "load"),
        (Call(np.memmap, str(mark), "uint8", "w+", 0, (4,)), "memmap"),
        (OrderedDict(w=np.zeros(1)), "OrderedDict"),
    ]
    for bomb, name in bombs:
        for protocol in (3, 4, 5):
            for where in ({"w": bomb}, bomb, {"w": np.zeros(1), "x": [bomb]}):
                if name == "getattr":
                    continue
                with pytest.raises(PickleRefused, match=rf"asks for .*{name}|has no place"):
                    legacy_pickle.load(put(tmp_path, pickle.dumps(where, protocol=protocol)))
    with pytest.raises(PickleRefused, match=r"builtins\.getattr"):
        legacy_pickle.load(put(tmp_path, b"\x80\x04cbuiltins\ngetattr\n."))
    assert not mark.exists()


OBJECTS: list[tuple[str, Any]] = [
    ("object array", {"w": np.array([object()])}),
    ("text array", {"w": np.array(["a"])}),
    ("structured array", {"w": np.zeros(2, [("a", "f4")])}),
    ("complex array", {"w": np.zeros(2, np.complex64)}),
    ("date array", {"w": np.zeros(2, "M8[s]")}),
    ("list", [np.zeros(1)]),
    ("nested dict", {"w": {"x": np.zeros(1)}}),
    ("number", {"w": 1}),
    ("key", {1: np.zeros(1)}),
    ("set", {"w": {1}}),
    ("class", {"w": np.ndarray}),
    ("array", np.zeros(1)),
]


@pytest.mark.row("F12")
@pytest.mark.parametrize("value", [value for _, value in OBJECTS], ids=[name for name, _ in OBJECTS])
def test_anything_but_a_dict_of_number_arrays_is_refused(tmp_path: Path, value: Any) -> None:
    """Object, text, structured, complex and date arrays, other containers and keys: PickleRefused."""
    for protocol in (4, 5):
        with pytest.raises(PickleRefused):
            legacy_pickle.load(put(tmp_path, pickle.dumps(value, protocol=protocol)))


def nested(depth: int) -> bytes:
    return b"\x80\x04}(X\x01\x00\x00\x00wK\x01" + b"\x85" * depth + b"u."


def doubling(steps: int) -> bytes:
    """A tuple of two references to a tuple of two references ...: 2**steps leaves when printed or copied."""
    return b"\x80\x04)\x94" + b"h\x00h\x00\x86q\x00" * steps


HOSTILE: list[tuple[str, bytes, str]] = [
    ("text of 4 GiB", b"\x80\x04X\xff\xff\xff\xff", "longer than"),
    ("bytes of 16 EiB", b"\x80\x04\x8e" + b"\xff" * 8, "claimed"),
    ("bytearray of 1 TiB", b"\x80\x05\x96" + struct.pack("<Q", 2**40), "claimed"),
    ("memo 4 billion", b"\x80\x04}r\xff\xff\xff\xff.", "unknown"),
    ("unknown memo", b"\x80\x04h\x07.", "never set"),
    ("deep nesting", nested(200_000), "is not a named array"),
    ("deep lists", b"\x80\x04" + b"]" * 100_000 + b".", "has no place"),
    ("stack", b"\x80\x04" + b"N" * 300_010 + b".", "stacked"),
    ("memo", b"\x80\x04N" + b"\x94" * 1_000_010 + b".", "remembered"),
    ("persistent", b"\x80\x04\x8c\x01aQ.", "persistent"),
    ("extension", b"\x80\x04\x82\x01.", "has no place"),
    ("instance", b"\x80\x04(ios\nsystem\n.", "has no place"),
    ("long line", b"\x80\x04c" + b"a" * 10_000 + b"\n.", "does not end"),
    ("big integer", b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".", "255 bytes"),
    ("underflow", b"\x80\x04R.", "stack is empty"),
    ("no mark", b"\x80\x04}u.", "no mark"),
    ("protocol 0", b"(dp0\n.", "protocol 3, 4 or 5"),
    ("truncated", pickle.dumps(MODEL, protocol=4)[:-40], "claimed|ends after"),
    ("doubling name", doubling(60) + b"cnumpy\ndtype\nh\x00R.", "call of"),
    ("doubling dtype", doubling(60) + b"cnumpy\ndtype\nh\x00\x89\x88\x87R.", "not a plain number type"),
    ("doubling key", doubling(60) + b"}h\x00Ns.", "a key is a tuple"),
    ("doubling global", doubling(60) + b"h\x00h\x00\x93.", "asks for tuple.tuple"),
]


@pytest.mark.row("F12")
@pytest.mark.parametrize(("raw", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_hostile_instructions_cost_little(tmp_path: Path, raw: bytes, said: str) -> None:
    """Huge sizes, deep nesting, doubling references: refused in bounded time and memory."""
    path = put(tmp_path, raw)
    if said == "unknown":
        assert legacy_pickle.load(path) == {}
        return
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PickleRefused, match=said):
        legacy_pickle.load(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 256 * 1024 * 1024
    assert time.process_time() - started < 30


@fuzz
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_the_named_error(tmp_path: Path, raw: bytes) -> None:
    """Random instructions: arrays or PickleRefused, never another exception."""
    with pytest.raises(PickleRefused):
        legacy_pickle.load(put(tmp_path, b"\x80\x04\x00" + raw))
    try:
        legacy_pickle.load(put(tmp_path, b"\x80\x04" + raw))
    except PickleRefused:
        return


@fuzz
@given(st.data())
def test_a_changed_byte_raises_or_gives_arrays(tmp_path: Path, data: st.DataObject) -> None:
    """A real pickle with one changed byte: arrays within the file, or PickleRefused."""
    raw = bytearray(pickle.dumps(MODEL, protocol=data.draw(st.sampled_from([3, 4, 5]))))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = legacy_pickle.load(put(tmp_path, bytes(raw)))
    except PickleRefused:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())


@pytest.mark.row("F12")
@pytest.mark.parametrize("form", ["pickle", "tensors"])
async def test_a_bomb_on_the_pipe_is_refused_and_the_next_program_is_served(tmp_path: Path, form: str) -> None:
    """Pickle bytes under either fixed name never run in the SL; the program is told what was refused."""
    mark = tmp_path / "ran"
    bomb = pickle.dumps({"w": Call(os.system, f"touch {mark}")})
    async with bridge_at(tmp_path) as place:

        def program(raw: bytes | None) -> None:
            client = OriginalClient(form, *place.args)
            client.open_pipes()
            try:
                client.open_session()
                body = client.sync_body(6, {"w": np.ones(2, np.float32)})
                if raw is None:
                    client.counts[6] = 0
                    client.sync({"w": np.ones(2, np.float32)})
                    return
                name = "trained_weights.pkl" if form == "pickle" else "trained_weights.safetensors"
                (place.exchange / name).write_bytes(raw)
                client.send(6, body)
                client.receive()
            finally:
                client.close_pipes()

        said = r"pickle file .* is refused: the pickle asks for .*system" if form == "pickle" else "is refused"
        with pytest.raises(SlError, match=said):
            await asyncio.to_thread(program, bomb)
        await place.shell.wait_ended()
        assert not mark.exists()
        assert list(place.work.glob("handed-over*")) == []
        await asyncio.to_thread(program, None)
        assert len(place.shell.syncs) == 1
