"""The rules that all nodes evaluate alike: combined figures, adaptive interval, stop rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.control.adaptive import bounds, next_interval
from swarm.core.control.combined import FIXED_MAX, Combined, Committed, Told, combine
from swarm.core.control.stop import StopRule
from swarm.core.control.weights import Weighing
from swarm.core.errors import OperatorFault
from swarm.core.limits import FIXED_POINT, NOT_REPORTED

figures = st.integers(-(10**12), 10**12)
tolds = st.lists(st.builds(Told, st.integers(0, 100), figures | st.just(NOT_REPORTED), figures), max_size=8)


def test_a_rounds_loss_is_the_weighted_mean_of_those_that_reported() -> None:
    """Weight 3 counts three times; observers (weight 0) and nodes that know no loss do not count."""
    told = [Told(1, 1_000_000, 0), Told(3, 2_000_000, 0), Told(0, 9_000_000, 7), Told(5, NOT_REPORTED, 0)]
    assert combine(told, Weighing()) == Combined(1_750_000, 0)
    assert combine([], Weighing()) == Combined(None, None)
    assert combine([Told(0, 1, 1)], Weighing()) == Combined(None, None)


@given(tolds, st.randoms())
def test_the_order_of_reports_does_not_matter(told: list[Told], random) -> None:
    """Contributors are listed by address; the figure depends on the set alone."""
    shuffled = told[:]
    random.shuffle(shuffled)
    assert combine(shuffled, Weighing()) == combine(told, Weighing())


@given(tolds)
def test_a_mean_lies_between_its_parts(told: list[Told]) -> None:
    """Rounding moves it by half a millionth at most."""
    known = [t.loss for t in told if t.weight and t.loss != NOT_REPORTED]
    found = combine(told, Weighing()).loss
    assert (found is None) == (not known)
    if found is not None:
        assert min(known) <= found <= max(known)


def test_a_loss_that_diverged_is_not_averaged_away() -> None:
    """Infinity of one site makes the round's loss infinite; it is the largest number that its field holds."""
    assert FIXED_MAX == 2**63 - 1
    assert combine([Told(1, FIXED_MAX, 0), Told(100, 1, 0)], Weighing()).loss == FIXED_MAX


@pytest.mark.parametrize(
    ("last", "before", "now", "expected"),
    [
        (0, None, None, 10),  # the first round
        (10, 100, None, 10),  # nobody reported
        (10, 100_000, 90_000, 15),  # better
        (10, 100_000, 100_500, 15),  # not worse than by noise
        (10, 100_000, 103_000, 10),  # a little worse
        (10, 100_000, 110_000, 5),  # worse
        (10, 100_000, 105_000, 10),  # by 5 % is not by more
        (10, 100_000, 105_001, 5),
        (40, 100_000, 90_000, 40),  # the upper bound
        (5, 100_000, 200_000, 5),  # the lower bound
        (10, 100_000, FIXED_MAX, 5),  # diverged
        (10, FIXED_MAX, 100_000, 10),  # it had diverged: no gain can be told
        (10, -FIXED_MAX, 100_000, 10),
        (10, -100_000, -110_000, 15),  # a negative loss that falls is better
        (1000, None, None, 40),  # somebody's nonsense is clamped
    ],
)
def test_the_interval_grows_while_it_does_no_harm(last, before, now, expected) -> None:
    """By half when the merged loss holds or falls, halved when it rises by more than 5 %, within 1/2 .. 4 times."""
    assert next_interval(10, last, before, now) == expected


@given(st.integers(1, 10**6), st.integers(-5, 10**7), figures | st.none(), figures | st.none())
def test_the_interval_keeps_its_bounds(requested, last, before, now) -> None:
    """Between half and four times what was asked for, and at least one batch, whatever is reported."""
    low, high = bounds(requested)
    assert 1 <= low <= next_interval(requested, last, before, now) <= high


def history(*losses: float | None) -> list[Committed]:
    return [Committed(1, None if v is None else round(v * FIXED_POINT), None) for v in losses]


