"""FedProx: each step is drawn towards the merged model, by exactly mu * (w - merged), in real frameworks."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarmlearning.base import SwarmError
from swarmlearning.client.arguments import strength

MU, RATE, STEPS = 0.3, 0.1, 6


def test_only_a_finite_number_is_a_strength() -> None:
    """0, None and texts of numbers; anything else is refused by name and value."""
    assert [strength("proximalMu", one) for one in (None, 0, "0.5", 2)] == [0.0, 0.0, 0.5, 2.0]
    for wrong in (-1, math.nan, math.inf, "much", True, []):
        with pytest.raises(ValueError, match=r"proximalMu is .*0 \(off\) or above"):
            strength("proximalMu", wrong)


def torch_data() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(4)
    x = torch.randn(STEPS, 8, 3, dtype=torch.float64)
    return torch, x, x.sum(dim=2, keepdim=True) + 1


def optimizers(torch: Any) -> dict[str, Callable[[Any], Any]]:
    return {
        "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9),
        "Adam": lambda model: torch.optim.Adam(model.parameters(), lr=RATE),
        "closure": lambda model: torch.optim.RMSprop(model.parameters(), lr=RATE),
        "LBFGS": lambda model: torch.optim.LBFGS(model.parameters(), lr=RATE, line_search_fn="strong_wolfe"),
    }


def steps(torch: Any, model: Any, optimizer: Any, x: Any, y: Any, closures: bool, extra: Any, after: Any) -> None:
    """A user's loop; ``extra`` is added to the loss."""
    for features, target in zip(x, y, strict=True):

        def gradients(features: Any = features, target: Any = target) -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(features), target) + extra(model)
            loss.backward()
            return loss

        if closures:
            optimizer.step(gradients)
        else:
            gradients()
            optimizer.step()
        after()


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["SGD", "Adam", "closure", "LBFGS"])
async def test_torch_steps_as_if_the_term_stood_in_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same weights, step by step, as with mu / 2 * |w - merged|^2 in the loss; a frozen layer stays; other
    models' optimizers are let alone; without proximalMu the steps are the plain ones."""
    torch, x, y = torch_data()
    from swarmlearning.pyt import SwarmCallback

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)).double()
    model[0].bias.requires_grad_(False)
    closures = kind in ("closure", "LBFGS")
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)

        def train() -> tuple[Any, Any]:
            callback = SwarmCallback(50, 1, model=model, proximalMu=MU)
            callback.on_train_begin()
            reference = copy.deepcopy(model)  # as merged
            merged = [p.detach().clone() for p in reference.parameters()]

            def term(one: Any) -> Any:
                pairs = zip(one.parameters(), merged, strict=True)
                return MU / 2 * sum(((p - m) ** 2).sum() for p, m in pairs if p.requires_grad)

            steps(torch, model, optimizers(torch)[kind](model), x, y, closures, lambda _: 0.0, callback.on_batch_end)
            steps(torch, reference, optimizers(torch)[kind](reference), x, y, closures, term, lambda: None)
            for own, same in zip(model.parameters(), reference.parameters(), strict=True):
                torch.testing.assert_close(own, same, rtol=1e-6, atol=1e-8)
            moved = sum(float((p.detach() - m).norm()) for p, m in zip(model.parameters(), merged, strict=True))
            callback.on_train_end()
            return callback, moved

        callback, moved = await asyncio.to_thread(train)
        assert moved > 0.01
    plain = torch.nn.Linear(3, 1).double()
    twin = copy.deepcopy(plain)
    assert callback._proximal is not None
    for one in (plain, twin):
        steps(torch, one, optimizers(torch)["SGD"](one), x, y, False, lambda _: 0.0, lambda: None)
    torch.testing.assert_close(plain.weight, twin.weight)


@pytest.mark.torch
async def test_torch_pulls_to_the_newest_merge_and_no_more_when_the_swarm_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no gradient but the pull, w - merged shrinks by 1 - rate * mu each step: towards each new merge, and after
    the swarm's end not at all."""
    torch = pytest.importorskip("torch")
    from swarmlearning.pyt import SwarmCallback

    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    seen: list[float] = []

    def step(callback: Any, moved: float) -> None:
        with torch.no_grad():
            model.weight.add_(moved)
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
        seen.append(float(model.weight.detach()))
        callback.on_batch_end()

    async with bridge_at(tmp_path, merge=lambda _, a: a * 0 + a.dtype.type(8), over_after=2) as place:
        point_at(monkeypatch, place)

        def train() -> None:
            callback = SwarmCallback(1, 1, model=model, proximalMu=MU)
            callback.on_train_begin()  # merged: 8
            step(callback, 2.0)
            step(callback, 0.0)  # and merged again: 8, the swarm is over
            step(callback, 2.0)
            callback.on_train_end()

        await asyncio.to_thread(train)
    shrunk = 1 - RATE * MU
    assert seen == pytest.approx([8 + 2 * shrunk, 8 + 2 * shrunk**2, 10.0])


