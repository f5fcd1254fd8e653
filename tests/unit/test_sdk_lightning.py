"""The Lightning callback: a real Trainer drives it, over real pipes against the real bridge."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

pytestmark = [pytest.mark.torch, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pl() -> Any:
    pytest.importorskip("torch")
    return pytest.importorskip("lightning.pytorch")


def module(pl: Any) -> Any:
    import torch

    class Net(pl.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))

        def forward(self, x: Any) -> Any:
            return self.body(x)

        def training_step(self, batch: Any, _: int) -> Any:
            return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", torch.nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(5)
    return Net()


def loader(size: int = 32, batch: int = 4) -> Any:
    import torch

    torch.manual_seed(6)
    x = torch.randn(size, 4)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long()), batch_size=batch)


def trainer(pl: Any, folder: Path, *callbacks: Any, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    saving = {"enable_checkpointing": any(isinstance(one, pl.callbacks.ModelCheckpoint) for one in callbacks)}
    return pl.Trainer(default_root_dir=folder, devices=1, callbacks=list(callbacks), **quiet, **saving, **options)


def assert_holds(model: Any, merged: dict[str, np.ndarray]) -> None:
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), merged[name])


async def test_fit_syncs_at_optimizer_steps_beside_other_callbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any
) -> None:
    """8 batches gathered in pairs, 2 epochs, N=3: merges at 0, 4, 7 and the end; checkpoints and stopping beside."""
    from swarmlearning.lightning import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        model, data = module(pl), loader()
        callback = SwarmCallback(
            3, 1, adsValData=data, lossFunction="CrossEntropyLoss", lossFunctionArgs={"reduction": "sum"}, totalEpochs=2
        )
        assert place.shell.sessions == []
        beside = (
            pl.callbacks.ModelCheckpoint(tmp_path / "kept", monitor="val_loss"),
            pl.callbacks.EarlyStopping("val_loss", patience=5),
        )
        fitting = trainer(pl, tmp_path, *beside, callback, max_epochs=2, accumulate_grad_batches=2)
        await asyncio.to_thread(fitting.fit, model, data, loader(8))
        await place.shell.wait_ended()
    shell = place.shell
    assert shell.endings == [None]
    assert fitting.global_step == 8
    assert [call.final for call in shell.syncs] == [False, False, False, True]
    assert list(shell.models[0]) == list(model.state_dict())
    assert shell.models[1]["body.1.num_batches_tracked"] > shell.merged[0]["body.1.num_batches_tracked"]
    assert_holds(model, shell.merged[-1])
    assert [report.epochs_done for report in shell.reports] == [0, 0, 1, 2]
    assert all(math.isfinite(report.loss) for report in shell.reports)


async def test_fitting_stops_when_the_swarm_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any) -> None:
    """Over at the second sync: of 50 epochs one is done, and the last merged model remains; samples are counted."""
    from swarmlearning.lightning import SwarmCallback

    async with bridge_at(tmp_path, over_after=2) as place:
        point_at(monkeypatch, place)
        model = module(pl)
        fitting = trainer(pl, tmp_path, SwarmCallback(2, 1, nodeWeightage="samples"), max_epochs=50)
        await asyncio.to_thread(fitting.fit, model, loader())
        await place.shell.wait_ended()
    assert fitting.current_epoch <= 1
    assert [call.weightage for call in place.shell.syncs] == [32, 32]
    assert_holds(model, place.shell.merged[-1])


async def test_a_part_of_the_module_can_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any) -> None:
    """model=module.body shares that part under its own names."""
    from swarmlearning.lightning import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = module(pl)
        fitting = trainer(pl, tmp_path, SwarmCallback(100, 1, model=model.body), max_epochs=1)
        await asyncio.to_thread(fitting.fit, model, loader())
        assert list(place.shell.models[0]) == list(model.body.state_dict())


def test_loopback_and_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any) -> None:
    """Loop-back fits without an SL; a site that trains in several processes is told what to set."""
    from swarmlearning.lightning import SwarmCallback, SwarmError

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    model = module(pl)
    trainer(pl, tmp_path, SwarmCallback(2, 1), max_epochs=1).fit(model, loader())

    class Two:
        world_size = 2

    with pytest.raises(SwarmError, match=r"2 processes.*devices=1"):
        SwarmCallback(2, 1).on_fit_start(Two(), model)


def averages(pl: Any) -> list[Any]:
    class Polyak(pl.Callback):  # type: ignore[misc,name-defined]
        """No name tells what it does: a mean of its own, put in at the end."""

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            for value in pl_module.parameters():
                value.data.mul_(0.5)

    found = [Polyak(), pl.callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1, device=None)]
    if hasattr(pl.callbacks, "EMAWeightAveraging"):
        found.append(pl.callbacks.EMAWeightAveraging(decay=0.9, device=None))
    return found


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_callback_that_puts_its_own_weights_in_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any, capsys: pytest.CaptureFixture[str], which: int
) -> None:
    """After ours: a warning at the start by its name, and one ERROR at the end for any; before ours: not a word."""
    from swarmlearning.lightning import SwarmCallback

    for first in (False, True):
        kinds = averages(pl)
        if which >= len(kinds):
            pytest.skip("this Lightning has no such callback")
        other = kinds[which]
        (tmp_path / str(first)).mkdir()
        async with bridge_at(tmp_path / str(first), merge=lambda _, a: a + a.dtype.type(1)) as place:
            point_at(monkeypatch, place)
            model, ours = module(pl), SwarmCallback(3, 1, totalEpochs=3)
            order = [other, ours] if first else [ours, other]
            await asyncio.to_thread(trainer(pl, tmp_path, *order, max_epochs=3).fit, model, loader())
            told = capsys.readouterr().out
            assert ("stands after SwarmCallback" in told) == (not first and which > 0)
            batch_norm_first = which == 1  # Lightning's SWA puts its weights in an epoch early, for BatchNorm
            assert ("not the swarm's final one any more" in told) == (not first and not batch_norm_first)
            if first or batch_norm_first:
                assert_holds(model, place.shell.merged[-1])


async def test_a_strict_program_ends_with_an_error_if_its_model_is_not_the_swarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pl: Any
) -> None:
    """strict=True: fit() raises instead of a line in the log."""
    from swarmlearning.lightning import SwarmCallback, SwarmError

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        fitting = trainer(pl, tmp_path, SwarmCallback(3, 1, strict=True), averages(pl)[0], max_epochs=1)
        with pytest.raises(SwarmError, match="Put SwarmCallback last"):
            await asyncio.to_thread(fitting.fit, module(pl), loader())
