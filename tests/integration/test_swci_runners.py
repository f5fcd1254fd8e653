"""Task runners by the shell against a real SN, with stand-ins for SWOPs that speak only the contract."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import patience, swci
from support.certs import Authority
from support.snprocess import SnProcess, running_sn
from support.swci import BUILD, RUN
from support.swop import swop

TR = "defaulttaskbb.taskdb.sml.hpe"


@dataclass
class World:
    """An SN, an operator with two final tasks."""

    ca: Authority
    sn: SnProcess
    here: swci.Operator
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ca = Authority()
    with running_sn(tmp_path_factory.mktemp("sn"), ca, "--task-lease", "5") as sn:
        here = swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)
        (here.usr / "build.yaml").write_text(BUILD)
        (here.usr / "run.yaml").write_text(RUN)
        made = here.shell(
            *here.enter(),
            "create task from build.yaml",
            "finalize task user_env_task",
            "create task from run.yaml",
            "finalize task run_task",
        )
        assert made.returncode == 0, made.stdout
        yield World(ca, sn, here, tmp_path_factory.mktemp("swops"))


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.row("C20a")
@pytest.mark.row("C20b")
def test_runners_are_made_and_listed(world: World) -> None:
    """The default one is there from the start; a name twice is refused; a runner that never worked is IDLE."""
    done = world.here.shell(
        "CREATE TASKRUNNER second", "CREATE TASKRUNNER second", "list taskrunners", "get taskrunner status second"
    )
    found = lines(done)
    assert found[0] == "    TaskRunner Created : second"
    assert found[1] == "ERROR there is a task runner second already; it can be used as it is"
    assert found[2:4] == [f"    {TR}", "    second"]
    assert found[4:] == ["    TASK NAME    : Empty", "    PEER TYPE    : SWOP", "    TASK_STATE   : IDLE"]


@pytest.mark.row("C21")
@pytest.mark.row("C24")
@pytest.mark.row("C20c")
@pytest.mark.row("C26")
@pytest.mark.row("C27a")
@pytest.mark.row("D12")
def test_a_task_is_run_to_its_end(world: World) -> None:
    """As every script spells it: reset, assign, wait, status, peers; the lines are the original's."""
    with swop(world.sn, world.ca, world.folder, "w1", results=[0]) as one:
        done = world.here.shell(
            f"RESET TASKRUNNER {TR}",
            f"ASSIGN TASK user_env_task TO {TR} WITH 1 PEERS",
            f"WAIT FOR TASKRUNNER {TR}",
            f"GET TASKRUNNER STATUS {TR}",
            f"GET TASKRUNNER INFO {TR}",
            f"GET TASKRUNNER PEER STATUS {TR} 0",
            f"GET TASKRUNNER PEER STATUS {TR} {one.uid[:12]}",
            f"LIST TASKRUNNER PEERS {TR}",
            f"HISTORY {TR}",
        )
    found = [line for line in lines(done) if not set(line) <= {"#"}]
    assert done.returncode == 0, done.stdout
    assert found[:2] == ["    TaskRunner Reset", "    Task assigned to TaskRunner"]
    # Ours: what the name came to.
    assert re.fullmatch(r"    TASK         : user_env_task, version 1, by Somebody \(0x[0-9a-f]{40}\)", found[2])
    assert found[3] == "    PREREQ       : ROOTTASK, version 1"
    del found[2:4]
    assert found[2:5] == [
        "    WAITING FOR TASKRUNNER TO COMPLETE - Maximum wait time is : 120 mins",
        "    TASKRUNNER FINISHED",
        "      STATE : COMPLETE",
    ]
    assert re.fullmatch(r"      TIME  : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found[5])
    assert "    TASK NAME    : user_env_task" in found
    assert "    PEER TYPE    : SWOP" in found
    assert "    FOLLOWERS    : 1 SWOPs listen" in found
    assert any(re.fullmatch(r"    ASSIGNMENT   : \d+, 0x[0-9a-f]{64}", line) for line in found)
    assert "    TASK_STATE   : COMPLETE" in found
    assert found.count(f"    UID          : {one.uid}") == 2
    assert found.count("    STATUS       : DONE") == 2
    assert any(line.startswith(f"    0, {one.uid}, IN, 1, 1, ") for line in found)
    assert re.match(r"    1, 0x[0-9a-f]{64}, user_env_task, complete, 0x[0-9a-f]{40}, 20", found[-1])


@pytest.mark.row("C27b")
@pytest.mark.row("D12")
@pytest.mark.row("D18")
def test_a_failure_ends_the_wait_with_who_and_how(world: World) -> None:
    """While others run on: named within seconds, with exit code and class; RESET needs FORCE then."""
    with (
        swop(world.sn, world.ca, world.folder, "f1", pairs=1, results=[3]) as bad,
        swop(world.sn, world.ca, world.folder, "f2", pairs=1, results=[None]) as good,
    ):
        began = time.monotonic()
        done = world.here.shell(
            f"RESET TASKRUNNER {TR}",
            f"ASSIGN TASK run_task TO {TR} WITH 2 PEERS",
            f"WAIT FOR TASKRUNNER {TR}",
            f"GET TASKRUNNER STATUS {TR}",
            f"RESET TASKRUNNER {TR}",
            f"GET TASKRUNNER PEER STATUS {TR} {bad.uid}",
            f"GET TASKRUNNER PEER STATUS {TR} {good.uid}",
            f"RESET TASKRUNNER {TR} FORCE",
            f"GET TASKRUNNER STATUS {TR}",
        )
        assert time.monotonic() - began < 60 * patience.crowd()
    found = lines(done)
    assert "      STATE : ERROR" in found
    assert f"      SWOP {bad.uid} pair 0: FAILED, exit code 3, ValueError" in found
    errors = [line for line in found if line.startswith("ERROR ")]
    assert errors[0].startswith(f"ERROR task run_task on {TR}: 1 pairs failed; SWOP {bad.uid} pair 0: FAILED")
    assert errors[1].startswith(f"ERROR task runner {TR} is busy: task run_task (assignment ")
    assert f"RESET TASKRUNNER {TR} FORCE ends it" in errors[1]
    assert len(errors) == 2
    assert "    PEER TYPE    : SL" in found
    assert "    TASK_STATE   : ERROR" in found
    assert "    NUMBER OF SL : 1" in found
    assert "    STATUS       : FAILED" in found
    # Once in what WAIT says (deeper), once as a part of that peer's status, and for no peer that did not fail.
    words = f"SWOP {bad.uid} has no lines of pair 0: its program wrote nothing before it failed"
    assert [line.removesuffix(words) for line in found if line.endswith(words)] == ["      ", "    "]
    assert not any(good.uid in line and "lines of pair" in line for line in found)
    assert found[-1] == "    TASK_STATE   : IDLE"


@pytest.mark.row("C22")
@pytest.mark.row("C23")
def test_all_or_one_by_name(world: World) -> None:
    """ALL names every SWOP that listens, TARGET one; a second target joins; more than exist is refused by numbers."""
    with (
        swop(world.sn, world.ca, world.folder, "a1", pairs=2, results=[0, 0]) as one,
        swop(world.sn, world.ca, world.folder, "a2", pairs=1, results=[None]) as two,
    ):
        one.results = [None, None]
        done = world.here.shell(
            f"ASSIGN TASK run_task TO {TR} TARGET {two.uid[:12]}",
            f"ASSIGN TASK user_env_task TO {TR} WITH ALL PEERS",
            f"ABORT TASKRUNNER {TR} enough seen",
            f"GET TASKRUNNER STATUS {TR}",
            f"ASSIGN TASK user_env_task TO {TR} TARGET 0xnobody",
            f"ASSIGN TASK user_env_task TO {TR} WITH 0 PEERS",
            f"ASSIGN TASK nothing TO {TR} WITH 1 PEERS",
        )
        found = [line for line in lines(done) if not set(line) <= {"#"}]
        assert found[0] == "    Task assigned to TaskRunner"
        assert found[3].startswith(f"ERROR task runner {TR} is busy: task run_task")
        assert found[4] == "    TaskRunner Aborted"
        assert any("enough seen" in line for line in found)
        errors = [line for line in found if line.startswith("ERROR ")]
        assert "there is no SWOP that listens to" in errors[1]
        assert "at least one" in errors[2]
        assert "there is no task 'nothing'" in errors[3]
        one.results, two.results = [0, 0], [0]
        everybody = world.here.shell(f"ASSIGN TASK run_task TO {TR} WITH ALL PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert everybody.returncode == 0, everybody.stdout
        peers = lines(world.here.shell(f"LIST TASKRUNNER PEERS {TR}"))
        assert sorted(line.split(", ")[4] for line in peers[1:]) == ["1", "2"]


def test_who_wants_a_silent_runner_gets_it(world: World) -> None:
    """Its peers were killed: RESET tells since when they are silent, ends their task, and is done without FORCE."""
    with swop(world.sn, world.ca, world.folder, "s1", pairs=1, results=[None]) as one:
        done = world.here.shell(f"RESET TASKRUNNER {TR}", f"ASSIGN TASK run_task TO {TR} TARGET {one.uid}")
        assert done.returncode == 0, done.stdout
        until = time.monotonic() + 60
        while "TASK_STATE   : RUNNING" not in world.here.shell(f"GET TASKRUNNER STATUS {TR}").stdout:
            assert time.monotonic() < until
        one.silent.set()
        time.sleep(7)
        done = world.here.shell(f"RESET TASKRUNNER {TR}", seconds=120)
    found = [line for line in lines(done) if not set(line) <= {"#"}]
    assert done.returncode == 0, done.stdout
    assert found[0].startswith(f"    no peer of {TR} was heard since ")
    assert found[-1] == "    TaskRunner Reset"


def test_one_command_does_what_a_script_spells_out(world: World) -> None:
    """RUN creates, finalizes, resets, assigns and waits; one that was interrupted goes on with the same assignment."""
    (world.here.usr / "once.yaml").write_text(BUILD.replace("user_env_task", "once"))
    with swop(world.sn, world.ca, world.folder, "r1", results=[None]) as one:
        limit = {"SWCI_GENERIC_TASK_MAX_WAIT_TIME": "1"}
        line = f"RUN once.yaml ON {TR} WITH 1 PEERS"
        with pytest.raises(subprocess.TimeoutExpired):
            world.here.shell(line, seconds=12, SWCI_GENERIC_TASK_MAX_WAIT_TIME="30")
        before = world.here.shell(f"GET TASKRUNNER INFO {TR}").stdout
        one.results = [0]
        done = world.here.shell(line, **limit)
        assert done.returncode == 0, done.stdout
        assert "Maximum wait time is : 1 mins" in done.stdout
        assert "      STATE : COMPLETE" in lines(done)
        after = world.here.shell(f"GET TASKRUNNER INFO {TR}").stdout
        given = re.findall(r"ASSIGNMENT   : .*", before)
        assert given
        assert given == re.findall(r"ASSIGNMENT   : .*", after)
        again = world.here.shell(line, **limit)
        assert again.returncode == 0, again.stdout
        assert given != re.findall(r"ASSIGNMENT   : .*", world.here.shell(f"GET TASKRUNNER INFO {TR}").stdout)
