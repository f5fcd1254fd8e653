"""From what a user typed to one thing that exists (core/picking.py): what is taken, and what the refusal names."""

from __future__ import annotations

import pytest
from swarm.core.errors import OperatorFault
from swarm.core.picking import NAMED_MAX, pick

THERE = ["train-lung", "train-heart", "Validate"]


@pytest.mark.parametrize("typed", ["train-lung", "train-l", "val", "VALID"])
def test_a_whole_name_or_a_beginning_that_one_has_is_taken(typed: str) -> None:
    """Three letters are enough, in either case."""
    assert pick("task", typed, THERE).lower().startswith(typed.lower())


def test_a_whole_name_is_taken_though_others_begin_so() -> None:
    """Also where only a whole name will do."""
    assert pick("task", "train", [*THERE, "train"], whole=True) == "train"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("va", "there is no task 'va'; there are: train-lung, train-heart, Validate"),
        ("train", "task 'train' is the beginning of train-lung, train-heart: type more of it"),
        ("tr", "task 'tr' is the beginning of train-lung, train-heart: type more of it"),
        ("trian-lung", "there is no task 'trian-lung'; did you mean train-lung? there are: "),
        ("xyz", "there is no task 'xyz'; there are: "),
        ("<TASK>", "there is no task '<TASK>'; what stands in <> is a placeholder that was left in; there are: "),
        ("a<b", "there is no task 'a<b'; there are: "),
    ],
)
def test_what_names_nothing_is_refused_with_what_may_be_meant(typed: str, said: str) -> None:
    """Too short, the beginning of several, a slip of the finger, nothing like it, a placeholder."""
    with pytest.raises(OperatorFault) as refused:
        pick("task", typed, THERE)
    assert str(refused.value).startswith(said)


def test_where_something_is_changed_a_beginning_is_told_but_not_taken() -> None:
    """Whoever says which names there are could hide the right one."""
    with pytest.raises(OperatorFault, match=r"did you mean Validate\? Type the whole name"):
        pick("task", "val", THERE, whole=True)


def test_of_many_names_the_first_are_told_and_the_others_counted() -> None:
    """A list of thousands helps nobody; none is told as none."""
    with pytest.raises(OperatorFault, match=rf"a{NAMED_MAX - 1} and 1 more$"):
        pick("task", "xyz", [f"a{n}" for n in range(NAMED_MAX + 1)])
    with pytest.raises(OperatorFault, match=rf"a{NAMED_MAX - 1}$"):
        pick("task", "xyz", [f"a{n}" for n in range(NAMED_MAX)])
    with pytest.raises(OperatorFault, match=r"there are: none$"):
        pick("task", "xyz", [])
