"""The shell in a real pseudo-terminal: prompt, completion, history, Ctrl-C, Ctrl-D."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from support import patience, swci
from support.certs import Authority
from support.snprocess import running_sn

JOB = "defaultbb.cqdb.sml.hpe"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swci.Operator]:
    ca = Authority()
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as sn:
        yield swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)


def terminal(here: swci.Operator, *argv: str) -> pexpect.spawn:
    """The shell as a person starts it, in a terminal of 120 columns."""
    environ = here.environ(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1")
    environ.pop("COLUMNS")
    command = ["-m", "swarm.cli", *here.argv(*argv)]
    return pexpect.spawn(
        sys.executable, command, env=environ, dimensions=(40, 120), timeout=patience.seconds(30), encoding="utf-8"
    )


def test_a_person_types_completes_interrupts_and_leaves(here: swci.Operator, tmp_path: Path) -> None:
    """A script runs first and the prompt stays; Tab completes keywords and names; Ctrl-C ends a SLEEP, Ctrl-D all."""
    (here.usr / "init").write_text("\n".join([*here.enter(), "LIST CONTRACTS"]))
    with terminal(here, "--script", "init") as shell:
        shell.expect(f"    {JOB}\r\n")
        shell.expect("SWCI:3 >")
        shell.send("list contr")
        shell.expect("CONTRACTS")  # the menu
        shell.send("\t")
        shell.expect("contracts")
        shell.send("\r")
        shell.expect(f"    {JOB}\r\n")
        shell.expect("SWCI:4 >")
        shell.send("GET CONTRACT STATUS defaultb")
        shell.expect(JOB)
        shell.send("\t\r")
        shell.expect(f"NAME         : {JOB}")
        shell.expect("SWCI:5 >")
        shell.send("SLEEP 36000\r")
        while True:
            shell.send("\x03")
            if shell.expect(["ERROR SLEEP was interrupted", pexpect.TIMEOUT], timeout=2) == 0:
                break
        shell.expect("SWCI:6 >")
        shell.send("LIST TASK")
        shell.expect("LIST TASK")
        shell.send("\x03")
        shell.expect("SWCI:6 >")
        shell.send("\x1b[A")
        shell.expect("SLEEP 36000")
        shell.send("\x03")
        shell.expect("SWCI:6 >")
        shell.send("EXIT ON FAILURE OFF\r")
        shell.expect("SWCI:6 > EXIT ON FAILURE IS TURNED OFF")
        shell.expect("SWCI:7 >")
        shell.send("\x04")
        shell.expect(pexpect.EOF)
    assert shell.exitstatus == 0
    assert (here.state / "swci_history").stat().st_mode & 0o077 == 0


def test_exit_in_a_script_leaves_no_prompt(here: swci.Operator) -> None:
    """Also in a terminal."""
    (here.usr / "init").write_text("pwd\nEXIT\n")
    with terminal(here, "--script", "init") as shell:
        shell.expect("SWCI:1 > EXITING\r\n")
        shell.expect(pexpect.EOF)
    assert shell.exitstatus == 0


def test_pasted_lines_are_commands_one_by_one(here: swci.Operator) -> None:
    """Also behind a comment, which is one line."""
    with terminal(here) as shell:
        shell.expect("SWCI:0 >")
        shell.send("\x1b[200~# folders\r\npwd\r\nEXIT ON FAILURE ON\x1b[201~\r")
        shell.expect(f"    Current Directory : {here.usr}\r\n")
        shell.expect("EXIT ON FAILURE IS TURNED ON")
        shell.expect("SWCI:2 >")
        shell.send("\x04")
        shell.expect(pexpect.EOF)


def test_a_terminal_that_is_told_to_end_is_given_back_as_it_was(here: swci.Operator) -> None:
    """SIGTERM at the prompt, and in a command: 143, no traceback, and the terminal echoes again."""
    for lines in ((), ("SLEEP 600\r",)):
        with terminal(here) as shell:
            shell.expect("SWCI:0 >")
            for line in lines:
                shell.send(line)
                shell.expect("SLEEP 600")
                time.sleep(1)
            shell.kill(signal.SIGTERM)
            shell.expect(pexpect.EOF)
            told = shell.before
        assert shell.exitstatus == 143, told
        assert "Traceback" not in told
        assert ("SLEEP was interrupted" in told) is bool(lines)
