"""FedProx in a real swarm: every site's model is where the formula puts it, round for round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.lab import PROGRAMS, lab

pytestmark = [pytest.mark.torch, pytest.mark.timeout(300)]

RUN_SECONDS = 240.0
MU, RATE, EVERY, BATCHES = 0.5, 0.1, 3, 6
TARGETS = (10.0, -4.0)


def stepped(w: float, merged: float, target: float, steps: int) -> float:
    """Gradient steps on (w - target)^2 / 2 + mu / 2 (w - merged)^2."""
    for _ in range(steps):
        w -= RATE * ((w - target) + MU * (w - merged))
    return w


def test_each_site_is_drawn_to_the_newest_merged_model(tmp_path: Path) -> None:
    """Two sites that want to be elsewhere: between two merges each goes exactly as far as FedProx lets it, and less
    far than plain gradient steps would go."""
    with lab(tmp_path, sites=2) as swarm:
        for site, target in zip(swarm.sites, TARGETS, strict=True):
            common = {"MIN_PEERS": 2, "EVERY": EVERY, "BATCHES": BATCHES, "RATE": RATE, "MU": MU}
            site.start_ml(PROGRAMS / "proximal.py", TARGET=target, **common)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 2
        told = [json.loads((site.out / "steps.json").read_text()) for site in swarm.sites]
    steps = (EVERY + 1, BATCHES - EVERY - 1)  # the first sync comes at batch N + 1, the last at the end
    merged = told[0]["merged"][: 1 + len(steps)]  # whoever is done first may be given one more, for all alike
    assert merged == told[1]["merged"][: 1 + len(steps)]
    assert len(merged) == 1 + len(steps)
    assert told[0]["merged"][-1] == told[1]["merged"][-1]
    for one, target in zip(told, TARGETS, strict=True):
        expected = [stepped(start, start, target, count) for start, count in zip(merged, steps, strict=False)]
        assert one["own"][1:] == pytest.approx(expected, rel=1e-9)
        free = target + (merged[0] - target) * (1 - RATE) ** steps[0]
        assert abs(one["own"][1] - merged[0]) < 0.95 * abs(free - merged[0])
