"""PyTorch's optimizers through the resume file: found, kept, put back, and refused by name when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swarmlearning.client import resumefile
from swarmlearning.client.resumefile import ResumePoint

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def network() -> Any:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))


def steps(model: Any, optimizer: Any, count: int) -> None:
    torch.manual_seed(7)
    for _ in range(count):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()


MAKERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9)),
    "AdamW, amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD, momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5),
    "two groups": lambda p: torch.optim.Adam([{"params": list(p)[:2]}, {"params": list(p)[2:], "lr": 0.5}]),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_a_restarted_program_steps_as_if_nothing_had_happened(tmp_path: Path, name: str, named: bool) -> None:
    """State and options go through the file; given by keyword or found by its first step, the next steps are equal."""
    from swarmlearning._torchstate import Optimizers

    model = network()
    optimizer = MAKERS[name](model.parameters())
    before = Optimizers(model.parameters, [optimizer] if named else [])
    steps(model, optimizer, 3)
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    arrays, notes = before.state()
    before.forget()
    path = tmp_path / "a.resume"
    resumefile.write(path, ResumePoint("job", "ab" * 32, 1, 7, "cd" * 32, "ef" * 32, 3, 0, notes), arrays)
    found = resumefile.read(path)
    assert found is not None

    again = network()
    again.load_state_dict(model.state_dict())
    fresh = MAKERS[name](again.parameters())
    after = Optimizers(again.parameters, [fresh] if named else [])
    assert after.restore(found[1], found[0].notes, pytest.fail)
    kept, _ = after.state()  # also before the first step nothing is lost
    assert set(kept) == set(arrays)
    steps(model, optimizer, 2)
    steps(again, fresh, 2)
    after.forget()
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [g["lr"] for g in fresh.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_other_models_optimizers_are_left_alone() -> None:
    """Only an optimizer that steps the shared model's parameters is kept; watching ends when it is told to."""
    from swarmlearning._torchstate import Optimizers

    model, stranger = network(), network()
    watch = Optimizers(model.parameters, [])
    steps(stranger, torch.optim.Adam(stranger.parameters()), 1)
    assert watch.state() == ({}, {})
    own = torch.optim.Adam(model.parameters())
    steps(model, own, 1)
    assert len(watch.state()[1]["optimizers"]) == 1
    watch.forget()


def test_what_no_file_can_hold_is_named() -> None:
    """An optimizer that keeps lists of tensors (LBFGS) is refused when it is written, by name."""
    from swarmlearning._torchstate import Optimizers

    model = network()
    optimizer = torch.optim.LBFGS(model.parameters())
    watch = Optimizers(model.parameters, [optimizer])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with pytest.raises(ValueError, match="LBFGS keeps a list named"):
        watch.state()


def adam() -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    from swarmlearning._torchstate import Optimizers

    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    watch = Optimizers(model.parameters, [optimizer])
    steps(model, optimizer, 1)
    arrays, notes = watch.state()
    return watch, arrays, json.loads(json.dumps(notes))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a, n: n.update(optimizers=7), "no list of objects"),
        (lambda a, n: n["optimizers"].append(n["optimizers"][0]), "2 optimizers were kept, this program has 1"),
        (lambda a, n: n["optimizers"][0].update({"class": "SGD"}), "the kept optimizer is 'SGD'"),
        (lambda a, n: n["optimizers"][0].update(groups=[]), "other parameter groups"),
        (lambda a, n: n["optimizers"][0]["groups"][0].update(count=3), "other parameter groups"),
        (lambda a, n: n["optimizers"][0]["groups"][0].update(options=[]), "other parameter groups"),
        (lambda a, n: a.update({"optimizer/0/99/exp_avg": np.zeros(1)}), "a parameter that is not there"),
        (lambda a, n: a.update({"optimizer/0/0/exp_avg": np.zeros((99, 99))}), "too large for its parameter"),
    ],
)
def test_a_hostile_state_is_refused_and_changes_nothing(change: Any, why: str) -> None:
    """Wrong class, groups, counts, indices, sizes: one ValueError, and the optimizer stays as it was."""
    watch, arrays, notes = adam()
    before = {name: array.copy() for name, array in arrays.items()}
    change(arrays, notes)
    with pytest.raises(ValueError, match=why):
        watch.restore(arrays, notes, pytest.fail)
    for name, array in watch.state()[0].items():
        np.testing.assert_array_equal(array, before[name])


def test_options_of_another_kind_are_not_taken_over() -> None:
    """A text where a number belongs, an unknown option, a wrong length: the program's own option stays."""
    watch, arrays, notes = adam()
    notes["optimizers"][0]["groups"][0]["options"].update(lr="fast", betas=[0.1], evil=1, amsgrad=3, eps=1e-3)
    assert watch.restore(arrays, notes, pytest.fail)
    group = watch._found[0].param_groups[0]
    assert (group["lr"], group["betas"], group["amsgrad"], group["eps"]) == (1e-3, (0.9, 0.999), False, 1e-3)
    assert "evil" not in group


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    """Python, numpy and torch draw after the restore what they drew after the save; foreign shapes are refused."""
    import random

    from swarmlearning import _torchstate
    from swarmlearning.client import randomness

    random.gauss(0, 1)
    np.random.normal()
    kept = {**randomness.random_state(), **_torchstate.random_state()}
    path = tmp_path / "a.resume"
    resumefile.write(path, ResumePoint("job", "ab" * 32, 1, 7, "cd" * 32, "ef" * 32, 3, 0, {}), kept)
    drawn = [random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), float(torch.rand(()))]
    found = resumefile.read(path)
    assert found is not None
    randomness.restore_random_state(found[1])
    _torchstate.restore_random_state(found[1])
    assert drawn == [random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), float(torch.rand(()))]
    for name in ("random/python/state", "random/numpy/state"):
        with pytest.raises(ValueError, match=name):
            randomness.restore_random_state({**kept, name: np.zeros(3, np.uint32)})
    with pytest.raises(ValueError, match="torch's random numbers"):
        _torchstate.restore_random_state({"random/torch": np.zeros(5000, np.uint8)})
