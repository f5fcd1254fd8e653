"""``swarm reset`` and ``swarm history`` on a swarm of real processes: runs end, begin and are told apart."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import patience, swci, warm
from support.lab import Lab, lab
from support.snprocess import clean_environ
from swarm.core.blobid import ChunkList, chunk_hash
from swarm.core.ids import to_hex

COMMAND_SECONDS = 60.0


def swarm(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as an operator does."""
    return warm.run(argv, clean_environ(), seconds=COMMAND_SECONDS)


def reset(lab_: Lab, *argv: str) -> subprocess.CompletedProcess[str]:
    """``swarm reset`` from an operator's own folder, with a certificate of role swci."""
    folder = lab_.folder / "operator"
    files = lab_.ca.node(folder / "certs", "ci-1", uri="spiffe://test/operators/swci/ci-1")
    trust = ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
    return swarm("reset", *argv, "--sn-ip", f"127.0.0.1:{lab_.sn.port}", "--state-dir", str(folder / "state"), *trust)


def history(lab_: Lab) -> list[dict[str, Any]]:
    done = swarm("history", "defaultbb.cqdb.sml.hpe", "--json", "--ops", lab_.sn.ops)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def rounds(lab_: Lab) -> int:
    return int(lab_.sites[0].status().get("round", 0))


@pytest.mark.row("C12")
@pytest.mark.row("D18")
@pytest.mark.row("D26")
@pytest.mark.timeout(180)
def test_a_busy_job_is_reset_by_force_only_and_its_runs_are_told_apart(tmp_path: Path) -> None:
    """Refused with who is live; by force the programs fail by name; the same folders train the next run to its end."""
    with lab(tmp_path, sites=2) as here:
        idle = reset(here)
        assert (idle.returncode, idle.stdout) == (2, "")
        assert "nothing to reset: nobody has joined run 1" in idle.stderr
        for site in here.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=400, BATCH_SECONDS=0.1)
        here.wait(lambda: rounds(here) >= 2, seconds=60, say="round 2")
        watching = subprocess.Popen(
            [sys.executable, "-m", "swarm.cli", "wait", "defaultbb.cqdb.sml.hpe", "--ops", here.sn.ops],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environ(),
        )
        nodes = [str(site.status()["node"]) for site in here.sites]
        refused = reset(here)
        assert refused.returncode == 2
        assert "run 1 has 2 live members" in refused.stderr
        for site, node in zip(here.sites, nodes, strict=True):
            assert f"{site.name} {node}, joined {time.strftime('%Y-', time.gmtime())}" in refused.stderr
        assert "--force" in refused.stderr
        shell = swci.operator(here.folder / "shell", here.sn, here.ca, "ci-2")
        busy = shell.shell(*shell.enter(), "RESET CONTRACT defaultbb.cqdb.sml.hpe", "EXIT ON FAILURE OFF")
        assert "ERROR defaultbb.cqdb.sml.hpe " in busy.stdout
        assert "run 1 has 2 live members" in busy.stdout
        assert "RESET CONTRACT defaultbb.cqdb.sml.hpe FORCE" in busy.stdout
        assert all(name in busy.stdout for name in nodes)
        assert "Contract Reset" not in busy.stdout
        assert here.sites[0].status()["state"] not in ("failed", "done")
        assert watching.stdout is not None
        assert "run 1" in watching.stdout.readline()

        forced = reset(here, "defaultbb.cqdb.sml.hpe", "--force")
        assert forced.returncode == 0, forced.stderr
        assert "run 2 is open for joining; run 1 ended without a result" in forced.stdout
        assert [sl for _, sl in here.run(seconds=40)] == [1, 1]
        assert watching.wait(timeout=patience.seconds(20)) == 1
        for site in here.sites:
            assert site.ml is not None
            assert site.ml.returncode != 0
            assert "run 1 was reset before it was complete" in site.log("ml")
            site.start_sl().start_ml(MIN_PEERS=2, BATCHES=12, BATCH_SECONDS=0.05)
        assert here.run(seconds=60) == [(0, 0)] * 2
        done = swarm("wait", "defaultbb.cqdb.sml.hpe", "--timeout", "20", "--ops", here.sn.ops)
        assert done.returncode == 0

        first, second = history(here)
        assert (first["run"], first["state"], second["run"], second["state"]) == (1, "failed", 2, "complete")
        assert first["how"].startswith("reset by 0x")
        assert first["how"].endswith(", forced")
        assert first["rounds"] >= 2
        assert sorted(nodes) == second["contributors"] == second["members"]
        data = (here.sites[0].out / "model.safetensors").read_bytes()
        assert second["final"] == to_hex(ChunkList(len(data), (chunk_hash(data),)).root())
        assert first["began"] <= first["ended"] <= second["began"] <= second["ended"]
        done = shell.shell(*shell.enter(), "RESET CONTRACT defaultbb.cqdb.sml.hpe")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "    Contract Reset")
        assert [r["state"] for r in history(here)] == ["failed", "complete", "idle"]
        shown = swarm("history", "--ops", here.sn.ops)
        assert all(text in shown.stdout for text in ("complete", "forced", second["final"][:12]))
