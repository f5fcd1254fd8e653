"""What a program leaves at its end: whose model is whose, who took part, and whether it trained alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import Place, bridge_at
from support.sdk_channel import point_at
from swarm.core.errors import LocalFault
from swarm.sl.bridge import Merged
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile
from swarmlearning.base import SwarmError
from swarmlearning.client import result
from swarmlearning.plain import SwarmCallback

ME = "0x" + "11" * 20
RECORD: dict[str, Any] = {
    "node": ME,
    "strict": False,
    "run": 3,
    "rounds": 2,
    "method": "mean",
    "contributors": [{"node": ME, "weight": 2, "share": 0.5}, {"node": "0x" + "22" * 20, "weight": 2, "share": 0.5}],
    "own_rounds": 2,
    "took_part": [[0, 1]],
}


def told(**changed: Any) -> str:
    return json.dumps({**RECORD, **changed})


def train(folder: Path, begin: bool = True, **options: Any) -> dict[str, Any]:
    """Two batches that add one each; returns the result page."""
    model = {"w": np.zeros(3, np.float32)}
    options = {"get_parameters": lambda: model, "set_parameters": model.update, **options}
    callback = SwarmCallback(5, 1, totalEpochs=1, **options)
    if begin:
        callback.on_train_begin()
    for _ in range(2):
        model["w"] = model["w"] + np.float32(1)
        if begin:
            callback.on_batch_end()
    callback.on_train_end()
    page: dict[str, Any] = json.loads((folder / result.RESULT_NAME).read_text())
    return page


async def run(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    point_at(monkeypatch, place)
    monkeypatch.setenv("SWARM_RESULT_DIR", str(folder))
    return await asyncio.to_thread(train, folder, **options)


def named(work: Path) -> Merged:
    """The name of what the fake swarm hands over at the end: the model with 102 everywhere."""
    path = work / "expected.safetensors"
    tensorfile.write(path, {"w": np.full(3, 102, np.float32)}, {"platform": "numpy"})
    blob, _ = BlobStore(work / "store").add_file(path, move=True)
    return Merged("ab" * 32, 3, 1, blob.hex())


async def test_three_files_say_which_model_is_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The final model byte for byte with its SHA-256 and its name on chain, the own one, the page; all mode 0600."""
    out = tmp_path / "out"
    async with bridge_at(tmp_path, record=told()) as place:
        place.shell.named = named(tmp_path)
        place.shell.merge = lambda _, a: a + a.dtype.type(100 if a[0] else 0)
        page = await run(place, out, monkeypatch)
    assert sorted(one.name for one in out.iterdir()) == sorted([result.RESULT_NAME, result.FINAL_NAME, result.OWN_NAME])
    assert {stat.S_IMODE(one.stat().st_mode) for one in out.iterdir()} == {0o600}
    final = hashlib.sha256((out / result.FINAL_NAME).read_bytes()).hexdigest()
    assert page["final"] == {
        "file": result.FINAL_NAME,
        "sha256": final,
        "blob": f"0x{place.shell.named.blob}",
        "verified": True,
    }
    assert tensorfile.open_arrays(out / result.FINAL_NAME)["w"].tolist() == [102.0] * 3
    assert tensorfile.open_arrays(out / result.OWN_NAME)["w"].tolist() == [2.0] * 3
    assert page["own"]["sha256"] == hashlib.sha256((out / result.OWN_NAME).read_bytes()).hexdigest()
    assert page["format"] == result.FORMAT
    assert (page["job"], page["run"], page["rounds"]) == ("defaultbb.cqdb.sml.hpe", 3, 2)
    assert (page["verdict"], page["reason"]) == ("in_swarm", None)
    assert page["contributors"] == RECORD["contributors"]
    assert page["took_part"] == [[0, 1]]


async def test_a_final_model_that_is_not_the_chains_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another file than the one the chain names leaves no swarm-final.safetensors, and a warning."""
    out = tmp_path / "out"
    async with bridge_at(tmp_path, record=told()) as place:
        place.shell.named = Merged("ab" * 32, 3, 1, "cd" * 32)
        page = await run(place, out, monkeypatch)
    assert page["final"] is None
    assert not (out / result.FINAL_NAME).exists()
    assert [one.name for one in out.iterdir() if one.name.endswith(".part")] == []
    assert "the chain's is 0xcdcd" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (told(took_part=[], own_rounds=0), "left out of every round"),
        (told(took_part=[[0, 0]], own_rounds=1), "only its initial model was merged"),
    ],
)
async def test_a_program_that_trained_alone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record: str, reason: str
) -> None:
    """One ERROR line with the reason, in the page too; the program goes on."""
    async with bridge_at(tmp_path, record=record) as place:
        page = await run(place, tmp_path / "out", monkeypatch)
    assert page["verdict"] == "alone"
    assert reason in page["reason"]
    errors = [line for line in capsys.readouterr().out.splitlines() if " : ERROR : " in line]
    assert len(errors) == 1
    assert "trained alone" in errors[0]
    assert reason in errors[0]


async def test_a_run_that_was_over_before_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first model loaded is the final one: nothing was learnt here, and the fix is another run."""
    async with bridge_at(tmp_path, record=told(took_part=[]), over_after=1) as place:
        page = await run(place, tmp_path / "out", monkeypatch)
    assert "run 3 was complete before this program came" in page["reason"]


