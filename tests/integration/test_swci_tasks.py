"""Tasks by the shell against a real SN: created from files and typed, printed as by the original, frozen, replayed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from support import swci
from support.certs import Authority
from support.snprocess import running_sn
from support.swci import BUILD, RUN


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swci.Operator]:
    ca = Authority()
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as sn:
        found = swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)
        assert found.shell(*found.enter()).returncode == 0
        (found.usr / "taskdefs").mkdir()
        (found.usr / "taskdefs" / "build.yaml").write_text(BUILD)
        (found.usr / "taskdefs" / "run.yaml").write_text(RUN)
        yield found


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.row("C14")
@pytest.mark.row("C16a")
@pytest.mark.row("C17")
@pytest.mark.row("C18")
@pytest.mark.row("C19")
def test_a_task_is_created_from_a_file_and_told_as_by_the_original(here: swci.Operator) -> None:
    """Every line of the answers: registration, batches of four, eight facts, the body with numbers, the list."""
    done = here.shell(
        "create task from taskdefs/build.yaml",
        "finalize task user_env_task",
        "get task info user_env_task",
        "get task body user_env_task",
        "create task from taskdefs/run.yaml",
        "get task body run_task",
        "finalize task run_task",
        "list tasks",
    )
    assert done.returncode == 0, done.stdout
    found = lines(done)
    assert found[:11] == [
        "    Task definition is valid",
        "    Task Registered : user_env_task",
        "    Appending Task Body",
        "    batch start : 1 , len : 4 Successful",
        "    batch start : 5 , len : 4 Successful",
        "    batch start : 9 , len : 3 Successful",
        "    Task creation Successful",
        "    WARNING: Task should be finalized by user explicitly",
        "    Task Finalized",
        "    NAME         : user_env_task",
        "    TASKTYPE     : MAKE_USER_CONTAINER",
    ]
    assert re.fullmatch(r"    CREATETIME   : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found[11])
    assert found[12:17] == [
        "    AUTHOR       : Somebody",
        "    CONTENTLINES : 12",
        "    PREREQ       : ROOTTASK",
        "    OUTCOME      : user-env",
        "    FINALIZED    : True",
    ]
    assert found[17:29] == [
        "    0000: ---",
        "    0001: BuildContext : sl-cli-lib",
        "    0002: BuildSteps   :",
        "    0003:     - FROM tensorflow/tensorflow:2.7.0",
        "    0004:     -",
        "    0005:     - RUN pip3 install --upgrade pip && pip3 install \\",
        "    0006:     -    keras matplotlib opencv-python pandas protobuf==3.15.6 and more words than eighty "
        "characters hold",
        "    0007:     -",
        "    0008:     - RUN mkdir -p /tmp/pkg",
        "    0009:     - COPY a.whl /tmp/pkg/a.whl",
        "    0010:     - RUN pip3 install /tmp/pkg/a.whl",
        "    0011: BuildType : INLINE",
    ]
    body = [line for line in found if re.match(r"    00\d\d: ", line)][12:]
    assert body == [
        "    0000: ---",
        "    0001: Command : model/fraud.py",
        "    0002: Entrypoint : python3",
        "    0003: WorkingDir : /tmp/test",
        "    0004: PrivateContent : /tmp/test/",
        "    0005: SharedContent :",
        "    0006:   - Src   : /opt/model",
        "    0007:     Tgt   : /tmp/test/model",
        "    0008:     MType : BIND",
        "    0009: Envvars :",
        "    0010:   - DATA_DIR : app-data",
        "    0011:   - MAX_EPOCHS : 32",
        "    0012:   - SHARED : True",
    ]
    assert found[-3:] == ["    ROOTTASK", "    user_env_task", "    run_task"]


def test_a_script_that_is_run_again_makes_the_same_tasks(here: swci.Operator) -> None:
    """The same text again is the same task and no new version; another text is the next version."""
    again = ["EXIT ON FAILURE", "create task from taskdefs/again.yaml", "finalize task again"]
    text = BUILD.replace("user_env_task", "again")
    (here.usr / "taskdefs" / "again.yaml").write_text(text)
    for _ in range(2):
        assert here.shell(*again).returncode == 0
    twice = here.shell("finalize task again")
    assert twice.returncode == 2
    assert lines(twice)[0].startswith("ERROR task again is final (version 1) and cannot be changed")
    (here.usr / "taskdefs" / "again.yaml").write_text(text.replace("RUN mkdir", "RUN mkdir -v"))
    assert here.shell(*again).returncode == 0
    assert lines(here.shell("delete task again"))[0].startswith("ERROR task again is final (version 2)")


def test_variables_of_the_context_stand_for_placeholders(here: swci.Operator) -> None:
    """What users did with sed: the filled text is what goes on chain; one that is left in is told with the fix."""
    (here.usr / "taskdefs" / "filled.yaml").write_text(
        BUILD.replace("user_env_task", "built_<TIME_STAMP>").replace("sl-cli-lib", "<LIB>")
    )
    done = here.shell(
        "SET CONTEXT ENV TIME_STAMP 0412", "create task from taskdefs/filled.yaml", "get task body built_0412"
    )
    assert done.returncode == 0, done.stdout
    assert "    Task Registered : built_0412" in lines(done)
    assert "    0001: BuildContext : <LIB>" in lines(done)
    (told,) = [line for line in lines(done) if "placeholder" in line]
    assert told.endswith("by --set LIB=VALUE or, in the shell, SET CONTEXT ENV LIB VALUE")


@pytest.mark.row("C15a")
@pytest.mark.row("C15b")
@pytest.mark.row("C16b")
def test_a_task_is_typed_line_by_line(here: swci.Operator) -> None:
    """A draft, lines in any order, a long one with a warning; final only when whole; a draft goes by DELETE TASK."""
    done = here.shell(
        "CREATE TASK make_user_container Typed Me ROOTTASK typed-image",
        f"APPEND TASK BODY Typed 3     - FROM python:3.11 {'# ' + 'x' * 80}",
        "APPEND TASK BODY Typed 1 BuildContext : sl-cli-lib",
        "finalize task Typed",
        "APPEND TASK BODY Typed 2 BuildSteps   :",
        "APPEND TASK BODY Typed 0 ---",
        "APPEND TASK BODY Typed 4 BuildType : INLINE",
        "get task info Typed",
        "finalize task Typed",
        "get task body Typed",
        "APPEND TASK BODY Typed 5 more",
        "CREATE TASK RUN_SWARM Gone Me ROOTTASK x",
        "delete task Gone",
        "get task info Gone",
    )
    found = lines(done)
    assert found[0] == "    Task Registered : Typed"
    assert any(re.match(r"    WARNING: the line has \d+ characters", line) for line in found)
    assert "ERROR line 2 of task Typed is missing: APPEND TASK BODY gives it" in found
    assert "ERROR APPEND TASK BODY: <index> is 0, expected 1 to 1023" in found
    assert "    FINALIZED    : False" in found
    assert "    Task Finalized" in found
    assert "    0001: BuildContext : sl-cli-lib" in found
    assert "    0004: BuildType : INLINE" in found
    assert any(line.startswith("ERROR task Typed is final") for line in found)
    assert "    Task Deleted" in found
    assert found[-1].startswith("ERROR there is no task 'Gone'")


def test_what_is_wrong_with_a_task_is_one_line(here: swci.Operator) -> None:
    """With file, line and fix; nothing reaches the chain, and a draft without its prereq becomes not final."""
    (here.usr / "bad.yaml").write_text(BUILD.replace(": MAKE_USER_CONTAINER", ": MAKE_CONTAINER"))
    (here.usr / "prereq.yaml").write_text(RUN.replace("run_task", "orphan").replace("user_env_task", "user_env_tsk"))
    done = here.shell(
        "create task from bad.yaml",
        "create task from taskdefs/none.yaml",
        "create task from prereq.yaml",
        "finalize task orphan",
        "create task SWARM x y ROOTTASK z",
        "finalize task run_tsk",
        "create task RUN_SWARM a/b y ROOTTASK z",
        "delete task orphan",
        "get task info ROOTTASK",
    )
    errors = [line for line in lines(done) if line.startswith("ERROR ")]
    assert "bad.yaml" in errors[0]
    assert "line 2" in errors[0]
    assert "MAKE_USER_CONTAINER" in errors[0]
    assert "build.yaml" in errors[1]
    assert "user_env_task?" in errors[2]
    assert "RUN_SWARM" in errors[3]
    assert "did you mean run_task?" in errors[4]
    assert errors[5].startswith("ERROR task a/b: Name holds /")
    assert len(errors) == 6
    assert "    Task Deleted" in lines(done)
    assert "    TASKTYPE     : ROOT_TASK" in lines(done)
    assert "    AUTHOR       : HPE" in lines(done)
    assert lines(done)[-1] == "    FINALIZED    : True"
