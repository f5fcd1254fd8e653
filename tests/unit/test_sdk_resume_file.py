"""The resume file: whole or not at all, bounded, and refused by name when it is torn, foreign or hostile."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarmlearning import tensorfile
from swarmlearning.client import resume as resume_module
from swarmlearning.client import resumefile
from swarmlearning.client.pipe.session import MergedModel
from swarmlearning.client.resume import Resume
from swarmlearning.client.resumefile import ResumeFileError, ResumePoint

POINT = ResumePoint("job", "ab" * 32, 1, 7, "cd" * 32, "ef" * 32, 340, 3, {"lr": [0.1, None, True, "x", {"a": 1}]})
MERGED = MergedModel(POINT.swarm, 1, 9, "11" * 32)
TENSORS = {"optimizer/0/0/exp_avg": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.array(4, np.int64)}


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str, *values: object) -> None:
        self.said.append(text % values)

    warning = info


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every field and array comes back; the file is this user's alone and leaves nothing beside it."""
    path = tmp_path / "a.resume"
    resumefile.write(path, POINT, TENSORS)
    found = resumefile.read(path)
    assert found is not None
    assert found[0] == POINT
    for name, array in TENSORS.items():
        assert (found[1][name].dtype, found[1][name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[1][name], array)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert resumefile.read(tmp_path / "none") is None


def header_of(**changes: Any) -> str:
    return json.dumps({"format": resumefile.FORMAT, **asdict(POINT), **changes})


DEEP: Any = 1
for _ in range(9):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "no JSON"),
        ("[" * 60_000, "no JSON"),
        ("[]", "format is not"),
        ('{"format": "swarm.resume.2"}', "format is not"),
        (json.dumps({"format": resumefile.FORMAT}), "other fields"),
        (header_of(more=1), "other fields"),
        (header_of(run=-1), "its run is no number"),
        (header_of(run=True), "its run is no number"),
        (header_of(step=1.5), "its step is no number"),
        (header_of(epochs=2**60), "its epochs is no number"),
        (header_of(blob="CD" * 32), "its blob is not 64 hex digits"),
        (header_of(blob="../../etc/passwd"), "its blob is not 64 hex digits"),
        (header_of(swarm=7), "its swarm is not 64 hex digits"),
        (header_of(job="x" * 161), "its job is no text"),
        (header_of(notes=[]), "its notes are no object"),
        (header_of(notes={"a": DEEP}), "nested deeper than 8"),
        (header_of(notes={"a": float("nan")}), "its notes hold nan"),
        (header_of(notes={"a": [0] * 20_001}), "more than 20000 items"),
    ],
)
def test_a_hostile_header_is_refused_by_name(tmp_path: Path, header: str, why: str) -> None:
    """Depth, types, ranges and unknown fields are checked before anything is used."""
    path = tmp_path / "a.resume"
    tensorfile.write(path, TENSORS, {"platform": "resume", "resume": header})
    with pytest.raises(ResumeFileError, match=why):
        resumefile.read(path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_torn_or_flipped_file_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut anywhere or with any byte of its header changed: refused by name, or read within its bounds."""
    path = tmp_path_factory.mktemp("torn") / "a.resume"
    resumefile.write(path, POINT, TENSORS)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(ResumeFileError):
            resumefile.read(path)
        return
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = resumefile.read(path)
    except ResumeFileError:
        return
    assert found is not None
    found[0].check()


def test_what_is_no_file_of_this_user_is_refused(tmp_path: Path) -> None:
    """A link, a pipe, a folder, and a file that others may write; a pipe blocks nobody."""
    path = tmp_path / "a.resume"
    resumefile.write(path, POINT, TENSORS)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, why in (("link", "it is a link"), ("pipe", "not a plain file"), ("folder", "not a plain file")):
        with pytest.raises(ResumeFileError, match=why):
            resumefile.read(tmp_path / name)
    path.chmod(0o622)
    with pytest.raises(ResumeFileError, match="others may write it"):
        resumefile.read(path)


def test_a_size_above_the_bound_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on the file's size, before it is mapped."""
    path = tmp_path / "a.resume"
    resumefile.write(path, POINT, TENSORS)
    monkeypatch.setattr(resumefile, "FILE_BYTES_MAX", 100)
    with pytest.raises(ResumeFileError, match="allowed are 100"):
        resumefile.read(path)


def resume_at(folder: Path, log: Lines, **environ: str) -> Resume:
    return Resume("job", logger=log, environ={"SWARM_RESUME_DIR": str(folder), **environ})


@pytest.mark.parametrize(
    ("merged", "manifest", "job", "why"),
    [
        (MERGED, "ef" * 32, "job", None),
        (MergedModel("00" * 32, 1, 9, "11" * 32), "ef" * 32, "job", "another job or another swarm"),
        (MergedModel(POINT.swarm, 2, 9, "11" * 32), "ef" * 32, "job", "it belongs to run 1, this is run 2"),
        (MERGED, "00" * 32, "job", "another model"),
        (MergedModel(POINT.swarm, 1, 6, "11" * 32), "ef" * 32, "job", "after another round 7"),
        (MergedModel(POINT.swarm, 1, 7, "11" * 32), "ef" * 32, "job", "after another round 7"),
        (MergedModel(POINT.swarm, 1, 7, POINT.blob), "ef" * 32, "job", None),
    ],
)
def test_only_a_file_of_this_run_and_model_is_taken(
    tmp_path: Path, merged: MergedModel, manifest: str, job: str, why: str | None
) -> None:
    """Another swarm, run, model or history: one sentence, and the program starts fresh."""
    log = Lines()
    kept = resume_at(tmp_path, log)
    kept.keep(lambda: (POINT, (TENSORS, {"n": 1})))
    found = resume_at(tmp_path, log).take_up(merged, manifest)
    assert (found is None) == (why is not None)
    assert len(log.said) == (why is not None)
    if why is not None:
        assert log.said[0].startswith("A resume file is there but ignored: ")
        assert why in log.said[0]
    else:
        assert found is not None
        assert found[0].notes == {"n": 1}


def test_off_starts_fresh_and_leaves_nothing_to_take_up_later(tmp_path: Path) -> None:
    """SWARM_RESUME=off neither reads nor writes, and what was there does not come back with the next start."""
    log = Lines()
    resume_at(tmp_path, log).keep(lambda: (POINT, (TENSORS, {})))
    off = resume_at(tmp_path, log, SWARM_RESUME="off")
    assert off.take_up(MERGED, POINT.manifest) is None
    off.keep(lambda: (POINT, (TENSORS, {})))
    assert list(tmp_path.iterdir()) == []
    assert log.said == ["SWARM_RESUME=off: this program starts fresh, from the swarm's model."]
    with pytest.raises(ValueError, match="SWARM_RESUME is 'maybe', allowed are on, light, off"):
        resume_at(tmp_path, log, SWARM_RESUME="maybe")


def test_a_torn_file_is_one_sentence_and_a_fresh_start(tmp_path: Path) -> None:
    """What cannot be read stops nobody; leftovers of a killed writer are removed."""
    log = Lines()
    kept = resume_at(tmp_path, log)
    kept.keep(lambda: (POINT, (TENSORS, {})))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:300])
    (tmp_path / f".{path.name}.0011.part").write_bytes(b"half")
    assert resume_at(tmp_path, log).take_up(MERGED, POINT.manifest) is None
    assert len(log.said) == 1
    assert "is not used, this program starts fresh" in log.said[0]
    assert list(tmp_path.iterdir()) == [path]
    kept.finished()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    """Neither read from nor written to; said once."""
    tmp_path.chmod(0o777)
    log = Lines()
    kept = resume_at(tmp_path, log)
    assert kept.take_up(MERGED, POINT.manifest) is None
    for _ in range(3):
        kept.keep(lambda: (POINT, (TENSORS, {})))
    assert list(tmp_path.iterdir()) == []
    assert len(log.said) == 2
    assert all("may be written by others" in line for line in log.said)


def test_writing_takes_its_share_of_the_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of 2 s is followed by none for 95 s, but for the one at the end of training."""
    now = [0.0]
    written: list[float] = []

    def slow(path: Path, point: ResumePoint, tensors: Any) -> None:
        written.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(resume_module.resumefile, "write", slow)
    kept = Resume("job", logger=Lines(), environ={"SWARM_RESUME_DIR": str(tmp_path)}, clock=lambda: now[0])
    while now[0] < 200:
        kept.keep(lambda: (POINT, (TENSORS, {})))
        now[0] += 0.5
    assert written == [0.0, 97.0, 194.0]
    kept.keep(lambda: (POINT, (TENSORS, {})), now_or_never=True)
    assert len(written) == 4
    assert [resume_module.pause_after(cost) for cost in (0.0, 0.01, 0.05, 0.12, 0.5)] == pytest.approx(
        [0, 0.5, 1, 1, 20]
    )
