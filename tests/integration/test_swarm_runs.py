"""Whole runs of real processes on the embedded chain: an SN, SLs, framework-free ML programs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import patience, warm
from support.lab import Lab, lab
from support.snprocess import clean_environ
from swarm.core.blobid import CHUNK_BYTES, ChunkList, chunk_hash
from swarm.core.ids import job_id
from swarm.core.swop.outcome import JOINED_NAME, joined_of
from swarmlearning import tensorfile

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 120.0
JOB = "defaultbb.cqdb.sml.hpe"


def swarm_cli(swarm: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run([*arguments, "--ops", swarm.sn.ops], clean_environ(), seconds=60)


def record(swarm: Lab) -> Any:
    """The chain's record of the run, by the command that users have."""
    done = swarm_cli(swarm, "audit", JOB, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ATTEMPT = "0123456789abcdef"


def chunk_root(path: Path) -> str:
    data = path.read_bytes()
    pieces = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    return "0x" + ChunkList(len(data), tuple(chunk_hash(p) for p in pieces)).root().hex()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rounds_of(site: Any) -> int:
    found = site.status().get("round", 0)
    assert isinstance(found, int)
    return found


def test_three_programs_end_with_the_model_that_is_on_chain(tmp_path: Path) -> None:
    """A run completes by itself, every file is equal, and its chunk root is the chain's last merged blob."""
    with lab(tmp_path, sites=3) as swarm:
        for site in swarm.sites:
            site.start_ml(MIN_PEERS=3, BATCHES=6, EVERY=2)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        files = [site.out / "model.safetensors" for site in swarm.sites]
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        found = record(swarm)
        assert {chunk_root(f) for f in files} == {found["rounds"][-1]["merged"]}
        # initial weights, after batch 3 and 5 (row K14: N+1, then every N), and the end of training
        assert len(found["rounds"]) == 4
        waited = swarm_cli(swarm, "wait", JOB, "--timeout", "5")
        assert waited.returncode == 0, waited.stderr


def test_s8_unequal_sites_end_with_one_model_and_keep_their_own(tmp_path: Path) -> None:
    """Scenario 8: data 1:2:7, other steps and starts; equal SHA-256 everywhere, and each program still has its own."""
    with lab(tmp_path, sites=3) as swarm:
        for part, site in zip((1, 2, 7), swarm.sites, strict=True):
            site.start_ml(MIN_PEERS=3, BATCHES=2 * part, EVERY=2, WEIGHT=part, STEP=part, START=10 * part)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        results = [site.result() for site in swarm.sites]
        found = record(swarm)
        files = [site.out / "model.safetensors" for site in swarm.sites]
        assert {sha256(f) for f in files} == {r["sha256"] for r in results}
        assert len({sha256(f) for f in files}) == 1
        assert {chunk_root(f) for f in files} == {found["rounds"][-1]["merged"]}
        # The two with less data ended their training first; their last own values are not the merged ones.
        last = float(tensorfile.open_arrays(files[0])["w"][0])
        assert len({r["last_local"] for r in results} | {last}) == 4
        assert all(len(r["contributions"]) == 3 for r in found["rounds"])
        for round_ in found["rounds"]:
            assert sorted(c["coefficient"] for c in round_["contributions"]) == pytest.approx([0.1, 0.2, 0.7])


def test_contributions_count_by_their_weight(tmp_path: Path) -> None:
    """nodeWeightage is what the mean is weighted by (rows K04, K05): 0, 4, 4 with 2:1:1 make 2."""
    with lab(tmp_path, sites=3, SWARM_TASK_ATTEMPT=ATTEMPT) as swarm:
        for site, weight, start in zip(swarm.sites, (2, 1, 1), (0, 4, 4), strict=True):
            site.start_ml(MIN_PEERS=3, BATCHES=1, STEP=0, WEIGHT=weight, START=start)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        for site in swarm.sites:
            assert np.all(tensorfile.open_arrays(site.out / "model.safetensors")["w"] == 2.0)
            told = joined_of((site.folder / "state" / JOINED_NAME).read_bytes(), ATTEMPT)
            assert told is not None, "its SWOP hears which run it joined"
            assert (told.job, told.run) == (job_id(JOB), 1)
        assert sorted(i["weight"] for i in record(swarm)["rounds"][0]["contributions"]) == [1, 1, 2]


def test_a_model_with_nan_is_left_out_by_name_and_the_run_goes_on(tmp_path: Path) -> None:
    """NaN never reaches the merged model; its node only watches that round and takes the merge."""
    with lab(tmp_path, sites=3) as swarm:
        for number, site in enumerate(swarm.sites):
            site.start_ml(MIN_PEERS=3, BATCHES=4, **({"NAN_AT_BATCH": 2} if number == 0 else {}))
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        assert np.isfinite(tensorfile.open_arrays(swarm.sites[0].out / "model.safetensors")["w"]).all()
        assert "NaN" in swarm.sites[0].log("sl")
        weights = [sorted(c["weight"] for c in r["contributions"]) for r in record(swarm)["rounds"]]
        assert [0, 1, 1] in weights


def test_another_model_is_refused_by_name_and_the_others_finish(tmp_path: Path) -> None:
    """A program with other shapes gets one sentence that names the difference; both its processes fail."""
    with lab(tmp_path, sites=3) as swarm:
        for site in swarm.sites[:2]:
            site.start_ml(MIN_PEERS=2, BATCHES=8, BATCH_SECONDS=0.5)
        swarm.wait(lambda: rounds_of(swarm.sites[0]) >= 1, seconds=60, say="round 1")
        swarm.sites[2].start_ml(MIN_PEERS=2, BATCHES=5, SHAPE=7)
        codes = swarm.run(seconds=RUN_SECONDS)
        assert codes[:2] == [(0, 0)] * 2
        assert codes[2][0] != 0
        assert codes[2][1] != 0
        assert "same model" in swarm.sites[2].log("ml")
        assert "tensor 'w' has shape [7], expected [" in swarm.sites[2].log("ml")
        assert swarm.sites[0].result()["sha256"] == swarm.sites[1].result()["sha256"]


def test_a_killed_program_is_reported_and_the_others_finish(tmp_path: Path) -> None:
    """kill -9 of an ML program that does not come back: its SL says so, ends with 1; the run completes without it."""
    with lab(tmp_path, sites=3, SWARM_PROGRAM_RETURN_SECONDS="2") as swarm:
        for site in swarm.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=8, BATCH_SECONDS=0.4)
        victim = swarm.sites[1]
        swarm.wait(lambda: rounds_of(victim) >= 3, seconds=60, say="round 3")
        assert victim.ml is not None
        victim.ml.kill()
        codes = swarm.run(seconds=RUN_SECONDS)
        assert codes[0] == codes[2] == (0, 0)
        assert codes[1] == (-signal.SIGKILL, 1)
        assert "the ML program" in victim.log("sl")
        assert swarm.sites[0].result()["sha256"] == swarm.sites[2].result()["sha256"]