@pytest.mark.parametrize(
    ("fields", "losses", "ends"),
    [
        ({"target": 0.5}, (0.9, 0.6), False),
        ({"target": 0.5}, (0.9, 0.5), True),
        ({"target": 0.5, "direction": "max"}, (0.4,), False),
        ({"target": 0.5, "direction": "max"}, (0.4, 0.6), True),
        ({"patience": 2}, (0.9, 0.8, 0.85), False),
        ({"patience": 2}, (0.9, 0.8, 0.85, 0.8), True),
        ({"patience": 2}, (0.9, 0.95, 0.8, 0.85), False),
        ({"patience": 1}, (None, None, None), False),
        ({"max_rounds": 3}, (0.9, 0.8), False),
        ({"max_rounds": 3}, (0.9, 0.8, 0.7), True),
        ({"metric": "metric", "target": 0.5}, (0.1, 0.2), False),
    ],
)
def test_a_run_ends_when_its_rule_holds(fields, losses, ends) -> None:
    """Target, patience and round limit, each in both directions; rounds without a figure only count for the limit."""
    rule = StopRule.of(fields)
    assert rule is not None
    assert (rule.reached(history(*losses)) is not None) == ends


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 5))
def test_once_it_holds_it_goes_on_to_hold(losses, patience) -> None:
    """A node that looks a round later finds the same: the rule is monotone in history."""
    rule = StopRule.of({"patience": patience, "target": 0.01})
    assert rule is not None
    held = False
    for end in range(len(losses) + 1):
        reached = rule.reached(history(*losses[:end])) is not None
        assert reached or not held
        held = reached


def test_no_fields_are_no_rule() -> None:
    """Most jobs have none."""
    assert StopRule.of({}) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_round": 5}, "max_round; known are .*max_rounds"),
        ({"metric": "auc"}, "metric"),
        ({"direction": "up"}, "direction"),
        ({"target": "0.5"}, "target"),
        ({"target": float("nan")}, "target"),
        ({"target": True}, "target"),
        ({"patience": 0}, "patience"),
        ({"patience": 1.5}, "patience"),
        ({"max_rounds": -1}, "max_rounds"),
        ({"stop": 1}, "stop"),
    ],
)
def test_a_wrong_rule_is_the_operators_and_named(fields, named) -> None:
    """The fault names the field."""
    with pytest.raises(OperatorFault, match=named):
        StopRule.of(fields)


@given(st.lists(st.integers(0, 100), max_size=12))
def test_weights_of_1_to_100_count_as_given(weights: list[int]) -> None:
    """K04: whatever the others say."""
    assert Weighing().counted(weights, [0] * len(weights)) == tuple(weights)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=12))
def test_nobody_counts_more_than_a_hundred_times_the_median(weights: list[int]) -> None:
    """Nobody counts more than it says, observers stay observers, and the order of weights stays."""
    counted = Weighing().counted(weights, [0] * len(weights))
    known = sorted(w for w in weights if w)
    for claimed, count in zip(weights, counted, strict=True):
        assert (count > 0) == (claimed > 0)
        assert count <= claimed
        assert not claimed or count <= 100 * known[(len(known) - 1) // 2]
    assert [c for _, c in sorted(zip(weights, counted, strict=True))] == sorted(counted)


@pytest.mark.parametrize(
    ("weighing", "weights", "counted"),
    [
        (Weighing(), (1, 2**32 - 1), (1, 100)),
        (Weighing(), (1, 1, 2**32 - 1, 2**32 - 1), (1, 1, 100, 100)),  # two of four are no majority
        (Weighing(), (0, 0, 2**32 - 1), (0, 0, 2**32 - 1)),  # alone it is its own median
        (Weighing(), (1200, 900, 40_000_000), (1200, 900, 120_000)),
        (Weighing(most=7), (1, 7, 8, 0), (1, 7, 7, 0)),
        (Weighing(most=2**32 - 1), (1, 2**32 - 1), (1, 2**32 - 1)),  # an operator lifts the bound
        (Weighing(equal=True), (1, 2**32 - 1, 0), (1, 1, 0)),
        (Weighing(), (), ()),
    ],
)
def test_what_weights_count_for(weighing: Weighing, weights: tuple[int, ...], counted: tuple[int, ...]) -> None:
    """By the default, by maxWeight, by equalWeights."""
    assert weighing.counted(weights, [0] * len(weights)) == counted


def test_one_weight_does_not_decide_the_rounds_figures() -> None:
    """Stop rule and interval look at the combined figures: a claim of 2^32-1 moves them by what it counts for."""
    told = [Told(1000, 1_000_000, 0), Told(1000, 1_000_000, 0), Told(2**32 - 1, 0, 5_000_000)]
    assert combine(told, Weighing()) == Combined(19_608, 4_901_961)
    assert combine(told, Weighing(most=1000)) == Combined(666_667, 1_666_667)
    assert combine(told, Weighing(equal=True)) == Combined(666_667, 1_666_667)
