"""Log lines in the folder that LOGS_DIR names: whose file, its bounds, and what is said where there can be none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from swarm.node.entry import start_logs
from swarm.obs import log, logfiles


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The process's own handlers and level come back."""
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    for one in [one for one in root.handlers if one not in kept]:
        one.close()
    root.handlers[:] = kept
    root.setLevel(level)


@pytest.mark.row("E15a")
def test_a_nodes_lines_are_in_its_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """LOGS_DIR is made if need be; secrets are struck out there as well; the file is its user's alone."""
    monkeypatch.setenv("LOGS_DIR", str(tmp_path / "site" / "logs"))
    start_logs("INFO", "sl")
    log.get("swarm.SL").info("Starting Swarm Learning Training", token="s3cret")
    log.get("swarm.SL").debug("not at this level")
    [path] = (tmp_path / "site" / "logs").glob("*.log")
    said = path.read_text()
    assert "swarm.SL : INFO : Starting Swarm Learning Training" in said
    assert said == capsys.readouterr().err
    assert "s3cret" not in said
    assert (path.name, path.stat().st_mode & 0o777) == ("sl.log", 0o600)


def test_two_processes_have_a_file_each(tmp_path: Path) -> None:
    """A file that another one writes is left alone, and taken up again once that has ended."""
    assert logfiles.keep(tmp_path, "sl").name == "sl.log"
    assert logfiles.keep(tmp_path, "sl").name == "sl-2.log"
    assert logfiles.keep(tmp_path, "sn").name == "sn.log"
    first = next(one for one in logging.getLogger().handlers if getattr(one, "baseFilename", "").endswith("sl.log"))
    logging.getLogger().removeHandler(first)
    first.close()
    assert logfiles.keep(tmp_path, "sl").name == "sl.log"


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full one becomes the one before; what was before that goes."""
    monkeypatch.setattr(logfiles, "FILE_BYTES_MAX", 2_000)
    log.setup(level="INFO", form="human")
    logfiles.keep(tmp_path, "sn")
    for number in range(100):
        log.get("swarm").info(f"line {number} {'x' * 80}")
    files = sorted(one for one in tmp_path.iterdir() if one.suffix != ".lock")
    assert [one.name for one in files] == ["sn.log", "sn.log.1"]
    assert all(one.stat().st_size <= 2_000 for one in files)
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in files)
    assert "line 99 " in files[0].read_text()


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """One warning that names it; a command of an operator writes no file at all."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOGS_DIR", str(tmp_path / "file" / "logs"))
    start_logs("INFO", "sn")
    assert f"LOGS_DIR={tmp_path}/file/logs is not used (Not a directory)" in capsys.readouterr().err
    monkeypatch.setenv("LOGS_DIR", str(tmp_path / "logs"))
    start_logs("INFO")
    assert not (tmp_path / "logs").exists()
