"""Callbacks that users write on the base, and what they pass: overridden hooks, their own loading, their own logger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarmlearning import plain
from swarmlearning.base import SLPlatforms, SwarmCallbackBase, SwarmError


@pytest.mark.parametrize("platform", [None, "PYTORCH"])
async def test_a_subclass_that_loads_by_torch_tensor_gets_its_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str | None
) -> None:
    """load_state_dict of torch.Tensor(d[k]): BatchNorm's 0-d counter comes as one element, and travels as a scalar.

    torch.Tensor of a 0-d integer is a tensor of that size, of memory that nobody wrote.
    """
    torch = pytest.importorskip("torch")

    class Own(SwarmCallbackBase):
        def __init__(self) -> None:
            self.model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
            self.model.register_buffer("temperature", torch.tensor(0.5, dtype=torch.float64))
            super().__init__(2, 1, "my-job", {})
            self._verifyAndSetPlatformContext({})
            self._swarmInitialize()

        def _verifyAndSetPlatformContext(self, params: Any) -> None:
            self.mlPlatform = None if platform is None else SLPlatforms[platform]

        def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
            return (None,) * 5

        def _saveModelWeightsToDict(self) -> dict[str, np.ndarray]:
            return {name: value.cpu().numpy() for name, value in self.model.state_dict().items()}

        def _loadModelWeightsFromDict(self, paramsDict: Any) -> None:
            self.model.load_state_dict({name: torch.Tensor(paramsDict[name]) for name in paramsDict})

        def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
            return 1.5, 0.5

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(7)) as place:
        point_at(monkeypatch, place)
        own = await asyncio.to_thread(Own)
        for hook in (own._swarmOnTrainBegin, *[own._swarmOnBatchEnd] * 3, own._swarmOnTrainEnd):
            await asyncio.to_thread(hook)
        assert len(place.shell.models) == 3
        for sent in place.shell.models:
            assert sent["1.num_batches_tracked"].shape == sent["temperature"].shape == ()
        assert int(own.model[1].num_batches_tracked) == 21
        assert float(own.model.temperature) == 21.5


async def test_a_subclass_with_a_hook_of_its_own_still_counts_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that replaces _swarmOnBatchEnd, one that calls it, and one below that: each batch counts once."""

    class Replaces(plain.SwarmCallback):
        def _swarmOnBatchEnd(self) -> None:
            if self.stepsBeforeNextSync == 0:
                self._SwarmCallbackBase__doSync()  # type: ignore[attr-defined]
            self.stepsBeforeNextSync -= 1

    class Calls(plain.SwarmCallback):
        def _swarmOnBatchEnd(self) -> None:
            super()._swarmOnBatchEnd()

    class Below(Calls):
        def _swarmOnBatchEnd(self) -> None:
            super()._swarmOnBatchEnd()

    for kind in (Replaces, Calls, Below):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        async with bridge_at(folder) as place:
            point_at(monkeypatch, place)
            weights = {"w": np.zeros(2)}
            own = await asyncio.to_thread(
                lambda kind=kind, weights=weights: kind(
                    2, 1, get_parameters=lambda: weights, set_parameters=weights.update
                )
            )
            await asyncio.to_thread(own.on_train_begin)
            for _ in range(5):
                await asyncio.to_thread(own.on_batch_end)
            assert own.stepsCompleted == 5, kind
            await asyncio.to_thread(own.on_train_end)
            assert len(place.shell.syncs) == 4


def test_a_logger_of_any_kind_gets_whole_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With info and error alone, with warn, of one argument, a function; what is none gives way to the own one."""
    monkeypatch.setenv("SWARM_LOOPBACK", "1")
    lines: list[str] = []

    class Spare:
        name = "spare"

        def info(self, text: str) -> None:
            lines.append(text)

        error = info

    class Old(Spare):
        def warn(self, text: str) -> None:
            lines.append("W " + text)

    def make(logger: Any, **options: Any) -> Any:
        lines.clear()
        return plain.SwarmCallback(
            2, 1, get_parameters=dict, set_parameters=lambda _: None, logger=logger, odd=1, **options
        )

    made = make(Spare())
    assert made.logger.name == "spare"
    assert "Unknown arguments are ignored: odd" in lines
    make(Old())
    assert "W Unknown arguments are ignored: odd" in lines
    make(lines.append)
    assert "Unknown arguments are ignored: odd" in lines
    assert not any("%s" in line or "%d" in line for line in lines)
    with pytest.raises(SwarmError, match="nodeWeightage"):
        make(Spare(), nodeWeightage=1000)
    assert any("nodeWeightage" in line for line in lines)
    make(object())
    assert "logger is a object, which has no method" in capsys.readouterr().out
