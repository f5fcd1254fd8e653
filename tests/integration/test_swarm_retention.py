"""Disk of real SLs: as many rounds of model files as their operators said, whatever the run's length; all see it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from support import chaos, warm
from support.lab import Lab, Site, lab
from support.snprocess import clean_environ
from swarm.core.ids import to_hex
from swarm.store.blobs import BlobStore

pytestmark = pytest.mark.timeout(180)

VALUES = 2_500
MODEL_BYTES_MAX = 12_000
FEW, MANY = 2, 5
LATE = 3
"""Rounds that a file may outlive its time: it goes when it is found spare twice."""


def held(site: Site) -> set[str]:
    return {to_hex(blob) for blob in BlobStore(site.folder / "state" / "store").ids()}


def told(swarm: Lab, site: Site) -> int:
    """Bytes of the site's models as the swarm's table has them."""
    done = warm.run(["status", "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["nodes"]}
    return int(rows.get(site.name, {}).get("disk_bytes") or 0)


def measured(site: Site) -> int:
    with urllib.request.urlopen(f"{site.ops}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("swarm_store_bytes "))))


def test_an_sl_keeps_as_many_rounds_as_it_was_told_and_no_more(tmp_path: Path) -> None:
    """Two sites, two settings, one run: each disk holds its number of merged models and inputs, the final one too."""
    with lab(tmp_path) as swarm:
        few = swarm.add_site("--keep-rounds", str(FEW)).start_sl()
        many = swarm.add_site(SL_KEEP_ROUNDS=str(MANY)).start_sl()
        chaos.train(swarm, VALUES=VALUES, BATCH_SECONDS=0.1)
        most = {few.name: 0, many.name: 0}
        for number in range(2, 15, 3):
            chaos.reach(swarm, number)
            for site in swarm.sites:
                most[site.name] = max(most[site.name], len(held(site)))
        assert few.status()["store"]["keep_rounds"] == FEW
        swarm.wait(lambda: told(swarm, many) > MANY * VALUES * 4, seconds=30, say="the table tells the bytes on disk")
        assert MANY * VALUES * 4 < measured(many) < 3 * (MANY + LATE) * MODEL_BYTES_MAX
        found = chaos.finish(swarm)

    rounds = found["rounds"]
    for site, keep in ((few, FEW), (many, MANY)):
        here = held(site)
        assert {r["merged"] for r in rounds[-keep:]} <= here
        assert not {r["merged"] for r in rounds[: -keep - LATE]} & here
        node = next(m["node"] for m in found["members"] if m["uri"].endswith(f":{site.fs_port}"))
        own = [next(c["blob"] for c in r["contributions"] if c["node"] == node) for r in rounds]
        assert set(own[-keep:]) <= here
        assert not set(own[: -keep - LATE]) & here
        # Merged models, own inputs, and the other site's of rounds that this one led: half of them.
        assert most[site.name] <= 3 * (keep + LATE)
    assert most[few.name] < most[many.name]