@pytest.mark.torch
def test_a_scaled_gradient_gets_a_scaled_pull() -> None:
    """A fused optimizer that unscales by itself (mixed precision) gets the pull times the scale; sparse is refused."""
    torch = pytest.importorskip("torch")
    from swarmlearning._torchprox import Proximal

    model = torch.nn.Linear(1, 1, bias=False)
    proximal = Proximal(MU, model.parameters)
    proximal.anchor()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    merged = float(model.weight.detach())
    with torch.no_grad():
        model.weight.add_(2.0)
    scaler.scale((model.weight * 0).sum()).backward()
    scaler.step(optimizer)
    assert float(model.weight.detach()) - merged == pytest.approx(2 * (1 - RATE * MU))
    table = torch.nn.Embedding(3, 2, sparse=True)
    sparse = Proximal(MU, table.parameters)
    sparse.anchor()
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(SwarmError, match="sparse=False"):
        torch.optim.SGD(table.parameters(), lr=RATE).step()
    proximal.forget()
    sparse.forget()
    proximal.forget()


def keras_model(compiled: str) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False), keras.layers.Dense(1)])
    optimizer: Any = keras.optimizers.SGD(RATE, momentum=0.9) if compiled != "adam" else keras.optimizers.Adam(RATE)
    if compiled == "scaled":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0)
    model.compile(optimizer, "mse", jit_compile=compiled == "jit")
    return model


def gradients(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    """Of a loss that is computed here and now, with the backend that Keras has."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        found: Any = torch.autograd.grad(loss(), [v.value for v in variables])
        return list(found)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss()
    return list(tape.gradient(value, [v.value for v in variables]))


@pytest.mark.keras
@pytest.mark.parametrize("compiled", ["sgd", "adam", "scaled"])
async def test_keras_steps_as_if_the_term_stood_in_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: str
) -> None:
    """The weights of fit() are those of a hand-written loop whose loss has the term; after the end the optimizer is
    the user's own again, and fitting on goes without the pull."""
    keras = pytest.importorskip("keras")
    from swarmlearning.tf import SwarmCallback

    x = np.random.default_rng(1).normal(size=(STEPS * 4, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True) + 1
    model, reference = keras_model(compiled), keras_model("adam" if compiled == "adam" else "sgd")

    def by_hand(merged: list[Any], mu: float, rows: Any) -> None:
        ops, variables = keras.ops, reference.trainable_variables

        for start in range(0, len(rows), 4):

            def loss(here: int = start) -> Any:
                away = reference(rows[here : here + 4]) - ops.convert_to_tensor(y[here : here + 4])
                pulls = (ops.sum((v - ops.convert_to_tensor(m)) ** 2) for v, m in zip(variables, merged, strict=True))
                return ops.mean(away**2) + mu / 2 * sum(pulls)

            reference.optimizer.apply(gradients(loss, variables), variables)

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(0.5)) as place:
        point_at(monkeypatch, place)

        def train() -> Any:
            callback = SwarmCallback(50, 1, proximalMu=MU)
            if compiled == "sgd":  # a step that was compiled before is made anew
                start = model.get_weights()
                model.fit(x[:4], y[:4] * 0, batch_size=4, verbose=0)
                model.set_weights(start)
                model.optimizer.momentums[0].assign(model.optimizer.momentums[0] * 0)
                for one in model.optimizer.momentums:
                    one.assign(one * 0)
            model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[callback])
            return callback

        await asyncio.to_thread(train)
        merged = [place.shell.merged[0][name] for name in place.shell.merged[0]]
        reference.set_weights(merged)
        by_hand(merged, MU, x)
        for name, own in zip(place.shell.models[-1], reference.get_weights(), strict=True):
            np.testing.assert_allclose(place.shell.models[-1][name], own, rtol=1e-4, atol=1e-5)
        assert max(np.abs(a - b).max() for a, b in zip(merged, reference.get_weights(), strict=True)) > 0.01
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert "apply" not in vars(inner)
    reference.set_weights(model.get_weights())
    await asyncio.to_thread(lambda: model.fit(x, y, batch_size=4, shuffle=False, verbose=0))
    by_hand(merged, 0.0, x)
    for own, same in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(own, same, rtol=1e-3, atol=1e-4)


@pytest.mark.keras
def test_what_proximal_mu_cannot_do_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX would keep the first merged model for ever; an optimizer without Keras 3's apply has no place for it."""
    pytest.importorskip("tensorflow")
    import keras
    from swarmlearning._kerasprox import Proximal

    model = keras_model("sgd")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(SwarmError, match="tensorflow and torch, this is on jax"):
        Proximal(MU, model)
    for other in (type("Old", (), {"optimizer": object()})(), object(), keras.Sequential([keras.layers.Dense(1)])):
        with pytest.raises(SwarmError, match="needs Keras 3, and a model compiled"):
            Proximal(MU, other)
