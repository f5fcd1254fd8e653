"""A variance below zero fails the program whose own model holds it, at its sync, whatever framework made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.original_client import OriginalClient, SlError
from support.sdk_channel import point_at
from swarm.core.engine.actions import AnswerProgram
from swarm.core.engine.events import Event, ProgramSync
from swarm.core.merge import takes_step, variances
from swarm.sl.oddities import negative_variance
from swarm.sl.program import Program, Target
from swarm.sl.schemas import Schemas
from swarm.sl.timeline import Timeline
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile
from swarmlearning.plain import SwarmError

Begin = Callable[[], Any]
"""Makes a model and its callback, and begins training: the first sync."""


def torch_batchnorm(value: float, dtype: str = "float32") -> Begin:
    def begin() -> None:
        import torch
        from swarmlearning.pyt import SwarmCallback

        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.BatchNorm1d(4)))
        model[1][0].running_var[2] = value
        SwarmCallback(1, 1, model=model.to(getattr(torch, dtype))).on_train_begin()

    return begin


def torch_instancenorm(value: float) -> Begin:
    def begin() -> None:
        import torch
        from swarmlearning.pyt import SwarmCallback

        model = torch.nn.Sequential(torch.nn.InstanceNorm2d(3, track_running_stats=True))
        model[0].running_var[2] = value
        SwarmCallback(1, 1, model=model).on_train_begin()

    return begin


def keras(kind: str, value: float) -> Begin:
    def begin() -> None:
        import keras as framework
        from swarmlearning.tf import SwarmCallback

        layer = framework.layers.Normalization() if kind == "norm" else framework.layers.BatchNormalization()
        inner = framework.Sequential([framework.Input((4,)), layer])
        if kind == "norm":
            layer.adapt(np.random.default_rng(0).normal(size=(9, 4)))
        model = framework.Sequential([framework.Input((4,)), inner, framework.layers.Dense(1)])
        weights = layer.get_weights()
        at = next(i for i, w in enumerate(layer.weights) if "variance" in w.name)
        weights[at][2] = value
        layer.set_weights(weights)
        model.compile("sgd", "mse")
        x = np.zeros((2, 4), np.float32)
        model.fit(x, np.zeros(2), epochs=1, verbose=0, callbacks=[SwarmCallback(1, 1)])

    return begin


def sklearn(value: float) -> Begin:
    def begin() -> None:
        from sklearn.naive_bayes import GaussianNB
        from swarmlearning.sklearn import SwarmCallback

        model = GaussianNB().fit(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1])
        model.var_[1, 2] = value
        names = ["theta_", "var_", "class_prior_", "class_count_", "epsilon_"]
        SwarmCallback(1, 1, model=model, weight_attrs=names).on_train_begin()

    return begin


def scaler(value: float) -> Begin:
    def begin() -> None:
        from sklearn.preprocessing import StandardScaler
        from swarmlearning.sklearn import SwarmCallback

        model = StandardScaler().fit(np.arange(12.0).reshape(4, 3))
        model.var_[2] = value
        SwarmCallback(1, 1, model=model, weight_attrs=["mean_", "var_", "scale_"]).on_train_begin()

    return begin


def plain(name: str, value: float) -> Begin:
    def begin() -> None:
        from swarmlearning.plain import SwarmCallback

        arrays = {name: np.array([1, 1, value]), "w": np.ones(2)}
        SwarmCallback(1, 1, get_parameters=lambda: arrays, set_parameters=lambda new: None).on_train_begin()

    return begin


async def end_of(folder: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin) -> tuple[str, list[Event]]:
    """What a program hears at its first sync from an SL that answers all that reaches its engine; and what did."""
    heard: list[Event] = []

    def deliver(event: Event) -> None:
        heard.append(event)
        if isinstance(event, ProgramSync):
            program.wish(AnswerProgram(event.seq, True, 1))

    target = Target(
        deliver, Timeline(), lambda: 0, lambda: 1, "ab" * 32, lambda: "", Schemas(list, None), lambda: False
    )

    async def take_part(job: str) -> Target:
        return target

    program = Program(BlobStore(folder / "store"), take_part)
    async with bridge_at(folder, program) as place:
        point_at(monkeypatch, place)
        try:
            await asyncio.to_thread(begin)
        except SwarmError as fault:
            return str(fault), heard
    return "", heard


TORCH, KERAS = pytest.mark.torch, pytest.mark.keras


@pytest.mark.parametrize(
    ("make", "tensor", "position"),
    [
        pytest.param(torch_batchnorm, "'1.0.running_var'", "[2]", marks=TORCH, id="PyTorch BatchNorm"),
        pytest.param(
            lambda v: torch_batchnorm(v, "bfloat16"), "'1.0.running_var'", "[2]", marks=TORCH, id="PyTorch bfloat16"
        ),
        pytest.param(
            lambda v: torch_batchnorm(v, "float16"), "'1.0.running_var'", "[2]", marks=TORCH, id="PyTorch float16"
        ),
        pytest.param(torch_instancenorm, "'0.running_var'", "[2]", marks=TORCH, id="PyTorch InstanceNorm"),
        pytest.param(
            lambda v: keras("batch", v), "moving_variance'", "[2]", marks=KERAS, id="Keras BatchNormalization"
        ),
        pytest.param(lambda v: keras("norm", v), "variance'", "[2]", marks=KERAS, id="Keras Normalization"),
        pytest.param(sklearn, "'var_", "[1, 2]", id="scikit-learn GaussianNB"),
        pytest.param(scaler, "'var_", "[2]", id="scikit-learn StandardScaler"),
        pytest.param(lambda v: plain("block/bn/moving_variance:0", v), "moving_variance:0'", "[2]", id="plain"),
    ],
)
async def test_its_owner_fails_by_tensor_position_and_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[float], Begin], tensor: str, position: str
) -> None:
    """The engine never hears of such a model; one whose variance is 0 goes through."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    text, heard = await end_of(tmp_path / "bad", monkeypatch, make(-0.5))
    assert "variance below zero" in text
    assert tensor in text
    assert f"holds -0.5 at position {position}" in text
    assert not [event for event in heard if isinstance(event, ProgramSync)]
    text, heard = await end_of(tmp_path / "good", monkeypatch, make(0.0))
    assert text == ""
    assert [event for event in heard if isinstance(event, ProgramSync)]


