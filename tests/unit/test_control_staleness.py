"""What a late model counts for: the two discounts against their source, exactly, and the job's option."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.checkinflags import BEHIND_MAX, FLAGS_ALL, behind_flags, behind_of
from swarm.core.control import staleness as bounds
from swarm.core.control.combined import Combined, Told, combine
from swarm.core.control.joboptions import JobOptions, canonical
from swarm.core.control.staleness import GRACE_MAX, ONE, Staleness
from swarm.core.control.weights import COUNTED_MAX, Weighing
from swarm.core.errors import OperatorFault
from swarm.core.merge import get, measured_fault

pytestmark = pytest.mark.row("D07")

rules = st.one_of(
    st.builds(Staleness, st.just("polynomial"), st.integers(1, 400)),
    st.builds(Staleness, st.just("hinge"), st.integers(1, 10_000), st.integers(0, GRACE_MAX)),
)
rounds = st.integers(0, BEHIND_MAX)
claims = st.lists(st.tuples(st.integers(0, 2**32 - 1), rounds), min_size=1, max_size=12)


@given(rules, rounds, rounds)
def test_a_discount_is_1_for_a_model_on_time_and_falls_with_each_round(rule: Staleness, one: int, other: int) -> None:
    """It never rises, is never nothing, and a model that is not behind counts whole."""
    assert rule.discount(0) == ONE
    assert 1 <= rule.discount(max(one, other)) <= rule.discount(min(one, other)) <= ONE


@given(st.integers(1, 400), rounds)
def test_a_polynomial_discount_is_that_of_its_source(hundredths: int, behind: int) -> None:
    """(1 + n) ** -alpha, and exactly the largest whole number of units that is not above it."""
    found = Staleness("polynomial", hundredths).discount(behind)
    assert found / ONE == pytest.approx((1 + behind) ** -(hundredths / 100), rel=2**-14)
    assert found**100 * (1 + behind) ** hundredths <= ONE**100 < (found + 1) ** 100 * (1 + behind) ** hundredths


@given(st.integers(1, 10_000), st.integers(0, GRACE_MAX), rounds)
def test_a_hinge_discount_is_that_of_its_source(hundredths: int, grace: int, behind: int) -> None:
    """Whole up to b rounds, then 1 / (a (n - b) + 1)."""
    wanted = 1.0 if behind <= grace else 1 / (hundredths / 100 * (behind - grace) + 1)
    assert Staleness("hinge", hundredths, grace).discount(behind) / ONE == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("alpha", "behind", "counts"), [(0.5, 3, 0.5), (1, 1, 0.5), (1, 3, 0.25), (2, 9, 0.01)])
def test_the_numbers_that_anybody_can_work_out(alpha: float, behind: int, counts: float) -> None:
    """With alpha 0.5 a model three rounds behind counts half."""
    assert Staleness.of({"alpha": alpha}).discount(behind) / ONE == pytest.approx(counts, rel=1e-12)


def test_the_numbers_of_the_page_are_those_of_the_rule() -> None:
    """The worked table of docs/merging.md, to its three digits, and the bounds."""
    page = (Path(__file__).parents[2] / "docs" / "merging.md").read_text("utf-8")
    assert f"| alpha {bounds.ALPHA_MIN:g} to {bounds.ALPHA_MAX:g}, default {bounds.ALPHA:g} |" in page
    assert (
        f"| a {bounds.SLOPE_MIN:g} to {bounds.SLOPE_MAX:g}, default {bounds.HINGE_A:g}; b 0 to {GRACE_MAX} rounds"
        in page
    )
    table = page[page.index("| n | 0 |") :].split("\n\n")[0].splitlines()
    behind = [int(cell) for cell in table[0].split("|")[2:-1]]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]
    assert len(rows) == 4
    for name, *shown in rows:
        alpha = name.startswith("alpha ")
        one = Staleness.of({"alpha": float(name.split()[1])} if alpha else {"method": "hinge", "a": 10, "b": 4})
        found = [one.discount(n) / ONE for n in behind]
        assert [float(cell) for cell in shown] == pytest.approx(found, abs=0.00051)


@given(rules, claims)
def test_counted_weights_are_the_discounted_ones_to_a_common_factor(
    rule: Staleness, said: list[tuple[int, int]]
) -> None:
    """Whole numbers in the bounds that merge methods take; observers stay observers; nobody gains by being late."""
    weights, behind = [w for w, _ in said], [n for _, n in said]
    weighing = Weighing(most=2**32 - 1, staleness=rule)
    counted = weighing.counted(weights, behind)
    assert all((c > 0) == (w > 0) and c <= COUNTED_MAX for c, w in zip(counted, weights, strict=True))
    exact = [w * rule.discount(n) / ONE for w, n in said]
    if sum(weights):
        for count, wanted in zip(counted, exact, strict=True):
            assert count / sum(counted) == pytest.approx(wanted / sum(exact), rel=1e-6, abs=2e-9 * len(said))
    shown = weighing.shown(weights, behind)
    assert shown == pytest.approx(exact, rel=1e-8)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=12), rules)
def test_nobody_late_or_no_option_are_the_weights_as_they_were(weights: list[int], rule: Staleness) -> None:
    """Bit for bit: neither the option by itself nor lateness without it moves a share."""
    on_time = [0] * len(weights)
    plain = Weighing().counted(weights, on_time)
    assert Weighing(staleness=rule).counted(weights, on_time) == plain
    assert Weighing().counted(weights, [7] * len(weights)) == plain == Weighing().shown(weights, [7] * len(weights))
    observers = [BEHIND_MAX if weight == 0 else 0 for weight in weights]
    assert Weighing(staleness=rule).counted(weights, observers) == plain


def test_a_round_of_equally_late_models_is_shared_as_if_none_were() -> None:
    """Weights count beside each other: what all lack nobody lacks."""
    rule = Staleness.of({"alpha": 0.5})
    shares = get("mean").coefficients(Weighing(staleness=rule).counted([10, 30], [5, 5]))
    assert shares == pytest.approx((0.25, 0.75))
    assert get("mean").coefficients(Weighing(staleness=rule).counted([10], [200])) == (1.0,)


def test_two_halves_are_as_much_as_one_whole() -> None:
    """A median's ties stay exact: two sites at half their weight have exactly half of it beside a third on time."""
    rule = Weighing(staleness=Staleness.of({"alpha": 1}))
    one, two, whole = rule.counted([7, 7, 7], [1, 1, 0])
    assert one == two
    assert one + two == whole


