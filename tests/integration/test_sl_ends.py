"""A site whose program ends early, on running nodes: the other hears how, says so, and ends by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import patience, warm
from support.lab import lab
from support.snprocess import clean_environ

pytestmark = pytest.mark.timeout(300)


def test_the_partner_of_a_program_that_raises_ends_by_name(tmp_path: Path) -> None:
    """Two of two are needed: code and class reach the partner's program, the text stays; the table has both ends."""
    with lab(tmp_path, sites=2, SL_LEFT_MEMBERS_WAIT_SECONDS="3") as swarm:
        for number, site in enumerate(swarm.sites):
            site.start_ml(MIN_PEERS=2, BATCHES=50, BATCH_SECONDS=0.2, **({"FAIL_AT_BATCH": 3} if number == 0 else {}))
        lost, kept = swarm.sites
        assert lost.ml is not None
        assert lost.ml.wait(timeout=patience.seconds(120)) == 1
        page = json.loads((lost.folder / "exchange" / "result" / "swarm-result.json").read_text())
        assert page["verdict"] == "failed"
        assert "ended with RuntimeError" in lost.log("ml")
        assert swarm.run(seconds=120, sites=[kept]) == [(1, 1)]
        said = kept.log("ml")
        assert "its ML program ended with RuntimeError, exit code 1" in said
        assert "swarm reset" in said
        assert "none came back within 3 s" in said
        assert "was told to fail" not in said + kept.log("sl")
        done = warm.run(["status", "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=150)
        assert done.returncode == 0, done.stderr
        nodes = {row["name"]: row for row in json.loads(done.stdout)["nodes"] if row["role"] == "sl"}
        assert {row["state"] for row in nodes.values()} == {"failed"}
        assert [row["waits"] for row in nodes.values()] == [[], []]
        done = warm.run(["history", "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
        assert done.returncode == 0, done.stderr
        (run,) = json.loads(done.stdout)
        assert run["how"].startswith("ended with too few members: 0 of the 2 that it needs were left; ")
        assert run["how"].endswith("left for good; swarm reset defaultbb.cqdb.sml.hpe opens the next run")
        assert all(nodes[name]["node"] in run["how"] for name in nodes)
        assert run["began"] <= run["ended"]
