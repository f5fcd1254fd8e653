"""One shell without a network: its counter, its waits, its folder, its contexts, and what a fault does to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from swarm.chain.client import ChainClient
from swarm.chain.names import ERRORS
from swarm.core.errors import ChainFault, OperatorFault
from swarm.inspect.operator import Member
from swarm.node.settings import load_node_settings
from swarm.store.journal import Journal
from swarm.swci import explained
from swarm.swci.commands import HANDLERS
from swarm.swci.contexts import CONTEXTS_MAX, Context, ContextBook, Pin
from swarm.swci.faces import run_lines, script_lines
from swarm.swci.folder import ENTRIES_MAX, FILE_BYTES_MAX, Folder
from swarm.swci.say import MARKS_MAX, Say
from swarm.swci.session import KNOWN_MAX, Outcome, Session
from swarm.swci.settings import SwciSettings
from swarm.swci.table import BY_NAME, COMMANDS, Kind


class Away:
    """An access to swarms that are as the test says: reasons why each look finds the SN down, "" for up."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.asked: list[str] = []

    async def why_down(self, url: str) -> str:
        self.asked.append(url)
        return self.reasons.pop(0) if self.reasons else ""

    async def member(self, context: Context, pin: Pin) -> Member:
        raise ChainFault(f"no swarm stands behind {context.url} in this test")

    def writing(self, member: Member) -> AbstractAsyncContextManager[tuple[ChainClient, Journal]]:
        raise AssertionError("nothing is written")


