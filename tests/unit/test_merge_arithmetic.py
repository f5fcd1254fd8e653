"""Claims about merge arithmetic: exactness, invariances, dtypes, rounding and the registry."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swarm.core import merge
from swarm.core.errors import OperatorFault
from swarm.core.merge import registry

MEAN = merge.get("mean")
FLOAT32_MAX = float(np.finfo(np.float32).max)
INTEGERS = {
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}

Array = npt.NDArray[Any]


def merged(dtype: str, blocks: list[Array], weights: list[int], **options: int) -> Array:
    out = np.empty_like(blocks[0])
    merge.merge_values(MEAN, dtype, blocks, MEAN.coefficients(weights), out, **options)
    return out


@st.composite
def models(draw: st.DrawFn, dtype: str = "<f4", limit: float = 1e6) -> tuple[list[Array], list[int]]:
    count = draw(st.integers(1, 5))
    length = draw(st.integers(0, 40))
    values = st.floats(-limit, limit, width=32 if dtype == "<f4" else 64)
    blocks = [draw(hnp.arrays(dtype, length, elements=values)) for _ in range(count)]
    weights = draw(st.lists(st.integers(1, 2**32 - 1), min_size=count, max_size=count))
    return blocks, weights


def reference(blocks: list[Array], weights: list[int]) -> Array:
    """The plain formula in float64."""
    total = sum(weights)
    return sum(np.asarray(b, np.float64) * (w / total) for b, w in zip(blocks, weights, strict=True))  # type: ignore[return-value]


def scale(blocks: list[Array]) -> float:
    return max((float(np.abs(b).max()) for b in blocks if b.size), default=0.0)


@pytest.mark.row("K05a")
@given(models())
def test_mean_agrees_with_float64(case: tuple[list[Array], list[int]]) -> None:
    """float32 means stay within a few roundings of the plain float64 formula."""
    blocks, weights = case
    got = merged("F32", blocks, weights)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference(blocks, weights), rtol=0, atol=scale(blocks) * len(blocks) * 2**-21)


@given(models("<f8", 1e300))
def test_float64_is_computed_in_float64(case: tuple[list[Array], list[int]]) -> None:
    """float64 tensors lose nothing to float32."""
    blocks, weights = case
    got = merged("F64", blocks, weights)
    np.testing.assert_allclose(got, reference(blocks, weights), rtol=0, atol=scale(blocks) * len(blocks) * 2**-50)


@given(models(limit=FLOAT32_MAX))
def test_equal_inputs_come_out_bit_for_bit(case: tuple[list[Array], list[int]]) -> None:
    """A frozen layer is not changed by merging, whatever the weights."""
    blocks, weights = case
    same = [blocks[0]] * len(blocks)
    assert merged("F32", same, weights).tobytes() == blocks[0].tobytes()


@given(models(limit=FLOAT32_MAX), st.integers(4, 24))
def test_block_size_never_changes_a_bit(case: tuple[list[Array], list[int]], block_bytes: int) -> None:
    """However a tensor is cut, the same bytes come out, also where differences leave the range of float32."""
    blocks, weights = case
    whole = merged("F32", blocks, weights)
    assert np.isfinite(whole).all()
    assert merged("F32", blocks, weights, block_bytes=block_bytes).tobytes() == whole.tobytes()


@given(models(), st.randoms(use_true_random=False))
def test_order_matters_only_in_rounding(case: tuple[list[Array], list[int]], random: Any) -> None:
    """Another input order gives the same values up to rounding; the protocol fixes the order."""
    blocks, weights = case
    order = list(range(len(blocks)))
    random.shuffle(order)
    again = merged("F32", [blocks[i] for i in order], [weights[i] for i in order])
    np.testing.assert_allclose(again, merged("F32", blocks, weights), rtol=0, atol=scale(blocks) * len(blocks) * 2**-21)


@given(models(), st.integers(1, 4))
def test_a_weight_is_a_repetition(case: tuple[list[Array], list[int]], times: int) -> None:
    """A node with weight k counts like k nodes of weight 1."""
    blocks, _ = case
    weighted = merged("F32", blocks, [times] + [1] * (len(blocks) - 1))
    repeated = merged("F32", [blocks[0]] * times + blocks[1:], [1] * (times + len(blocks) - 1))
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=scale(blocks) * (len(blocks) + times) * 2**-20)


@given(models("<f8"), st.floats(-100, 100), st.floats(-1e3, 1e3))
def test_mean_follows_scale_and_shift(case: tuple[list[Array], list[int]], factor: float, shift: float) -> None:
    """mean(a*x + b) = a*mean(x) + b."""
    blocks, weights = case
    moved = merged("F64", [b * factor + shift for b in blocks], weights)
    size = (scale(blocks) * abs(factor) + abs(shift)) * len(blocks)
    np.testing.assert_allclose(
        moved, merged("F64", blocks, weights) * factor + shift, rtol=0, atol=size * 2**-48 + 1e-300
    )


@given(models(limit=2.0**100))
def test_every_bit_is_that_of_ieee_754_step_by_step(case: tuple[list[Array], list[int]]) -> None:
    """b0 - c1*(b0-b1) - ..., each step rounded to float32: a fused or reordered step would change bits."""

    def single(value: float) -> float:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])

    blocks, weights = case
    coefficients = [single(w / sum(weights)) for w in weights]
    expected = []
    for values in zip(*(b.tolist() for b in blocks), strict=True):
        total = values[0]
        for value, coefficient in zip(values[1:], coefficients[1:], strict=True):
            total = single(total - single(coefficient * single(values[0] - value)))
        expected.append(total)
    assert merged("F32", blocks, weights).tobytes() == np.array(expected, "<f4").tobytes()


@pytest.mark.parametrize(("name", "numpy_name"), INTEGERS.items())
def test_integers_round_half_to_even_and_keep_their_dtype(name: str, numpy_name: str) -> None:
    """Counters are averaged in float64 and rounded half to even; dtype and range hold at both ends."""
    limits = np.iinfo(numpy_name)
    one = np.array([1, 2, 3, limits.max, limits.min, limits.max], numpy_name)
    two = np.array([2, 3, 3, limits.max, limits.min, limits.max - 1], numpy_name)
    got = merged(name, [one, two], [1, 1])
    assert got.dtype == np.dtype(numpy_name)
    assert got[:5].tolist() == [2, 2, 3, limits.max, limits.min]
    assert limits.max - 1 <= int(got[5]) <= limits.max


@given(hnp.arrays("<i8", 9), st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_agreed_integers_are_exact(values: Array, weights: list[int]) -> None:
    """64-bit values that float64 cannot hold survive when all nodes agree on them."""
    assert merged("I64", [values] * len(weights), weights).tolist() == values.tolist()


@pytest.mark.parametrize("method", ["mean", "coordmedian", "geomedian", "mean-clipped"])
@given(data=st.data())
def test_integers_stay_within_their_inputs_range(method: str, data: st.DataObject) -> None:
    """Of every integer dtype, any values, weights and method: never outside what was handed in."""
    name = data.draw(st.sampled_from(sorted(INTEGERS)))
    count = data.draw(st.integers(1, 5))
    near = data.draw(st.booleans()) and name in ("I64", "U64")
    elements = st.integers(2**62, 2**62 + 3000) if near else None
    blocks = [data.draw(hnp.arrays(INTEGERS[name], 7, elements=elements)) for _ in range(count)]
    weights = data.draw(st.lists(st.integers(1, 2**32 - 1), min_size=count, max_size=count))
    out = np.empty_like(blocks[0])
    merge.merge_values(merge.get(method), name, blocks, merge.shares(weights), out)
    assert (out >= np.minimum.reduce(blocks)).all()
    assert (out <= np.maximum.reduce(blocks)).all()


@given(
    st.sampled_from([("I64", 2**53 + 1), ("I64", 2**63 - 2001), ("I64", -(2**63)), ("U64", 2**64 - 2001)]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 8)), min_size=1, max_size=5),
)
def test_integers_that_float64_does_not_hold_are_averaged_exactly(
    kind: tuple[str, int], case: list[tuple[int, int]]
) -> None:
    """Identifiers, times in nanoseconds: the mean is that of whole numbers, ties to even, where it is no near tie."""
    name, base = kind
    blocks = [np.array([base + value], INTEGERS[name]) for value, _ in case]
    weights = [weight for _, weight in case]
    total = sum(weights)
    exact = Fraction(sum((base + v) * w for v, w in case), total)
    got = int(merged(name, blocks, weights)[0])
    assert abs(got - exact) <= Fraction(1, 2) + Fraction(1, 2**30)


def test_a_median_of_integers_that_lie_far_apart_is_one_of_them() -> None:
    """Distances beyond 2**53 as well: no rounding invents a value; and even counts at 2**63 do not overflow."""
    values = [-(2**63), 2**53 + 1, 2**63 - 1]
    for name, numbers in (("I64", values), ("U64", [3, 2**63 + 5, 2**64 - 1])):
        blocks = [np.array([one], INTEGERS[name]) for one in numbers]
        out = np.empty_like(blocks[0])
        median = merge.get("coordmedian")
        merge.merge_values(median, name, blocks, merge.shares([1, 1, 1]), out)
        assert int(out[0]) == numbers[1]
    assert merged("U64", [np.array([one], "<u8") for one in (2**64 - 1, 2**64 - 1)], [1, 3]).tolist() == [2**64 - 1]
    assert merged("I64", [np.array([one], "<i8") for one in (-(2**63), 2**63 - 1)], [1, 1]).tolist() == [0]


def test_booleans_follow_the_weighted_majority() -> None:
    """True needs more than half of the weight; a tie is False."""
    blocks = [np.array([True, True, False]), np.array([True, False, True])]
    assert merged("BOOL", blocks, [3, 1]).tolist() == [True, True, False]
    assert merged("BOOL", blocks, [1, 1]).tolist() == [True, False, False]


@given(st.lists(st.tuples(st.floats(-6e4, 6e4, width=16), st.floats(-6e4, 6e4, width=16)), max_size=20))
def test_half_floats_are_averaged_in_float32(pairs: list[tuple[float, float]]) -> None:
    """float16 means are the rounded float32 means: no overflow, no double rounding in half precision."""
    one, two = (np.array([p[i] for p in pairs], np.float16) for i in (0, 1))
    expected = (one.astype(np.float32) - (one.astype(np.float32) - two) * np.float32(0.5)).astype(np.float16)
    got = merged("F16", [one, two], [1, 1])
    assert got.dtype == np.float16
    assert got.tobytes() == expected.tobytes()


def test_bfloat16_bits_are_averaged_as_numbers() -> None:
    """BF16 arrives as uint16 bits: 1.0 and 3.0 give 2.0; the largest finite value stays finite."""
    one = np.array([0x3F80, 0x7F7F, 0x0000], np.uint16)
    two = np.array([0x4040, 0x7F7F, 0x8000], np.uint16)
    assert merged("BF16", [one, two], [1, 1]).tolist() == [0x4000, 0x7F7F, 0x0000]
    largest = np.array([0x7F7F], np.uint16)
    assert merged("BF16", [largest] * 3, [1, 1, 1]).tolist() == [0x7F7F]


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "BOOL", *INTEGERS])
def test_empty_tensors_merge_to_empty(dtype: str) -> None:
    """A tensor without elements is no special case."""
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}.get(dtype) or INTEGERS[dtype]
    assert merged(dtype, [np.empty(0, kind)] * 2, [1, 2]).size == 0


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=250).filter(any))
def test_coefficients_are_weight_over_total(weights: list[int]) -> None:
    """One division each; a weight of 0 gives 0; together they are 1 up to rounding."""
    found = MEAN.coefficients(weights)
    assert list(found) == [w / sum(weights) for w in weights]
    assert math.isclose(math.fsum(found), 1.0, rel_tol=0, abs_tol=len(weights) * 2**-53)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_weights_without_a_share_are_refused(weights: list[int]) -> None:
    """No weights, none positive or a negative one: an error that shows them."""
    with pytest.raises(ValueError, match=r"weights >= 0 of which one is positive, not \["):
        MEAN.coefficients(weights)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_values_are_found(dtype: str, bad: float) -> None:
    """NaN and infinities are found where they are; finite extremes are not."""
    name = {"<f2": "F16", "<f4": "F32", "<f8": "F64"}[dtype]
    block = np.full(1000, np.finfo(dtype).max, dtype)
    assert merge.non_finite(block, name) is None
    block[[7, 900]] = bad
    found = merge.non_finite(block, name)
    assert found is not None
    assert np.flatnonzero(found).tolist() == [7, 900]


def test_bad_bfloat16_bits_are_found() -> None:
    """BF16 infinities and NaN are seen in their bits; as plain uint16 the same bits are fine."""
    bits = np.array([0x7F7F, 0x3F80, 0xFF80, 0x7FC0], np.uint16)
    found = merge.non_finite(bits, "BF16")
    assert found is not None
    assert found.tolist() == [False, False, True, True]
    assert merge.non_finite(bits, "U16") is None


def test_unlike_inputs_are_refused() -> None:
    """Lengths, dtypes and counts must agree before anything is computed."""
    one = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="input 1 is float32"):
        merge.merge_values(MEAN, "F32", [one, one[:2]], (0.5, 0.5), np.empty_like(one))
    with pytest.raises(ValueError, match="2 inputs but 1 coefficients"):
        merge.merge_values(MEAN, "F32", [one, one], (1.0,), np.empty_like(one))
    with pytest.raises(ValueError, match="dtype 'C64' cannot be merged"):
        merge.merge_values(MEAN, "C64", [one], (1.0,), np.empty_like(one))


def test_inputs_are_never_changed() -> None:
    """Merging read-only blocks works: nothing is written into an input."""
    blocks = [np.arange(9, dtype=np.float32) * i for i in range(3)]
    for block in blocks:
        block.flags.writeable = False
    assert merged_into(blocks).tolist() == pytest.approx([i * 1.0 for i in range(9)])


def merged_into(blocks: list[Array]) -> Array:
    out = np.full(9, np.nan, np.float32)
    merge.merge_values(MEAN, "F32", blocks, MEAN.coefficients([1] * len(blocks)), out)
    return out


# ---- registry


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    return


@pytest.mark.row("K05a")
def test_methods_are_found_in_any_case() -> None:
    """Users write mean, Mean or MEAN."""
    assert merge.get("MEAN") is merge.get("Mean") is MEAN


def test_an_unknown_method_lists_the_known_ones() -> None:
    """The error says what could be asked for instead."""
    with pytest.raises(OperatorFault, match=r"no merge method 'average' on this node; known are .*mean"):
        merge.get("average")


@pytest.mark.usefixtures("clean_registry")
def test_a_site_adds_a_method_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point in swarm.merge is found by name; one that is no method, or breaks, is refused by value."""
    points = [
        EntryPoint("same", "swarm.core.merge.mean:Mean", registry.ENTRY_POINT_GROUP),
        EntryPoint("odd", "math:pi", registry.ENTRY_POINT_GROUP),
        EntryPoint("torn", "no_such_package:Method", registry.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda group, name=None: [p for p in points if name in (None, p.name)]
    )
    assert merge.get("Same").coefficients([1, 1]) == (0.5, 0.5)
    assert set(merge.known()) > {"mean", "odd", "same", "torn"}
    with pytest.raises(OperatorFault, match=r"math:pi .* lacks coefficients and merge_block"):
        merge.get("odd")
    with pytest.raises(OperatorFault, match=r"torn = no_such_package:Method cannot be loaded: ModuleNotFoundError"):
        merge.get("torn")


@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("name", ["", "x" * 33, "mittel\n", "müll"])
def test_names_that_do_not_fit_the_chain_are_refused(name: str) -> None:
    """A method's name must fit 32 ASCII bytes on chain."""
    with pytest.raises(OperatorFault, match="1 to 32 printable ASCII"):
        merge.register(name, MEAN)


@pytest.mark.usefixtures("clean_registry")
def test_a_name_is_taken_once() -> None:
    """Registering another method under a known name is refused; the same one again is harmless."""
    merge.register("mean", MEAN)
    with pytest.raises(OperatorFault, match="already registered"):
        merge.register("mean", type(MEAN)())
