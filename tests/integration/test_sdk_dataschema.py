"""Sites whose data are not alike, in a real swarm: both sides say so before they train, and a strict swarm ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import patience
from support.lab import lab

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 150.0
LABELS = ({"labels": [0, 1], "image": [8, 8, 1]}, {"labels": [0, 1, 2], "image": [8, 8, 1]})


@pytest.mark.parametrize("strict", [False, True])
def test_other_labels_are_named_on_both_sides(tmp_path: Path, strict: bool) -> None:
    """A third label at one site: a warning in both programs and both SLs, by the member's name, before the first
    batch; where the SLs are strict, both programs end with that sentence. A site that says nothing is let alone."""
    with lab(tmp_path, sites=3, sl_flags=("--strict", str(strict).lower())) as swarm:
        one, two, silent = swarm.sites
        for site, schema in ((one, LABELS[0]), (two, LABELS[1])):
            site.start_ml(MIN_PEERS=3, BATCHES=2, SCHEMA=json.dumps(schema))
        silent.start_ml(MIN_PEERS=3, BATCHES=2)
        if strict:  # their SLs stay a minute to acknowledge the open round for others
            assert one.ml is not None
            assert two.ml is not None
            assert [ml.wait(timeout=patience.seconds(RUN_SECONDS)) for ml in (one.ml, two.ml)] == [1, 1]
        else:
            assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        logs = [(site.log("ml"), site.log("sl")) for site in (one, two)]
    for (ml, sl), where in zip(logs, ("there", "here"), strict=True):
        for log in (ml, sl):
            assert "are not like this site's" in log
            assert f"label 2 is only {where}" in log
        assert "image" not in ml[ml.index("are not like") :].splitlines()[0]
    assert "are not like" not in silent.log("ml")
    if strict:
        assert all("SwarmError" in ml for ml, _ in logs)
    else:
        for ml, _ in logs:
            assert ml.index("are not like") < ml.index("Merge Done")
