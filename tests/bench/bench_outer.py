"""Merges to equal loss with an outer optimiser against plain averaging, at long sync intervals; prints JSON.

    python tests/bench/bench_outer.py [--seeds 5]

No swarm runs here: four sites with unlike labels train one after the other (numpy, float32), are merged by the mean
with the production step on top, and start from where the production code makes them start. The loss is that of the
last committed model on held-out data. Equal: what plain averaging has reached after ``MERGES`` merges, within 1 %.
Two local rates: much of what a step gains at a small one can be had by a greater one, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from swarm.core.merge import Outer, ahead, get, shares, stepped

Floats = npt.NDArray[np.float32]

SITES, BATCH, MERGES = 4, 16, 40
STEPS: dict[str, Outer | None] = {
    "plain": None,
    "momentum 0.5 1": Outer("momentum", 50, 100),
    "momentum 0.8 1": Outer("momentum", 80, 100),
    "nesterov 0.5 1": Outer("nesterov", 50, 100),
    "nesterov 0.8 0.7": Outer("nesterov", 80, 70),
}
RATES = (1, 16)
"""Local learning rate, as a factor: a cautious one, and one at which plain averaging is near its best."""


@dataclass(frozen=True)
class Data:
    """``hidden`` 0: logistic regression. ``interval``: batches between merges."""

    name: str
    load: Callable[..., tuple[Any, Any]]
    hidden: int
    rate: float
    interval: int


DATA = (
    Data("breast cancer, logistic", load_breast_cancer, 0, 0.002, 32),
    Data("digits, 32 hidden", load_digits, 32, 0.005, 64),
)


class Net:
    """A network of at most one hidden layer whose parameters are one vector."""

    def __init__(self, inputs: int, classes: int, hidden: int) -> None:
        sizes = [inputs, hidden, classes] if hidden else [inputs, classes]
        self.shapes = list(itertools.pairwise(sizes))

    def first(self, rng: np.random.Generator) -> Floats:
        parts = [rng.normal(0, 1 / np.sqrt(a), a * b) for a, b in self.shapes]
        return np.concatenate(
            [v for part, (_, b) in zip(parts, self.shapes, strict=True) for v in (part, np.zeros(b))]
        ).astype(np.float32)

    def _layers(self, w: Floats) -> Iterator[tuple[Floats, Floats]]:
        at = 0
        for a, b in self.shapes:
            yield w[at : at + a * b].reshape(a, b), w[at + a * b : at + a * b + b]
            at += a * b + b

    def _forward(self, w: Floats, x: Floats) -> tuple[list[Floats], Floats]:
        layers, inputs = list(self._layers(w)), [x]
        for weights, bias in layers[:-1]:
            inputs.append(np.maximum(inputs[-1] @ weights + bias, 0))
        out = inputs[-1] @ layers[-1][0] + layers[-1][1]
        out -= out.max(axis=1, keepdims=True)
        odds = np.exp(out)
        return inputs, odds / odds.sum(axis=1, keepdims=True)

    def loss(self, w: Floats, x: Floats, y: npt.NDArray[np.int64]) -> float:
        _, odds = self._forward(w, x)
        return float(-np.log(odds[np.arange(len(y)), y] + 1e-12).mean())

    def gradient(self, w: Floats, x: Floats, y: npt.NDArray[np.int64]) -> Floats:
        inputs, back = self._forward(w, x)
        back[np.arange(len(y)), y] -= 1
        back /= len(y)
        parts: list[Floats] = []
        for (weights, _), given in reversed(list(zip(self._layers(w), inputs, strict=True))):
            parts += [back.sum(axis=0), (given.T @ back).ravel()]
            back = (back @ weights.T) * (given > 0)
        return np.concatenate(parts[::-1])


def split(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Indices of each site: a Dirichlet draw of labels, parameter 0.5, as is usual for label skew."""
    parts: list[list[int]] = [[] for _ in range(SITES)]
    for label in np.unique(labels):
        places = rng.permutation(np.nonzero(labels == label)[0])
        cuts = (np.cumsum(rng.dirichlet([0.5] * SITES))[:-1] * len(places)).astype(int)
        for part, found in zip(parts, np.split(places, cuts), strict=True):
            part.extend(found.tolist())
    rest = rng.permutation(len(labels))
    return [np.array(part if len(part) >= BATCH else [*part, *rest[:BATCH]]) for part in parts]


def curve(data: Data, outer: Outer | None, seed: int, merges: int, rate: float) -> list[float]:
    """Held-out loss of the committed model after each merge."""
    x, y = data.load(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(x_train)
    x_train, x_test = (scaler.transform(part).astype(np.float32) for part in (x_train, x_test))
    rng = np.random.default_rng(seed)
    sites = split(y_train, rng)
    net = Net(x.shape[1], int(y.max()) + 1, data.hidden)
    committed = [net.first(rng)]
    coefficients, mean = shares([len(site) for site in sites]), get("mean")
    losses = []
    for _ in range(merges):
        last, before = committed[-1], committed[-2] if len(committed) > 1 else None
        start = ahead(outer, "F32", last, before) if outer is not None and outer.kind == "nesterov" else last
        models = []
        for site in sites:
            w = start.copy()
            for _ in range(data.interval):
                chosen = rng.choice(site, BATCH)
                w -= np.float32(rate) * net.gradient(w, x_train[chosen], y_train[chosen])
            models.append(w)
        merged = np.empty_like(last)
        mean.merge_block(models, coefficients, merged)
        committed.append(merged if outer is None else stepped(outer, "F32", merged, last, before))
        losses.append(net.loss(committed[-1], x_test, y_test))
    return losses


def measure(seeds: int) -> list[dict[str, Any]]:
    """One row a data set, local rate and step: median merges to plain averaging's final loss, and losses at the end."""
    rows = []
    for data, factor in itertools.product(DATA, RATES):
        curves = {
            name: [curve(data, outer, seed, MERGES, factor * data.rate) for seed in range(seeds)]
            for name, outer in STEPS.items()
        }
        goals = [1.01 * plain[-1] for plain in curves["plain"]]
        for name, found in curves.items():
            merges = [
                next((n for n, loss in enumerate(losses, 1) if loss <= goal), None)
                for losses, goal in zip(found, goals, strict=True)
            ]
            reached = [n for n in merges if n is not None]
            rows.append(
                {
                    "data": data.name,
                    "interval_batches": data.interval,
                    "local_rate": round(factor * data.rate, 4),
                    "step": name,
                    "reached": f"{len(reached)} of {seeds}",
                    "merges_to_equal_loss": statistics.median(reached) if reached else None,
                    "most": max(reached, default=None),
                    "final_loss": round(statistics.mean(losses[-1] for losses in found), 4),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().seeds), indent=1))


if __name__ == "__main__":
    main()
