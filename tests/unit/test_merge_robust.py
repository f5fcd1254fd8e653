"""Claims about the robust merge methods: definitions against plain references, invariances, breakdown points."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swarm.core import merge
from swarm.core.merge import geometric
from swarm.core.merge.clipped import middle_of
from swarm.core.merge.geometric import coordinates, geometric_shares
from swarm.core.merge.networks import selection

Array = npt.NDArray[Any]

MEDIAN = merge.get("coordmedian")
FLOAT32_MAX = float(np.finfo(np.float32).max)


def median(blocks: list[Array], weights: list[int], dtype: str = "F64", **options: int) -> Array:
    out = np.empty_like(blocks[0])
    shares = MEDIAN.coefficients(weights)
    assert shares is not None
    merge.merge_values(MEDIAN, dtype, blocks, shares, out, **options)
    return out


def measured(blocks: list[Array], weights: list[int], name: str = "geomedian") -> tuple[float, ...]:
    """Shares of a method that finds them in the inputs; blocks are float64, clipping is from 0."""
    method = merge.get(name)
    assert isinstance(method, merge.Measured)
    base = np.zeros_like(blocks[0])
    if method.anchor is merge.Anchor.MEDIAN:
        merge.lower_median(blocks, base)
    gram = merge.Gram(len(blocks), pairs=method.pairs)
    gram.add([block - base for block in blocks])
    return method.solve(weights, gram.matrix())


def geomedian(blocks: list[Array], weights: list[int]) -> Array:
    out = np.empty_like(blocks[0])
    merge.merge_values(merge.get("geomedian"), "F64", blocks, measured(blocks, weights), out)
    return out


@st.composite
def models(
    draw: st.DrawFn, dtype: str = "<f8", limit: float = 1e6, most: int = 7, length: int = 20
) -> tuple[list[Array], list[int]]:
    count = draw(st.integers(1, most))
    size = draw(st.integers(1, length))
    # few different values, so that ties are common
    values = st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-limit, limit, width=32))
    blocks = [draw(hnp.arrays(dtype, size, elements=values)) for _ in range(count)]
    weights = draw(
        st.one_of(
            st.just([1] * count),
            st.lists(st.integers(1, 5), min_size=count, max_size=count),
            st.lists(st.integers(1, 2**32 - 1), min_size=count, max_size=count),
        )
    )
    return blocks, weights


def plain_median(values: list[float], weights: list[int]) -> float:
    """The definition in exact arithmetic: mid-point of the lower and the upper weighted median."""
    total, below = sum(weights), 0
    low = high = None
    for value, weight in sorted(zip(values, weights, strict=True)):
        below += weight
        if low is None and Fraction(below, total) >= Fraction(1, 2):
            low = value
        if high is None and Fraction(below, total) > Fraction(1, 2):
            high = value
    assert low is not None
    assert high is not None
    return low if low == high else 0.5 * low + 0.5 * high


# ---- networks


@pytest.mark.parametrize("count", range(1, 9))
def test_a_pruned_network_selects_its_ranks(count: int) -> None:
    """By the 0-1 principle: right for all inputs of zeros and ones, so for all inputs; every set of two ranks."""
    for ranks in itertools.combinations_with_replacement(range(count), 2):
        steps = selection(count, tuple(sorted(set(ranks))))
        for bits in itertools.product((0, 1), repeat=count):
            places = list(bits)
            for step in steps:
                low, high = sorted((places[step.low], places[step.high]))
                places[step.low] = low if step.keep_low else 9
                places[step.high] = high if step.keep_high else 9
            assert [places[r] for r in ranks] == [sorted(bits)[r] for r in ranks]


@pytest.mark.parametrize("count", [33, 100, 250])
def test_large_networks_sort(count: int) -> None:
    """The network of any number of nodes sorts random values."""
    values = np.random.default_rng(count).normal(size=(count, 8))
    places = [row.copy() for row in values]
    for step in selection(count, tuple(range(count))):
        one, two = places[step.low], places[step.high]
        places[step.low], places[step.high] = np.minimum(one, two), np.maximum(one, two)
    np.testing.assert_array_equal(np.array(places), np.sort(values, axis=0))


# ---- coordinate median


@pytest.mark.row("K05b")
@pytest.mark.row("D21")
@given(models())
def test_the_coordinate_median_is_its_definition(case: tuple[list[Array], list[int]]) -> None:
    """Each element is the weighted median in exact arithmetic, ties included, whatever the uint32 weights."""
    blocks, weights = case
    expected = [plain_median(list(v), weights) for v in zip(*(b.tolist() for b in blocks), strict=True)]
    assert median(blocks, weights).tolist() == expected


@given(models("<f4", FLOAT32_MAX), st.integers(4, 24))
def test_median_blocks_never_change_a_bit(case: tuple[list[Array], list[int]], block_bytes: int) -> None:
    """However a tensor is cut, the same bytes; and all stays finite at the ends of float32."""
    blocks, weights = case
    whole = median(blocks, weights, "F32")
    assert np.isfinite(whole).all()
    assert median(blocks, weights, "F32", block_bytes=block_bytes).tobytes() == whole.tobytes()


@given(models("<f4"), st.randoms(use_true_random=False))
def test_the_order_of_inputs_never_changes_a_median(case: tuple[list[Array], list[int]], random: Any) -> None:
    """Permuting nodes with their weights gives the very same bytes, -0.0 beside 0.0 included."""
    blocks, weights = case
    order = list(range(len(blocks)))
    random.shuffle(order)
    again = median([blocks[i] for i in order], [weights[i] for i in order], "F32")
    assert again.tobytes() == median(blocks, weights, "F32").tobytes()


@given(models(), st.lists(st.integers(1, 4), min_size=7, max_size=7))
def test_a_weight_is_a_repetition_in_the_median(case: tuple[list[Array], list[int]], times: list[int]) -> None:
    """A node with weight k counts like k nodes of weight 1, to the bit."""
    blocks, _ = case
    repeated = [b for b, k in zip(blocks, times, strict=False) for _ in range(k)]
    weighted = median(blocks, times[: len(blocks)])
    assert weighted.tobytes() == median(repeated, [1] * len(repeated)).tobytes()


@given(models(limit=1e3), st.sampled_from([-4.0, -0.5, 0.25, 2.0]), st.integers(-1000, 1000))
def test_the_median_follows_scale_and_shift(case: tuple[list[Array], list[int]], factor: float, shift: int) -> None:
    """median(a*x + b) = a*median(x) + b, also for negative a: the mid-point favours no side."""
    blocks, weights = case
    blocks = [np.rint(b) for b in blocks]  # so that every step is exact
    moved = median([b * factor + shift for b in blocks], weights)
    assert moved.tolist() == (median(blocks, weights) * factor + shift).tolist()


@given(models("<f4"), st.floats(-FLOAT32_MAX, FLOAT32_MAX, width=32))
def test_a_minority_cannot_move_the_median_beyond_the_honest(
    case: tuple[list[Array], list[int]], poison: float
) -> None:
    """With less than half of the weight, whatever a node sends, each element lies between honest values."""
    blocks, weights = case
    liar = np.full_like(blocks[0], poison)
    got = median([liar, *blocks], [max(1, sum(weights) - 1) if sum(weights) > 1 else 1, *weights], "F32")
    if sum(weights) > 1:
        assert (got >= np.min(blocks, axis=0)).all()
        assert (got <= np.max(blocks, axis=0)).all()


@given(models("<f4", FLOAT32_MAX))
def test_equal_models_are_their_median(case: tuple[list[Array], list[int]]) -> None:
    """A frozen layer comes out bit for bit, -0.0 and subnormal numbers included."""
    blocks, weights = case
    same = [blocks[0]] * len(blocks)
    assert median(same, weights, "F32").tobytes() == blocks[0].tobytes()


def test_half_floats_and_counters_have_a_median_too() -> None:
    """F16, BF16, integers and booleans by the one table of all methods: counters take their median, half to even."""
    half = [np.array([v], np.float16) for v in (1.0, 2.5, 60000.0)]
    assert median(half, [1, 1, 1], "F16").tolist() == [2.5]
    brain = [np.array([v], np.uint16) for v in (0x3F80, 0x4040, 0x7F7F)]  # 1, 3, the largest
    assert median(brain, [1, 1, 1], "BF16").tolist() == [0x4040]
    counts = [np.array([v], np.int64) for v in (10, 13, 2**62)]
    assert median(counts, [1, 1, 1], "I64").tolist() == [13]
    assert median(counts[:2], [1, 1], "I64").tolist() == [12]
    flags = [np.array([v]) for v in (True, True, False)]
    assert median(flags, [1, 1, 1], "BOOL").tolist() == [True]


# ---- geometric median


def reference_geomedian(points: Array, weights: list[int]) -> Array:
    """Plain float64: damped iteration over a smoothed sum of distances, then the best of it and the points."""
    w = np.array(weights, np.float64) / sum(weights)
    found = np.average(points, axis=0, weights=w)
    for smooth in (1e-2, 1e-4, 1e-6, 1e-9):
        for _ in range(3000):
            away = np.sqrt(((points - found) ** 2).sum(axis=1) + smooth**2)
            found = (points * (w / away)[:, None]).sum(axis=0) / (w / away).sum()
    return min([found, *points], key=lambda y: objective(points, weights, y))  # type: ignore[no-any-return]


def objective(points: Array, weights: list[int], at: Array) -> float:
    return float((np.array(weights) / sum(weights) * np.linalg.norm(points - at, axis=1)).sum())


@pytest.mark.row("K05c")
@pytest.mark.row("D21")
@pytest.mark.parametrize("seed", range(12))
def test_the_geometric_median_has_the_least_sum_of_distances(seed: int) -> None:
    """No point of a plain float64 reference is better than ours by more than 1e-6 of the sum."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 8))
    points = random.normal(size=(count, int(random.integers(1, 40)))) + 5.0
    weights = random.integers(1, 6, count).tolist()
    got = geomedian(list(points), weights)
    best = objective(points, weights, reference_geomedian(points, weights))
    assert objective(points, weights, got) <= best * (1 + 1e-6)