async def test_an_original_client_hears_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the original's wheel sends is looked at like everything else."""

    def begin() -> None:
        import os

        paths = [Path(os.environ[n]) for n in ("SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL", "SWARM_EXCHANGE_DIR")]
        client = OriginalClient("inline", paths[0], paths[1], paths[2])
        client.open_pipes()
        try:
            client.open_session()
            client.sync({"bn.running_var": np.array([1, -2], np.float32)}, kind=4)
        except SlError as fault:
            raise SwarmError(str(fault)) from None
        finally:
            client.close_pipes()

    text, _ = await end_of(tmp_path, monkeypatch, begin)
    assert "tensor 'bn.running_var' holds -2.0 at position [1]" in text


def test_only_variances_are_looked_at(tmp_path: Path) -> None:
    """By their last part, with a client's marks; a tensor called variance needs its mean beside it; any window."""
    names = ["a/variance", "a/mean", "b/variance", "running_var.weight", "c.running_var#2", "var_@0123abcd", "my_var"]
    assert variances(names) == ["a/variance", "c.running_var#2", "var_@0123abcd"]
    assert not any(takes_step(name) for name in ("var_", "theta_@01", "mean_", "x.running_var"))
    values = np.ones(1000)
    values[777] = -1
    arrays = {"b/variance": -values, "c.running_var": values, "n.running_var": np.array([-1, 2], np.int64)}
    tensorfile.write(tmp_path / "m", arrays, {"platform": "numpy"})
    for window in (64, 4096, 1 << 20):
        assert negative_variance(tmp_path / "m", window=window) == "tensor 'c.running_var' holds -1.0 at position [777]"
