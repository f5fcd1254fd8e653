"""State lost, same certificate, on real processes: containers that keep no folder come back and go on."""

from __future__ import annotations

import itertools
import shutil
import signal
from pathlib import Path

import pytest
from support import chaos
from support.lab import Site, lab


def lose(site: Site) -> None:
    """End the node as a container manager does, and throw away all but its certificate."""
    assert site.sl is not None
    assert site.ml is not None
    site.ml.kill()
    site.ml.wait()
    site.sl.send_signal(signal.SIGTERM)
    site.sl.wait(60)
    for name in ("state", "exchange", "out"):
        shutil.rmtree(site.folder / name, ignore_errors=True)


@pytest.mark.timeout(400)
def test_a_site_without_its_folder_goes_on_in_mid_run(tmp_path: Path) -> None:
    """Another member by the same certificate, twice; the old key is revoked, no file differs, each round is once."""
    with lab(tmp_path, sites=3) as swarm:
        chaos.train(swarm)
        chaos.reach(swarm, 2)
        site = swarm.sites[1]
        before = [site.status()["node"]]
        for _ in range(2):
            lose(site)
            chaos.revive(swarm, site, START=1000)
            swarm.wait(lambda: site.status().get("round", 0) > 0, seconds=120, say="its SL is back in the run")
            before.append(site.status()["node"])
            chaos.go_on(swarm, 3, *swarm.sites, seconds=90)
        found = chaos.finish(swarm)
        said = swarm.sn.log
    assert len(set(before)) == 3
    for old, heir in itertools.pairwise(before):
        assert f"{heir} takes the place of {old}" in said
    for one in found["rounds"]:
        named = [c["node"] for c in one["contributions"]]
        assert len(set(named) & set(before)) <= 1, one["round"]
    assert before[-1] in {c["node"] for c in found["rounds"][-1]["contributions"]}