@settings(deadline=None)
@given(models(limit=1e3, most=6))
def test_geometric_shares_are_shares(case: tuple[list[Array], list[int]]) -> None:
    """Within 0..1, together 1, and good enough for whoever checks them."""
    blocks, weights = case
    found = measured(blocks, weights)
    assert merge.shares_fault(found, whole=True) is None
    assert abs(sum(found) - 1.0) < 1e-12


def far_apart(seed: int, count: int = 5, size: int = 30) -> tuple[list[Array], list[int]]:
    random = np.random.default_rng(seed)
    return list(random.normal(size=(count, size))), random.integers(1, 9, count).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_geometric_invariances(seed: int) -> None:
    """Permutation, weight as repetition, shift and scale: the same shares to 1e-6."""
    blocks, weights = far_apart(seed)
    found = np.array(measured(blocks, weights))
    order = np.random.default_rng(seed + 100).permutation(len(blocks))
    permuted = measured([blocks[i] for i in order], [weights[i] for i in order])
    np.testing.assert_allclose(permuted, found[order], rtol=0, atol=1e-6)
    repeated = measured([b for b, w in zip(blocks, weights, strict=True) for _ in range(w)], [1] * sum(weights))
    ends = np.cumsum(weights)
    np.testing.assert_allclose([sum(repeated[e - w : e]) for e, w in zip(ends, weights, strict=True)], found, atol=1e-6)
    np.testing.assert_allclose(measured([b * -3.7 + 11.0 for b in blocks], weights), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1e3, 1e9, 1e15, 1e30, 1e140])
