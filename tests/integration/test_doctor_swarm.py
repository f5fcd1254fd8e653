"""`swarm doctor` and `swarm site check` beside real nodes: a path that answers, a foreign CA, who lives and who not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import patience
from support.certs import Authority
from support.lab import Lab, lab
from support.snprocess import clean_environ
from swarm.net.tls import TlsFiles

pytestmark = pytest.mark.timeout(240)
NOWHERE = "unix:///no/engine.sock"
INVENTORY = """swarm: s
sites:
- {name: site-1, host: one.example.org, sn: {}}
"""


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One SN, and two SLs in a run that goes on as long as it is looked at."""
    with lab(tmp_path_factory.mktemp("doctor"), sites=2) as running:
        for site in running.sites:
            site.start_ml(EPOCHS=100_000, BATCHES=4, EVERY=4, BATCH_SECONDS=0.1, MIN_PEERS=2)
        running.wait(lambda: running.sites[0].status().get("round", 0) >= 1, seconds=60, say="round 1")
        yield running


def told(*words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and data."""
    done = subprocess.run(
        [sys.executable, "-m", "swarm.cli", *words, "--output", "json"],
        capture_output=True,
        text=True,
        timeout=patience.seconds(60),
        env=clean_environ(),
        check=False,
    )
    assert done.stdout, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return done.returncode, data


def as_member(files: TlsFiles) -> list[str]:
    return ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]


def doctor(swarm: Lab, files: TlsFiles, *more: str) -> tuple[int, dict[str, Any]]:
    return told("doctor", "--sn", f"127.0.0.1:{swarm.sn.port}", "--engine", NOWHERE, *as_member(files), *more)


def test_the_sn_and_all_nodes_that_it_knows_are_reached(swarm: Lab) -> None:
    """The SLs' addresses are learnt from the SN, once it knows that they are in a job; the engine alone is wrong."""
    files = swarm.sites[0].files
    expected = {swarm.sn.port, *(one.fs_port for one in swarm.sites)}
    swarm.wait(
        lambda: {one["port"] for one in doctor(swarm, files)[1]["reached"]} == expected, seconds=60, say="all are known"
    )
    code, data = doctor(swarm, files)
    faults = [one for one in data["findings"] if one["level"] == "fault"]
    assert code == 1
    assert [one["area"] for one in faults] == ["engine"], faults
    assert {one["reach"] for one in data["reached"]} == {"answers"}, data["reached"]
    assert {"certificates", "clock"} <= {one["area"] for one in data["findings"]}


def test_a_certificate_of_another_ca_and_a_closed_port_are_told_apart(swarm: Lab, tmp_path: Path) -> None:
    """Scenario 10: the field at fault is named on this end as well."""
    foreign = Authority("another CA").node(tmp_path, "stranger", trusts=swarm.ca)
    code, data = doctor(swarm, foreign, "--peer", "127.0.0.1:9")
    assert code == 1
    assert {one["port"]: one["reach"] for one in data["reached"]} == {swarm.sn.port: "untrusted", 9: "refused"}
    (path,) = (one for one in data["findings"] if one["area"] == "path" and one["level"] == "fault")
    assert "issuer" in path["text"]
    assert path["fix"]


def test_what_lives_is_held_against_the_inventory(swarm: Lab, tmp_path: Path) -> None:
    """The inventory's SN is not heard of, and the three nodes that live are nobody's."""
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    asks = ["--sn", f"127.0.0.1:{swarm.sn.port}", *as_member(swarm.sites[0].files)]
    code, data = told("site", "check", str(tmp_path / "inventory.yaml"), *asks)
    assert code == 1
    levels = sorted((one["level"], one["text"].split(" ")[0].rpartition("/")[2]) for one in data["findings"])
    assert levels == [("fault", "site-1-sn"), ("warn", "sl-1"), ("warn", "sl-2"), ("warn", "sn-1")]
