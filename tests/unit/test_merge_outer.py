"""The outer optimiser's arithmetic: rounds of merged files against a plain float64 one that keeps its velocity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm.core.control.joboptions import JobOptions, canonical
from swarm.core.errors import OperatorFault
from swarm.core.merge import Outer, get, shares, split, stepped, takes_step
from swarm.sl.merging import SMALL_WINDOW_BYTES, WINDOW_BYTES, look_ahead, merge_files
from swarm.sl.modelfiles import UnusableInput
from swarmlearning import tensorfile

PLATFORM = {"platform": "PYT"}
EPSILON = {"F64": 1e-12, "F32": 2e-5, "F16": 0.02, "BF16": 0.15}
"""How far ten rounds of values near 1 may drift from a float64 reference."""


def write(path: Path, values: dict[str, Any], dtypes: dict[str, str] | None = None) -> Path:
    tensorfile.write(path, values, PLATFORM, dtypes=dtypes, durable=False)
    return path


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return tensorfile.from_float32(values.astype(np.float32))
    return values.astype({"F64": np.float64, "F32": np.float32, "F16": np.float16}[dtype])


def read(path: Path, name: str, dtype: str) -> np.ndarray:
    array = tensorfile.open_arrays(path)[name]
    return np.array(tensorfile.to_float32(array, dtype) if dtype == "BF16" else array, np.float64)


class Plain:
    """The textbook's outer optimisers: parameters and a velocity, in float64, fed with the merged difference."""

    def __init__(self, outer: Outer, first: np.ndarray) -> None:
        self.outer, self.here, self.velocity = outer, first, np.zeros_like(first)

    def round(self, merged: np.ndarray) -> None:
        gradient = self.here - merged
        mu, eta = self.outer.mu / 100, self.outer.eta / 100
        if self.outer.kind == "momentum":
            self.velocity = mu * self.velocity + eta * gradient
            self.here = self.here - self.velocity
        else:  # as torch.optim.SGD(lr=eta, momentum=mu, nesterov=True) does
            self.velocity = mu * self.velocity + gradient
            self.here = self.here - eta * (gradient + mu * self.velocity)


def swarm_rounds(
    folder: Path, outer: Outer, moves: np.ndarray, dtype: str, window: int = WINDOW_BYTES
) -> tuple[list[Path], list[np.ndarray]]:
    """Committed files, and where the sites train from after each: in round r site s adds ``moves[r, s]``."""
    rounds, sites, size = moves.shape
    weights = list(range(1, sites + 1))
    committed: list[Path] = []
    starts: list[np.ndarray] = []
    for number in range(rounds):
        here = starts[-1] if starts else np.ones(size)
        inputs = [
            write(folder / f"in-{number}-{s}", {"w": stored(here + moves[number, s], dtype)}, _bf(dtype))
            for s in range(sites)
        ]
        out = folder / f"x-{number}"
        past: list[Path | None] = [None, None, *committed]
        merge_files(
            inputs, shares(weights), out, get("mean"), previous=past[-1], outer=outer, before=past[-2], window=window
        )
        committed.append(out)
        start = out
        if outer.kind == "nesterov" and number > 0:
            start = folder / f"y-{number}"
            look_ahead(out, committed[-2], outer, start, window=window)
        starts.append(read(start, "w", dtype))
    return committed, starts


def _bf(dtype: str) -> dict[str, str] | None:
    return {"w": "BF16"} if dtype == "BF16" else None


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["momentum", "nesterov"]),
    mu=st.integers(0, 95),
    eta=st.integers(10, 130),
    dtype=st.sampled_from(["F64", "F32"]),
)
def test_rounds_of_committed_files_are_those_of_an_optimiser_that_keeps_its_velocity(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: Any, mu: int, eta: int, dtype: str
) -> None:
    """Weights 1:2:3, eight rounds: where sites train from is what FedAvgM, or torch's Nesterov, gives."""
    outer = Outer(kind, mu, eta)
    moves = np.random.default_rng(seed).normal(0, 0.1, (8, 3, 7))
    _, starts = swarm_rounds(tmp_path_factory.mktemp("rounds"), outer, moves, dtype)
    mean = np.average(moves, axis=1, weights=[1, 2, 3])
    plain = Plain(outer, 1 + mean[0])
    np.testing.assert_allclose(starts[0], plain.here, rtol=EPSILON[dtype])
    for number in range(1, 8):
        plain.round(plain.here + mean[number])
        np.testing.assert_allclose(starts[number], plain.here, rtol=EPSILON[dtype], atol=EPSILON[dtype])


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_half_precision_models_follow_as_far_as_their_digits_go(tmp_path: Path, kind: Any, dtype: str) -> None:
    """The velocity is the difference of two rounded files: no better than they are, and no worse."""
    outer = Outer(kind, 80, 100)
    moves = np.random.default_rng(5).normal(0, 0.1, (6, 2, 5))
    _, starts = swarm_rounds(tmp_path, outer, moves, dtype)
    mean = np.average(moves, axis=1, weights=[1, 2])
    plain = Plain(outer, 1 + mean[0])
    for number in range(1, 6):
        plain.round(plain.here + mean[number])
        np.testing.assert_allclose(starts[number], plain.here, atol=EPSILON[dtype])


