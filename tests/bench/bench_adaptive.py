"""Rounds that adaptive sync saves at equal final loss: two data sets, four sites with unlike labels, ten seeds.

No swarm runs here: sites train one after the other and are merged by the mean, with the production rule for the next
interval. What is compared is the number of merges and the loss of the last merged model on held-out data.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from swarm.core.control.adaptive import next_interval
from swarm.core.limits import FIXED_POINT

SITES, BATCH, INTERVAL = 4, 16, 8


@dataclass(frozen=True)
class Outcome:
    """One training: merges done, and the last merged model's loss on held-out data."""

    merges: int
    loss: float


@dataclass(frozen=True)
class Data:
    name: str
    load: Callable[..., tuple[object, object]]
    hidden: int
    rate: float
    batches: int


DATA = (
    Data("breast cancer", load_breast_cancer, 0, 0.05, 600),
    Data("digits", load_digits, 32, 0.1, 1200),
)


def network(inputs: int, classes: int, hidden: int) -> torch.nn.Module:
    if not hidden:
        return torch.nn.Linear(inputs, classes)
    return torch.nn.Sequential(torch.nn.Linear(inputs, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, classes))


def split(labels: torch.Tensor, seed: int) -> list[torch.Tensor]:
    """Indices of each site: a Dirichlet draw of labels, parameter 0.5, as is usual for label skew."""
    made = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    parts: list[list[int]] = [[] for _ in range(SITES)]
    for label in labels.unique():
        places = torch.nonzero(labels == label).flatten()
        places = places[torch.randperm(len(places), generator=made)]
        share = torch.distributions.Dirichlet(torch.full((SITES,), 0.5)).sample()
        ends = (share.cumsum(0) * len(places)).round().long().tolist()
        begin = 0
        for part, end in zip(parts, [*ends[:-1], len(places)], strict=True):
            part.extend(places[begin:end].tolist())
            begin = end
    return [torch.tensor(p if len(p) >= BATCH else list(range(BATCH))) for p in parts]


def train(data: Data, seed: int, interval: Callable[[int, int | None, int | None], int]) -> Outcome:
    """Train with merges whenever ``interval`` (last, loss before, loss now) says."""
    x, y = data.load(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    scale = StandardScaler().fit(train_x)
    features = torch.tensor(scale.transform(train_x), dtype=torch.float32)
    held = torch.tensor(scale.transform(test_x), dtype=torch.float32)
    labels, held_labels = torch.tensor(train_y), torch.tensor(test_y)
    torch.manual_seed(seed)
    classes = int(labels.max()) + 1
    merged = network(features.shape[1], classes, data.hidden)
    sites, made = split(labels, seed), torch.Generator().manual_seed(seed)
    weights = [len(s) for s in sites]
    loss_of = torch.nn.functional.cross_entropy
    done, merges, last = 0, 0, INTERVAL
    before: int | None = None
    while done < data.batches:
        batches = min(last, data.batches - done)
        models = []
        for places in sites:
            local = network(features.shape[1], classes, data.hidden)
            local.load_state_dict(merged.state_dict())
            steps = torch.optim.SGD(local.parameters(), lr=data.rate)
            for _ in range(batches):
                chosen = places[torch.randint(len(places), (BATCH,), generator=made)]
                steps.zero_grad()
                loss_of(local(features[chosen]), labels[chosen]).backward()
                steps.step()
            models.append(local.state_dict())
        merged.load_state_dict(
            {k: sum(w * m[k] for w, m in zip(weights, models, strict=True)) / sum(weights) for k in models[0]}
        )
        done += batches
        merges += 1
        with torch.no_grad():
            now = round(float(loss_of(merged(held), held_labels)) * FIXED_POINT)
        last = interval(last, before, now)
        before = now
    with torch.no_grad():
        return Outcome(merges, float(loss_of(merged(held), held_labels)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = []
    for data in DATA:
        fixed, adaptive = [], []
        for seed in range(given.seeds):
            fixed.append(train(data, seed, lambda last, before, now: INTERVAL))
            adaptive.append(train(data, seed, lambda last, before, now: next_interval(INTERVAL, last, before, now)))
        losses = [statistics.mean(o.loss for o in outcomes) for outcomes in (fixed, adaptive)]
        merges = [statistics.mean(o.merges for o in outcomes) for outcomes in (fixed, adaptive)]
        report.append(
            {
                "data": data.name,
                "batches": data.batches,
                "seeds": given.seeds,
                "merges": {"fixed": merges[0], "adaptive": merges[1]},
                "loss": {"fixed": round(losses[0], 5), "adaptive": round(losses[1], 5)},
                "merges_saved": round(1 - merges[1] / merges[0], 3),
                "loss_ratio": round(losses[1] / losses[0], 4),
                "runs": {"fixed": [asdict(o) for o in fixed], "adaptive": [asdict(o) for o in adaptive]},
            }
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
