"""Descriptions of data: what differs is named, and whatever else comes is refused in one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.dataschema import DIFFERENCES_MAX, TEXT_BYTES_MAX, DataSchema, differences

PART = {"dtype": "float32", "shape": [28, 28, 1]}
WHOLE = {
    "columns": {"age": "int64", "bmi": "float64"},
    "labels": [0, 1, "unknown", True],
    "image": [28, 28, 1],
    "inputs": [PART],
    "outputs": [{"dtype": "int64", "shape": []}],
}


def schema(**changed: Any) -> DataSchema:
    return DataSchema.from_json({**WHOLE, **changed})


def test_what_is_written_is_read() -> None:
    """to_json is what from_json reads, for all fields and for none; equal descriptions do not differ."""
    for data in (WHOLE, {}, {"labels": []}):
        found = DataSchema.from_text(json.dumps(data))
        assert found.to_json() == data
        assert differences(found, DataSchema.from_json(data)) == []


@pytest.mark.parametrize(
    ("changed", "phrases"),
    [
        ({"columns": {"age": "float32", "bmi": "float64"}}, ["column 'age' is 'int64' here, 'float32' there"]),
        ({"columns": {"age": "int64", "BMI": "float64"}}, ["column 'bmi' is only here", "column 'BMI' is only there"]),
        ({"columns": {"bmi": "float64", "age": "int64"}}, ["columns come in another order, from column 1 on"]),
        ({"labels": [0, 1, "unknown", True, 2]}, ["label 2 is only there"]),
        ({"labels": ["0", 1, "unknown", True]}, ["label 0 is only here", "label '0' is only there"]),
        ({"labels": [0, True, "unknown"]}, ["label 1 is only here"]),
        ({"image": [32, 32, 3]}, ["images are [28, 28, 1] here, [32, 32, 3] there"]),
        (
            {"inputs": [PART, PART]},
            ["inputs are 'float32'[28, 28, 1] here, 'float32'[28, 28, 1], 'float32'[28, 28, 1]"],
        ),
    ],
)
def test_differences_are_named(changed: dict[str, Any], phrases: list[str]) -> None:
    """Each with the field, and both sides' word for it; the other side says the same the other way round."""
    found = differences(schema(), schema(**changed))
    assert len(found) == len(phrases)
    for phrase, sentence in zip(phrases, found, strict=True):
        assert phrase in sentence
    assert len(differences(schema(**changed), schema())) == len(phrases)


def test_what_one_side_does_not_tell_is_not_compared() -> None:
    """A field that only one site describes is no difference."""
    assert differences(schema(), DataSchema()) == []
    assert differences(DataSchema(labels=(1,)), DataSchema(image=(1,))) == []


def test_many_differences_are_counted() -> None:
    """A log line stays a line: some are spelt out, the rest is a number; names cannot forge lines."""
    far = differences(schema(labels=list(range(900))), schema(labels=[f"x\n{i}" * 20 for i in range(90)]))
    assert len(far) == DIFFERENCES_MAX + 1
    assert far[-1] == f"and {990 - DIFFERENCES_MAX} more"
    (evil,) = differences(schema(labels=[]), schema(labels=["a\nERROR forged \x1b[31m"]))
    assert "\n" not in evil
    assert "\x1b" not in evil


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "labels",
        {"rows": 5},
        {"columns": []},
        {"columns": {"a": 1}},
        {"columns": {"a" * 201: "x"}},
        {"columns": {"a": "x" * 41}},
        {"columns": {str(i): "x" for i in range(2001)}},
        {"labels": {}},
        {"labels": list(range(1001))},
        {"labels": [1.5]},
        {"labels": [None]},
        {"labels": [[1]]},
        {"labels": [2**64]},
        {"labels": ["x" * 201]},
        {"image": [1] * 17},
        {"image": [-1]},
        {"image": [True]},
        {"image": "28x28"},
        {"inputs": [PART] * 65},
        {"inputs": [{"dtype": "f"}]},
        {"inputs": [{**PART, "more": 1}]},
        {"inputs": [{"dtype": 4, "shape": []}]},
        {"outputs": [[28]]},
    ],
)
def test_what_is_no_description_is_refused(data: Any) -> None:
    """Every bound and every type is a ValueError that begins alike."""
    with pytest.raises(ValueError, match=r"^data schema: "):
        DataSchema.from_json(data)


@pytest.mark.parametrize("text", ["{", "[" * 40_000, '{"a":' * 9000, " " * (TEXT_BYTES_MAX + 1), "NaN", "\ud800"])
def test_hostile_text_is_refused(text: str) -> None:
    """Depth, length and broken JSON."""
    with pytest.raises(ValueError, match=r"data schema|Expecting|JSON"):
        DataSchema.from_text(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.sampled_from([*WHOLE, "dtype", "shape", "x"]), one),
    max_leaves=12,
)


@given(json_values, json_values)
def test_any_json_is_a_description_or_a_value_error(one: Any, other: Any) -> None:
    """Nothing else comes out of reading, and comparing what was read never fails."""
    read, refusals = [], []
    for data in (one, other):
        try:
            read.append(DataSchema.from_json(data))
        except ValueError as fault:
            refusals.append(str(fault))
    assert all(one.startswith("data schema: ") for one in refusals)
    if len(read) == 2:
        assert all(isinstance(one, str) for one in differences(read[0], read[1]))
