"""``swarm swci`` against a real SN: contexts, contracts, nodes; scripts, pipes and -c."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import swci
from support.certs import Authority
from support.chains import free_port
from support.snprocess import SnProcess, running_sn

JOB = "defaultbb.cqdb.sml.hpe"


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def sn(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[SnProcess]:
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as running:
        yield running


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, ca: Authority, sn: SnProcess) -> swci.Operator:
    return swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


SCRIPT = """#!swci
# (C) somebody

EXIT ON FAILURE
wait for ip 127.0.0.1 {port}
create context test-fd with ip 127.0.0.1 {port}
Switch Context test-fd
EXIT ON FAILURE OFF

#Change to the directory where we are mounting the host
cd /platform/swarm/usr\t
SLEEP 1
list contracts   \r
LIST CONTRACT
RESET CONTRACT defaultbb.cqdb.sml.hpe
# Exit
EXIT
LIST CONTEXTS"""


@pytest.mark.row("C00")
@pytest.mark.row("C02")
@pytest.mark.row("C04")
@pytest.mark.row("C06")
@pytest.mark.row("C10")
@pytest.mark.row("C29")
@pytest.mark.row("C30")
@pytest.mark.row("C31")
@pytest.mark.row("C32")
def test_an_init_script_is_answered_as_by_the_original(here: swci.Operator, sn: SnProcess) -> None:
    """Banner, echo with numbers, indents, answers on the prompt line, a misspelt command that ends nothing, EXIT."""
    done = here.script(SCRIPT.format(port=sn.port))
    assert done.returncode == 0, done.stdout + done.stderr
    found = lines(done)
    assert [line[0] for line in found[:5]] == ["#"] * 5
    assert found[5:] == [
        "SWCI:0 > #!swci",
        "SWCI:0 > # (C) somebody",
        "SWCI:0 >",
        "SWCI:0 > EXIT ON FAILURE",
        "SWCI:0 > EXIT ON FAILURE IS TURNED ON",
        f"SWCI:1 > wait for ip 127.0.0.1 {sn.port}",
        "    API Server is UP!",
        f"SWCI:2 > create context test-fd with ip 127.0.0.1 {sn.port}",
        "    API Server is UP!",
        "    CONTEXT CREATED : test-fd",
        "SWCI:3 > Switch Context test-fd",
        "    DEFAULT CONTEXT SET TO : test-fd",
        "SWCI:4 > EXIT ON FAILURE OFF",
        "SWCI:4 > EXIT ON FAILURE IS TURNED OFF",
        "SWCI:5 >",
        "SWCI:5 > #Change to the directory where we are mounting the host",
        "SWCI:5 > cd /platform/swarm/usr",
        f"SWCI:5 > Current Directory : {here.usr}",
        "SWCI:6 > SLEEP 1",
        "SWCI:6 > Completed SLEEP for: 1 secs",
        "SWCI:7 > list contracts",
        f"    {JOB}",
        "SWCI:8 > LIST CONTRACT",
        "ERROR after LIST comes CONTEXTS, CONTEXT, NODES, CONTRACTS, TASKS, TASKRUNNERS or TASKRUNNER, not 'CONTRACT'; "
        "did you mean: LIST CONTRACTS",
        f"SWCI:9 > RESET CONTRACT {JOB}",
        "    Contract Reset",
        "SWCI:10 > # Exit",
        "SWCI:10 > EXIT",
        "SWCI:10 > EXITING",
    ]


def test_contexts_outlive_the_shell(here: swci.Operator, sn: SnProcess) -> None:
    """What one process created and switched to, the next one uses; the same name again is no fault."""
    assert here.shell(*here.enter(), "set context env test TIER 'a b'").returncode == 0
    done = here.shell("LIST CONTEXTS", "GET CONTEXT ENV TIER", "LIST NODES", *here.enter())
    assert done.returncode == 0
    assert "    test" in lines(done)
    assert "    TIER : a b" in lines(done)
    assert any(line.startswith("    SENTINEL,") for line in lines(done))


@pytest.mark.row("C07a")
@pytest.mark.row("C07b")
@pytest.mark.row("C07c")
def test_a_context_is_described(here: swci.Operator, sn: SnProcess) -> None:
    """Its name, address, state and swarm as KEY : VALUE lines; the version of the API server."""
    done = here.shell(
        *here.enter(), "GET CONTEXT INFO", "get context info test", "GET CONTEXT VERSION", "LIST CONTEXTS"
    )
    assert done.returncode == 0, done.stdout
    found = lines(done)
    assert found.count("    NAME         : test") == 2
    assert found.count(f"    API SERVER   : {sn.url}") == 2
    assert found.count("    STATE        : UP") == 2
    assert any(re.fullmatch(r"    CHAIN        : embedded, id \d+, genesis 0x[0-9a-f]{64}", line) for line in found)
    assert any(re.fullmatch(r"    CONTRACTS    : \d+", line) for line in found)


@pytest.mark.row("C28")
@pytest.mark.row("D11")
def test_nodes_are_listed_as_comma_separated_fields(here: swci.Operator, sn: SnProcess) -> None:
    """A header, then seven fields a line with an indent; the first SN is SENTINEL, SWCI is absent."""
    done = here.shell(*here.enter(), "list Nodes")
    rows = [line.strip().split(",") for line in lines(done)[3:]]
    assert rows
    assert {len(row) for row in rows} == {7}
    (sentinel,) = rows[1:]
    assert sentinel[0] == "SENTINEL"
    assert re.fullmatch(r"0x[0-9a-f]{40}", sentinel[4])
    assert sentinel[5] == sentinel[4]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", sentinel[6])


@pytest.mark.row("C09")
@pytest.mark.row("D11")
@pytest.mark.row("C11a")
@pytest.mark.row("C11b")
@pytest.mark.row("C13")
def test_a_contract_is_created_and_told_of(here: swci.Operator) -> None:
    """Created once; its facts and its standing as KEY : VALUE lines; no name: the nearest is."""
    done = here.shell(
        *here.enter(),
        "CREATE CONTRACT trial-one",
        "CREATE CONTRACT trial-one",
        "GET CONTRACT INFO trial-o",
        "GET CONTRACT STATUS trial-one",
        "PERFDATA trial-one",
        "get contract status trail-one",
        "create contract a,b",
        "RESET CONTRACT trial-one",
    )
    found = lines(done)
    assert "    Contract Created : trial-one" in found
    errors = [line for line in found if line.startswith("ERROR ")]
    assert [e.split(";")[0] for e in errors[:2]] == [
        "ERROR there is a contract trial-one already",
        "ERROR there is no contract 'trail-one'",
    ]
    assert "did you mean trial-one?" in errors[1]
    assert "no comma, no slash" in errors[2]
    assert found.count("    NAME         : trial-one") == 2
    at = found.index("    NAME         : trial-one")
    assert [line.split(":")[0].strip() for line in found[at : at + 4]] == ["NAME", "ID", "ORIGIN", "NAME"]
    assert {"    STATE        : IDLE", "    OPTIONS      : none"} <= set(found)
    assert "    UID, SL ADMIN, LOSS, METRIC, TOTAL EPOCHS, FINISHED EPOCHS" in found
    assert found[-1] == "    Contract Reset"
    assert done.returncode == 0


def test_the_record_and_the_waits_are_told(here: swci.Operator) -> None:
    """STATUS, WHY, AUDIT and HISTORY print what the command line prints, below the prompt's indent."""
    done = here.shell(*here.enter(), "STATUS", "WHY", f"AUDIT {JOB} latest", "HISTORY", f"HISTORY {JOB}")
    assert done.returncode == 0, done.stdout
    text = done.stdout
    assert "the swarm" in text
    assert f"contract {JOB}: run 1, idle: nobody has joined yet" in text
    assert f"{JOB} run 1: idle" in text
    assert all(line.startswith("    ") or not line for line in lines(done))


