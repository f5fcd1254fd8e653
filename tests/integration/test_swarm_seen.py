"""What operators see of a real swarm: one table, every wait with whom and since when, metrics on every node (V8)."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import chaos, patience, warm
from support.lab import Lab, lab
from support.snprocess import clean_environ
from swarm.obs.metrics import FIGURES

pytestmark = pytest.mark.timeout(400)
BUSY_SECONDS = 150.0
"""A bound for a busy machine, where a command alone takes 20 s to start; not what it takes."""


def status(swarm: Lab, *more: str) -> str:
    done = warm.run(["status", *more, "--ops", swarm.sn.ops], clean_environ(), seconds=BUSY_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def nodes(swarm: Lab) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(status(swarm, "--json"))["nodes"]}


def watched(swarm: Lab, until: str) -> tuple[int, str]:
    """``swarm status --watch`` on a terminal until a text was shown, then Ctrl-C; exit code and all that was drawn."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "swarm.cli", "status", "--watch", "0.5", "--ops", swarm.sn.ops]
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=clean_environ()) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # the terminal is closed once the process has ended
            while data := os.read(ours, 4096):
                shown += data
                if until.encode() in shown and shown.count(b"\x1b[H") >= 3:
                    process.send_signal(signal.SIGINT)
        os.close(ours)
        return process.wait(timeout=patience.seconds(10)), shown.decode()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def figures(port: int) -> dict[str, float]:
    """Samples of a node's /metrics, labels in the name."""
    found = {}
    for family in text_string_to_metric_families(fetch(f"http://127.0.0.1:{port}/metrics")):
        for sample in family.samples:
            labels = ",".join(sorted(sample.labels.values()))
            found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
    return found


def measured(seen: dict[str, float]) -> bool:
    moved = seen["swarm_blob_bytes_total[in]"] + seen["swarm_blob_bytes_total[out]"]
    return "swarm_phase_seconds_count[load]" in seen and moved > 50_000


def test_a_swarm_that_waits_says_for_whom_and_then_how_it_went(tmp_path: Path) -> None:
    """Two of three founders are there: SN, table and both waits pages say so; at the end all figures are in."""
    with lab(tmp_path, sites=3) as swarm:
        first, second, third = swarm.sites
        chaos.train(swarm, first, second, MIN_PEERS=3, VALUES=25_000)

        def said() -> bool:
            rows = nodes(swarm)
            told = [rows.get(s.name, {}).get("waits", []) for s in (first, second)]
            return all(any("founders" in w["what"] and w["whom"].startswith("2 of 3") for w in one) for one in told)

        swarm.wait(said, seconds=BUSY_SECONDS, say="the table tells that a founder is missing")
        waits = json.loads(fetch(f"http://127.0.0.1:{first.ops_port}/v1/waits"))
        assert any("founders" in row["what"] for row in waits)
        rows = nodes(swarm)
        assert rows[first.name]["state"] == "joined"
        assert rows[third.name]["waits"][0]["what"] == "an ML program"
        assert all(w["since"] >= 0 for row in rows.values() for w in row["waits"])
        text = status(swarm)
        for words in (first.name, "founders", "2 of 3", "round 0 opens", "serving"):
            assert words in text
        code, drawn = watched(swarm, "waits for founders of the run (2 of 3 have joined) since")
        assert code == 130
        assert "Traceback" not in drawn
        assert "then round 0 opens" in drawn

        chaos.train(swarm, third, MIN_PEERS=3, VALUES=25_000)
        swarm.wait(
            lambda: measured(figures(first.ops_port)),
            seconds=BUSY_SECONDS,
            say="a round was measured in which models moved: in round 0 all begin with the same",
        )
        seen = figures(first.ops_port)
        chaos.finish(swarm)
        sn = figures(swarm.sn.ops_port)

    assert seen["swarm_peers"] == 2
    assert seen["swarm_peers_live"] == 2
    assert seen["swarm_healthy"] == 1
    assert seen["swarm_chain_height"] > 5
    assert seen["swarm_store_models"] >= 1
    assert seen["swarm_store_bytes"] > 100_000
    assert seen["swarm_rounds_loaded_total"] >= 1
    assert seen["swarm_queue_depth[engine]"] >= 0
    assert sn["swarm_members_alive"] == 4
    assert sn["swarm_chain_height"] > seen["swarm_chain_height"] - 1
    names = {name.split("[")[0] for name in {**seen, **sn}}
    own = {n for n in names if n.startswith("swarm_") and not n.startswith(("swarm_phase_seconds", "swarm_node"))}
    assert own <= set(FIGURES)
    assert set(FIGURES) - own <= {"swarm_chain_restarts_total"}  # the embedded chain has no program to restart


def test_a_node_that_is_killed_is_shown_as_silent_with_its_age(tmp_path: Path) -> None:
    """The table keeps its row, and the time since it was heard of grows."""
    with lab(tmp_path, sites=2) as swarm:
        gone = swarm.sites[1]
        swarm.wait(lambda: gone.name in nodes(swarm), seconds=BUSY_SECONDS, say="both SLs told that they are alive")
        assert gone.sl is not None
        gone.sl.kill()
        gone.sl.wait()
        swarm.wait(lambda: nodes(swarm)[gone.name]["seen_seconds"] > 12, seconds=BUSY_SECONDS, say="its age grows")
        assert nodes(swarm)[swarm.sites[0].name]["seen_seconds"] < 12
