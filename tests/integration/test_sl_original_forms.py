"""Programs of the original wheels' pipe forms train through whole SLs, among themselves and beside our SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import warm
from support.chaos import READY_SECONDS
from support.lab import ADDER, PROGRAMS, Lab, Site, lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

ORIGINAL = PROGRAMS / "original.py"
BATCHES = 5
JOB = "defaultbb.cqdb.sml.hpe"
RUN_SECONDS = 120.0


def model_of(site: Site, form: str) -> dict[str, np.ndarray]:
    if form == "ours":
        arrays = tensorfile.open_arrays(site.out / "model.safetensors")
        return {name: np.array(arrays[name]) for name in arrays}
    with np.load(site.out / "result.npz") as found:
        return dict(found)


def audit(swarm: Lab, *more: str) -> str:
    done = warm.run(["audit", JOB, *more, "--ops", swarm.sn.ops], clean_environ(), seconds=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def record(swarm: Lab) -> Any:
    return json.loads(audit(swarm, "--json"))


@pytest.mark.row("F11")
@pytest.mark.row("X07")
@pytest.mark.row("D20")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("forms", "is_sorted"),
    [
        (("pickle", "pickle"), False),
        (("inline", "inline"), False),
        (("pickle", "inline"), True),
        (("pickle", "ours"), False),
    ],
    ids=["2.3", "2.1-2.2", "2.3-beside-2.1", "2.3-beside-ours"],
)
def test_two_sites_of_original_programs_end_with_one_model(
    tmp_path: Path, forms: tuple[str, str], is_sorted: bool
) -> None:
    """Weights 1:3, first values 0 and 4, steps 1 and 5: the mean starts at 3 and gains 4 a batch, everywhere.

    The int64 counter, which old wheels get as float32, is a whole int64 number of all batches on the chain's side.
    """
    with lab(tmp_path, sites=2) as swarm:
        for site, form, weight, start, step in zip(swarm.sites, forms, (1, 3), (0, 4), (1, 5), strict=True):
            settings = {"WEIGHT": weight, "START": start, "STEP": step, "BATCHES": BATCHES, "EVERY": 1}
            if form == "ours":
                site.start_ml(ADDER, MIN_PEERS=2, **settings)
            else:
                site.start_ml(ORIGINAL, FORM=form, SORTED=int(is_sorted), **settings)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 2
        for site, form in zip(swarm.sites, forms, strict=True):
            model = model_of(site, form)
            assert model["w"].dtype == np.float32
            assert np.array_equal(model["w"], np.full(31, 3 + 4 * BATCHES, np.float32))
            assert model["count"] == BATCHES
        rounds = record(swarm)["rounds"]
        # initial weights, after batches 2 to 5 (row K14: N+1, then every N), and the end of training
        assert [sorted(c["weight"] for c in r["contributions"]) for r in rounds] == [[1, 3]] * 6


@pytest.mark.row("L03")
@pytest.mark.row("D05")
@pytest.mark.timeout(240)
def test_an_original_programs_own_figure_is_marked_and_its_zeros_are_unknown(tmp_path: Path) -> None:
    """From the old program over its SL and the chain to `audit`: a loss with *, a 0 and 0 as unknown; ours plain.

    On the way: the SLs' logs hold the lines that users wait for, and the lead goes round the members, one a round.
    """
    batches = 3
    with lab(tmp_path, sites=3) as swarm:
        measures, zeros, ours = swarm.sites
        settings = {"WEIGHT": 1, "STEP": 1, "BATCHES": batches, "EVERY": 1}
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=READY_SECONDS, say="SLs are ready")
        node = {site.name: site.status()["node"] for site in swarm.sites}
        measures.start_ml(ORIGINAL, FORM="pickle", START=1, MIN_PEERS=3, **settings)
        zeros.start_ml(ORIGINAL, FORM="pickle", START=1, MIN_PEERS=3, MEASURES=0, **settings)
        ours.start_ml(ADDER, START=1, MIN_PEERS=3, **settings)
        assert swarm.run(seconds=RUN_SECONDS) == [(0, 0)] * 3
        found, shown = record(swarm), audit(swarm)
    rounds = len(found["rounds"])
    assert rounds == 4
    said = {name: [c for r in found["rounds"] for c in r["contributions"] if c["node"] == node[name]] for name in node}
    # what a check-in tells was measured on the model of the round before: there is none before round 0
    for at, first_value in ((1, 1), (2, 3), (3, 4)):
        mine, none, plain = (said[site.name][at] for site in swarm.sites)
        assert (mine["loss"], mine["metric"], mine["own_figure"]) == (first_value, 0.5, True)
        assert (none["loss"], none["metric"], none["own_figure"]) == (None, None, False)
        assert plain["loss"] is not None
        assert not plain["own_figure"]
    lines = [line for line in shown.splitlines() if "1.0000*" in line]
    assert [node[measures.name][2:10] in line for line in lines] == [True]
    assert shown.count("*") == rounds - 1 + 1  # one a round, and the sentence that explains it
    assert "* as an original client reports it" in shown

    leads = [sorted(node.values()).index(r["leader"]) for r in found["rounds"]]
    places = {(lead - r["round"] - r["attempt"]) % 3 for lead, r in zip(leads, found["rounds"], strict=True)}
    assert len(places) == 1
    for site in swarm.sites:
        led = [r["round"] for r in found["rounds"] if r["leader"] == node[site.name]]
        wanted = ["Opening pipes to communicate with user container ...", "Starting Swarm Learning Training"]
        wanted += ["Registration with Node DB is successful"]
        for number in range(rounds):
            wanted += ["Merging in SL container ..."] * (number in led)
            wanted += [f"SMLBB:CHKIN:{JOB}:{number}:Checkin Done"] * (number not in led)
            wanted += [f"SMLBB:RV:{'ADMIN' if number in led else 'FOLLOWER'}:{JOB}:{number}:CHECKOUT:DONE"]
            wanted += [f"SMLBB:WAITFORSYNC:{JOB}:updated current Sync id : {number + 1}"]
        wanted += ["All peers and Swarm training finished!"]
        log = iter(site.log("sl").splitlines())
        for text in wanted:
            assert any(f" : swarm.SL : INFO : {text}" in line for line in log), (site.name, text)


@pytest.mark.timeout(240)
def test_sorted_names_beside_the_programs_own_order_are_refused_in_words(tmp_path: Path) -> None:
    """A 2.1/2.2 wheel loses the order of names: beside a 2.3 one with unsorted names one of the two is refused."""
    with lab(tmp_path, sites=2) as swarm:
        settings = {"WEIGHT": 1, "START": 0, "STEP": 1, "BATCHES": BATCHES, "EVERY": 1}
        programs = []
        for site, form in zip(swarm.sites, ("pickle", "inline"), strict=True):
            programs.append(site.start_ml(ORIGINAL, FORM=form, **settings).ml)
        swarm.wait(lambda: any(p and p.poll() is not None for p in programs), seconds=RUN_SECONDS, say="a refusal")
        said = [site.log("ml") for site in swarm.sites if "SlError" in site.log("ml")]
        assert len(said) == 1
        assert "this program's model is not the swarm's" in said[0]
        assert not any((site.out / "result.npz").exists() for site in swarm.sites)
