"""useAdaptiveSync on a swarm of real processes: the intervals that programs keep to, the chain and the status tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import warm
from support.lab import Lab, lab
from support.snprocess import clean_environ

pytestmark = pytest.mark.timeout(180)

JOB = "defaultbb.cqdb.sml.hpe"
EVERY = 4


def rounds_on_chain(swarm: Lab) -> list[dict[str, Any]]:
    done = warm.run(["audit", JOB, "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["rounds"]
    return found


def ruled(rounds: list[dict[str, Any]]) -> list[int]:
    """The rule of docs/operations.md in plain arithmetic, from what each node reported: weights 1 and 3."""
    last, before, found = EVERY, None, []
    for one in rounds:
        told = [(c["weight"], c["loss"]) for c in one["contributions"] if c["loss"] is not None]
        now = sum(w * v for w, v in told) / sum(w for w, _ in told) if told else None
        if before is not None and now is not None:
            gain = (before - now) / abs(before)
            if gain < -0.05:
                last = max(EVERY // 2, last // 2)
            elif gain >= -0.01:
                last = min(4 * EVERY, last + (last + 1) // 2)
        before = now
        found.append(last)
    return found


@pytest.mark.row("D06")
@pytest.mark.row("D08")
@pytest.mark.row("K07")
@pytest.mark.parametrize(
    ("start", "step", "batches_in_all", "limit"),
    [(1000, -1, 60, 4 * EVERY), (8, 4, 30, EVERY // 2)],
    ids=["falling", "rising"],
)
def test_all_sites_keep_to_the_interval_that_follows_from_the_merged_loss(
    tmp_path: Path, start: int, step: int, batches_in_all: int, limit: int
) -> None:
    """A falling loss lengthens the interval to four times what was asked, a rising one halves it, at both sites alike.

    The sites' losses differ by 4 and their weights are 1:3: combined, the loss is that of the lighter one plus 3.
    """
    shown: dict[int, tuple[int, float | None]] = {}
    settings = {
        "MIN_PEERS": 2,
        "EVERY": EVERY,
        "BATCHES": batches_in_all,
        "BATCH_SECONDS": 0.05,
        "START": start,
        "STEP": step,
    }
    with lab(tmp_path, sites=2) as swarm:
        for site, weight, bias in zip(swarm.sites, (1, 3), (0, 4), strict=True):
            site.start_ml(**settings, WEIGHT=weight, BIAS=bias, ADAPTIVE=1)

        def look() -> bool:
            status = swarm.sites[0].status()
            if status.get("round"):
                shown[status["round"]] = (status["interval"], status["combined"]["loss"])
            return all(site.ml is not None and site.ml.poll() is not None for site in swarm.sites)

        swarm.wait(look, seconds=120, say="both programs have ended")
        assert swarm.run(seconds=30) == [(0, 0)] * 2
        rounds = rounds_on_chain(swarm)
        merged = [site.result()["merged"] for site in swarm.sites]
        assert merged[0] == merged[1]

        intervals = [one["interval"] for one in rounds]
        assert intervals == ruled(rounds)
        assert intervals[-1] == limit
        batches = [round((value - start) / step) for value in merged[0]]
        expected = [0]
        for index, interval in enumerate(intervals[:-1]):
            expected.append(expected[-1] + interval + (index == 0))  # row K14: the first one comes a batch later
        assert batches[:-1] == expected[:-1]
        assert batches[-1] == batches_in_all

        assert len(shown) >= 4
        for number, (interval, loss) in shown.items():
            told = {c["weight"]: c["loss"] for c in rounds[number - 1]["contributions"]}
            assert interval == intervals[number - 1]
            if told[1] is None:
                assert loss is None
            else:
                assert told[3] == told[1] + 4
                assert loss == pytest.approx(told[1] + 3, abs=2e-6)
