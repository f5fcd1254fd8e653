"""Claims about merging model files: window-independent bytes, bad inputs named, nothing half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swarm.core import merge
from swarm.core.errors import LocalFault
from swarm.sl.merging import UnusableInput, check_finite, merge_files
from swarmlearning import tensorfile

MEAN = merge.get("mean")


def model(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "layer.weight": random.normal(size=(17, 13)).astype(np.float32),
        "counter": np.int64(100 + seed),
        "wide": random.normal(size=(5, 0, 3)),
        "half": random.normal(size=33).astype(np.float16),
        "brain": tensorfile.from_float32(random.normal(size=(4, 5)).astype(np.float32)),
        "mask": random.random(11) > 0.5,
        "layer.bias": random.normal(size=13).astype(np.float32),
        "double": random.normal(size=(2, 2, 2)),
    }


def files(folder: Path, count: int = 3) -> list[Path]:
    made = []
    for i in range(count):
        path = folder / f"{i}.safetensors"
        tensorfile.write(path, model(i), {"platform": "numpy", "note": f"node {i}"}, dtypes={"brain": "BF16"})
        made.append(path)
    return made


@pytest.mark.row("K05a")
def test_every_tensor_is_the_weighted_mean(tmp_path: Path) -> None:
    """All dtypes, 0-d and empty tensors come out merged, in the program's order, with their dtype."""
    inputs = files(tmp_path)
    out = tmp_path / "merged"
    weights = [1, 2, 3]
    merge_files(inputs, MEAN.coefficients(weights), out, MEAN)
    got = tensorfile.open_arrays(out)
    models = [model(i) for i in range(3)]
    assert list(got) == list(models[0])
    assert got.header.metadata == {"platform": "numpy", "format": "swarm.1"}
    for name in ("layer.weight", "layer.bias", "double"):
        expected = np.average([m[name] for m in models], axis=0, weights=weights)
        np.testing.assert_allclose(got[name], expected, rtol=0, atol=1e-6)
    assert got["counter"].shape == ()
    assert int(got["counter"]) == 101  # (100 + 2*101 + 3*102) / 6 = 101.33
    assert got["wide"].shape == (5, 0, 3)
    brains = [tensorfile.to_float32(m["brain"], "BF16") for m in models]
    np.testing.assert_allclose(
        got.as_float32("brain"), np.average(brains, axis=0, weights=weights), rtol=2**-8, atol=1e-6
    )
    votes = np.average([m["mask"] for m in models], axis=0, weights=weights)
    clear = np.abs(votes - 0.5) > 1e-9
    np.testing.assert_array_equal(got["mask"][clear], votes[clear] > 0.5)


def test_the_window_never_changes_a_byte(tmp_path: Path) -> None:
    """Any window gives the same file, so every node that merges again gets the announced hash."""
    inputs = files(tmp_path)
    made = []
    for window in (8, 24, 256, 1 << 20):
        merge_files(inputs, MEAN.coefficients([3, 1, 2]), tmp_path / "out", MEAN, window=window)
        made.append((tmp_path / "out").read_bytes())
    assert made.count(made[0]) == len(made)


def test_merging_equal_models_gives_the_file_the_program_writes(tmp_path: Path) -> None:
    """A program that stores the merged parameters as the SDK does gets the merged blob's very bytes."""
    tensorfile.write(tmp_path / "a", model(1), {"platform": "numpy"}, dtypes={"brain": "BF16"})
    merge_files([tmp_path / "a"] * 3, MEAN.coefficients([1, 5, 3]), tmp_path / "out", MEAN)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_names_node_tensor_and_position(tmp_path: Path, bad: float) -> None:
    """NaN and infinity are refused by input, tensor and index, and leave no result behind."""
    inputs = files(tmp_path)
    broken = model(1)
    broken["layer.weight"][4, 2] = bad
    tensorfile.write(inputs[1], broken, {"platform": "numpy"}, dtypes={"brain": "BF16"})
    before = sorted(tmp_path.iterdir())
    for window in (64, 1 << 20):
        with pytest.raises(
            UnusableInput, match=r"input 1: tensor 'layer.weight' holds (nan|inf) at position \[4, 2\]"
        ) as caught:
            merge_files(inputs, MEAN.coefficients([1, 1, 1]), tmp_path / "out", MEAN, window=window)
        assert (caught.value.index, caught.value.kind) == (1, "not_finite")
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(UnusableInput, match=r"'layer.weight' .* \[4, 2\]"):
        check_finite(inputs[1])
    check_finite(inputs[0])


def test_another_model_is_refused_by_name(tmp_path: Path) -> None:
    """Shapes, dtypes, names and the platform must fit; the text says which tensor does not."""
    inputs = files(tmp_path, 2)
    other = model(1)
    other["layer.bias"] = other["layer.bias"][:5]
    tensorfile.write(inputs[1], other, {"platform": "keras"}, dtypes={"brain": "BF16"})
    with pytest.raises(
        UnusableInput, match=r"input 1 .*'keras', expected 'numpy'.*'layer.bias' has shape \[5\]"
    ) as caught:
        merge_files(inputs, (0.5, 0.5), tmp_path / "out", MEAN)
    assert caught.value.kind == "manifest"


def test_a_file_in_another_byte_order_of_tensors_is_refused(tmp_path: Path) -> None:
    """A valid safetensors file that is not laid out as ours cannot slip tensors past each other."""
    safetensors_numpy = pytest.importorskip("safetensors.numpy")
    # the library lays equal-sized items out by name, this format in the program's order
    tensors = {"b": np.ones(2, np.float32), "a": np.zeros(2, np.float32)}
    safetensors_numpy.save_file(tensors, tmp_path / "theirs", {"platform": "numpy"})
    names = [spec.name for spec in tensorfile.read_header(tmp_path / "theirs").tensors]
    tensorfile.write(tmp_path / "ours", {n: tensors[n] for n in names}, {"platform": "numpy"})
    raw = (tmp_path / "theirs").read_bytes().replace(b'"a"', b'"x"').replace(b'"b"', b'"a"').replace(b'"x"', b'"b"')
    (tmp_path / "swapped").write_bytes(raw)
    with pytest.raises(UnusableInput) as caught:
        merge_files([tmp_path / "ours", tmp_path / "swapped"], (0.5, 0.5), tmp_path / "out", MEAN)
    assert (caught.value.index, caught.value.kind) == (1, "manifest")


def test_an_unreadable_input_is_named(tmp_path: Path) -> None:
    """A missing file and one that is no tensor file name their index."""
    inputs = files(tmp_path, 2)
    (tmp_path / "pickle").write_bytes(b"\x80\x04\x95" + b"x" * 100)
    for broken in (tmp_path / "pickle", tmp_path / "missing"):
        with pytest.raises(UnusableInput, match="input 1 cannot be read") as caught:
            merge_files([inputs[0], broken], (0.5, 0.5), tmp_path / "out", MEAN)
        assert caught.value.kind == "unreadable"


def test_nothing_to_merge_is_a_fault_of_ours(tmp_path: Path) -> None:
    """No inputs, or a wrong number of coefficients, never writes a file."""
    with pytest.raises(LocalFault, match="0 inputs with 0 coefficients"):
        merge_files([], (), tmp_path / "out", MEAN)
    assert list(tmp_path.iterdir()) == []