def test_a_late_majority_of_weight_is_no_majority_any_more() -> None:
    """A coordinate median goes by what counts: the heavier site's value holds while it is on time, not when late."""
    rule = Weighing(staleness=Staleness.of({"alpha": 1}))
    for behind, decides in ((0, True), (4, False)):
        shares = get("coordmedian").coefficients(rule.counted([30, 10, 10], [behind, 0, 0]))
        assert shares is not None
        assert (shares[0] > 0.5) == decides


def test_a_method_that_measures_gives_nobody_more_than_its_discounted_weight() -> None:
    """No share of mean-clipped may be above its weight's: one that takes a late model whole is refused."""
    counted = Weighing(staleness=Staleness.of({"alpha": 1})).counted([10, 30], [0, 2])
    assert measured_fault("mean-clipped", counted, [0.5, 0.5]) is None
    assert measured_fault("mean-clipped", counted, [0.25, 0.75]) == "share 1 is above that of its weight"
    assert measured_fault("mean-clipped", Weighing().counted([10, 30], [0, 2]), [0.25, 0.75]) is None


def test_the_combined_figures_take_what_a_late_model_counts_for() -> None:
    """Stop rule and interval look at them: they are weighted as the merge is."""
    told = [Told(30, 1_000_000, 0, 2), Told(10, 3_000_000, 0, 0)]
    assert combine(told, Weighing()) == Combined(1_500_000, 0)
    assert combine(told, Weighing(staleness=Staleness.of({"alpha": 1}))) == Combined(2_000_000, 0)


@given(st.integers(-5, 10_000))
def test_a_check_in_says_so_many_rounds_or_the_most_that_it_can(behind: int) -> None:
    """In bits of the flags that nothing else uses."""
    bits = behind_flags(behind)
    assert bits & ~FLAGS_ALL == 0
    assert bits & 7 == 0
    assert behind_of(bits | 7) == min(max(behind, 0), BEHIND_MAX)


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ({"alpha": 0.5}, Staleness("polynomial", 50)),
        ({"method": "polynomial"}, Staleness("polynomial", 50)),
        ({"alpha": 4}, Staleness("polynomial", 400)),
        ({"method": "hinge"}, Staleness("hinge", 1000, 4)),
        ({"method": "hinge", "a": 0.01, "b": 0}, Staleness("hinge", 1)),
        ({"method": "hinge", "a": 100, "b": 254}, Staleness("hinge", 10_000, 254)),
        ({}, None),
    ],
)
def test_the_option_as_operators_write_it(option: dict[str, Any], rule: Staleness | None) -> None:
    """Off unless asked for; beside any other rule for weights."""
    assert JobOptions.from_text(canonical({"staleness": option})).weighing == Weighing(staleness=rule)
    both = JobOptions.from_text(canonical({"staleness": option, "equalWeights": True})).weighing
    assert both == Weighing(equal=True, staleness=rule)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (7, "staleness: expected an object"),
        ([], "staleness: expected an object"),
        (True, "staleness: expected an object"),
        ({"alpha": 0}, "alpha=0: expected a number from 0.01 to 4"),
        ({"alpha": 4.01}, "alpha=4.01: expected a number from 0.01 to 4"),
        ({"alpha": -1}, "alpha=-1"),
        ({"alpha": "0.5"}, "alpha='0.5'"),
        ({"alpha": True}, "alpha=True"),
        ({"alpha": 0.555}, "at most two decimals"),
        ({"alpha": None}, "alpha=None"),
        ({"alfa": 0.5}, "'alfa' is not a field of polynomial; its fields are alpha"),
        ({"alpha": 0.5, "b": 1}, "'b' is not a field of polynomial"),
        ({"method": "constant"}, "method='constant': expected one of polynomial, hinge"),
        ({"method": ["hinge"]}, "method="),
        ({"method": "hinge", "alpha": 1}, "'alpha' is not a field of hinge; its fields are a, b"),
        ({"method": "hinge", "a": 0}, "a=0: expected a number from 0.01 to 100"),
        ({"method": "hinge", "b": 255}, "b=255: expected a whole number of rounds, 0 to 254"),
        ({"method": "hinge", "b": 1.0}, "b=1.0"),
        ({"method": "hinge", "b": True}, "b=True"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_field(option: Any, named: str) -> None:
    """Before it goes on the chain."""
    with pytest.raises(OperatorFault, match="options of the job: staleness") as told:
        canonical({"staleness": option})
    assert named in str(told.value)


def test_a_number_that_is_none_is_no_discount() -> None:
    """JSON's NaN and Infinity, as a hostile operator's key may write them."""
    for text in ("NaN", "Infinity", "1e999", "9" * 400):
        with pytest.raises(OperatorFault, match="alpha"):
            JobOptions.from_text(f'{{"staleness":{{"alpha":{text}}}}}')
    assert math.isfinite(Staleness.of({"alpha": 4}).discount(BEHIND_MAX))
