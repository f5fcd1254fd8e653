"""`swarm chain export` and `import` as an operator uses them: from version 1's state folder into a running SN."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certs import Authority
from support.oldchain import HOLDS, old_state_folder
from support.snprocess import SnProcess, running_sn
from swarm.cli import main
from swarm.core.errors import OperatorFault
from swarm.core.ids import DEFAULT_JOB
from swarm.sn.carrying import HEARD_SECONDS_MAX, ImportFolder, import_file
from swarm.sn.contracts import DIRECTORY_KEY
from swarm.sn.gethhost import CHAIN_KEY
from swarm.store.journal import Journal

FINAL = HOLDS["jobs"][DEFAULT_JOB]["merged"]["1/2"]


def swarm(*arguments: str | Path) -> tuple[int, str, str]:
    """The command line, in this process: two dozen interpreters would take longer than what they are started for."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def sn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnProcess]:
    with running_sn(tmp_path_factory.mktemp("sn"), Authority()) as running:
        yield running


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_state_folder(tmp_path_factory.mktemp("old") / "state")


@pytest.fixture(scope="module")
def exported(old: Path) -> Path:
    file = old.parent / "swarm.json"
    code, out, err = swarm("chain", "export", file, "--state-dir", old)
    assert code == 0, err
    assert "7 members, 2 jobs, 3 runs" in out
    assert "contracts of version 1" in out
    assert "note: run 2 of job defaultbb.cqdb.sml.hpe goes on" in err
    return file


def test_the_whole_way(sn: SnProcess, exported: Path) -> None:
    """Export, import, once more, and what `history`, `audit`, `status` and `wait` then say of the earlier runs."""
    code, out, err = swarm("chain", "import", exported, "--state-dir", sn.state)
    assert code == 0, err
    assert "carried over and read back: 7 members, 2 jobs, 3 earlier runs" in out
    assert "no node of this version trains under its options" in err
    height = json.loads(swarm("status", "--ops", sn.ops, "--json")[1])["sn"]["head"]["number"]
    code, out, err = swarm("chain", "import", exported, "--state-dir", sn.state)
    assert (code, "carried over and read back" in out) == (0, True), err
    status = json.loads(swarm("status", "--ops", sn.ops, "--json")[1])
    assert status["sn"]["head"]["number"] == height
    assert {(name, job["run"], job["phase"]) for name, job in status["jobs"].items()} == {
        (DEFAULT_JOB, 3, "idle"),
        ("lungs", 2, "idle"),
    }
    assert sum(node["status"] == "revoked" for node in status["nodes"]) == 1

    rows = json.loads(swarm("history", "--ops", sn.ops, "--json")[1])
    runs = {(row["job"], row["run"]): row for row in rows}
    first = runs[DEFAULT_JOB, 1]
    assert (first["state"], first["rounds"], first["final"]) == ("complete", 3, FINAL)
    assert (len(first["members"]), len(first["contributors"])) == (3, 3)
    assert first["earlier"]["chain"] == HOLDS["genesis"]
    assert first["began"] == first["earlier"]["began"] == 1_796_019_409
    assert first["how"] == f"carried over from the chain with genesis {HOLDS['genesis']}"
    assert runs[DEFAULT_JOB, 2]["how"].startswith("it went on when it was exported; carried over from")
    assert (runs[DEFAULT_JOB, 3]["state"], runs[DEFAULT_JOB, 3]["earlier"]) == ("idle", None)
    assert (runs[DEFAULT_JOB, 3]["how"], runs[DEFAULT_JOB, 3]["began"]) == ("nobody has joined yet", None)
    now = json.loads(swarm("audit", DEFAULT_JOB, "--ops", sn.ops, "--json")[1])
    assert (now["phase"], now["options"]) == ("idle", HOLDS["jobs"][DEFAULT_JOB]["options"])

    record = json.loads(swarm("audit", DEFAULT_JOB, "--run", "1", "--ops", sn.ops, "--json")[1])
    said = HOLDS["jobs"][DEFAULT_JOB]["merged"]
    assert [r["merged"] for r in record["rounds"]] == [said["1/0"], said["1/1"], said["1/2"]]
    assert record["final"] == FINAL
    code, out, _ = swarm("audit", DEFAULT_JOB, "--run", "1", "--ops", sn.ops)
    assert (code, f"final model: {FINAL}" in out) == (0, True)
    assert swarm("wait", DEFAULT_JOB, "--run", "1", "--ops", sn.ops)[0] == 0
    assert swarm("history", "--ops", sn.ops)[0] == 0

    again = exported.parent / "again.json"
    code, out, err = swarm("chain", "export", again, "--ops", sn.ops)
    assert code == 0, err
    old_jobs = {j["name"]: j for j in json.loads(exported.read_text())["jobs"]}
    assert {j["name"]: j for j in json.loads(again.read_text())["jobs"]} == old_jobs


def test_what_cannot_be_exported_or_imported_is_one_sentence(sn: SnProcess, exported: Path, tmp_path: Path) -> None:
    """With the fault, the file and what to do; no trace, exit code 2."""
    geth, nothing = tmp_path / "geth", tmp_path / "nothing"
    for folder, kept in ((geth, {CHAIN_KEY: b'{"kind": "geth"}', DIRECTORY_KEY: b"0x"}), (nothing, {})):
        with Journal(folder / "journal.db") as journal:
            journal.batch(kept)
    (tmp_path / "none.json").write_text("{}")
    new = tmp_path / "new.json"
    for arguments, said in (
        (("chain", "export", exported, "--ops", sn.ops), "is there already"),
        (("chain", "export", new, "--state-dir", sn.state), "belongs to another running process"),
        (("chain", "export", new, "--state-dir", tmp_path), "is no state folder of an SN"),
        (("chain", "export", new, "--state-dir", geth), "holds a chain of kind geth, which only its program reads"),
        (("chain", "export", new, "--state-dir", nothing), "holds no contracts"),
        (("chain", "export", new, "--state-dir", geth, "--ops", sn.ops), "give one of them"),
        (("chain", "export", tmp_path / "no" / "folder", "--ops", sn.ops), "cannot be written"),
        (("chain", "import", new, "--state-dir", sn.state), "cannot be read: No such file"),
        (("chain", "import", tmp_path / "none.json", "--state-dir", sn.state), "is no export of a chain"),
        (("chain", "import", exported, "--state-dir", tmp_path / "where"), "is not there"),
    ):
        code, out, err = swarm(*arguments)
        assert (code, said in err, err.count("\n")) == (2, True, 1), (arguments, out, err)
    assert not new.exists()


def test_an_sn_that_does_not_run_is_not_waited_for(exported: Path, tmp_path: Path) -> None:
    """After half a minute it is said, and nothing stays behind that an SN would carry over at its next start."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.raises(OperatorFault, match="has taken the import for 30 s: start it"):
        import_file(exported, tmp_path, print, clock=lambda: now, sleep=sleep)
    assert HEARD_SECONDS_MAX < now < HEARD_SECONDS_MAX + 2
    assert not ImportFolder(tmp_path).wanted.exists()