@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_windows_change_no_byte(tmp_path: Path, kind: Any) -> None:
    """The same files, cut otherwise; some tensors take no step, and lie across windows."""
    rng = np.random.default_rng(3)
    shapes = {"a.weight": 9_001, "bn.running_var": 30_011, "c.bias": 17, "d.moving_mean": 4_099, "e": 9_999}
    files = [
        write(tmp_path / f"m{i}", {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()})
        for i in range(4)
    ]
    before, last, *inputs = files
    outer, found, starts = Outer(kind, 90, 70), [], []
    for window in (WINDOW_BYTES, SMALL_WINDOW_BYTES, 4096):
        out, start = tmp_path / f"out-{window}", tmp_path / f"start-{window}"
        merge_files(inputs, (0.5, 0.5), out, get("mean"), previous=last, outer=outer, before=before, window=window)
        look_ahead(last, before, outer, start, window=window)
        found.append(out.read_bytes())
        starts.append(start.read_bytes())
    assert len(set(found)) == len(set(starts)) == 1
    merged, made = tensorfile.open_arrays(tmp_path / "out-4096"), tensorfile.open_arrays(tmp_path / "start-4096")
    models = [tensorfile.open_arrays(f) for f in files]
    for name in shapes:
        old, new, one, two = (np.array(m[name], np.float64) for m in models)
        mean, velocity = (one + two) / 2, 0.9 * (new - old)
        here = new + velocity if kind == "nesterov" else new
        step = mean - 0.3 * (mean - here) + (velocity if kind == "momentum" else 0)
        np.testing.assert_allclose(merged[name], step if takes_step(name) else mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(made[name], new + velocity if takes_step(name) else new, rtol=1e-5, atol=1e-6)


def test_counters_votes_and_running_statistics_take_no_step(tmp_path: Path) -> None:
    """They are merged as without one: a variance with momentum may become negative."""

    def model(path: str, scale: float) -> Path:
        values = {"n": np.array(int(10 * scale)), "b": np.array([scale > 2]), "bn.running_var": np.full(3, scale)}
        return write(tmp_path / path, {**values, "w": np.full(3, scale)})

    before, last, one, two = (model(n, s) for n, s in (("before", 9.0), ("last", 3.0), ("one", 1.0), ("two", 2.0)))
    for kind in ("momentum", "nesterov"):
        outer = Outer("momentum" if kind == "momentum" else "nesterov", 90, 100)
        plain, out = tmp_path / "plain", tmp_path / "out"
        merge_files([one, two], (0.5, 0.5), plain, get("mean"))
        merge_files([one, two], (0.5, 0.5), out, get("mean"), previous=last, outer=outer, before=before)
        with_step, without = tensorfile.open_arrays(out), tensorfile.open_arrays(plain)
        for name in ("n", "b", "bn.running_var"):
            np.testing.assert_array_equal(with_step[name], without[name])
        assert float(with_step["w"][0]) == pytest.approx(1.5 - 5.4 if kind == "momentum" else 1.5)


@pytest.mark.parametrize("name", ["mean", "coordmedian", "geomedian", "mean-clipped"])
def test_every_method_takes_the_step_on_top_of_what_it_gives_alone(tmp_path: Path, name: str) -> None:
    """x = m + mu v, whatever gave m; norms are measured from the previous model as ever."""
    rng = np.random.default_rng(9)
    files = [write(tmp_path / f"m{i}", {"w": rng.normal(0, 1, 501)}) for i in range(5)]
    before, last, *inputs = files
    alone, out = tmp_path / "alone", tmp_path / "out"
    norms = merge_files(inputs, (0.2, 0.3, 0.4), alone, get(name), previous=last, norms=True)
    outer = Outer("momentum", 50, 100)
    args: Any = {"previous": last, "outer": outer, "before": before}
    assert merge_files(inputs, (0.2, 0.3, 0.4), out, get(name), norms=True, **args) == norms
    found, merged, new, old = (np.array(tensorfile.open_arrays(f)["w"]) for f in (out, alone, last, before))
    np.testing.assert_allclose(found, merged + 0.5 * (new - old), rtol=1e-12, atol=1e-12)
    merge_files(inputs, (0.2, 0.3, 0.4), tmp_path / "same", get(name), previous=last, outer=outer)
    assert (tmp_path / "same").read_bytes() == alone.read_bytes()  # no velocity yet, and eta 1


def test_what_does_not_move_keeps_its_bits_and_nothing_leaves_the_range() -> None:
    """A frozen -0.0 stays one; where the step would give infinity the merge's own value stands."""
    top = np.finfo(np.float32).max
    merged = np.array([-0.0, top, 1.0], np.float32)
    last, before = np.array([-0.0, top, 1.0], np.float32), np.array([-0.0, -top, 1.0], np.float32)
    for outer in (Outer("momentum", 90, 100), Outer("nesterov", 90, 70)):
        found = stepped(outer, "F32", merged, last, before)
        assert found.tobytes() == merged.tobytes()
    wide = stepped(Outer("momentum", 90, 999), "F64", merged.astype(np.float64), np.full(3, 1e308), np.full(3, -1e308))
    assert np.isfinite(wide).all()


def test_bad_values_are_told_by_whose_they_are(tmp_path: Path) -> None:
    """A site's NaN is that site's; where a model of the rounds before is not finite, no step is taken from there."""
    good = [write(tmp_path / f"g{i}", {"w": np.ones(4)}) for i in range(2)]
    bad = write(tmp_path / "bad", {"w": np.array([1, 2, np.nan, 3])})
    outer = Outer("momentum", 90, 100)
    with pytest.raises(UnusableInput) as site:
        merge_files([good[0], bad], (0.5, 0.5), tmp_path / "o", get("mean"), previous=good[0], outer=outer)
    assert site.value.index == 1
    assert not (tmp_path / "o").exists()
    merge_files(good, (0.5, 0.5), tmp_path / "o", get("mean"), previous=good[0], outer=outer, before=bad)
    stepped_from = tensorfile.open_arrays(tmp_path / "o")["w"]
    assert np.isfinite(stepped_from).all()
    assert stepped_from[2] == 1.0
    look_ahead(bad, good[0], outer, tmp_path / "ahead")
    ahead_of = tensorfile.open_arrays(tmp_path / "ahead")["w"]
    assert np.isnan(ahead_of).tolist() == [False, False, True, False]


@given(kind=st.sampled_from(["momentum", "nesterov"]), mu=st.integers(0, 99), eta=st.integers(1, 999))
def test_a_word_on_chain_tells_method_and_step(kind: Any, mu: int, eta: int) -> None:
    """Every built-in method fits into 32 bytes with every step, and is read back."""
    outer = Outer(kind, mu, eta)
    for method in ("mean", "coordmedian", "geomedian", "mean-clipped"):
        word = outer.word(method)
        assert len(word.encode("ascii")) <= 32
        assert split(word) == (method, outer)
    assert outer.at_rest == Outer(kind, 0, eta)


@pytest.mark.parametrize(
    "word", ["mean", "mean+momentum", "mean+momentum:0.90:1", "mean+momentum:0.9:0", "a+b", "+nag:0:1"]
)
def test_other_words_are_methods_of_their_own(word: str) -> None:
    """Only the one spelling that a leader writes is a step."""
    assert split(word) == (word, None)


def test_the_job_option_is_read_strictly() -> None:
    """Defaults, and each wrong value by name."""
    assert JobOptions.from_text(canonical({"outer": {"method": "momentum"}})).outer == Outer("momentum", 50, 100)
    wrong: list[dict[str, Any]] = [
        {"method": "adam"},
        {"method": "momentum", "mu": 1},
        {"method": "momentum", "mu": 0.999},
        {"method": "nesterov", "eta": 0},
        {"method": "nesterov", "eta": True},
        {"method": "nesterov", "beta": 1},
        {"mu": 0.5},
    ]
    for fields in wrong:
        with pytest.raises(OperatorFault, match="outer: "):
            canonical({"outer": fields})
    with pytest.raises(OperatorFault, match="shorter name"):
        Outer("nesterov", 95, 95).word("a-method-with-a-long-name")


@pytest.mark.parametrize("name", ["norm/moving_variance", "norm/moving_variance:0", "variance:0#2", "mean@0123abcd"])
def test_running_statistics_take_no_step_however_a_client_spells_them(name: str) -> None:
    """Keras 2 ends names in an output's number; a table's mark may follow: a variance must not become negative."""
    assert not takes_step(name)
    assert takes_step(name.replace("variance", "kernel").replace("mean", "kernel").replace("moving_", ""))
