"""Hostile models in a merge: any finite bits, files that end early, extents chosen to break sums."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swarm.core import merge
from swarm.sl.merging import find_shares, merge_files
from swarm.sl.modelfiles import UnusableInput
from swarmlearning import tensorfile

METHODS = ("mean", "coordmedian", "geomedian", "mean-clipped")
KINDS = {"F32": np.float32, "F64": np.float64, "F16": np.float16}


@st.composite
def any_bits(draw: st.DrawFn) -> tuple[str, list[npt.NDArray[Any]], list[int]]:
    dtype = draw(st.sampled_from(sorted(KINDS)))
    count, size = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    width = np.dtype(KINDS[dtype]).itemsize * 8
    numbers = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True, width=width)  # type: ignore[call-overload]
    blocks = [draw(hnp.arrays(KINDS[dtype], size, elements=numbers)) for _ in range(count)]
    weights = draw(st.lists(st.sampled_from([1, 2, 2**32 - 1]), min_size=count, max_size=count))
    return dtype, blocks, weights


@settings(deadline=None)
@given(any_bits(), st.sampled_from(METHODS))
def test_any_finite_bits_merge_to_finite_values_in_silence(
    case: tuple[str, list[npt.NDArray[Any]], list[int]], name: str
) -> None:
    """Subnormal, huge, negative zero: the result is finite and lies within the inputs, no warning, no exception."""
    dtype, blocks, weights = case
    method, out = merge.get(name), np.empty_like(blocks[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merge.merge_values(method, dtype, blocks, merge.shares(weights), out)
    assert np.isfinite(out).all()
    limits = np.finfo(KINDS[dtype])
    low, high = np.min(blocks, axis=0).astype(float) / 4, np.max(blocks, axis=0).astype(float) / 4  # or sums overflow
    room = (np.abs(low) + np.abs(high)) * float(limits.eps) * 8 + float(limits.tiny)
    assert (out.astype(float) / 4 >= low - room).all()
    assert (out.astype(float) / 4 <= high + room).all()


@pytest.mark.parametrize("name", ["geomedian", "mean-clipped"])
@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e30, 1e153, 1e154, 1e300])
def test_extents_chosen_to_break_sums_are_refused_or_merged(tmp_path: Path, name: str, size: float) -> None:
    """Values whose squares vanish or overflow: shares all the same, or the far input's refusal by index."""
    random = np.random.default_rng(2)
    paths = [tmp_path / str(i) for i in range(4)]
    for i, path in enumerate(paths):
        values = random.normal(size=50) * (size if i == 2 or size < 1 else 1.0)
        tensorfile.write(path, {"w": values}, {"platform": "numpy"})
    method = merge.get(name)
    if size in (1e154, 1e300):
        with pytest.raises(UnusableInput, match="input 1 is so far") as caught:
            find_shares(paths[1:], [1, 1, 1], method, paths[0])
        assert (caught.value.index, caught.value.kind) == (1, "far")
    else:
        shares = find_shares(paths[1:], [1, 1, 1], method, paths[0])
        assert merge.shares_fault(shares, whole=name == "geomedian") is None


def both_passes(name: str, paths: list[Path], out: Path) -> None:
    method = merge.get(name)
    shares = find_shares(paths[1:], [1, 1], method, paths[0])
    merge_files(paths[1:], shares, out, method, previous=paths[0])


@pytest.mark.parametrize("name", METHODS)
def test_a_file_that_ends_early_is_named(tmp_path: Path, name: str) -> None:
    """A model cut short on disk, before or after it was opened, never gives a merged file."""
    paths = [tmp_path / str(i) for i in range(3)]
    for path in paths:
        tensorfile.write(path, {"w": np.ones(100_000, np.float32)}, {"platform": "numpy"})
    with paths[2].open("r+b") as file:
        file.truncate(200_000)
    with pytest.raises(UnusableInput, match="input 1") as caught:
        both_passes(name, paths, tmp_path / "out")
    assert caught.value.kind == "unreadable"
    assert not (tmp_path / "out").exists()
