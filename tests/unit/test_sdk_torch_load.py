"""A merged state that was put into a PyTorch model is what the model computes with, or the program fails by name."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def shifted(name: str, array: np.ndarray) -> np.ndarray:
    """A merge that no site's own model equals."""
    return array + array.dtype.type(1)


async def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, merge: Any = shifted) -> None:
    """One merge at the start and one at the end."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path, merge=merge) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        await asyncio.to_thread(callback.on_train_end)


class Wrapped(torch.nn.Module):
    """A model that speaks for the network in it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


class OtherNames(Wrapped):
    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.net.state_dict(*args, **kwargs)


class NoStrict(OtherNames):
    def load_state_dict(self, state: Any) -> Any:  # type: ignore[override]
        return self.net.load_state_dict(state)


class Deaf(Wrapped):
    def load_state_dict(self, state: Any, strict: bool = True) -> Any:  # type: ignore[override]
        return None


class Assigns(Wrapped):
    def load_state_dict(self, state: Any, strict: bool = True) -> Any:  # type: ignore[override]
        return super().load_state_dict(state, strict=strict, assign=True)


class Remembers(Wrapped):
    """Gives out, and takes in, a copy that its layers never see."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {name: value.clone() for name, value in super().state_dict().items()}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.kept

    def load_state_dict(self, state: Any, strict: bool = True) -> Any:  # type: ignore[override]
        self.kept = dict(state)


class Copies(Wrapped):
    """Gives out copies that follow the layers."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return {name: value.clone() for name, value in super().state_dict(*args, **kwargs).items()}


class Clamps(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(self._clamp)

    def _clamp(self, *_: Any) -> None:
        self.net[0].weight.data.clamp_(-0.1, 0.1)


class Raises(Wrapped):
    def load_state_dict(self, state: Any, strict: bool = True) -> Any:  # type: ignore[override]
        raise KeyError("net.2.weight")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (OtherNames, "OtherNames.state_dict() gives 0.weight, 0.bias, 1.weight and 4 more"),
        (Deaf, "Deaf has not the merged values of net.0.weight"),
        (Assigns, "Assigns.load_state_dict puts new parameters in the place of net.0.weight"),
        (Remembers, "no parameter or buffer of the model has these values"),
        (Clamps, "Clamps has not the merged values of net.0.weight"),
        (Raises, "Raises.load_state_dict does not take the merged model: 'net.2.weight'"),
    ],
)
async def test_a_model_that_does_not_take_the_merged_values_fails_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, text: str
) -> None:
    """Whatever an override or a hook does with the merged state: what the model computes with is looked at."""
    from swarmlearning.pyt import SwarmError

    with pytest.raises(SwarmError) as fault:
        await trained(tmp_path, monkeypatch, make())
    assert text in str(fault.value)
    assert "\n" not in str(fault.value)


async def test_other_names_fail_even_when_all_values_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first merge all sites often have one model already: names that are not taken fail then, not later."""
    from swarmlearning.pyt import SwarmError

    with pytest.raises(SwarmError, match="would train on without the swarm"):
        await trained(tmp_path, monkeypatch, OtherNames(), merge=lambda _, array: array)


def pruned() -> Any:
    from torch.nn.utils import prune

    model = torch.nn.Linear(4, 3)
    prune.random_unstructured(model, "weight", amount=0.5)
    return model


def parametrized() -> Any:
    return torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 3))


def spectral() -> Any:
    return torch.nn.utils.spectral_norm(torch.nn.Linear(4, 3))


def recurrent() -> Any:
    return torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)


def tied() -> Any:
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    return model


class TiedWithoutStrict(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = tied()

    def load_state_dict(self, state: Any) -> Any:  # type: ignore[override]
        return super().load_state_dict(state)


@pytest.mark.parametrize(
    "make",
    [NoStrict, Copies, pruned, parametrized, spectral, recurrent, tied, TiedWithoutStrict],
    ids=lambda make: make.__name__,
)
async def test_models_that_take_them_in_their_own_way_are_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """Overrides without strict, copies, masks, parametrizations, tied and flattened weights: merged twice, loaded."""
    torch.manual_seed(5)
    model = make()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    await trained(tmp_path, monkeypatch, model)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, before[name] + 2)


async def test_the_same_object_must_be_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that trains a copy of the model it handed over is told so once, at the second merge."""
    from swarmlearning.pyt import SwarmCallback

    said: list[str] = []

    class Logger:
        def __getattr__(self, name: str) -> Any:
            return lambda text, *values: said.append(f"{name}: {text % values if values else text}")

    def train() -> None:
        model = torch.nn.Linear(4, 3)
        callback = SwarmCallback(1, 1, model=model, logger=Logger())
        other = copy.deepcopy(model)
        optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
        callback.on_train_begin()
        for _ in range(4):
            other(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            callback.on_batch_end()
        callback.on_train_end()

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        await asyncio.to_thread(train)
    told = [line for line in said if "has not changed" in line]
    assert len(told) == 1
    assert told[0].startswith("warning: ")


async def test_a_trained_part_that_is_not_shared_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A state_dict that leaves trained layers out is a wish, or a slip: one line names how many and which."""

    class HeadOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            whole = super().state_dict(*args, **kwargs)
            return {name: value for name, value in whole.items() if name.startswith("head.")}

    await trained(tmp_path, monkeypatch, HeadOnly())
    text = "2 trained parameters are not in state_dict() and stay this site's own, body.weight among them"
    assert capsys.readouterr().out.count(text) == 1


async def test_a_model_without_any_tensor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to merge: said before anything is sent."""
    from swarmlearning.pyt import SwarmError

    with pytest.raises(SwarmError, match="there is nothing to share"):
        await trained(tmp_path, monkeypatch, torch.nn.ReLU())