def test_a_minority_cannot_drag_the_geometric_median_away(size: float) -> None:
    """Two of five poisoned, however far, move it by a few spreads of the honest only; it stays exact enough to use."""
    blocks, _ = far_apart(3)
    honest = blocks[2:]
    middle = np.mean(honest, axis=0)
    spread = max(float(np.linalg.norm(b - middle)) for b in honest)
    for liars in ([blocks[0] * size, blocks[1] * size], [blocks[0] * size] * 2, [blocks[0] * size, blocks[0] * -size]):
        got = geomedian([*liars, *honest], [1] * 5)
        assert float(np.linalg.norm(got - middle)) < 10 * spread


@pytest.mark.parametrize(
    ("points", "weights", "expected"),
    [
        ([[0.0], [4.0]], [1, 1], [2.0]),  # not unique: the mean of the two
        ([[0.0, 8.0], [1.0, 6.0], [2.0, 4.0], [5.0, -2.0]], [1, 1, 1, 1], [1.5, 5.0]),  # the same on any line
        ([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], [1, 1, 1, 1], None),
        ([[0.0], [4.0]], [3, 1], [0.0]),  # more than half of the weight: that model
        ([[0.0], [1.0], [100.0]], [1, 1, 1], [1.0]),  # on a line: the middle one
        ([[1.0, 1.0]] * 3, [1, 2, 3], [1.0, 1.0]),  # all alike
        ([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]], [1, 1, 1], [0.0, 0.0]),  # equal ones count together
        ([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]], [1, 1, 1, 1], [1.0, 1.0]),  # a square
        ([[0.0, 0.0], [2.0, 0.0], [1.0, 0.1]], [1, 1, 1], [1.0, 0.1]),  # an angle above 120 degrees: its corner
        ([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 8.0]], [1, 1, 1, 2], None),  # the mean is no model, all are used
        ([[-1.0, 0.0], [1.0, 0.0], [0.0, -2.0], [0.0, 2.0], [0.0, 0.0]], [2, 2, 2, 2, 1], [0.0, 0.0]),  # starts on one
    ],
)
def test_known_geometric_medians(points: list[list[float]], weights: list[int], expected: list[float] | None) -> None:
    """Cases with an answer from geometry: on a model, on a line, not unique, an iterate that meets a model."""
    blocks = [np.array(p) for p in points]
    got = geomedian(blocks, weights)
    if expected is None:
        expected = reference_geomedian(np.array(points), weights).tolist()
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


