"""Arguments and imports that are spelt as in earlier versions, or nearly right: said, or refused if a value is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swarmlearning.base import SwarmError
from swarmlearning.client.arguments import COMMON_ARGUMENTS
from swarmlearning.client.spelling import todays_name
from swarmlearning.plain import SwarmCallback

ROOT = Path(__file__).resolve().parents[2]


def callback(**options: Any) -> SwarmCallback:
    model = {"w": np.zeros(2, np.float32)}
    return SwarmCallback(get_parameters=lambda: model, set_parameters=model.update, **options)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_LOOPBACK", "True")


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"sync_interval": 128, "minPeers": 2}, "sync_interval is called syncFrequency"),
        ({"sync_frequency": 128, "minPeers": 2}, "sync_frequency is called syncFrequency"),
        ({"syncFrequency": 4, "min_peers": 2}, "min_peers is called minPeers"),
        ({"node_weightage": 50}, "node_weightage is called nodeWeightage"),
        ({"nodeWeightege": 50}, "nodeWeightege is called nodeWeightage"),
        ({"weight": 3}, "weight is called nodeWeightage"),
        ({"use_adaptive_sync": True}, "use_adaptive_sync is called useAdaptiveSync"),
        ({"merge_method": "geomedian"}, "merge_method is called mergeMethod"),
        ({"val_data": [1], "val_batch_size": 8}, "val_batch_size is called adsValBatchSize today, val_data is called"),
        ({"checkin_model_on_train_end": "active"}, "called checkinModelOnTrainEnd"),
        ({"training_contract": "mine.cqdb.sml.hpe"}, "called trainingContract"),
        ({"nodeWeightage": 2, "node_weightage": 5}, "node_weightage is called nodeWeightage"),
        ({"getParameters": print}, "getParameters is called get_parameters"),
    ],
)
def test_a_value_that_would_be_lost_is_refused(given: dict[str, Any], today: str) -> None:
    """One sentence with today's name, for old names, snake case, slips, and both names at once."""
    whole = {"totalEpochs": 1, **given}
    if not any(name.lower().startswith(("sync", "min")) for name in given):
        whole.update(syncFrequency=4, minPeers=2)
    with pytest.raises(SwarmError) as caught:
        callback(**whole)
    assert today in str(caught.value)
    assert str(caught.value).count(".") == 1


@pytest.mark.parametrize("name", sorted(COMMON_ARGUMENTS))
def test_every_argument_is_known_in_snake_case(name: str) -> None:
    """Whatever the case of its letters."""
    snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in name)
    assert todays_name(snake.upper(), COMMON_ARGUMENTS).replace("_", "").lower() == name.replace("_", "").lower()


def test_what_makes_no_difference_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """A default, None, or the very value that stands under today's name too; names far from all are as ever."""
    made = callback(syncFrequency=4, minPeers=2, node_weightage=1, val_data=None, min_peers="2", modelName="a", mode=1)
    said = capsys.readouterr().out
    assert "min_peers is called minPeers today, node_weightage is called nodeWeightage today, val_data" in said
    assert "Unknown arguments are ignored: mode, modelName" in said
    assert made.nodeWeightage == 1


@pytest.mark.row("K03")
@pytest.mark.parametrize("value", [2.7, np.float32(2.7), np.float64(2.7)])
@pytest.mark.parametrize("name", ["syncFrequency", "minPeers", "nodeWeightage", "totalEpochs"])
def test_a_fraction_is_cut_with_a_warning(name: str, value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As the original, which takes int() of numbers; it is said."""
    made = callback(**{"syncFrequency": 4, "minPeers": 1, "totalEpochs": 3, name: value})
    assert getattr(made, name) == 2
    assert f"{name} is {value}, the fraction is cut off: 2 counts." in capsys.readouterr().out


def said_by(python: list[str], code: str) -> str:
    done = subprocess.run([*python, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("code", ["from swarm import SwarmCallback", "from swarmlearning import SwarmCallback"])
def test_an_import_of_the_first_versions_is_told_todays(code: str) -> None:
    """Beside the nodes' package, which is called swarm as well."""
    line = said_by([sys.executable], code)
    assert line.startswith("ImportError: ")
    assert "from swarmlearning.tf import SwarmCallback" in line
    assert "swarmlearning.pyt" in line


def test_the_wheel_alone_says_it_and_gives_way_to_the_nodes(tmp_path: Path) -> None:
    """The built wheel, in a folder of its own: without the services it answers, with them theirs is found."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT / "sdk", check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place)
        (metadata,) = (name for name in packed.namelist() if name.endswith("METADATA"))
        needs = [line for line in packed.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    code = f"import sys; sys.path.insert(0, {str(place)!r}); from swarm import SwarmCallback"
    isolated = [sys.executable, "-I", "-S"]
    assert "SwarmCallback is not in swarm: write from swarmlearning.tf import" in said_by(isolated, code)
    for other in (place, tmp_path / "behind"):  # installed beside it, or in a place that is looked at later
        (other / "swarm").mkdir(parents=True)
        (other / "swarm" / "__init__.py").write_text("SwarmCallback = 1")
        (other / "swarm" / "part.py").write_text("")
        looked = f"import sys; sys.path[:0] = [{str(place)!r}, {str(other)!r}]; import swarm.part; swarm.SwarmCallback"
        assert subprocess.run([*isolated, "-c", looked], check=False).returncode == 0
        shutil.rmtree(other / "swarm")
    (place / "spaces" / "swarm").mkdir(parents=True)
    (place / "spaces" / "swarm" / "part.py").write_text("")
    looked = f"import sys; sys.path[:0] = [{str(place)!r}, {str(place / 'spaces')!r}]; import swarm.part"
    assert subprocess.run([*isolated, "-c", looked], check=False).returncode == 0
    assert sorted(one for one in needs if "extra" not in one) == [
        "Requires-Dist: numpy>=1.21",
        "Requires-Dist: protobuf>=3.15",
    ]


@pytest.mark.row("E15c")
@pytest.mark.parametrize(
    ("given", "version"),
    [({}, "0.1.0"), ({"SWARM_VER": "2.3.0"}, "2.3.0"), ({"SWARMVER": "2.2.1"}, "2.2.1"),
     ({"SWARM_VER": "", "SWARMVER": "2.2.1"}, "2.2.1"), ({"SWARM_VER": "2.3.0", "SWARMVER": "2.2.1"}, "2.3.0")],
)  # fmt: skip
def test_a_wheels_version_is_the_environments_where_it_is_built(given: dict[str, str], version: str) -> None:
    """SWARM_VER before SWARMVER; none, or an empty one: the source's own."""
    environ = {name: value for name, value in os.environ.items() if name not in ("SWARM_VER", "SWARMVER")}
    asked = [sys.executable, "-m", "hatchling", "metadata", "version"]
    done = subprocess.run(asked, cwd=ROOT / "sdk", env=environ | given, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == version
