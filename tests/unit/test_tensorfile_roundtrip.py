"""The tensor file writes the same bytes for the same tensors, and any safetensors reader loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file
from swarmlearning import tensorfile

DTYPES = [d for name, d in tensorfile.DTYPES.items() if name != "BF16"]
arrays = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0)))
names = st.text(min_size=1, max_size=40).filter(lambda s: s != "__metadata__" and s.isprintable())


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.dictionaries(names, arrays, max_size=8))
def test_every_array_returns_bit_for_bit(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Any dtype, any shape (0-d, empty) and the program's order survive; the public library agrees."""
    path = tmp_path / "x.safetensors"
    planned = tensorfile.write(path, tensors, {"platform": "numpy"}, durable=False)
    got = tensorfile.open_arrays(path)
    assert tensorfile.read_header(path) == planned
    assert list(got) == list(tensors)
    public = load_file(path)
    for name, array in tensors.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype
        assert got[name].tobytes() == array.tobytes()
        assert public[name].tobytes() == array.tobytes()


def test_same_tensors_give_the_golden_bytes(tmp_path: Path) -> None:
    """The writer is deterministic: these bytes are the format."""
    path = tmp_path / "x.safetensors"
    tensors = {"n": np.array(7, np.int16), "w": np.array([1.0, -2.0], np.float32)}
    tensorfile.write(path, tensors, {"platform": "numpy", "a": "b"})
    header = (
        b'{"__metadata__":{"a":"b","format":"swarm.1","platform":"numpy"},'
        b'"n":{"dtype":"I16","shape":[],"data_offsets":[8,10]},'
        b'"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    )
    header += b" " * (-len(header) % 8)
    assert path.read_bytes() == (
        len(header).to_bytes(8, "little") + header + b"\x00\x00\x80\x3f\x00\x00\x00\xc0" + b"\x07\x00"
    )


def test_strided_and_big_endian_arrays_are_stored_plain(tmp_path: Path) -> None:
    """A transposed view and a big-endian array are stored little-endian and contiguous, values unchanged."""
    path = tmp_path / "x.safetensors"
    view = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    big = np.arange(3, dtype=">f8")
    tensorfile.write(path, {"view": view, "big": big}, {})
    got = tensorfile.open_arrays(path)
    np.testing.assert_array_equal(got["view"], view)
    np.testing.assert_array_equal(got["big"], big)


def test_bfloat16_keeps_its_bits(tmp_path: Path) -> None:
    """BF16 is stored as its 16 bits, read as uint16, and converts to float32 exactly."""
    path = tmp_path / "x.safetensors"
    values = np.array([[1.0, -3.5], [float("inf"), 1e30]], np.float32)
    bits = tensorfile.from_float32(values)
    header = tensorfile.write(path, {"b": bits}, {}, dtypes={"b": "BF16"})
    got = tensorfile.open_arrays(path)
    assert header.tensors[0].dtype == "BF16"
    np.testing.assert_array_equal(got["b"], bits)
    assert got.as_float32("b")[0].tolist() == [1.0, -3.5]
    assert tensorfile.from_float32(got.as_float32("b")).tolist() == bits.tolist()


def test_rounding_to_bfloat16_agrees_with_ml_dtypes() -> None:
    """from_float32 rounds to nearest even as the reference implementation does."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.random.default_rng(1).normal(size=4096).astype(np.float32) * np.float32(1e3)
    expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(tensorfile.from_float32(values), expected)
    assert np.isnan(tensorfile.to_float32(tensorfile.from_float32(np.array([np.nan], np.float32)), "BF16"))


def test_object_arrays_are_refused_by_name(tmp_path: Path) -> None:
    """An array of Python objects names its tensor and dtype, and leaves no file behind."""
    with pytest.raises(tensorfile.TensorFileError, match=r"'bad' has dtype object"):
        tensorfile.write(tmp_path / "x", {"bad": np.array([object()])}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The file changes its content at once or not at all."""
    path = tmp_path / "x.safetensors"
    tensorfile.write(path, {"a": np.zeros(2)}, {})
    before = path.read_bytes()

    def half() -> None:
        with tensorfile.atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        half()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_streaming_by_offset_gives_the_same_file(tmp_path: Path) -> None:
    """A merger that plans the header and puts tensor bytes in any order writes what ``write`` writes."""
    tensors = {"a": np.arange(5, dtype=np.int8), "b": np.arange(4.0), "c": np.float32(2)}
    whole, streamed = tmp_path / "whole", tmp_path / "streamed"
    header = tensorfile.write(whole, tensors, {"platform": "numpy"})
    again = tensorfile.plan([(s.name, s.dtype, s.shape) for s in header.tensors], {"platform": "numpy"})
    assert again == header
    with tensorfile.atomic_file(streamed) as file:
        tensorfile.write_header(file, again)
        for spec in reversed(again.tensors):
            file.seek(again.data_offset + spec.start)
            file.write(np.asarray(tensors[spec.name]).tobytes())
    assert streamed.read_bytes() == whole.read_bytes()


def test_differences_name_tensor_shape_dtype_platform_and_order(tmp_path: Path) -> None:
    """Two programs that do not fit are told apart in sentences an operator can act on."""
    one = tensorfile.plan([("w", "F32", [3, 4]), ("b", "F32", [4]), ("x", "F32", [])], {"platform": "keras"})
    two = tensorfile.plan([("w", "F32", [3, 5]), ("b", "F16", [4]), ("y", "F32", [])], {"platform": "pytorch"})
    text = "\n".join(one.differences(two))
    assert "platform is 'pytorch', expected 'keras'" in text
    assert "'w' has shape [3, 5], expected [3, 4]" in text
    assert "'b' has dtype F16, expected F32" in text
    assert "'x' (F32, shape []) is missing" in text
    assert "'y' (F32, shape []) is not expected" in text
    assert one.differences(one) == []
    swapped = tensorfile.plan([("b", "F32", [4]), ("w", "F32", [3, 4]), ("x", "F32", [])], {"platform": "keras"})
    assert "another order" in one.differences(swapped)[0]
    assert one.manifest() != swapped.manifest()


def test_differences_are_bounded() -> None:
    """A model of other names altogether does not give thousands of lines."""
    one = tensorfile.plan([(f"a{i}", "U8", [1]) for i in range(500)], {})
    two = tensorfile.plan([(f"b{i}", "U8", [1]) for i in range(500)], {})
    found = one.differences(two)
    assert len(found) == tensorfile.DIFFERENCES_MAX
    assert found[-1] == "and 981 more differences"
