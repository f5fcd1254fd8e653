"""Hostile input: a job's options as any operator's key may write them on the chain."""

from __future__ import annotations

import pytest
from swarm.core.control.joboptions import JobOptions, canonical
from swarm.core.control.stop import StopRule
from swarm.core.errors import OperatorFault


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("[" * 2000, "JSON"),
        ("7", "object"),
        ("null", "object"),
        ('{"merge":"x"}', "merge"),
        ('{"strict":1}', "strict"),
        ('{"strict":"false"}', "strict"),
        ('{"stop":[]}', "stop"),
        ('{"equalWeights":1}', "equalWeights"),
        ('{"maxWeight":0}', "maxWeight"),
        ('{"maxWeight":true}', "maxWeight"),
        ('{"maxWeight":1.5}', "maxWeight"),
        ('{"maxWeight":4294967296}', "maxWeight"),
        ('{"maxWeight":7,"equalWeights":true}', "maxWeight has no meaning beside equalWeights"),
        ('{"staleness":0.5}', "staleness"),
        ('{"staleness":{"alpha":1e999}}', "alpha"),
        ('{"staleness":{"alpha":' + "9" * 1500 + "}}", "alpha"),
        ('{"staleness":{"method":"hinge","b":1e3}}', "b=1000.0"),
        ('{"mergeMethods":"mean"}', "mergeMethods"),
        ('{"mergeMethods":[]}', "mergeMethods"),
        ('{"mergeMethods":["mean",7]}', "mergeMethods"),
        ('{"stop":{"target":NaN}}', "target"),
        ('{"stop":{"target":1e999}}', "target"),
        ('{"stop":{"patience":1e3}}', "patience"),
        ('{"stop":{"max_rounds":' + "9" * 1500 + "}}", "max_rounds"),
        ('{"' + "a" * 3000 + '":1}', "2048"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, named: str) -> None:
    """No other exception leaves the parser, and no option is ignored in silence."""
    with pytest.raises(OperatorFault, match=named):
        JobOptions.from_text(text)


NAMES = ["mean"] * 16


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"mergeMethods": NAMES}, {"mergeMethods": [*NAMES, "median"]}),
        ({"mergeMethods": NAMES[:1]}, {"mergeMethods": []}),
        ({"warmStart": {"run": 1}}, {"warmStart": {"run": 0}}),
        ({"warmStart": {"run": 2**64 - 1}}, {"warmStart": {"run": 2**64}}),
        ({"maxWeight": 1}, {"maxWeight": 0}),
        ({"maxWeight": 2**32 - 1}, {"maxWeight": 2**32}),
        ({"stop": {"max_rounds": 2**32 - 1}}, {"stop": {"max_rounds": 2**32}}),
    ],
)
def test_a_bound_itself_is_within(inside: dict[str, object], outside: dict[str, object]) -> None:
    """The last value that may be, and the first that may not: nodes of all versions draw the line there."""
    assert JobOptions.from_text(canonical(inside)) != JobOptions()
    with pytest.raises(OperatorFault):
        canonical(outside)


def test_no_text_means_no_options() -> None:
    """Most jobs have none."""
    assert JobOptions.from_text("") == JobOptions()


def test_what_is_written_reads_back() -> None:
    """The same options give the same text, whatever the order they were named in."""
    text = canonical({"strict": True, "stop": {"target": 0.1, "metric": "loss"}})
    assert text == canonical({"stop": {"metric": "loss", "target": 0.1}, "strict": True})
    assert JobOptions.from_text(text) == JobOptions(StopRule("loss", "min", 100_000), True)
    assert canonical({}) == ""
    with pytest.raises(OperatorFault):
        canonical({"stop": {"patience": 0}})
