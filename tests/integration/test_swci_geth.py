"""A whole init script, as users write them, against a real SN on geth: two tasks from file to COMPLETE."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import swci, tools
from support.certs import Authority
from support.snprocess import running_sn
from support.swci import BUILD, RUN
from support.swop import swop

TR = "defaulttaskbb.taskdb.sml.hpe"
SCRIPT = f"""######################################################################
# (C)Copyright somebody
######################################################################

# Assumption : SWOP is already running

# SWCI context setup
EXIT ON FAILURE
wait for 127.0.0.1 PORT
create context test-mnist 127.0.0.1 PORT
switch context test-mnist
EXIT ON FAILURE OFF

#Change to the directory where we are mounting the host
cd /platform/swarm/usr

# Create and finalize build task
EXIT ON FAILURE
create task from taskdefs/build.yaml
finalize task user_env_task
get task info user_env_task
get task body user_env_task
EXIT ON FAILURE OFF

# Assign build task to taskrunner
EXIT ON FAILURE
RESET TASKRUNNER {TR}
ASSIGN TASK user_env_task TO {TR} WITH 1 PEERS
WAIT FOR TASKRUNNER {TR}
EXIT ON FAILURE OFF

# Build task was already run. Now build and run swarm run tasks
EXIT ON FAILURE
create task from taskdefs/run.yaml   \r
finalize task run_task
list tasks
EXIT ON FAILURE OFF

# a misspelt name, and a command that is none: the script goes on
get task info run_tsk
ASSIGM TASK run_task TO {TR} WITH 2 PEERS

EXIT ON FAILURE
reset TASKRUNNER {TR}
assign task run_task TO {TR} WITH 2 PEERS
wait for taskrunner {TR}
# Grace period for ML container to save the model,
SLEEP 2
RESET TASKRUNNER {TR}
EXIT ON FAILURE OFF

# List and reset training contract
LIST CONTRACTS
PERFDATA defaultbb.cqdb.sml.hpe
RESET CONTRACT defaultbb.cqdb.sml.hpe
# Exit
EXIT"""


@pytest.mark.geth
@pytest.mark.timeout(300)
def test_a_long_script_is_replayed_on_geth_and_again(tmp_path: Path) -> None:
    """Every command succeeds but the two that are wrong; a second run of the same script answers the same."""
    ca = Authority()
    with running_sn(tmp_path / "sn", ca, "--chain", "geth", "--geth-bin", str(tools.geth())) as sn:
        here = swci.operator(tmp_path / "operator", sn, ca)
        (here.usr / "taskdefs").mkdir()
        (here.usr / "taskdefs" / "build.yaml").write_text(BUILD)
        (here.usr / "taskdefs" / "run.yaml").write_text(RUN)
        text = SCRIPT.replace("PORT", str(sn.port))
        with swop(sn, ca, tmp_path / "swop", "site-1", pairs=2, results=[0, 0]):
            first, second = (here.script(text, seconds=120) for _ in range(2))
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        found = done.stdout.splitlines()
        assert len([line for line in found if line.startswith("ERROR ")]) == 2, done.stdout
        assert done.stdout.count("      STATE : COMPLETE") == 2
        assert found[-1] == "SWCI:34 > EXITING"
    assert told(first.stdout) == told(second.stdout)


def told(text: str) -> list[str]:
    """Without times and the marks of waits."""
    lines = [line for line in text.splitlines() if line.startswith("SWCI:") or not set(line) <= {"#"}]
    return [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", line) for line in lines]
