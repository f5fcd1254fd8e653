"""The job's option ``staleness`` on a swarm of real processes: a site that misses rounds counts for less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import chaos, warm
from support.lab import lab
from support.operators import JOB, job
from support.snprocess import clean_environ

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.row("D07")]

WEIGHTS = (10, 20, 70)
SLOW = 2


def late(record: Any, node: str) -> list[Any]:
    """A node's contributions that were behind."""
    return [
        c for r in record["rounds"] for c in r["contributions"] if c["node"] == node and c["behind"] and c["weight"]
    ]


def test_a_site_that_misses_rounds_counts_for_its_discounted_weight(tmp_path: Path) -> None:
    """Its SL says how far behind it is; shares, record, table and what is recomputed from the files all agree."""
    with lab(tmp_path, sites=3, SL_WAIT_FOR_FULL_QUORUM_SECONDS="1") as swarm:
        wrong = job(swarm, "--options", '{"staleness": {"alpha": 9}}')
        assert (wrong.returncode, "alpha=9: expected a number from 0.01 to 4" in wrong.stderr) == (2, True)
        done = job(swarm, "--options", '{"staleness": {"alpha": 0.5}}')
        assert done.returncode == 0, done.stderr
        assert '{"staleness":{"alpha":0.5}}' in done.stdout
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=chaos.READY_SECONDS, say="SLs are ready")
        by_node = {s.status()["node"]: w for s, w in zip(swarm.sites, WEIGHTS, strict=True)}
        slow = swarm.sites[SLOW]
        for site, weight in zip(swarm.sites, WEIGHTS, strict=True):
            # Another step for the slow site: with the others' one, a model that is one round behind would be the
            # others' merged model to the byte, and so not late.
            pace = {"BATCH_SECONDS": 3.0, "STEP": 0.5} if site is slow else {"BATCH_SECONDS": 0.2}
            chaos.train(swarm, site, WEIGHT=weight, **pace)
        swarm.wait(lambda: slow.status().get("behind", 0) >= 2, seconds=60, say="the slow site is two rounds behind")
        assert " rounds behind" in slow.status()["detail"]
        mine = next(node for node, weight in by_node.items() if weight == WEIGHTS[SLOW])
        swarm.wait(lambda: bool(late(chaos.record(swarm), mine)), seconds=60, say="its late model is merged")
        found = chaos.finish(swarm)
        runs = warm.run(["history", JOB, "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
        states = [str(s.folder / "state") for s in swarm.sites]
        again = [
            warm.run(
                ["audit", JOB, "--recompute", "--state-dir", state, "--ops", swarm.sn.ops], clean_environ(), seconds=60
            )
            for state in states
        ]
        log = swarm.sites[0].log("sl")
    for round_ in found["rounds"]:
        used = [c for c in round_["contributions"] if c["weight"]]
        counts = [by_node[c["node"]] * (1 + c["behind"]) ** -0.5 for c in used]
        for one, count in zip(used, counts, strict=True):
            assert one["weight"] == by_node[one["node"]]
            assert one["counted"] == pytest.approx(count, rel=1e-6)
            assert one["coefficient"] == pytest.approx(count / sum(counts), rel=1e-6)
    (run,) = json.loads(runs.stdout)
    assert run["late"] == sum(1 for r in found["rounds"] for c in r["contributions"] if c["weight"] and c["behind"])
    assert f"the model of {mine} is " in log
    assert "the job's option staleness: alpha 0.5" in log
    assert all(done.returncode in (0, 4, 5) for done in again), [done.stdout for done in again]
    assert any("(says 70)" in done.stdout for done in again)
    assert not any("DIFFERENT" in done.stdout for done in again)
