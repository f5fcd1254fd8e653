"""The PyTorch callback: whole state_dict both ways, evaluation, hooks; over real pipes with real torch."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def network() -> Any:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


def loader(size: int = 40) -> Any:
    torch.manual_seed(4)
    data = torch.randn(size, 4)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data, (data[:, 0] > 0).long()), batch_size=16)


def train(callback: Any, model: Any, batches: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callback.on_train_begin()
    model.train()
    for _ in range(batches):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        callback.on_batch_end()
    callback.on_epoch_end(0)
    callback.on_train_end()


@pytest.mark.row("K01b")
@pytest.mark.row("K12")
async def test_buffers_and_counters_are_shared_with_their_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running statistics and the 0-d int64 counter travel, are merged and loaded; nothing is cast."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(2)) as place:
        point_at(monkeypatch, place)
        model = network()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        sent = place.shell.models[0]
        told = place.shell.reports[0]
        assert (math.isnan(told.loss), math.isnan(told.metric)) == (True, True)  # nothing to measure with
        assert list(sent) == list(before)
        assert place.shell.headers[0].platform == "pytorch"
        assert (sent["1.num_batches_tracked"].dtype, sent["1.num_batches_tracked"].shape) == (np.int64, ())
        for name, value in model.state_dict().items():
            assert (value.dtype, value.shape) == (before[name].dtype, before[name].shape)
            torch.testing.assert_close(value, before[name] + 2)
        assert int(model[1].num_batches_tracked) == 2
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K12")
@pytest.mark.row("K15")
async def test_training_is_not_stopped_and_ends_with_the_last_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the swarm is over all local batches still run; the last merged model is what remains (K16)."""
    from swarmlearning.pytorch import SwarmCallback

    async with bridge_at(tmp_path, over_after=2) as place:
        point_at(monkeypatch, place)
        model = network()
        callback = await asyncio.to_thread(lambda: SwarmCallback(2, 1, model=model))
        await asyncio.to_thread(train, callback, model, 9)
        await place.shell.wait_ended()
        assert callback.isSwarmTrainingOver
        assert len(place.shell.syncs) == 2
        assert int(place.shell.merged[-1]["1.num_batches_tracked"]) == 3
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), place.shell.merged[-1][name])
        assert place.shell.endings == [None]


async def test_bfloat16_and_frozen_parts_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 weights are shared bit for bit; requires_grad, optimizer references and modes stay as they were."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = network().to(torch.bfloat16)
        model[0].weight.requires_grad_(False)
        model[1].eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        weight = model[0].weight
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        assert place.shell.headers[0].tensors[0].dtype == "BF16"
        assert model[0].weight is weight
        assert not weight.requires_grad
        assert (model.training, model[1].training) == (True, False)
        for name, value in model.state_dict().items():
            assert value.dtype == before[name].dtype
            assert torch.equal(value, before[name])
        await asyncio.to_thread(callback.on_train_end)


async def test_loss_is_the_sum_over_batches_by_dataset_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named torch.nn loss is evaluated in eval mode on the merged model and reaches the SL; modes return."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model, data = network(), loader()
        model[1].eval()
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                4,
                1,
                model=model,
                adsValData=data,
                lossFunction="CrossEntropyLoss",
                lossFunctionArgs={"reduction": "sum"},
            )
        )
        await asyncio.to_thread(callback.on_train_begin)
        assert (model.training, model[1].training) == (True, False)
        model.eval()
        with torch.no_grad():
            inputs, targets = data.dataset.tensors
            expected = torch.nn.functional.cross_entropy(model(inputs), targets).item()
        assert place.shell.reports[0].loss == pytest.approx(expected, rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "model is NoneType, it must be a torch.nn.Module"),
        ({"model": "m"}, "model is str"),
        (
            {"adsValData": [1, 2], "lossFunction": "L1Loss"},
            "adsValData is int, it must be a torch.utils.data.DataLoader",
        ),
        ({"ml_platform": "KERAS"}, "ml_platform is 'KERAS'"),
        ({"lossFunction": "NoSuchLoss"}, "torch.nn has no such class"),
        ({"metricFunction": "NoSuchMetric"}, "torchmetrics"),
        ({"useAdaptiveSync": True, "adsValData": None}, "useAdaptiveSync needs validation data"),
    ],
)
def test_wrong_arguments_are_named(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str) -> None:
    """Each wrong argument is refused by name before anything is trained, in loop-back mode too."""
    from swarmlearning.pyt import SwarmCallback, SwarmError

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    if options and "model" not in options:
        options = {"model": network(), "adsValData": loader(), **options}
    with pytest.raises(SwarmError, match=text):
        SwarmCallback(4, 1, **options)


async def test_a_merged_model_of_another_shape_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor of another shape is named, and the model keeps its own weights."""
    from swarmlearning.pyt import SwarmCallback, SwarmError

    async with bridge_at(tmp_path, merge=lambda n, a: a[:1] if n == "2.weight" else a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        model = network()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        with pytest.raises(SwarmError, match=r"the merged 2.weight has shape \[1, 3\], this model has \[2, 3\]"):
            await asyncio.to_thread(callback.on_train_begin)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
        await place.shell.wait_ended()
        assert "2.weight" in (place.shell.endings[0] or "")


async def test_wrapped_models_share_the_inner_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DataParallel wrapper does not change the names that the swarm sees."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = network()
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=torch.nn.DataParallel(model), logger=None))
        await asyncio.to_thread(callback.on_train_begin)
        assert list(place.shell.models[0]) == list(model.state_dict())
        await asyncio.to_thread(callback.on_train_end, None)
