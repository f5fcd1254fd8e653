"""The loss that a PyTorch program reports: the mean over samples, whatever the batches, functions and reductions."""

from __future__ import annotations

import asyncio
import functools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
F = torch.nn.functional


def focal(output: Any, target: Any) -> Any:
    each = F.cross_entropy(output, target, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


class Named(torch.nn.Module):
    """A loss of one's own that says its reduction as those of torch.nn do."""

    reduction = "sum"

    def forward(self, output: Any, target: Any) -> Any:
        return F.cross_entropy(output, target, reduction="sum")


WEIGHTS = torch.tensor([1.0, 3.0, 0.5])
LOSSES: dict[str, Any] = {
    "mean": torch.nn.CrossEntropyLoss(),
    "sum": torch.nn.CrossEntropyLoss(reduction="sum"),
    "none": torch.nn.CrossEntropyLoss(reduction="none"),
    "class weights": torch.nn.CrossEntropyLoss(weight=WEIGHTS),
    "ignored class": torch.nn.CrossEntropyLoss(ignore_index=2),
    "smoothed": torch.nn.CrossEntropyLoss(label_smoothing=0.1),
    "log likelihood": torch.nn.NLLLoss(weight=WEIGHTS, ignore_index=0),
    "function, mean": F.cross_entropy,
    "function, sum": functools.partial(F.cross_entropy, reduction="sum"),
    "function, a loss each": functools.partial(F.cross_entropy, reduction="none"),
    "lambda, sum": lambda output, target: F.cross_entropy(output, target, reduction="sum"),
    "of one's own, mean": focal,
    "of one's own, named": Named(),
}


@pytest.mark.row("K09")
@pytest.mark.parametrize("kind", LOSSES)
@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 60), batch=st.integers(1, 70), seed=st.integers(0, 999), last=st.booleans())
def test_the_loss_does_not_depend_on_the_batch_size(kind: str, size: int, batch: int, seed: int, last: bool) -> None:
    """For each reduction, function and class weights: the same figure in batches of any size as in one."""
    from swarmlearning._torcheval import judge

    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LogSoftmax(1))
    x, y = torch.randn(size, 4), torch.randint(3, (size,))
    whole = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(whole, batch_size=batch, drop_last=last)
    used = size - size % batch if last else size
    loss, metric = judge(model, [loader], LOSSES[kind], None)
    assert math.isnan(metric)
    if used == 0:
        assert math.isnan(loss)
        return
    with torch.no_grad():
        value = LOSSES[kind](model(x[:used]), y[:used])
    if value.ndim:
        value = value.mean()
    elif "sum" in kind or "named" in kind:
        value = value / used
    assert loss == pytest.approx(float(value), rel=1e-4, nan_ok=True)


def test_a_mean_over_values_counts_by_samples() -> None:
    """MSELoss of several outputs: a mean over all values, in unequal batches too."""
    from swarmlearning._torcheval import judge

    torch.manual_seed(1)
    model, x, y = torch.nn.Linear(4, 3), torch.randn(10, 4), torch.randn(10, 3)
    with torch.no_grad():
        expected = float(F.mse_loss(model(x), y))
    for batch in (1, 3, 7, 10):
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=batch)
        for loss_of in (torch.nn.MSELoss(), F.mse_loss):
            assert judge(model, [data], loss_of, None)[0] == pytest.approx(expected, rel=1e-5)


async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """What the SL heard of one merge's loss."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = torch.nn.Linear(4, 3)
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model, **options))
        await asyncio.to_thread(callback.on_train_begin)
        await asyncio.to_thread(callback.on_train_end)
        assert place.shell.endings == [None]
        return place.shell.reports[0]


class Untouchable(torch.utils.data.Dataset):
    """Validation data that nobody may look at."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("evaluated although nobody asked")


async def test_nothing_is_evaluated_without_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Most programs pass adsValData and no function: the data are not read, generators neither, no nan is shown."""
    read: list[int] = []

    def generator() -> Any:
        read.append(1)
        yield torch.ones(2, 4), torch.zeros(2)

    for number, data in enumerate((Untouchable(), generator(), torch.ones(3, 4), [1, 2])):
        (tmp_path / str(number)).mkdir()
        report = await told(tmp_path / str(number), monkeypatch, adsValData=data)
        assert math.isnan(report.loss)
    assert read == []
    said = capfd.readouterr()
    assert "nan" not in (said.out + said.err).lower()
    assert said.out.count("adsValData is not used, since nothing is evaluated by it: adsValData is Tensor") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"adsValData": Untouchable(), "lossFunction": "CrossEntropyLoss"},
        {"adsValData": (torch.ones(3, 5), torch.zeros(3)), "lossFunction": "MSELoss"},
        {"adsValData": (torch.ones(3, 4), torch.zeros(3)), "lossFunction": lambda output, target: 1 / 0},
    ],
    ids=["data", "model", "function"],
)
async def test_an_evaluation_that_fails_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: Any
) -> None:
    """Whatever raises in it: loss and metric are unknown, the program and its SL go on to the end."""
    report = await told(tmp_path, monkeypatch, **options)
    assert (math.isnan(report.loss), math.isnan(report.metric)) == (True, True)
    said = capfd.readouterr().out
    assert said.count("evaluating adsValData failed with") == 1
    assert "= nan" not in said


async def test_an_adaptive_interval_needs_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With useAdaptiveSync a failed evaluation is an error: the interval would follow nothing."""
    with pytest.raises(AssertionError, match="nobody asked"):
        await told(
            tmp_path, monkeypatch, adsValData=Untouchable(), lossFunction="CrossEntropyLoss", useAdaptiveSync=True
        )
