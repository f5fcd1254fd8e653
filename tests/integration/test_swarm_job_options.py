"""``swarm job`` on a swarm of real processes: what an operator sets, all members of the next run follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lab import lab
from support.operators import JOB, audit, job

pytestmark = pytest.mark.timeout(180)


@pytest.mark.row("D09")
def test_a_round_limit_ends_the_run_at_every_site(tmp_path: Path) -> None:
    """Programs that would train for 1,000 batches end well after the rule holds, with equal models."""
    with lab(tmp_path, sites=2) as here:
        assert "options none" in job(here).stdout
        wrong = job(here, "--options", '{"stop": {"patience": 0}}')
        assert (wrong.returncode, "patience" in wrong.stderr) == (2, True)
        done = job(here, JOB, "--options", '{"stop": {"max_rounds": 3}}')
        assert done.returncode == 0, done.stderr
        assert '{"stop":{"max_rounds":3}}' in done.stdout

        here.sites[0].start_ml(MIN_PEERS=2, BATCHES=1000, EVERY=2, BATCH_SECONDS=0.02)
        here.wait(lambda: here.sites[0].status().get("state") == "joined", seconds=60, say="one has joined")
        late = job(here, "--options", "{}")
        assert late.returncode == 2
        assert "run 1 of defaultbb.cqdb.sml.hpe is open" in late.stderr
        here.sites[1].start_ml(MIN_PEERS=2, BATCHES=1000, EVERY=2, BATCH_SECONDS=0.02)
        assert here.run(seconds=90) == [(0, 0)] * 2
        assert len({site.result()["sha256"] for site in here.sites}) == 1
        record = audit(here)
        assert (record["phase"], len(record["rounds"])) == ("complete", 4)
        assert all(c["done"] for c in record["rounds"][3]["contributions"])
        assert not any(c["done"] for r in record["rounds"][:3] for c in r["contributions"])
        assert "stop rule holds: 3 rounds are done" in here.sites[0].log("sl")
