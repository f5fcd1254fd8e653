"""Every method that the original's SWCI client has, one after the other, against a real server over mutual TLS.

With our client; with the original's, unchanged, where ORIGINAL_WHEEL names its published wheel and ORIGINAL_PYTHON a
Python that has requests, networkx and matplotlib (docs/original-clients.md). Nothing of that wheel is kept here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import patience, swci
from support.lab import Lab, lab
from support.snprocess import clean_environ
from support.swci import BUILD
from support.swop import swop

PROGRAM = Path(__file__).parents[1] / "support" / "programs" / "swci_methods.py"
PROGRAM_SECONDS = 90.0
JOB, RUNNER = "defaultbb.cqdb.sml.hpe", "defaulttaskbb.taskdb.sml.hpe"


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An SN and two SLs in a training."""
    with lab(tmp_path_factory.mktemp("swarm"), sites=2) as found:
        for site in found.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=100_000, BATCH_SECONDS=0.2)
        found.wait(lambda: all(s.status().get("round") for s in found.sites), seconds=60, say="they train")
        yield found


def calls(swarm: Lab, folder: Path, python: str, path: str | None, name: str) -> list[dict[str, Any]]:
    """What each call of the program came to."""
    here = swci.operator(folder, swarm.sn, swarm.ca)
    (here.usr / "inner").mkdir()
    task = folder / f"{name}.yaml"
    task.write_text(BUILD.replace("user_env_task", name))
    environ = clean_environ(MPLBACKEND="agg", **({} if path is None else {"PYTHONPATH": path}))
    files = here.files
    with swci.web(here) as port, swop(swarm.sn, swarm.ca, folder, f"swop-{name}", results=[0]):
        command = [python, str(PROGRAM), "127.0.0.1", str(port), str(files.cert), str(files.key), str(files.cacert)]
        done = subprocess.run(
            [*command, str(swarm.sn.port), str(task), f"job-{name}"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=patience.seconds(PROGRAM_SECONDS),
            check=False,
        )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.row("R09")
def test_every_method_of_the_original(swarm: Lab, tmp_path: Path) -> None:
    """With our client, by the program that the original's client runs below."""
    judge(calls(swarm, tmp_path, sys.executable, None, "ours"), "ours")


@pytest.mark.skipif("ORIGINAL_WHEEL" not in os.environ, reason="by hand: ORIGINAL_WHEEL names no published wheel")
def test_the_originals_own_client(swarm: Lab, tmp_path: Path) -> None:
    """Unchanged, from its wheel; it gives the same answers."""
    with zipfile.ZipFile(os.environ["ORIGINAL_WHEEL"]) as wheel:
        wheel.extractall(tmp_path / "wheel")
    text = (tmp_path / "wheel" / "swarmlearning" / "swci.py").read_text()
    assert "networkx" in text, "this is not the original's client"
    python = os.environ.get("ORIGINAL_PYTHON", sys.executable)
    judge(calls(swarm, tmp_path, python, str(tmp_path / "wheel"), "original"), "original")


def judge(found: list[dict[str, Any]], name: str) -> None:
    """Each answer as a user of the original expects it; each failure as an error that says why."""
    left = iter(found)

    def good(method: str) -> Any:
        one = next(left)
        assert one["method"] == method
        assert (one["error"], one["raised"]) == (None, None), one
        return one["answer"]

    def bad(method: str) -> str:
        one = next(left)
        assert one["method"] == method
        assert one["raised"] or one["answer"] == [], one
        return str(one["raised"] or one["error"])

    up = "API Server is UP!"
    assert good("createContext") == [up, "CONTEXT CREATED : one"]
    assert good("createContext") == [up, "CONTEXT CREATED : two"]
    assert "mandatory" in bad("createContext")
    assert good("switchContext") == ["DEFAULT CONTEXT SET TO : one"]
    assert good("listContexts") == ["one", "two"]
    assert "NAME         : one" in good("getContextInfo")
    assert good("pwd")[0].startswith("Current Directory : /")
    assert good("cd")[0].endswith("/inner")
    assert good("cd")[0].endswith("/usr")
    assert good("ls") == ["inner"]
    assert any("inner" in line for line in good("ls"))
    assert good("sleep") == ["Completed SLEEP for: 1 secs"]
    assert good("createTrainingContract") == [f"Contract Created : job-{name}"]
    assert {JOB, f"job-{name}"} <= set(good("listTrainingContracts"))
    assert f"NAME         : {JOB}" in good("getTrainingContractInfo")
    assert "STATE        : IDLE" in good("getTrainingContractStatus")
    assert len(good("getTrainingContractPerformanceData")) == 3
    assert good("resetTrainingContract") == ["Contract Reset"]
    assert "there is no contract 'none-such'" in bad("getTrainingContractStatus")
    one = next(left)  # the original's getErrors() still tells the failure before
    assert (one["method"], one["answer"].split(",")[0]) == ("uploadTaskDefintion", f"{name}.yaml is uploaded")
    assert "not found" in bad("uploadTaskDefintion")
    assert f"Task Registered : {name}" in good("createTaskFrom")
    assert good("deleteTask")
    assert f"Task Registered : {name}" in good("registerTask")
    assert good("finalizeTask") == ["Task Finalized"]
    assert good("registerTask") == [f"Registered Task : {name}"]
    assert {"ROOTTASK", name} <= set(good("listTasks"))
    assert "FINALIZED    : True" in good("getTaskInfo")
    assert good("getTaskBody")[0] == "0000: ---"
    assert bad("deleteTask")
    assert good("listTaskRunners") == [RUNNER]
    assert f"NAME         : {RUNNER}" in good("getTaskRunnerInfo")
    assert "TASK_STATE   : IDLE" in good("getTaskRunnerStatus")
    assert good("isTaskDone") is True
    assert "there is no task runner 'none-such'" in bad("isTaskDone")
    assert "Task assigned to TaskRunner" in good("assignTask")
    next(left)  # the same again: on a runner that is at it, or that is done already
    peer = good("getTaskRunnerPeerStatus")
    assert any(line.startswith("UID") for line in peer)
    assert "STATUS       : DONE" in peer
    assert good("resetTaskRunner") == ["TaskRunner Reset"]
    one = next(left)
    assert (one["method"], one["raised"]) == ("executeTask", None)
    assert "TASK_STATE   : COMPLETE" in one["printed"]
    assert "TASK_STATE   : IDLE" in good("getTaskRunnerStatus")
    rows = [line.split(",") for line in good("listNodes")[1:]]
    assert sorted(row[0].strip() for row in rows) == ["SENTINEL", "SL", "SL"]  # the stand-in tells no SN that it lives
    assert {len(row) for row in rows} == {7}
    assert {row[5] for row in rows} == {rows[0][4]}
    one = next(left)
    assert (one["method"], one["error"], one["raised"]) == ("plotTopology", None, None)
    assert good("clearCache") is None
    assert next(left, None) is None