def test_an_iterate_on_a_model_that_is_not_the_median_goes_on() -> None:
    """Vardi and Zhang: the start (the weighted mean) is a model, the median lies elsewhere."""
    points = np.array([[0.0, 0.0], [3.0, 0.0], [-1.0, 1.0], [-1.0, -1.0], [-1.0, 0.0]])
    weights = [1, 3, 3, 3, 3]
    assert np.allclose(np.average(points, axis=0, weights=weights), points[0])
    found = np.array(geometric_shares([w / 13 for w in weights], points)) @ points
    assert objective(points, weights, found) <= objective(points, weights, reference_geomedian(points, weights)) + 1e-9
    assert np.linalg.norm(found) > 0.1


def test_points_keep_small_distances_beside_large_ones() -> None:
    """Coordinates from inner products keep a distance of 1e-3 beside one of 1e9."""
    rows = np.array([[1e9, 2.0], [1e-3, 0.0], [0.0, 0.0], [0.0, 2e-3]])
    points = coordinates(rows @ rows.T)
    for i, j in itertools.combinations(range(1, 4), 2):
        expected = np.linalg.norm(rows[i] - rows[j])
        assert np.linalg.norm(points[i] - points[j]) == pytest.approx(expected, rel=1e-6)


def test_geometric_blocks_never_change_a_bit() -> None:
    """With given shares the bytes do not depend on how a tensor is cut; float64, from the heaviest input."""
    random = np.random.default_rng(5)
    blocks = [random.normal(size=999).astype(np.float32) * s for s in (1e9, 1, 1)]
    method, shares = merge.get("geomedian"), (1e-9, 0.5, 0.5 - 1e-9)
    made = []
    for block_bytes in (4, 52, 4096, 1 << 20):
        out = np.empty_like(blocks[0])
        merge.merge_values(method, "F32", blocks, shares, out, block_bytes=block_bytes)
        made.append(out.tobytes())
    assert made.count(made[0]) == len(made)
    exact = sum(b.astype(np.float64) * s for b, s in zip(blocks, shares, strict=True))
    np.testing.assert_allclose(np.frombuffer(made[0], "<f4"), exact, rtol=1e-6, atol=1e-7)


# ---- clipping


def test_clipping_shortens_what_is_longer_than_the_median() -> None:
    """One update of length 100 beside 1 and 2 is cut to 2; the shares say so, the rest is the previous model's."""
    blocks = [np.array([100.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, -2.0])]
    found = measured(blocks, [1, 1, 1], "mean-clipped")
    assert found == pytest.approx([2 / 100 / 3, 1 / 3, 1 / 3])
    previous, out = np.array([7.0, 7.0]), np.empty(2)
    inputs = [previous, *(previous + b for b in blocks)]
    merge.merge_values(merge.get("mean-clipped"), "F64", inputs, [merge.rest(found), *found], out)
    np.testing.assert_allclose(out, [7.0 + 2 / 3, 7.0 - 1 / 3], rtol=1e-12)


