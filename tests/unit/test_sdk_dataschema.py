"""dataSchema: what a program says of its data, given or read off, and what it hears of the others'."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarm.core.dataschema import TEXT_BYTES_MAX, DataSchema
from swarm.sl.bridge import Merged
from swarmlearning.base import SwarmError
from swarmlearning.client import dataschema
from swarmlearning.client.dataschema import schema_text
from swarmlearning.plain import SwarmCallback

SAID = "the data of 0x02 are not like this site's: label 2 is only there"
NAMED = Merged("ab" * 32, 1, 0, "cd" * 32)


def run(**options: Any) -> None:
    model = {"w": np.zeros(2, np.float32)}
    callback = SwarmCallback(5, 1, get_parameters=lambda: model, set_parameters=model.update, **options)
    callback.on_train_begin()
    callback.on_batch_end()
    callback.on_train_end()


async def test_a_description_reaches_the_sl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With numpy's types and sets in it; without the keyword none is sent."""
    given = {"columns": {"age": np.dtype("int64"), "bmi": np.float32}, "labels": {0, 1}, "image": (8, 8, 1)}
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        await asyncio.to_thread(run, dataSchema=given)
        await asyncio.to_thread(run)
        first, second = place.shell.sessions
        assert first.schema == DataSchema(
            columns=(("age", "int64"), ("bmi", "float32")), labels=(0, 1), image=(8, 8, 1)
        )
        assert second.schema is None


async def test_a_description_that_the_sl_refuses_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds are the SL's: the sentence names the field."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        with pytest.raises(SwarmError, match="data schema: labels: expected"):
            await asyncio.to_thread(run, dataSchema={"labels": [0.5]})


@pytest.mark.parametrize("strict", [False, True])
async def test_differences_are_warnings_or_in_strict_mode_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], strict: bool
) -> None:
    """Found before the first model: a warning, or the end of the program; of sites that come later: a warning."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        place.shell.named = replace(NAMED, differs=SAID)
        if strict:
            with pytest.raises(SwarmError, match=r"strict: the data of 0x02 .* label 2 is only there"):
                await asyncio.to_thread(run, strict=True)
            await place.shell.wait_ended()
            assert "label 2 is only there" in str(place.shell.endings[0])
        else:
            await asyncio.to_thread(run)
            place.shell.named = replace(NAMED, differs_later=SAID.replace("0x02", "0x03"))
            await asyncio.to_thread(run, strict=True)
    printed = capsys.readouterr().out
    assert f" : WARNING : {SAID}\n" in printed
    assert strict or f" : WARNING : {SAID.replace('0x02', '0x03')}\n" in printed


class Frame:
    """As much of a data frame as is looked at."""

    columns, dtypes, shape = ["age", "bmi"], [np.dtype("int64"), np.dtype("float64")], (9, 2)


class Loader:
    """As much of a DataLoader as is looked at."""

    batch_sampler = None

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset


class Tensors:
    """As a TensorDataset."""

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tensors


def test_validation_data_shows_what_it_is_like() -> None:
    """Shapes without the batch, dtypes, columns, and labels where they are few and of one column."""
    x, y = np.zeros((9, 8, 8, 1), np.float32), np.array([0, 1, 2] * 3)
    image = {"inputs": [{"dtype": "float32", "shape": [8, 8, 1]}], "outputs": [{"dtype": "int64", "shape": []}]}
    for data in ((x, y), [(x, y)], Loader(Tensors(x, y)), Tensors(x, y)):
        assert json.loads(schema_text("auto", data)) == {**image, "labels": [0, 1, 2]}
    table = json.loads(schema_text("Auto", (Frame(), y > 1)))
    assert table["columns"] == {"age": "int64", "bmi": "float64"}
    assert table["labels"] == [False, True]
    assert table["inputs"] == [{"dtype": "table", "shape": [2]}]
    for targets in (y / 2, np.arange(9 * 2).reshape(9, 2), np.zeros((9, 3), np.float32)):
        assert "labels" not in json.loads(schema_text("auto", (x, targets)))
    assert "labels" not in json.loads(schema_text("auto", (x, np.arange(dataschema.LABELS_MAX + 1))))
    DataSchema.from_text(schema_text("auto", (Frame(), np.array(["a", "b"]))))


@pytest.mark.parametrize("given", ["auto", "all", {}, {"rows": 4}, [1], 5, {"labels": object()}])
def test_what_cannot_be_described_is_said(given: Any) -> None:
    """One sentence with what is allowed."""
    with pytest.raises(ValueError, match="dataSchema"):
        schema_text(given, iter([]))


def test_both_sides_have_one_bound() -> None:
    """A description that is too long ends at the program."""
    assert dataschema.TEXT_BYTES_MAX == TEXT_BYTES_MAX
    with pytest.raises(ValueError, match=r"has 5.* bytes as JSON, allowed are 49152"):
        schema_text({"labels": ["x" * 50] * 1000}, None)