@pytest.mark.parametrize("how", ["keyword", "variable", "job"])
async def test_in_strict_mode_training_alone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """strict=True, SWARM_STRICT=1 or the swarm's own strictness: SwarmError at the end, the page is written."""
    if how == "variable":
        monkeypatch.setenv("SWARM_STRICT", "1")
    options = {"strict": True} if how == "keyword" else {}
    out = tmp_path / "out"
    async with bridge_at(tmp_path, record=told(took_part=[], strict=how == "job")) as place:
        with pytest.raises(SwarmError, match=r"trained alone.*left out of every round"):
            await run(place, out, monkeypatch, **options)
    page = json.loads((out / result.RESULT_NAME).read_text())
    assert (page["verdict"], page["strict"]) == ("alone", True)


async def test_hooks_that_were_never_called_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on_train_end was called: whatever was learnt was handed over once, unmerged with anybody before."""
    async with bridge_at(tmp_path, record=told(took_part=[])) as place:
        page = await run(place, tmp_path / "out", monkeypatch, begin=False)
    assert page["verdict"] == "alone"


def test_loopback_is_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SWARM_LOOPBACK left set: an ERROR line, and in strict mode an error; no files unless a folder is named."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    monkeypatch.setenv("SWARM_RESULT_DIR", str(tmp_path))
    assert "SWARM_LOOPBACK is set" in train(tmp_path)["reason"]
    assert "WARNING : This program trained alone" in capsys.readouterr().out
    with pytest.raises(SwarmError, match="SWARM_LOOPBACK"):
        train(tmp_path, strict=True)
    monkeypatch.delenv("SWARM_RESULT_DIR")
    assert result.ResultFiles(logger=logging.getLogger(), loopback=True).mode == "off"


async def test_a_failed_end_leaves_a_page_and_the_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trained is not lost when the last merge fails."""
    out = tmp_path / "out"
    async with bridge_at(tmp_path) as place:

        def fail(name: str, array: np.ndarray) -> np.ndarray:
            if array[0]:
                raise LocalFault("no merge today")
            return array

        place.shell.merge = fail
        with pytest.raises(SwarmError, match="no merge today"):
            await run(place, out, monkeypatch)
        page = json.loads((out / result.RESULT_NAME).read_text())
        assert page["verdict"] == "failed"
        assert tensorfile.open_arrays(out / result.OWN_NAME)["w"].tolist() == [2.0] * 3


async def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Result files are a service: warnings, and the run ends as it should."""
    (tmp_path / "out").write_text("a file where the folder should be")
    async with bridge_at(tmp_path, record=told()) as place:
        with pytest.raises(NotADirectoryError):  # the test reads a page that is not there
            await run(place, tmp_path / "out", monkeypatch)
    assert "swarm-result.json cannot be written" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 60_000,
        " " * (result.RECORD_CHARS_MAX + 1),
        told(node="0x12"),
        told(node=5),
        told(strict="yes"),
        told(run=-1),
        told(rounds=True),
        told(rounds=2**60),
        told(method="x" * 33),
        told(contributors={}),
        told(contributors=RECORD["contributors"] * 126),
        told(contributors=[{"node": ME, "weight": 1}]),
        told(contributors=[{"node": ME, "weight": -1, "share": 0.5}]),
        told(contributors=[{"node": ME, "weight": 1, "share": float("nan")}]),
        told(took_part=[[1]]),
        told(took_part=[[2, 1]]),
        told(took_part=[["a", "b"]]),
        told(took_part=[[0, 0]] * 1001),
    ],
)
def test_a_record_out_of_bounds_is_refused(text: str) -> None:
    """Every wrong form is a ValueError with one sentence, nothing else."""
    with pytest.raises(ValueError, match=r"record|JSON|property|Expecting"):
        result.read_record(text)


def test_the_models_can_be_left_out(tmp_path: Path) -> None:
    """SWARM_RESULT=light: only the page; off: nothing; another word is refused."""
    files = result.ResultFiles(
        logger=logging.getLogger(),
        loopback=False,
        environ={"SWARM_RESULT": "light", "SWARM_RESULT_DIR": str(tmp_path / "a")},
    )
    files.keep_own({"w": np.zeros(2)}, "numpy")
    files.tell({})
    assert [one.name for one in (tmp_path / "a").iterdir()] == [result.RESULT_NAME]
    off = {"SWARM_RESULT": "off", "SWARM_RESULT_DIR": str(tmp_path / "b")}
    result.ResultFiles(logger=logging.getLogger(), loopback=False, environ=off).tell({})
    assert not (tmp_path / "b").exists()
    with pytest.raises(ValueError, match="SWARM_RESULT is 'no'"):
        result.ResultFiles(logger=logging.getLogger(), loopback=False, environ={"SWARM_RESULT": "no"})