def test_a_program_that_raises_is_reported(tmp_path: Path) -> None:
    """An exception in the user's loop ends its SL with 1, and the others go on."""
    with lab(tmp_path, sites=3) as swarm:
        for number, site in enumerate(swarm.sites):
            site.start_ml(MIN_PEERS=2, BATCHES=5, BATCH_SECONDS=0.3, **({"FAIL_AT_BATCH": 3} if number == 0 else {}))
        codes = swarm.run(seconds=RUN_SECONDS)
        assert codes[0] == (1, 1)
        assert codes[1:] == [(0, 0)] * 2


def test_a_killed_sn_comes_back_and_the_run_goes_on(tmp_path: Path) -> None:
    """kill -9 of the SN in mid-run: after its restart the run completes; no committed round is lost (V7)."""
    with lab(tmp_path, sites=3) as swarm:
        for site in swarm.sites:
            site.start_ml(MIN_PEERS=3, BATCHES=8, BATCH_SECONDS=0.3)
        swarm.wait(lambda: rounds_of(swarm.sites[0]) >= 3, seconds=60, say="round 3")
        swarm.sn.kill()
        before = rounds_of(swarm.sites[0])
        swarm.sn.start()
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        assert len(record(swarm)["rounds"]) == 9 >= before


def test_a_killed_leader_is_replaced_and_the_others_finish(tmp_path: Path) -> None:
    """kill -9 of the leading SL in mid-round: the next merge comes from another, then the run completes.

    The end takes a call: 30 s without the dead node, then rescueAfter for it to answer.
    """
    with lab(tmp_path, "--rescue-after", "10", sites=3) as swarm:
        for site in swarm.sites:
            # How long it waits for its SL: at the start, on a busy machine, and at the end, when it is gone for good.
            site.start_ml(MIN_PEERS=2, BATCHES=12, BATCH_SECONDS=0.4, SWARM_CHANNEL_WAIT_SECONDS=45)
        swarm.wait(lambda: rounds_of(swarm.sites[0]) >= 3, seconds=60, say="round 3")
        swarm.wait(lambda: any(s.status().get("role") == "leader" for s in swarm.sites), seconds=20, say="a leader")
        victim = next(s for s in swarm.sites if s.status().get("role") == "leader")
        others = [s for s in swarm.sites if s is not victim]
        assert victim.sl is not None
        os.kill(victim.sl.pid, signal.SIGKILL)
        at = rounds_of(others[0])
        swarm.wait(lambda: rounds_of(others[0]) >= at + 2, seconds=40, say="two more rounds without the dead node")
        assert swarm.run(seconds=RUN_SECONDS, sites=others) == [(0, 0)] * 2
        assert others[0].result()["sha256"] == others[1].result()["sha256"]
        assert victim.ml is not None
        assert victim.ml.wait(timeout=patience.seconds(90)) != 0  # its program says that the SL is gone
        assert any(r["attempt"] > 0 for r in record(swarm)["rounds"])
