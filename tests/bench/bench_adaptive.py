"""Merges that adaptive sync saves at equal loss: two data sets, four sites with unlike labels, ten seeds.

No swarm runs here: sites train one after the other and are merged by the mean, with the production rule for the next
interval. The target of a seed is 1.01 times the held-out loss that the fixed interval ends with; what is compared is
how many merges, and how many batches of each site, either way takes until the merged model first is there. Merges
are what a swarm pays for in time and bytes; batches may be more. As a control, a fixed interval as long as the
longest that the rule may take.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from swarm.core.control.adaptive import HIGHEST_FACTOR, next_interval
from swarm.core.limits import FIXED_POINT

SITES, BATCH, INTERVAL = 4, 16, 8
TOLERANCE = 1.01
"""Equal loss: within 1 %."""
BATCHES_FACTOR_MAX = 3
"""The adaptive run may train so many times as long as the fixed one; else it has not reached the target."""


@dataclass(frozen=True)
class Merge:
    """The merged model after so many batches of each site, and its loss on held-out data."""

    batches: int
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


def train(
    data: Data,
    seed: int,
    interval: Callable[[int, int | None, int | None], int],
    *,
    batches_max: int,
    target: float,
    first: int = INTERVAL,
) -> list[Merge]:
    """Train with merges whenever ``interval`` (last, loss before, loss now) says, until ``target`` or the end."""
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
    last, before = first, None
    done: list[Merge] = []
    trained = 0
    while trained < batches_max and not (done and done[-1].loss <= target):
        batches = min(last, batches_max - trained)
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
        trained += batches
        with torch.no_grad():
            loss = float(loss_of(merged(held), held_labels))
        done.append(Merge(trained, loss))
        now = round(loss * FIXED_POINT)
        last, before = interval(last, before, now), now
    return done


def compared(data: Data, seed: int) -> dict[str, float | int | bool]:
    """One seed: merges and batches until the target, with the fixed interval and with the adaptive one."""
    fixed = train(data, seed, lambda last, before, now: INTERVAL, batches_max=data.batches, target=-1.0)
    target = TOLERANCE * fixed[-1].loss
    first = next(index for index, merge in enumerate(fixed) if merge.loss <= target)
    adaptive = train(
        data,
        seed,
        lambda last, before, now: next_interval(INTERVAL, last, before, now),
        batches_max=BATCHES_FACTOR_MAX * data.batches,
        target=target,
    )
    # What a fixed interval as long as the longest that the rule may take does: is it the rule, or just the length?
    long = train(
        data,
        seed,
        lambda last, before, now: HIGHEST_FACTOR * INTERVAL,
        batches_max=BATCHES_FACTOR_MAX * data.batches,
        target=target,
        first=HIGHEST_FACTOR * INTERVAL,
    )
    return {
        "seed": seed,
        "target": round(target, 5),
        "fixed_merges": first + 1,
        "fixed_batches": fixed[first].batches,
        "adaptive_merges": len(adaptive),
        "adaptive_batches": adaptive[-1].batches,
        "reached": adaptive[-1].loss <= target,
        "long_merges": len(long),
        "long_batches": long[-1].batches,
        "long_reached": long[-1].loss <= target,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = []
    for data in DATA:
        runs = [compared(data, seed) for seed in range(given.seeds)]
        mean = {
            name: statistics.mean(run[name] for run in runs)
            for name in runs[0]
            if name not in ("seed", "reached", "long_reached")
        }
        report.append(
            {
                "data": data.name,
                "interval": INTERVAL,
                "seeds": given.seeds,
                "reached": sum(bool(run["reached"]) for run in runs),
                "long_reached": sum(bool(run["long_reached"]) for run in runs),
                **{name: round(value, 4) for name, value in mean.items()},
                "merges_saved": round(1 - mean["adaptive_merges"] / mean["fixed_merges"], 3),
                "batches_more": round(mean["adaptive_batches"] / mean["fixed_batches"] - 1, 3),
                "runs": runs,
            }
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