@given(models(limit=1e3), st.floats(1.0, 1e100))
def test_clipped_means_are_bounded(case: tuple[list[Array], list[int]], size: float) -> None:
    """Whatever a minority sends, the merged update is no longer than the longest honest one."""
    blocks, _ = case
    if len(blocks) < 2:
        return
    liar = np.full_like(blocks[0], size)
    shares = measured([*blocks, liar], [1] * (len(blocks) + 1), "mean-clipped")
    moved = sum(b * s for b, s in zip([*blocks, liar], shares, strict=True))
    longest = max(float(np.linalg.norm(b)) for b in blocks)
    assert float(np.linalg.norm(moved)) <= longest * (1 + 1e-9) + 1e-300


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 9)), min_size=1, max_size=9))
@example([(5e-324, 1)])
def test_the_middle_of_numbers_is_the_same_median(pairs: list[tuple[float, int]]) -> None:
    """Norms are clipped to the median of the same definition."""
    values, weights = [v for v, _ in pairs], [w for _, w in pairs]
    assert middle_of(values, weights) == plain_median(values, weights)


# ---- sums and shares


@given(st.integers(1, 5), st.integers(0, 300))
def test_inner_products_agree_with_float64(count: int, seed: int) -> None:
    """Sums over several units, the last one short, are those of plain float64 up to rounding."""
    random = np.random.default_rng(seed)
    sizes = [merge.UNIT, merge.UNIT, int(random.integers(1, merge.UNIT))]
    gram = merge.Gram(count, pairs=True)
    lengths = merge.Gram(count, pairs=False)
    rows = [random.normal(size=(count, size)) for size in sizes]
    for part in rows:
        gram.add(list(part))
        lengths.add(list(part))
    whole = np.concatenate(rows, axis=1)
    np.testing.assert_allclose(gram.matrix(), whole @ whole.T, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(np.diag(lengths.matrix()), np.diag(gram.matrix()))


@pytest.mark.parametrize(
    ("name", "shares", "fault"),
    [
        ("geomedian", (0.25, 0.75), None),
        ("geomedian", (0.5, 0.4), "sum to 0.9"),
        ("geomedian", (1.5, -0.5), "share 0 is 1.5"),
        ("geomedian", (float("nan"), 1.0), "share 0 is nan"),
        ("mean-clipped", (0.5, 0.1), None),
        ("mean-clipped", (0.6, 0.1), "above that of its weight"),
        ("a-sites-own", (0.5, 0.1), None),
        ("a-sites-own", (0.9, 0.9), "sum to 1.8"),
        ("a-sites-own", (float("inf"), 0.0), "share 0 is inf"),
    ],
)
def test_shares_found_elsewhere_are_judged_by_range_and_sum(
    name: str, shares: tuple[float, ...], fault: str | None
) -> None:
    """Who acknowledges has no inputs: it refuses what no set of inputs can give."""
    found = merge.measured_fault(name, [1, 1], shares)
    assert found is None if fault is None else fault in str(found)


@pytest.mark.parametrize(("dtype", "named"), [(np.float16, "F16"), (np.float32, "F32"), (np.float64, "F64")])
def test_the_median_of_neighbouring_negative_numbers_is_the_middle_one(dtype: Any, named: str) -> None:
    """They differ in their last bits alone, and their bits count the other way round."""
    first = np.array([-1.0, -3.0, -0.1], dtype)
    second = np.nextafter(first, dtype(-10))
    third = np.nextafter(second, dtype(-10))
    for blocks in ([first, second, third], [second, third, first], [third, first, second]):
        np.testing.assert_array_equal(median([one.copy() for one in blocks], [1, 1, 1], named), second)
        np.testing.assert_array_equal(median([one.copy() for one in blocks], [3, 3, 2], named), second)


@pytest.mark.parametrize(
    ("weights", "others", "kept"),
    [
        ([0.5, 0.25, 0.25], [[1.0, 0.0], [0.0, 1.0]], 1.0),  # its weight holds it, whatever the others pull
        ([0.2, 0.4, 0.4], [[1.0, 0.0], [0.0, 1.0]], 0.5 / 2**0.5),  # its weight over the others' pull
        ([0.2, 0.4, 0.4], [[1.0, 0.0], [-1.0, 0.0]], 1.0),  # they pull apart: nothing moves it
    ],
)
def test_a_model_that_is_met_holds_by_its_weight(weights: list[float], others: list[list[float]], kept: float) -> None:
    """The step from a point on a model: that one keeps a share, what is left goes by weight and distance."""
    points = np.array([[0.0, 0.0], *others])
    away = np.linalg.norm(points, axis=1)
    found = geometric._step(np.array(weights), points, points[0], away)
    np.testing.assert_allclose(found, [kept, (1 - kept) / 2, (1 - kept) / 2], rtol=0, atol=1e-12)
