"""Programs on the oldest Python, numpy, protobuf and frameworks that clients have, beside SLs of today.

The original's wheels need Python 3.8 or 3.9 with protobuf below 3.20.2; our SDK takes Python 3.8, numpy 1.21, protobuf
3.15 and the frameworks of docs/sdk.md's section on versions, or newer ones. Each environment is made once, below
build/, from the package index.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.lab import ADDER, PROGRAMS, Site, lab
from support.snprocess import clean_environ
from swarmlearning import tensorfile

pytestmark = [pytest.mark.timeout(1200), pytest.mark.host_network]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "older-clients"
STACKS = {
    "py38": ("3.8", "numpy==1.21.6", "protobuf==3.15.8"),
    "tensorflow27": ("3.8", "tensorflow-cpu==2.7.4", "numpy==1.21.6", "protobuf==3.15.8"),
    "tensorflow27py39": ("3.9", "tensorflow-cpu==2.7.4", "numpy==1.21.6", "protobuf==3.15.8"),
    "torch113": (
        *("3.8", "torch==1.13.1", "numpy==1.21.6", "protobuf==3.15.8"),
        *("transformers==4.39.3", "accelerate==0.28.0", "peft==0.10.0"),
    ),
    "torch20": (
        *("3.11", "torch==2.0.1", "numpy<2", "protobuf==3.20.3", "safetensors==0.4.1", "setuptools<81"),
        *("transformers==4.40.0", "accelerate==0.30.0", "peft==0.11.0"),
        *("lightning==2.0.0", "lightning-cloud==0.5.32"),
    ),
    "sklearn12": ("3.11", "scikit-learn==1.2.0", "numpy==1.23.5", "protobuf==3.20.3"),
    "fastai28": ("3.11", "fastai==2.8.12", "torch==2.15.0", "protobuf"),
    "keras215": ("3.11", "tensorflow-cpu==2.15.1"),
}
"""Folder: version of Python, and packages. Lightning 2.0 asks for setuptools and lightning-cloud
without an upper bound, and imports what their newest versions lack."""
INSTALL_SECONDS = 900
BATCHES = 5


def interpreter(version: str) -> str:
    """A Python of that version that works; skips where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}.*/bin/python"))]
    for one in [sys.executable, *filter(None, found)]:
        asked = [one, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == version:
            return one
    pytest.skip(f"needs Python {version}")


def environment(name: str) -> Path:
    """The Python of a stack, made at the first call; one maker at a time."""
    place = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        version, *packages = STACKS[name]
        made = place / ".complete"
        if not made.exists() or made.read_text().split() != packages:
            subprocess.run([interpreter(version), "-m", "venv", "--clear", str(place)], check=True, timeout=300)
            install = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", *packages]
            done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
            if done.returncode:
                pytest.skip(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")
            made.write_text("\n".join(packages))
    return place / "bin" / "python"


@pytest.fixture(scope="module")
def python38() -> Path:
    return environment("py38")


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
@pytest.mark.parametrize(
    "forms",
    [
        pytest.param(("pickle", "ours"), id="2.3-beside-ours"),
        pytest.param(("inline", "pickle"), id="2.1-beside-2.3", marks=pytest.mark.slow),
    ],
)
def test_the_oldest_clients_end_with_one_model(tmp_path: Path, python38: Path, forms: tuple[str, str]) -> None:
    """Pickles of numpy 1.21, its arrays in messages, our SDK on protobuf 3.15: weights 1:3."""
    asked = "import sys, numpy, google.protobuf as p; print(sys.version_info[:2], numpy.__version__, p.__version__)"
    said = subprocess.run([str(python38), "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "(3, 8) 1.21.6 3.15.8"
    with lab(tmp_path, sites=2) as swarm:
        for site, form, weight, first, step in zip(swarm.sites, forms, (1, 3), (0, 4), (1, 5), strict=True):
            settings = {"WEIGHT": weight, "START": first, "STEP": step, "BATCHES": BATCHES, "EVERY": 1}
            if form == "ours":
                start(site, python38, ADDER, MIN_PEERS=2, **settings)
            else:
                start(site, python38, PROGRAMS / "original.py", FORM=form, SORTED=int("inline" in forms), **settings)
        assert swarm.run(seconds=300) == [(0, 0)] * 2
        for site, form in zip(swarm.sites, forms, strict=True):
            model = model_of(site, form)
            assert np.array_equal(model["w"], np.full(31, 3 + 4 * BATCHES, np.float32))
            assert model["count"] == BATCHES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "stacks"),
    [
        pytest.param("torch", ("torch20", None), marks=pytest.mark.torch),
        pytest.param("torch", ("torch113", None), marks=pytest.mark.torch),
        pytest.param("hf", ("torch113", None), marks=pytest.mark.torch),
        pytest.param("peft", ("torch113", "torch113"), marks=pytest.mark.torch),
        pytest.param("keras", ("keras215", "keras215"), marks=pytest.mark.keras),
        pytest.param("keras", ("tensorflow27", "tensorflow27py39"), marks=pytest.mark.keras),
        pytest.param("hf", ("torch20", None), marks=pytest.mark.torch),
        pytest.param("peft", ("torch20", "torch20"), marks=pytest.mark.torch),
        pytest.param("lightning", ("torch20", None), marks=pytest.mark.torch),
        pytest.param("sklearn", ("sklearn12", None)),
        pytest.param("fastai", ("fastai28", "fastai28"), marks=pytest.mark.torch),
    ],
)
def test_old_frameworks_train_to_one_model(tmp_path: Path, framework: str, stacks: tuple[str, str | None]) -> None:
    """Sites with different data, each old framework beside the current one: both learn, and end with one model.

    Where old and new models would differ, two sites of the old one: Keras 2 names its weights differently, and the base
    of a peft model, which never travels, is the framework's to make. fastai (a current one, whose callback calls ours)
    is not in the environment of the other tests.
    """
    pythons = [Path(sys.executable) if name is None else environment(name) for name in stacks]
    with lab(tmp_path, sites=2) as swarm:
        for seed, (site, python) in enumerate(zip(swarm.sites, pythons, strict=True), 1):
            settings = {"FRAMEWORK": framework, "EPOCHS": 3, "BATCHES": 4, "EVERY": 2, "MIN_PEERS": 2}
            start(site, python, PROGRAMS / "framework.py", DATA_SEED=seed, **settings)
        assert swarm.run(seconds=400) == [(0, 0)] * 2
        results = [site.result() for site in swarm.sites]
        assert results[0]["sha256"] == results[1]["sha256"]
        assert all(one["loss_after"] < one["loss_before"] for one in results)
