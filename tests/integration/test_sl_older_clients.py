"""Programs on the oldest Python, numpy and protobuf that clients have, beside SLs of today.

The original's wheels need Python 3.8 or 3.9 with protobuf below 3.20.2; our SDK takes Python 3.9, numpy 1.22 and
protobuf 3.20 or newer. The environment is made once, below build/, from the package index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.lab import ADDER, PROGRAMS, Site, lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "older-clients" / "py39"
PACKAGES = ("numpy==1.22.4", "protobuf==3.20.1", "safetensors==0.4.0")
BATCHES = 5


def interpreters() -> Iterator[str]:
    found = shutil.which("python3.9")
    if found is not None:
        yield found
    yield from map(str, Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.9.*/bin/python"))


@pytest.fixture(scope="module")
def python39() -> Path:
    """A Python 3.9 with the oldest packages; skips where there is no such Python."""
    python = VENV / "bin" / "python"
    complete = VENV / ".complete"
    if not complete.exists():
        works = [one for one in interpreters() if not subprocess.run([one, "-c", ""], capture_output=True).returncode]
        if not works:
            pytest.skip("needs Python 3.9")
        subprocess.run([works[0], "-m", "venv", "--clear", str(VENV)], check=True, timeout=300)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True, timeout=300)
        complete.touch()
    return python


def start(site: Site, python: Path, program: Path, **settings: object) -> None:
    site.out.mkdir(parents=True, exist_ok=True)
    known = {"OUT": site.out, "PYTHONPATH": ROOT / "sdk" / "src", **settings}
    environ = clean_environ(**site.channels(), **{name: str(value) for name, value in known.items()})
    with (site.folder / "ml.log").open("ab") as log:
        site.ml = subprocess.Popen([str(python), str(program)], stdout=log, stderr=log, env=environ)


def model_of(site: Site, form: str) -> dict[str, np.ndarray]:
    if form == "ours":
        arrays = tensorfile.open_arrays(site.out / "model.safetensors")
        return {name: np.array(arrays[name]) for name in arrays}
    with np.load(site.out / "result.npz") as found:
        return dict(found)


@pytest.mark.row("K19")
@pytest.mark.parametrize("forms", [("pickle", "ours"), ("inline", "pickle")], ids=["2.3-beside-ours", "2.1-beside-2.3"])
def test_the_oldest_clients_end_with_one_model(tmp_path: Path, python39: Path, forms: tuple[str, str]) -> None:
    """Pickles of numpy 1.22, its arrays in messages, our SDK on protobuf 3.20.1: weights 1:3."""
    asked = "import sys, numpy, google.protobuf as p; print(sys.version_info[:2], numpy.__version__, p.__version__)"
    said = subprocess.run([str(python39), "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "(3, 9) 1.22.4 3.20.1"
    with lab(tmp_path, sites=2) as swarm:
        for site, form, weight, first, step in zip(swarm.sites, forms, (1, 3), (0, 4), (1, 5), strict=True):
            settings = {"WEIGHT": weight, "START": first, "STEP": step, "BATCHES": BATCHES, "EVERY": 1}
            if form == "ours":
                start(site, python39, ADDER, MIN_PEERS=2, **settings)
            else:
                start(site, python39, PROGRAMS / "original.py", FORM=form, SORTED=int("inline" in forms), **settings)
        assert swarm.run(seconds=300) == [(0, 0)] * 2
        for site, form in zip(swarm.sites, forms, strict=True):
            model = model_of(site, form)
            assert np.array_equal(model["w"], np.full(31, 3 + 4 * BATCHES, np.float32))
            assert model["count"] == BATCHES
