"""Weighing by samples: what their number is found in, and that it reaches the SL whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarm.core.errors import ProgramFault
from swarm.sl.bridge.order import Order, Phase
from swarm.sl.bridge.syncbody import SyncBody
from swarmlearning.base import SwarmError
from swarmlearning.client.pipe import session as sessions
from swarmlearning.client.pipe.messages import MessageType, SyncRequest, encode
from swarmlearning.client.samples import samples_of
from swarmlearning.plain import SwarmCallback


def callback(**options: Any) -> SwarmCallback:
    model = {"w": np.zeros(2, np.float32)}
    return SwarmCallback(5, 1, get_parameters=lambda: model, set_parameters=model.update, **options)


def one_run(**options: Any) -> SwarmCallback:
    made = callback(**options)
    made.on_train_begin()
    made.on_batch_end()
    made.on_train_end()
    return made


@pytest.mark.parametrize("samples", [1, 100, 101, 569, 2**31, 2**32 - 1])
async def test_any_number_of_samples_reaches_the_sl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    """All of uint32, although the original's field ends at int32 and its range at 100."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        made = await asyncio.to_thread(one_run, nodeWeightage="Samples", samples=samples)
        assert [call.weightage for call in place.shell.syncs] == [samples] * 2
        assert place.shell.sessions[0].weightage == 1
        assert made.nodeWeightage == samples


async def test_a_done_inactive_node_still_weighs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """inactive: weight 0 at the end, also where samples count."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        options = {"checkinModelOnTrainEnd": "inactive", "trainData": np.zeros((300, 4))}
        await asyncio.to_thread(one_run, nodeWeightage="samples", **options)
        assert [call.weightage for call in place.shell.syncs] == [300, 0]


async def test_an_old_sl_is_not_given_half_a_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SL that would take 569 samples for a weight of 100 ends the program with the reason."""
    monkeypatch.setattr(sessions, "EXTENSION_WEIGHT", 99)
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        with pytest.raises(SwarmError, match="up to 100, not 569 samples: it is too old"):
            await asyncio.to_thread(one_run, nodeWeightage="samples", samples=569)


def test_samples_that_nobody_can_see_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names both keywords, before any training, in loop-back too; wrong numbers are refused."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    with pytest.raises(SwarmError, match=r"number is not known .*samples=<number>, or trainData"):
        callback(nodeWeightage="samples").on_train_begin()
    for wrong in (0, -3, 2**32, "many", 0.5, True):
        with pytest.raises(SwarmError, match=r"samples is .* from 1 to 4294967295"):
            callback(nodeWeightage="samples", samples=wrong)
    with pytest.raises(SwarmError, match="from 1 to 100, or 'samples'"):
        callback(nodeWeightage=569)


class Frame:
    """As a data frame has it."""

    shape = (41, 3)


class Endless:
    """A dataset that has no end."""

    def __len__(self) -> int:
        raise TypeError("no length")


def test_what_samples_are_counted_in() -> None:
    """Arrays, frames, lists, pairs and named columns; disagreeing or silent data is a sentence with the keyword."""
    x, y = np.zeros((7, 3, 3)), np.zeros(7)
    for data in (x, [0] * 7, (x, y), (x, y, None), {"a": x, "b": y}):
        assert samples_of(data) == 7
    assert samples_of(Frame()) == 41
    for wrong in (iter([1]), Endless(), ([x, x], y), np.float32(1), [], object(), None):
        with pytest.raises(ValueError, match=r"samples=<their number>|from 1 to"):
            samples_of(wrong)


@pytest.mark.torch
def test_loaders_tell_their_samplers_samples() -> None:
    """A DataLoader counts what it draws, however it makes batches; an iterable one is asked for."""
    torch = pytest.importorskip("torch")
    data = torch.utils.data

    class Stream(data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Any:
            return iter([1])

    whole = data.TensorDataset(torch.zeros(30, 2))
    assert samples_of(whole) == 30
    assert samples_of(data.DataLoader(whole, batch_size=8, drop_last=True)) == 30
    assert samples_of(data.DataLoader(whole, sampler=data.SubsetRandomSampler(range(12)))) == 12
    assert samples_of(data.DataLoader(whole, batch_size=None)) == 30
    with pytest.raises(ValueError, match="samples=<their number>"):
        samples_of(data.DataLoader(Stream()))


async def test_a_sklearn_trainer_counts_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fit(X, y) shows its samples; nobody has to tell them."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    from swarmlearning.sklearn import SwarmCallback as Callback
    from swarmlearning.sklearn import SwarmSklearnTrainer

    x = np.random.default_rng(1).normal(size=(130, 3))
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)

        def fit() -> None:
            estimator = linear_model.SGDRegressor()
            SwarmSklearnTrainer(Callback(2, 1, model=estimator, nodeWeightage="samples")).fit(x, x[:, 0], batch_size=50)

        await asyncio.to_thread(fit)
        assert {call.weightage for call in place.shell.syncs} == {130}


@pytest.mark.torch
def test_the_trainer_of_transformers_shows_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hook is handed the loader of the training data."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from swarmlearning.hf_transformers import SwarmCallback as Callback

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(30, 2)), batch_size=4)
    made = Callback(2, 1, model=torch.nn.Linear(2, 1), nodeWeightage="samples")
    made.on_train_begin(train_dataloader=loader)
    assert made.nodeWeightage == 30


@pytest.mark.keras
def test_batched_keras_data_is_asked_for() -> None:
    """tf.data and PyDataset know batches only."""
    pytest.importorskip("tensorflow")
    import tensorflow as tf

    class Batches(tf.keras.utils.Sequence):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return index

    for data in (tf.data.Dataset.range(10).batch(2), Batches()):
        with pytest.raises(ValueError, match="tells its batches, not its samples"):
            samples_of(data)


@pytest.mark.parametrize("weight", [2**32, 2**64 - 1])
def test_a_weight_above_uint32_is_refused_by_the_sl(weight: int) -> None:
    """Whatever a program sends: the chain's word has 32 bits."""
    request = encode(
        SyncRequest(sessionID="s", syncSeqNum=1, nodeWeightage=7, weight=weight - 2**64 * (weight >= 2**63))
    )
    body = SyncBody.parse(memoryview(request))
    order = Order()
    order.opened("s")
    with pytest.raises(ProgramFault, match="allowed are 0 to 4294967295"):
        order.syncing(MessageType.SYNC_REQUEST, body.session, body.number, body.weightage, body.weightage_max)
    assert order.phase is Phase.OPEN


def test_the_originals_field_still_ends_at_100() -> None:
    """Without this project's field nothing has changed."""
    body = SyncBody.parse(memoryview(encode(SyncRequest(sessionID="s", syncSeqNum=1, nodeWeightage=101))))
    order = Order()
    order.opened("s")
    with pytest.raises(ProgramFault, match="allowed are 0 to 100"):
        order.syncing(MessageType.SYNC_REQUEST, body.session, body.number, body.weightage, body.weightage_max)
