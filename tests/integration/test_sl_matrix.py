"""Every framework by itself, from the first round on, coming back after kill -9, coming late, and without a swarm.

For each framework one swarm of three SLs: two programs begin, one of them is killed and started again, a third comes
when rounds are done already; a fourth process trains without a swarm. Real processes, forked after the imports.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import patience
from support.forked import Forked
from support.lab import PROGRAMS, Lab, Site, lab
from support.snprocess import clean_environ
from swarmlearning.base import DEFAULT_TRAINING_CONTRACT
from swarmlearning.client import resumefile

pytestmark = pytest.mark.timeout(600)

PROGRAM = PROGRAMS / "framework.py"
EPOCHS, BATCHES = 5, 4
GATE_EPOCHS = 3
FRAMEWORKS = {
    "sklearn": (),
    "torch": (pytest.mark.torch,),
    "lightning": (pytest.mark.torch,),
    "hf": (pytest.mark.torch,),
    "peft": (pytest.mark.torch,),
    "keras": (pytest.mark.keras,),
}
RESUMING = re.compile(r"Resuming run 1 after round (\d+): .*, optimiser state of step (\d+), (\d+) epochs done\.")
LATE = re.compile(r"Taking part in run 1 after round (\d+): model 0x")


@dataclass(frozen=True)
class Told:
    """What one program said (its log) and left (result.json)."""

    log: str
    result: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """What became of the four programs of one framework."""

    codes: list[tuple[int, int]]
    fresh: Told
    resumed: Told
    late: Told
    alone: Told
    alone_code: int


def start(folder: Path, framework: str, **settings: object) -> Forked:
    common = {"FRAMEWORK": framework, "EPOCHS": EPOCHS, "BATCHES": BATCHES, "EVERY": 2, "MIN_PEERS": 2}
    environ = {name: str(value) for name, value in {**common, "OUT": folder / "out", **settings}.items()}
    return Forked(PROGRAM, clean_environ(**environ), folder / "ml.log")


def epochs_kept(site: Site) -> int:
    found = resumefile.read(resumefile.path_for(site.folder / "exchange" / "resume", DEFAULT_TRAINING_CONTRACT))
    return found[0].epochs if found is not None else 0


def play(swarm: Lab, framework: str) -> Story:
    gate, alone = swarm.folder / "gate", swarm.folder / "alone"
    fresh, back, late = swarm.sites
    slowly = {"BATCH_SECONDS": 0.3, "GATE": gate, "GATE_EPOCHS": GATE_EPOCHS}
    nowhere = {"SL_REQUEST_CHANNEL": alone / "a", "SL_RESPONSE_CHANNEL": alone / "b", "SWARM_LOOPBACK": "true"}
    loopback = start(alone, framework, **nowhere)
    for site in (fresh, back):
        site.ml = start(site.folder, framework, **site.channels(), **slowly)
    swarm.wait(lambda: epochs_kept(back) >= 1, seconds=240, say="an epoch is kept")
    os.kill(back.ml.pid, signal.SIGKILL)
    back.ml.wait(timeout=patience.seconds(10))
    back.ml = start(back.folder, framework, **back.channels())
    late.ml = start(late.folder, framework, **late.channels())
    swarm.wait(lambda: bool(RESUMING.search(back.log("ml"))), seconds=240, say="the killed one is back")
    swarm.wait(lambda: bool(LATE.search(late.log("ml"))), seconds=240, say="the late one takes part")
    gate.touch()
    codes = swarm.run(seconds=240)
    code = loopback.wait(timeout=patience.seconds(240))
    folders = (fresh.folder, back.folder, late.folder, alone)
    told = [Told((f / "ml.log").read_text(), json.loads((f / "out" / "result.json").read_text())) for f in folders]
    return Story(codes, *told, alone_code=code)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=marks) for name, marks in FRAMEWORKS.items()],
)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with lab(tmp_path_factory.mktemp(request.param), sites=3) as swarm:
        yield play(swarm, request.param)


def test_fresh_programs_end_well_and_have_learned(story: Story) -> None:
    """All programs and SLs end with 0; the one that nothing befell trained as planned, from the first epoch on."""
    assert story.codes == [(0, 0)] * 3
    told = story.fresh.result
    assert (told["began_at_epoch"], told["epochs"], told["batches"]) == (0, EPOCHS, EPOCHS * BATCHES)
    assert told["optimiser_steps"] >= EPOCHS * BATCHES
    assert told["loss_after"] < told["loss_before"]
    assert not RESUMING.search(story.fresh.log)
    assert not LATE.search(story.fresh.log)


def test_a_killed_program_goes_on_with_its_optimiser_to_the_same_model(story: Story) -> None:
    """It begins at the epoch that was kept, its optimiser counts on, it ends where planned, with the others' model."""
    ((_, step, epochs),) = RESUMING.findall(story.resumed.log)
    told = story.resumed.result
    assert int(epochs) >= 1
    assert int(step) >= BATCHES * int(epochs)
    assert (told["began_at_epoch"], told["epochs"]) == (int(epochs), EPOCHS)
    assert told["batches"] == (EPOCHS - int(epochs)) * BATCHES
    assert told["optimiser_steps"] >= int(step) + told["batches"]
    assert told["sha256"] == story.fresh.result["sha256"]


def test_a_late_program_takes_part_in_the_run_that_it_finds(story: Story) -> None:
    """It starts from a model of the swarm, trains all of its epochs, and ends with the others' model."""
    (after,) = LATE.findall(story.late.log)
    told = story.late.result
    assert int(after) >= 1
    assert (told["began_at_epoch"], told["epochs"], told["batches"]) == (0, EPOCHS, EPOCHS * BATCHES)
    assert told["sha256"] == story.fresh.result["sha256"]


@pytest.mark.row("E01")
def test_with_loopback_the_same_program_trains_without_an_sl(story: Story) -> None:
    """SWARM_LOOPBACK=true: there is no SL and no pipe; the program trains, says so, and ends well."""
    assert story.alone_code == 0
    told = story.alone.result
    assert (told["began_at_epoch"], told["epochs"], told["batches"]) == (0, EPOCHS, EPOCHS * BATCHES)
    assert told["loss_after"] < told["loss_before"]
    assert told["sha256"] != story.fresh.result["sha256"]
    assert "SWARM_LOOPBACK" in story.alone.log