class Shell:
    """A session, what it printed, and how long it slept."""

    def __init__(self, root: Path, access: Away | None = None, sleep: Callable[[float], Awaitable[None]] | None = None):
        self.slept: list[float] = []
        self.access = access or Away()
        self.text = ""
        self.session = Session(
            self.access, ContextBook(None), Folder(root), dict(HANDLERS), lambda: 0.0, sleep or self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def type(self, *lines: str) -> Outcome:
        outcome = Outcome()
        for line in lines:
            outcome = await self.session.run(line, self._write)
        return outcome

    def _write(self, text: str) -> None:
        self.text += text

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_table_and_what_acts_agree() -> None:
    """Every command of the table has its function, and no function is without a command."""
    assert set(HANDLERS) == {name for name, command in BY_NAME.items() if command.syntax}


async def test_the_prompt_counts_executed_commands(shell: Shell) -> None:
    """Blank lines and comments do not count, refused lines do; EXIT ON FAILURE is off at the start."""
    assert shell.session.prompt == "SWCI:0 > "
    assert shell.session.exit_on_failure is False
    outcome = await shell.type("", "# x", "pwd", "no command", "pwd")
    assert shell.session.prompt == "SWCI:3 > "
    assert (outcome.code, outcome.ends) == (0, False)


@pytest.mark.row("C31")
async def test_exit_on_failure_ends_the_session_at_the_first_fault(shell: Shell) -> None:
    """Bare means ON; with it a refused line ends, a fault of a command too; turned OFF again nothing ends."""
    assert (await shell.type("EXIT ON FAILURE", "pwd")).ends is False
    assert (await shell.type("LIST CONTRACT")).ends is True
    assert (await shell.type("exit on failure off", "LIST CONTRACT")).ends is False
    assert shell.lines[0] == "SWCI:0 > EXIT ON FAILURE IS TURNED ON"
    assert (await shell.type("exit on failure on", "get context info nobody")).ends is True


@pytest.mark.row("C01")
async def test_help_is_printed_with_the_indent(shell: Shell) -> None:
    """A list of all commands; of one, its syntax behind four blanks and a sentence."""
    await shell.type("HELP")
    assert shell.lines == [f"    {syntax}" for command in COMMANDS for syntax in command.syntax]
    shell.text = ""
    await shell.type("help list nodes")
    assert shell.lines == ["    LIST NODES", f"      {BY_NAME['LIST NODES'].told}"]


@pytest.mark.row("C02")
@pytest.mark.row("C03")
async def test_waiting_for_an_sn_tries_as_often_as_is_said(tmp_path: Path) -> None:
    """360 tries by default, 5 s apart, ports 30304 and 443; a sign of life between; then one error with the address."""
    shell = Shell(tmp_path, Away("refused", "refused"))
    await shell.type("wait for ip sn1")
    assert shell.access.asked == ["https://sn1:30304"] * 3
    assert shell.slept == [5.0, 5.0]
    assert shell.lines[0].startswith("    no SN answers at https://sn1:30304 yet (refused); 360 tries, one in 5 s")
    assert shell.lines[1:] == ["##", "    API Server is UP!"]
    shell = Shell(tmp_path, Away(*["refused"] * 400))
    outcome = await shell.type("wait for service api.sn-1.swarm")
    assert shell.access.asked == ["https://api.sn-1.swarm:443"] * 360
    assert sum(shell.slept) == 359 * 5
    assert outcome.code == 3
    assert shell.lines[-1].startswith("ERROR no SN answers at https://api.sn-1.swarm:443 after 360 tries: refused")
    assert max(map(len, shell.lines[1:-1])) == MARKS_MAX


@pytest.mark.row("C04")
@pytest.mark.row("C05")
async def test_a_context_is_made_of_an_ip_or_a_service(shell: Shell) -> None:
    """With its default port, with a port, by the old form; only while an SN answers there."""
    await shell.type(
        "create context a with ip sn1",
        "create context b sn1 31000",
        "create context c with service api.x",
        "create context d with service api.x:30374",
        "create context e with ip 256.1.1.1:x",
    )
    assert [context.url for name in shell.session.book.names if (context := shell.session.book.get(name))] == [
        "https://sn1:30304",
        "https://sn1:31000",
        "https://api.x:443",
        "https://api.x:30374",
    ]
    assert shell.lines[:2] == ["    API Server is UP!", "    CONTEXT CREATED : a"]
    assert shell.lines[-1].startswith("ERROR WITH IP='256.1.1.1:x'")
    shell.access.reasons = ["connection refused"]
    assert (await shell.type("create context f with ip sn2")).code == 2
    assert "f" not in shell.session.book.names


@pytest.mark.row("C06")
@pytest.mark.row("C07a")
async def test_one_context_is_in_use(shell: Shell) -> None:
    """SWITCH says so; a name that is none is answered with those that are there; a list that is empty has a line."""
    await shell.type("list contexts", "list nodes")
    assert shell.lines[0] == "    (none)"
    assert shell.lines[1].startswith("ERROR no context is in use: CREATE CONTEXT makes one")
    await shell.type("create context one with ip a", "create context two with ip b", "switch context two")
    assert shell.lines[-1] == "    DEFAULT CONTEXT SET TO : two"
    await shell.type("switch context three")
    assert shell.lines[-1] == "ERROR there is no context 'three'; known are: one, two"
    assert shell.session.book.current == "two"
    await shell.type("create context two with ip c")
    assert shell.session.book.get("two").url == "https://c:30304"


@pytest.mark.row("C08a")
@pytest.mark.row("C08b")
@pytest.mark.row("C08c")
async def test_variables_of_a_context(shell: Shell) -> None:
    """Set and read with the context's name or without it; unknown ones are answered with those that are set."""
    await shell.type("create context c with ip a", "switch context c", "list context env")
    await shell.type("set context env c A 'b c'", "set context env B 2", "list context env c", "get context env A")
    await shell.type("get context env c nothing")
    assert shell.lines[3:] == [
        "    (none)",
        "    A : b c",
        "    B : 2",
        "    A : b c",
        "    B : 2",
        "    A : b c",
        "ERROR the context c has no variable 'nothing'; it has: A, B",
    ]


@pytest.mark.parametrize("name", ["A:B", "A=B", '"<A>"', '" A"', '"A  B"', '"A\tB"', "A,B", "\u202eA", "\udc80", '""'])
async def test_a_variable_is_not_called_what_nobody_can_tell_from_a_value(shell: Shell, name: str) -> None:
    """LIST CONTEXT ENV says NAME : VALUE; a placeholder's name, which may have blanks, is one."""
    await shell.type("create context c with ip a", f"set context env c {name} x", 'set context env c "SN IP" y')
    assert shell.lines[-2].startswith("ERROR ")
    assert shell.lines[-1] == "    SN IP : y"
    assert set(shell.session.book.get("c").env) == {"SN IP"}


def test_a_long_list_is_offered_in_part(shell: Shell) -> None:
    """Each of a server's shells keeps names for completion: so many of a kind, whatever the chain lists."""
    shell.session.learn(Kind.TASK, (f"task {number}" for number in range(50 * KNOWN_MAX)))
    assert shell.session.names(Kind.TASK) == [f"task {number}" for number in range(KNOWN_MAX)]


async def test_contexts_are_kept_and_bounded(tmp_path: Path) -> None:
    """A new process finds names, addresses, variables and the one in use; a spoiled file is named with its mend."""
    path = tmp_path / "state" / "contexts.json"
    book = ContextBook(path)
    book.create("one", "https://a:1")
    book.switch("one")
    book.set(book.get(), "A", "b")
    book.pin("one").put("swarm/pin", b"this swarm")
    again = ContextBook(path)
    assert again.get() == Context("one", "https://a:1", {"A": "b"}, "this swarm")
    assert path.stat().st_mode & 0o077 == 0
    again.create("one", "https://b:1")
    assert again.get().pin == "", "another address may be another swarm"
    for number in range(CONTEXTS_MAX - 1):
        again.create(f"c{number}", "https://a:1")
    with pytest.raises(OperatorFault, match=f"there are {CONTEXTS_MAX} contexts already"):
        again.create("one more", "https://a:1")
    other = ContextBook(path)
    other.set(other.get("c1"), "B", "d")
    again.switch("c2")
    assert ContextBook(path).get("c1").env == {"B": "d"}, "two shells keep each other's work"
    path.write_text('{"current": 5}')
    with pytest.raises(OperatorFault, match="remove it"):
        ContextBook(path)


@pytest.mark.row("C29")
async def test_files_are_seen_below_the_folder_only(tmp_path: Path) -> None:
    """cd, pwd and ls stay below USR_DIR, whatever path or link says; the original's name of it means it."""
    root, outside = tmp_path / "usr", tmp_path / "outside"
    (root / "taskdefs").mkdir(parents=True)
    (root / "taskdefs" / "a.yaml").write_text("x")
    (root / ".hidden").write_text("x")
    outside.mkdir()
    (root / "link").symlink_to(outside)
    shell = Shell(root)
    await shell.type("cd taskdefs", "pwd", "ls", "cd /platform/swarm/usr", "ls", "ls -a", "ls -l taskdefs", "cd")
    assert shell.lines[:6] == [
        f"SWCI:0 > Current Directory : {root}/taskdefs",
        f"    Current Directory : {root}/taskdefs",
        "    a.yaml",
        f"SWCI:3 > Current Directory : {root}",
        "    link",
        "    taskdefs",
    ]
    assert "    .hidden" in shell.lines
    assert any(line.startswith("    -rw") and line.endswith(" a.yaml") for line in shell.lines)
    for path in ("..", "/", "link", "taskdefs/../..", "/etc", "~", "/platform/swarm/usr/../.."):
        shell.text = ""
        assert (await shell.type(f"cd {path}")).code == 2, path
        assert shell.lines[0].startswith("ERROR ")
        assert (await shell.type(f"ls {path}")).code == 2, path
    shell.text = ""
    await shell.type("ls -R", "ls a b", "ls; id")
    assert all(line.startswith("ERROR ") for line in shell.lines)


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Too long, a pipe, a folder and nothing at all are refused at once, with what lies there instead."""
    folder = Folder(tmp_path)
    (tmp_path / "long").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (tmp_path / "right").write_bytes(b"x" * FILE_BYTES_MAX)
    os.mkfifo(tmp_path / "pipe")
    assert len(folder.read("right")) == FILE_BYTES_MAX
    for name, words in (("long", "above"), ("pipe", "no file"), (".", "no file"), ("x", "holds: long, pipe, right")):
        with pytest.raises(OperatorFault, match=words):
            folder.read(name)
    for number in range(ENTRIES_MAX):
        (tmp_path / f"f{number}").touch()
    assert folder.listing("")[-1] == "and 3 more"


@pytest.mark.row("C30")
async def test_a_long_sleep_is_slept_and_can_be_interrupted(tmp_path: Path) -> None:
    """SLEEP 36000 sleeps ten hours; an interrupt ends the command with one line, and the session goes on."""
    shell = Shell(tmp_path)
    await shell.type("SLEEP 36000")
    assert sum(shell.slept) == 36000
    assert shell.lines == ["SWCI:0 > Completed SLEEP for: 36000 secs"]
    shell = Shell(tmp_path, sleep=asyncio.sleep)
    assert shell.session.interrupt() is False
    work = asyncio.ensure_future(shell.type("SLEEP 36000"))
    await asyncio.sleep(0.02)
    assert shell.session.interrupt() is True
    assert (await work).code == 130
    assert shell.lines == ["ERROR SLEEP was interrupted"]
    await shell.type("pwd")
    assert len(shell.lines) == 2


async def test_a_session_that_is_ended_leaves_no_command_behind(tmp_path: Path) -> None:
    """Whoever cancels the session cancels the command too."""
    shell = Shell(tmp_path, sleep=asyncio.sleep)
    work = asyncio.ensure_future(shell.type("SLEEP 36000"))
    await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert len(asyncio.all_tasks()) == 1


async def test_a_fault_of_swci_itself_ends_no_session(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a command is one ERROR line that says whose fault it is; the trace stands in the log."""

    async def broken(*_: Any) -> NoReturn:
        raise KeyError("odd\nline")

    shell.session.handlers["STATUS"] = broken
    assert (await shell.type("STATUS")).code == 1
    assert shell.lines == ["ERROR STATUS failed by a fault of SWCI itself: KeyError: 'odd\\nline'"]
    assert "Traceback" in caplog.text
    assert (await shell.type("pwd")).code == 0


def test_what_others_wrote_cannot_forge_a_line() -> None:
    """Control characters in a name neither end a line nor steer a terminal, and an error is one line."""
    text: list[str] = []
    say = Say(text.append, "SWCI:1 > ")
    say.line("a\nERROR b\x1b[2J")
    say.error("first\nsecond   third")
    say.on_prompt("x\r")
    assert "".join(text).splitlines() == ["    a?ERROR b?[2J", "ERROR first second third", "SWCI:1 > x?"]


LINES = st.lists(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=60), max_size=5)