def test_a_swarm_that_is_away_is_said_and_the_exit_code_tells(here: swci.Operator) -> None:
    """Nobody listens: refused after the tries that were asked for, with the address; 3 is a time-out, 2 a refusal."""
    port = free_port()
    began = time.monotonic()
    done = here.shell(f"wait for ip 127.0.0.1 {port} 1")
    assert done.returncode == 3
    assert lines(done)[-1].startswith(f"ERROR no SN answers at https://127.0.0.1:{port} after 1 tries: ")
    assert time.monotonic() - began < 30
    refused = here.shell(f"create context away with ip 127.0.0.1 {port}")
    assert refused.returncode == 2
    assert "CONTEXT CREATED" not in refused.stdout
    stopped = here.shell("EXIT ON FAILURE", f"wait for 127.0.0.1 {port} 1", "pwd")
    assert stopped.returncode == 3
    assert "Current Directory" not in stopped.stdout


def test_a_pipe_is_a_session(here: swci.Operator, tmp_path: Path) -> None:
    """Lines of a pipe are echoed and answered; its end ends the shell with 0, also without a last line break."""
    command = [sys.executable, "-m", "swarm.cli", *here.argv()]
    text = "\ufeffpwd\r\nfoo\n\nEXIT ON FAILURE\npwd"
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, env=here.environ(), timeout=60, check=False
    )
    found = done.stdout.decode().splitlines()[5:]
    assert (done.returncode, done.stderr) == (0, b"")
    assert found[0] == "SWCI:0 > pwd"
    assert found[2] == "SWCI:1 > foo"
    assert found[3].startswith("ERROR there is no command 'foo'")
    assert found[-2:] == ["SWCI:3 > pwd", f"    Current Directory : {here.usr}"]
