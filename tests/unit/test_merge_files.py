"""Claims about merging model files: window-independent bytes, bad inputs named, nothing half written."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swarm.core import merge
from swarm.core.engine.actions import Merge
from swarm.core.errors import LocalFault
from swarm.core.ids import Address, Digest
from swarm.core.statements import RoundName
from swarm.sl.mergework import MergeOptions, merge_inputs
from swarm.sl.merging import (
    SMALL_WINDOW_BYTES,
    WINDOW_BYTES,
    find_shares,
    merge_files,
)
from swarm.sl.modelfiles import UnusableInput
from swarm.sl.oddities import find_oddities
from swarm.store.blobs import BlobStore
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
    odd, where = find_oddities(inputs[1])
    assert len(odd) == 1
    assert where == f"tensor 'layer.weight' holds {bad} at position [4, 2]"
    assert find_oddities(inputs[0]) == (frozenset(), "")


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


# ---- methods that look at the inputs first, options


METHODS = ("mean", "coordmedian", "geomedian", "mean-clipped")


def merged_by(name: str, inputs: list[Path], out: Path, previous: Path | None, window: int = 256) -> bytes:
    method = merge.get(name)
    merge_files(inputs, find_shares(inputs, [3, 1, 2], method, previous), out, method, previous=previous, window=window)
    return out.read_bytes()


@pytest.mark.parametrize("name", METHODS)
def test_no_method_depends_on_the_window(tmp_path: Path, name: str) -> None:
    """All dtypes, 0-d and empty tensors: the same bytes for any window, a valid file in the program's order."""
    previous, *inputs = files(tmp_path, 4)
    made = [merged_by(name, inputs, tmp_path / "out", previous, window) for window in (8, 24, 256, 1 << 20)]
    assert made.count(made[0]) == len(made)
    got = tensorfile.open_arrays(tmp_path / "out")
    assert list(got) == list(model(0))
    assert got["counter"].shape == ()
    assert 100 <= int(got["counter"]) <= 103


def test_file_medians_are_those_of_the_tensors(tmp_path: Path) -> None:
    """Each tensor of the file is the median of the three files' tensors."""
    inputs = files(tmp_path)
    merge_files(inputs, (1 / 3, 1 / 3, 1 / 3), tmp_path / "out", merge.get("coordmedian"))
    got, models = tensorfile.open_arrays(tmp_path / "out"), [model(i) for i in range(3)]
    for name in ("layer.weight", "layer.bias", "double", "half", "counter"):
        np.testing.assert_array_equal(got[name], np.median([m[name] for m in models], axis=0).astype(got[name].dtype))


def test_recorded_shares_give_the_recorded_bytes_and_can_be_checked(tmp_path: Path) -> None:
    """Anyone with the inputs finds the geometric median's shares again to 1e-6, and its very bytes from them."""
    inputs = files(tmp_path, 5)
    method = merge.get("geomedian")
    shares = find_shares(inputs, [1, 2, 1, 3, 1], method)
    merge_files(inputs, shares, tmp_path / "leader", method)
    merge_files(inputs, shares, tmp_path / "anyone", method, window=64)
    assert (tmp_path / "leader").read_bytes() == (tmp_path / "anyone").read_bytes()
    floats = [
        np.concatenate(
            [
                np.ravel(tensorfile.to_float32(v, "BF16") if k == "brain" else v).astype(np.float64)
                for k, v in model(i).items()
                if k not in ("counter", "mask")
            ]
        )
        for i in range(5)
    ]
    point = np.array(shares) @ np.array(floats)
    pulls = [(p - point) * w / np.linalg.norm(p - point) for p, w in zip(floats, [1, 2, 1, 3, 1], strict=True)]
    assert np.linalg.norm(np.sum(pulls, axis=0)) < 1e-6 * 8  # the pulls of all models balance there: the definition
    order = [4, 2, 0, 1, 3]
    again = find_shares([inputs[i] for i in order], [[1, 2, 1, 3, 1][i] for i in order], method)
    np.testing.assert_allclose(again, np.array(shares)[order], rtol=0, atol=merge.SHARE_TOLERANCE)