@given(LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_input_ends_the_shell_unasked(tmp_path: Path, lines: list[str]) -> None:
    """Whatever is typed: every line that is a command is counted, every failure begins with ERROR, and it goes on."""
    shell = Shell(tmp_path)
    asyncio.run(shell.type(*lines))
    failures = [line for line in shell.lines if line and not line.startswith((" ", "SWCI:"))]
    assert all(line.startswith("ERROR ") for line in failures)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\n\r\nb", ["a", "", "b"]),
        (b"a\xff\n", ["a\udcff"]),
    ],
)
def test_a_script_is_taken_line_by_line(data: bytes, lines: list[str]) -> None:
    """With LF or CRLF, the last one ended or not, a byte order mark or not; a byte that is no UTF-8 stops nothing."""
    assert script_lines(data) == lines


async def test_lines_are_echoed_behind_the_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a script is shown; what comes after EXIT is not executed."""
    import sys

    shell = Shell(tmp_path)
    outcome = await run_lines(shell.session, ["", "pwd ", "EXIT", "pwd"], sys.stdout)
    assert outcome.ends is True
    assert capsys.readouterr().out.splitlines() == [
        "SWCI:0 >",
        "SWCI:0 > pwd",
        f"    Current Directory : {tmp_path}",
        "SWCI:1 > EXIT",
        "SWCI:1 > EXITING",
    ]


def test_every_error_of_the_contracts_is_explained() -> None:
    """EXPLAIN knows each by its name, alone or inside the text that was printed."""
    for names in ERRORS.values():
        for kind in names:
            for name in kind:
                assert explained.explain(f"the contract refused the call: {name}(job=0x1)")[0].startswith(name)
    assert set(explained.BY_NAME) - {n for kinds in ERRORS.values() for kind in kinds for n in kind} == {"OutOfGas"}


async def test_explain_answers_what_it_does_not_know_with_the_nearest(shell: Shell) -> None:
    """Texts that users search for are found in any letter case; a misspelt name is answered with the right one."""
    await shell.type("EXPLAIN ERROR API SERVER IS DOWN", "explain TrainingMembersLife", "EXPLAIN qwertz")
    assert shell.lines[0].startswith("    API server is down: ")
    assert shell.lines[1:3] == [line for line in shell.lines[1:3] if line.startswith(("    Fault : ", "    Mend  : "))]
    assert "did you mean TrainingMembersLive?" in shell.lines[3]
    assert shell.lines[4].startswith("ERROR nothing is known of 'qwertz'")


@pytest.mark.row("L05")
@pytest.mark.parametrize(
    ("seen", "means"),
    [
        ("ERROR API server is down", "the SN of this context does not answer"),
        ("Unable to contact API-Server at 10.0.0.1:30304", "the SN of this context does not answer"),
        ("License checkout failed, Error code: 6002", "the original's licence server refuses"),
        ("ERROR: Error code: 304 from APLS", "the original's licence server refuses"),
        ("revert errCheckinNotAllowed:CHECKIN NOT ALLOWED", "the contract's run does not take check-ins now"),
        ("VM Exception: revert errUidNotMatchingWithEnroll", "a node reports for a task that another one enrolled for"),
        ("errBadParameters:DESC IS TOO LONG", "is beyond its bound"),
    ],
)
async def test_errors_of_the_original_lead_to_what_they_mean(shell: Shell, seen: str, means: str) -> None:
    """As a user pastes them, out of a log, or with the rest of their line."""
    await shell.type(f"EXPLAIN {seen}")
    assert means in shell.lines[0]
    assert shell.lines[1].startswith("    Fault : ")
    assert shell.lines[2].startswith("    Mend  : ")


NODE = ["--cert", "c.pem", "--key", "k.pem", "--cacert", "ca.pem"]


@pytest.mark.parametrize(
    ("environ", "run", "generic"),
    [
        ({}, None, None),
        ({"SWCI_TASK_MAX_WAIT_TIME": "5"}, 5, 5),
        ({"SWCI_RUN_TASK_MAX_WAIT_TIME": "7", "SWCI_TASK_MAX_WAIT_TIME": "5"}, 7, 5),
        ({"SWCI_GENERIC_TASK_MAX_WAIT_TIME": "9"}, None, 9),
    ],
)
@pytest.mark.row("X13")
@pytest.mark.row("E11b")
def test_wait_limits_are_the_users_or_none(environ: dict[str, str], run: int | None, generic: int | None) -> None:
    """The old name stands for both; without any of them no limit is set, and a long training is not given up."""
    found = load_node_settings(SwciSettings, NODE, environ).limits
    assert (found.run, found.generic) == (run, generic)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """Both -c and a script, a limit of zero minutes, a mode that is none: one line with the setting's name."""
    for argv, environ, words in (
        (["-c", "pwd"], {"SWCI_STARTUP_SCRIPT": "x"}, "give one of them"),
        ([], {"SWCI_TASK_MAX_WAIT_TIME": "0"}, "SWCI_TASK_MAX_WAIT_TIME=0"),
        ([], {"SWCI_MODE": "GUI"}, "SWCI_MODE=GUI"),
        ([], {"SWCI_RUN_TASK_MAX_WAIT_TIM": "5"}, "did you mean SWCI_RUN_TASK_MAX_WAIT_TIME"),
    ):
        with pytest.raises(OperatorFault, match=words):
            load_node_settings(SwciSettings, [*argv, *NODE], environ)
    (tmp_path / "init").touch()
    inside = load_node_settings(SwciSettings, NODE, {"USR_DIR": str(tmp_path), "SWCI_STARTUP_SCRIPT": "init"})
    assert inside.script_path == tmp_path / "init"
