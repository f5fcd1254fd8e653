"""What is not finite passes a merge where it is the same in every input, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core import merge
from swarm.core.engine.oddities import shared
from swarm.core.ids import Digest, sha256
from swarm.sl.merging import find_shares, merge_files
from swarm.sl.modelfiles import UnusableInput
from swarm.sl.oddities import find_oddities
from swarmlearning import tensorfile

METHODS = ("mean", "coordmedian", "geomedian", "mean-clipped")
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.float32}


def write(path: Path, dtype: str, mask: np.ndarray[Any, Any], weights: float) -> Path:
    def stored(values: np.ndarray[Any, Any]) -> Any:
        cast = values.astype(DTYPES[dtype])
        return tensorfile.from_float32(cast) if dtype == "BF16" else cast

    arrays = {"mask": stored(mask), "w": stored(np.full(9, weights)), "observer.min": stored(np.array(np.inf))}
    tensorfile.write(path, arrays, {"platform": "pytorch"}, dtypes=dict.fromkeys(arrays, dtype))
    return path


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("name", METHODS)
def test_equal_masks_pass_and_the_rest_is_merged(tmp_path: Path, name: str, dtype: str) -> None:
    """A mask of -inf, an observer's inf and a NaN come out bit for bit; what is finite beside them is averaged."""
    mask = np.triu(np.full((5, 5), -np.inf), 1)
    mask[0, 0] = np.nan
    paths = [write(tmp_path / str(i), dtype, mask, w) for i, w in enumerate([0.0, 1.0, 3.0])]
    previous = write(tmp_path / "previous", dtype, mask, 1.0)
    method = merge.get(name)
    shares = find_shares(paths, [1, 1, 1], method, previous)
    assert np.isfinite(shares).all()
    for window in (64, 1 << 18):
        norms = merge_files(
            paths, shares, tmp_path / "out", method, previous=previous, norms=window > 64, window=window
        )
        got = tensorfile.open_arrays(tmp_path / "out")
        first = tensorfile.open_arrays(paths[0])
        for kept in ("mask", "observer.min"):
            assert got[kept].tobytes() == first[kept].tobytes()
        assert 0 < float(got.as_float32("w").mean()) < 3
        assert norms is None or np.isfinite(norms).all()
    assert find_oddities(tmp_path / "out") == find_oddities(paths[0])


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_a_value_that_only_one_input_holds_is_named(tmp_path: Path, dtype: str) -> None:
    """Another place, another sign, or a finite value there: never averaged, and the input that holds it is named."""
    mask = np.triu(np.full((5, 5), -np.inf), 1)
    for at, value, guilty in (((4, 0), np.nan, 1), ((0, 1), np.inf, 1), ((0, 1), 0.0, 2)):
        other = mask.copy()
        other[at] = value
        paths = [write(tmp_path / f"{i}", dtype, m, 1.0) for i, m in enumerate([mask, other, mask])]
        with pytest.raises(UnusableInput, match=rf"tensor 'mask' holds .* at position \[{at[0]}, {at[1]}\]") as caught:
            merge_files(paths, [1 / 3] * 3, tmp_path / "out", merge.get("mean"))
        assert (caught.value.index, caught.value.kind) == (guilty, "not_finite")


@given(st.lists(st.integers(0, 199), max_size=20, unique=True), st.sampled_from([8, 64, 4096]))
def test_the_digest_knows_places_and_bits_and_no_window(
    tmp_path_factory: pytest.TempPathFactory, places: list[int], window: int
) -> None:
    """Two files that agree where they are not finite have one digest a tensor, whatever else they hold."""
    folder = tmp_path_factory.mktemp("odd")
    found = []
    for i, fill in enumerate((0.5, -7.0)):
        values = np.full(200, fill, np.float32)
        values[places] = -np.inf
        tensorfile.write(folder / str(i), {"a": np.ones(3), "b": values}, {"platform": "numpy"})
        found.append(find_oddities(folder / str(i), window=window if i else 4096))
    assert found[0] == found[1]
    assert len(found[0][0]) == (1 if places else 0)
    if places:
        values[places[0]] = np.inf
        tensorfile.write(folder / "2", {"a": np.ones(3), "b": values}, {"platform": "numpy"})
        assert find_oddities(folder / "2")[0] != found[0][0]


def test_what_more_than_half_hold_is_shared() -> None:
    """A model with anything else, or with less, differs from what is shared."""
    mask, nan = sha256(b"mask"), sha256(b"nan")

    def of(*digests: Digest) -> frozenset[Digest]:
        return frozenset(digests)

    assert shared([of(mask), of(mask, nan)]) == of(mask)
    assert shared([of(nan), of()]) == of()
    assert shared([of(mask), of(nan)]) == of()
    assert shared([of(mask)] * 3) == of(mask)
    assert shared([of(mask), of(mask), of()]) == of(mask)