def test_norms_are_lengths_of_the_differences(tmp_path: Path) -> None:
    """Measured on the way, from the previous merged model, over all floating-point tensors; the bytes stay."""
    previous, *inputs = files(tmp_path, 3)
    shares = (0.5, 0.5)
    norms = merge_files(inputs, shares, tmp_path / "with", MEAN, previous=previous, norms=True)
    assert merge_files(inputs, shares, tmp_path / "without", MEAN) is None
    assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes()
    before = tensorfile.open_arrays(previous)
    assert norms is not None
    for path, norm in zip(inputs, norms, strict=True):
        got = tensorfile.open_arrays(path)
        squares = [
            (
                (got.as_float32(k).astype(float) if k == "brain" else got[k].astype(float))
                - (before.as_float32(k).astype(float) if k == "brain" else before[k].astype(float))
            )
            ** 2
            for k in got
            if k not in ("counter", "mask")
        ]
        assert norm == pytest.approx(float(np.sqrt(sum(s.sum() for s in squares))), rel=1e-12)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_every_method_names_a_bad_value(tmp_path: Path, name: str, bad: float) -> None:
    """Also in the first pass, and never counting the previous model as an input."""
    previous, *inputs = files(tmp_path, 4)
    broken = model(1)
    broken["double"][1, 0, 1] = bad
    tensorfile.write(inputs[2], broken, {"platform": "numpy"}, dtypes={"brain": "BF16"})
    with pytest.raises(UnusableInput, match=r"input 2: tensor 'double' holds .* at position \[1, 0, 1\]") as caught:
        merged_by(name, inputs, tmp_path / "out", previous)
    assert (caught.value.index, caught.value.kind) == (2, "not_finite")
    assert not (tmp_path / "out").exists()


def test_an_input_beyond_all_distance_is_named(tmp_path: Path) -> None:
    """Finite float64 values whose squares are not: no shares follow, the input is refused by its index."""
    inputs = files(tmp_path)
    far = model(0)
    far["double"] = np.full((2, 2, 2), 1e200)
    tensorfile.write(inputs[1], far, {"platform": "numpy"}, dtypes={"brain": "BF16"})
    with pytest.raises(UnusableInput, match="input 1 is so far from the others") as caught:
        find_shares(inputs, [1, 1, 1], merge.get("geomedian"))
    assert (caught.value.index, caught.value.kind) == (1, "far")


def test_a_broken_previous_model_is_no_peers_fault(tmp_path: Path) -> None:
    """This node's own copy cannot be read: a LocalFault, so that no contributor is refused for it."""
    inputs = files(tmp_path)
    (tmp_path / "broken").write_bytes(b"nothing")
    with pytest.raises(LocalFault, match="previous merged model in this node's store cannot be used"):
        find_shares(inputs, [1, 1, 1], merge.get("mean-clipped"), tmp_path / "broken")


def test_round_0_has_nothing_to_clip_from(tmp_path: Path) -> None:
    """Without a previous model a clipped mean is the mean, byte for byte."""
    inputs = files(tmp_path)
    assert merged_by("mean-clipped", inputs, tmp_path / "a", None) == merged_by("mean", inputs, tmp_path / "b", None)


@pytest.mark.row("E09")
@pytest.mark.parametrize("name", METHODS)
def test_little_memory_gives_the_same_model(tmp_path: Path, name: str) -> None:
    """SL_RAM_INTENSIVE=False: the same bytes with an eighth of the windows, whatever the method; a site's choice."""
    store = BlobStore(tmp_path / "store")
    random = np.random.default_rng(1)
    blobs = []
    for i in range(6):
        path = tmp_path / str(i)
        tensorfile.write(path, {"w": random.normal(size=300_000).astype(np.float32)}, {"platform": "numpy"})
        blobs.append(store.add_file(path, move=True)[0])
    round_ = RoundName(Digest(bytes(32)), 1, 3, 0, blobs[5], Digest(bytes(32)))
    action = Merge(round_, 0, name, tuple((Address(bytes([i]) * 20), blob, i + 1) for i, blob in enumerate(blobs[:5])))
    made, shares, peaks = [], [], []
    for ram_intensive in (True, False):
        tracemalloc.start()
        done = merge_inputs(store, action, MergeOptions(ram_intensive=ram_intensive))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        made.append(done.path.read_bytes())
        shares.append(done.coefficients)
    assert made[0] == made[1]
    assert shares[0] == shares[1]
    if name in ("mean", "coordmedian"):  # the others need more in their first pass, whatever the windows
        assert peaks[0] - peaks[1] > 5 * (WINDOW_BYTES - SMALL_WINDOW_BYTES)
    again = replace(action, coefficients=tuple(0.2 for _ in range(5)), attempt=1)  # recorded by another leader
    assert merge_inputs(store, again, MergeOptions()).coefficients == again.coefficients
