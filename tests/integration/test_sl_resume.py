"""Programs and SLs that are killed and started again go on where they were: real processes, no operator."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.lab import PROGRAMS, Lab, Site, lab
from swarmlearning.base import DEFAULT_TRAINING_CONTRACT
from swarmlearning.client import resumefile

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 150.0
RESUMING = re.compile(r"Resuming run 1 after round (\d+): model 0x[0-9a-f]{8} of the swarm, (.*), (\d+) epochs done\.")


def rounds_of(site: Site) -> int:
    return int(site.status().get("round", 0))


def kill(process: subprocess.Popen[bytes] | None) -> None:
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def epochs_kept(site: Site) -> int:
    """What the site's resume file says now."""
    folder = site.folder / "exchange" / "resume"
    found = resumefile.read(resumefile.path_for(folder, DEFAULT_TRAINING_CONTRACT))
    return found[0].epochs if found is not None else 0


def resumed(site: Site) -> tuple[int, str, int]:
    """Round, kept state and epochs of the one line that says it."""
    (found,) = RESUMING.findall(site.log("ml"))
    return int(found[0]), found[1], int(found[2])


def all_equal(swarm: Lab) -> None:
    assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * len(swarm.sites)
    assert len({site.result()["sha256"] for site in swarm.sites}) == 1


def test_a_killed_program_goes_on_where_the_swarm_is(tmp_path: Path) -> None:
    """kill -9 of the program alone, then of program and SL together: both continue at round >= n, with their state."""
    gate = tmp_path / "gate"  # however slow the machine is, nobody is done before the last one was killed
    settings = {"MIN_PEERS": 2, "EPOCHS": 8, "BATCHES": 3, "BATCH_SECONDS": 0.3, "GATE": gate, "GATE_EPOCHS": 4}
    with lab(tmp_path, sites=3, SL_WAIT_FOR_FULL_QUORUM_SECONDS="2") as swarm:
        for site in swarm.sites:
            site.start_ml(**settings)
        alone, both = swarm.sites[1], swarm.sites[2]
        swarm.wait(lambda: min(map(epochs_kept, (alone, both))) >= 1, seconds=90, say="an epoch is kept")
        kill(alone.ml)
        at = rounds_of(alone)
        alone.start_ml(**settings)
        swarm.wait(lambda: bool(RESUMING.search(alone.log("ml"))), seconds=30, say="the program is back")
        kill(both.ml)
        kill(both.sl)
        both.start_sl().start_ml(**settings)
        gate.touch()
        all_equal(swarm)
        assert "session_lost" in alone.log("sl")
        assert "the ML program failed" not in alone.log("sl")
        for site in (alone, both):
            round_, kept, epochs = resumed(site)
            assert round_ >= at - 1  # the last one that was committed when the program died
            step = int(kept.removeprefix("optimiser state of step "))
            told = site.result()
            assert epochs >= 1
            assert told["began_at_epoch"] == epochs
            assert told["seen_before"] == step > 3 * epochs - 3
            assert told["seen"] == step + 3 * (8 - epochs)
            assert told["epochs"] == 8  # done before and after, as reported
        assert swarm.sites[0].result()["began_at_epoch"] == 0
        assert [list((site.folder / "exchange" / "resume").iterdir()) for site in swarm.sites] == [[]] * 3


def test_an_sl_that_is_killed_and_comes_back_is_found_by_its_program(tmp_path: Path) -> None:
    """kill -9 of the SL alone, in a sync and between two: the program opens its session again and loses nothing."""
    with lab(tmp_path, sites=2) as swarm:
        quick, slow = swarm.sites
        quick.start_ml(MIN_PEERS=2, BATCHES=8)
        slow.start_ml(MIN_PEERS=2, BATCHES=8, BATCH_SECONDS=1.0)
        swarm.wait(lambda: rounds_of(quick) >= 2, seconds=60, say="round 2")
        for site in (quick, slow):  # the one waits in a sync, the other one trains
            kill(site.sl)
            site.start_sl()
            swarm.wait(site.healthy, seconds=30, say="the SL is back")
        all_equal(swarm)
        for site in swarm.sites:
            assert "The SL is back after" in site.log("ml") or "The SL is back, the session" in site.log("ml")
            assert "the ML program goes on with its session" in site.log("sl")
            told = site.result()
            assert (told["seen"], told["began_at_epoch"]) == (8, 0)
            # each merge has both sites' step in it: nothing was lost, nothing came twice
            assert told["merged"] == sorted(told["merged"])
            assert told["merged"][-1] == 8.0


def test_resume_off_starts_fresh_and_a_run_that_is_over_is_told(tmp_path: Path) -> None:
    """SWARM_RESUME=off counts from 0. A program killed at its very end gets the final model of the completed run."""
    with lab(tmp_path, sites=2) as swarm:
        off, last = swarm.sites
        gate = tmp_path / "gate"
        settings = {"MIN_PEERS": 2, "EPOCHS": 4, "BATCHES": 2, "BATCH_SECONDS": 0.3, "GATE": gate, "GATE_EPOCHS": 3}
        for site in swarm.sites:
            site.start_ml(**settings)
        swarm.wait(lambda: rounds_of(off) >= 4, seconds=60, say="round 4")
        kill(off.ml)
        off.start_ml(**settings, SWARM_RESUME="off")
        gate.touch()
        swarm.wait(lambda: "Final merging starts" in last.log("ml"), seconds=60, say="the other one has finished")
        kill(last.ml)
        last.start_ml(**settings)
        all_equal(swarm)
        assert "SWARM_RESUME=off: this program starts fresh" in off.log("ml")
        assert not RESUMING.search(off.log("ml"))
        assert off.result()["seen_before"] == off.result()["began_at_epoch"] == 0
        assert off.result()["seen"] == 8
        assert resumed(last)[2] == 4
        assert last.result()["seen"] == last.result()["seen_before"] == 8


@pytest.mark.parametrize(
    "framework", [pytest.param("torch", marks=pytest.mark.torch), pytest.param("keras", marks=pytest.mark.keras)]
)
def test_real_frameworks_go_on_with_their_optimiser(tmp_path: Path, framework: str) -> None:
    """Adam's step count survives kill -9, epochs end where they were planned, and all sites end with one model."""
    gate = tmp_path / "gate"
    settings = {"FRAMEWORK": framework, "MIN_PEERS": 2, "EPOCHS": 6, "BATCHES": 4, "BATCH_SECONDS": 0.3}
    settings |= {"GATE": gate, "GATE_EPOCHS": 3}
    program = PROGRAMS / "framework.py"
    with lab(tmp_path, sites=2) as swarm:
        for site in swarm.sites:
            site.start_ml(program, **settings)
        victim = swarm.sites[1]
        swarm.wait(lambda: epochs_kept(victim) >= 1, seconds=120, say="an epoch is kept")
        kill(victim.ml)
        at = rounds_of(victim)
        victim.start_ml(program, **settings)
        gate.touch()
        all_equal(swarm)
        round_, kept, epochs = resumed(victim)
        step = int(kept.removeprefix("optimiser state of step "))
        told = victim.result()
        assert round_ >= at - 1
        assert 1 <= epochs < 6
        assert step >= 4 * epochs
        assert told["began_at_epoch"] == epochs
        assert told["epochs"] == 6
        assert told["optimiser_steps"] == step + 4 * (6 - epochs)
        assert swarm.sites[0].result()["optimiser_steps"] == 24
