"""The grammar of SWCI: what a line asks for, and what is said of one that asks for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.swci.completion import complete
from swarm.swci.grammar import LINE_CHARS_MAX, Nothing, Refusal, Typed, help_for, parse, ways
from swarm.swci.table import ARGUMENTS, BY_NAME, COMMANDS, GROUPS, Kind

ROOT = Path(__file__).resolve().parents[2]
RUNNER = "defaulttaskbb.taskdb.sml.hpe"


def typed(line: str) -> tuple[str, dict[str, str]]:
    found = parse(line)
    assert isinstance(found, Typed), found
    return found.command.name, dict(found.values)


def refused(line: str) -> Refusal:
    found = parse(line)
    assert isinstance(found, Refusal), found
    assert "\n" not in found.told
    return found


@pytest.mark.parametrize(
    ("line", "name", "values"),
    [
        ("list Nodes ", "LIST NODES", {}),
        ("wait for sn1", "WAIT FOR IP", {"ip": "sn1"}),
        ("WAIT FOR IP sn1 30304 12", "WAIT FOR IP", {"ip": "sn1", "port": "30304", "retries": "12"}),
        ("wait for service api.sn-1.swarm", "WAIT FOR SERVICE", {"service": "api.sn-1.swarm"}),
        ('wait for "service"', "WAIT FOR IP", {"ip": "service"}),
        ("create context Test-MNIST 172.1.1.1", "CREATE CONTEXT", {"context": "Test-MNIST", "ip": "172.1.1.1"}),
        ("create context c WITH ip sn1 30304", "CREATE CONTEXT", {"context": "c", "ip": "sn1", "port": "30304"}),
        ("create context c with service a.b:8", "CREATE CONTEXT", {"context": "c", "service": "a.b:8"}),
        ("get context env x", "GET CONTEXT ENV", {"env": "x"}),
        ("get context env c x", "GET CONTEXT ENV", {"context": "c", "env": "x"}),
        ("set context env c x 'a b'", "SET CONTEXT ENV", {"context": "c", "env": "x", "value": "a b"}),
        ("create task from taskdefs/a.yaml\r\n", "CREATE TASK FROM", {"file": "taskdefs/a.yaml"}),
        (
            'append task body t 3     - RUN pip3 install "a  b"  # c',
            "APPEND TASK BODY",
            {"task": "t", "index": "3", "line": '    - RUN pip3 install "a  b"  # c'},
        ),
        (f"ASSIGN TASK a TO {RUNNER} WITH 2 PEERS", "ASSIGN TASK", {"task": "a", "runner": RUNNER, "n": "2"}),
        (f"assign task a to {RUNNER} with all peers", "ASSIGN TASK", {"task": "a", "runner": RUNNER}),
        ("assign task a to r target 0xAb", "ASSIGN TASK", {"task": "a", "runner": "r", "swop": "0xAb"}),
        (f"reset TASKRUNNER {RUNNER}\t", "RESET TASKRUNNER", {"runner": RUNNER}),
        ("reset taskrunner r force", "RESET TASKRUNNER", {"runner": "r", "force": "FORCE"}),
        ("EXIT ON FAILURE", "EXIT ON FAILURE", {}),
        ("exit on failure off", "EXIT ON FAILURE", {"on": "OFF"}),
        ("EXIT", "EXIT", {}),
        ("CD /platform/swarm/usr", "CD", {"folder": "/platform/swarm/usr"}),
        ("ls()", "LS", {}),
        ("ls -l  taskdefs", "LS", {"options": "-l  taskdefs"}),
        ("SLEEP 36000", "SLEEP", {"seconds": "36000"}),
        ("run a.yaml on r with 2 peers", "RUN", {"file": "a.yaml", "runner": "r", "n": "2"}),
        ("get task info t_<TIME_STAMP>", "GET TASK INFO", {"task": "t_<TIME_STAMP>"}),
        ("list\u00a0nodes", "LIST NODES", {}),
    ],
)
def test_a_line_is_a_command_with_its_arguments(line: str, name: str, values: dict[str, str]) -> None:
    """Any letter case of keywords, arguments as typed, old forms, blanks and line ends of any kind."""
    assert typed(line) == (name, values)


@pytest.mark.parametrize("line", ["", " ", "\r\n", "# a", "#EXIT ON FAILURE", "######", "  # indented"])
def test_blank_lines_and_comments_are_nothing(line: str) -> None:
    """They are no commands, and no errors."""
    assert parse(line) == Nothing()


@pytest.mark.parametrize(
    ("line", "nearest", "words"),
    [
        ("LIST TASK", "LIST TASKS", "after LIST comes"),
        ("assigm task a to b with 2 peers", "ASSIGN TASK a TO b WITH 2 PEERS", "no command 'assigm'"),
        ("reset taskruner r", "RESET TASKRUNNER r", "not 'taskruner'"),
        ("STATS", "STATUS", "no command 'STATS'"),
        ("list nodes all", "LIST NODES", "takes nothing more"),
        ("wait for service", "WAIT FOR SERVICE <service> [retries]", "<service> is missing"),
        ("assign task a to r with 2", "ASSIGN TASK <task> TO <runner> WITH <n> PEERS", "PEERS is missing"),
        ("sleep soon", "SLEEP <seconds>", "'soon', expected a whole number"),
        ("assign task a to r with <NUM-MIN_PEERS> peers", "", "placeholder that was left in"),
        ("wait for ip <SN-IPADDRESS>", "", "placeholder that was left in"),
        ("switch context 'a", "", "is not closed"),
        ("switch context ''", "SWITCH CONTEXT <context>", "is empty"),
        ("qwertz", "", "HELP lists the commands"),
        ("list\x00nodes", "", "U+0000"),
        ("list \udcff", "", "no UTF-8"),
        ("x" * (LINE_CHARS_MAX + 1), "", f"at most {LINE_CHARS_MAX}"),
        ("li\u017ft nodes", "LIST NODES", "no command"),
    ],
)
def test_what_is_no_command_is_answered_with_the_nearest_one(line: str, nearest: str, words: str) -> None:
    """The refusal says what was expected where, and how the line would be right."""
    found = refused(line)
    assert found.nearest == nearest
    assert words in found.told


@given(st.text(max_size=200))
def test_no_line_breaks_the_grammar(line: str) -> None:
    """Whatever is typed is a command, nothing, or a refusal in one line; the completion survives it too."""
    found = parse(line)
    assert isinstance(found, Typed | Nothing | Refusal)
    if isinstance(found, Refusal):
        assert found.told
        assert found.told.isprintable() or not line.isprintable()
    complete(line, lambda kind: ["one", "two words"])


WORD = st.sampled_from(sorted({word for way in ways() for part in way.form for word in part.words}))


@given(st.lists(st.one_of(WORD, st.sampled_from(["x", "12"])), max_size=9).map(" ".join))
def test_words_of_the_language_in_any_order_break_nothing(line: str) -> None:
    """As above, close to the language; and a nearest line that has no gaps is a command itself."""
    found = parse(line)
    if isinstance(found, Refusal) and found.nearest and not re.search(r"[<\[|]", found.nearest):
        again = parse(found.nearest)
        assert isinstance(again, Typed) or "whole number" in refused(found.nearest).told


SAMPLES = {Kind.NUMBER: "7", Kind.HOST: "sn1"}


@pytest.mark.parametrize("way", ways(), ids=lambda way: " ".join(part.shown for part in way.form))
@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_every_way_of_the_table_is_read_as_its_command(way, change) -> None:  # type: ignore[no-untyped-def]
    """No form of one command hides one of another, in any letter case of its keywords."""
    line = " ".join(
        change(part.words[0]) if part.words else SAMPLES.get(ARGUMENTS[part.name].kind, f"Some{part.name}")
        for part in way.form
    )
    name, values = typed(line)
    assert name == way.command.name
    assert {p.name for p in way.form if p.name} <= set(values)


def test_help_lists_the_commands_and_tells_how_one_is_written() -> None:
    """All of them without words; the syntax and one sentence for what these words begin."""
    assert help_for("") == [syntax for command in COMMANDS for syntax in command.syntax]
    assert help_for("list nodes") == ["LIST NODES", f"  {BY_NAME['LIST NODES'].told}"]
    both = help_for("get contract")
    assert isinstance(both, list)
    assert [line for line in both if not line.startswith(" ")] == [
        "GET CONTRACT INFO <contract>",
        "GET CONTRACT STATUS <contract>",
    ]
    wrong = help_for("list task")
    assert isinstance(wrong, Refusal)
    assert wrong.nearest == "LIST TASKS"


def test_the_table_is_whole() -> None:
    """Every argument of a syntax is told of, none is told of in vain, and every group has a heading and commands."""
    used = {part.name for way in ways() for part in way.form if part.name}
    assert used == set(ARGUMENTS)
    assert {command.group for command in COMMANDS} == set(GROUPS)
    assert len(BY_NAME) == len(COMMANDS)
    assert all(command.told.endswith(".") and "\n" not in command.told for command in COMMANDS)


def names(kind: Kind) -> list[str]:
    return {Kind.TASK: ["swarm_mnist_task", "swarm_fd_task"], Kind.RUNNER: [RUNNER], Kind.FILE: ["my file.yaml"]}.get(
        kind, []
    )


@pytest.mark.parametrize(
    ("before", "texts"),
    [
        ("LIST N", ["NODES"]),
        ("list n", ["nodes"]),
        ("get task info swarm_m", ["swarm_mnist_task"]),
        ("ASSIGN TASK swarm_fd_task ", ["TO"]),
        ("ASSIGN TASK swarm_fd_task TO d", [RUNNER]),
        ("ASSIGN TASK swarm_fd_task TO r ", ["WITH", "TARGET"]),
        ("create task from m", ['"my file.yaml"']),
        ("SLEEP ", [""]),
        ("no such thing ", []),
        ("# LIST ", []),
        ("switch context 'x", []),
    ],
)
def test_completion_offers_keywords_and_names_that_exist(before: str, texts: list[str]) -> None:
    """In the letter case that the user types, names of the right kind, and a hint where any word will do."""
    assert [one.text for one in complete(before, names)] == texts


def test_completion_tells_what_each_is() -> None:
    """Help as you type: a command's sentence at its last keyword, the kind of a name, the meaning of an argument."""
    assert complete("LIST N", names)[0].told == BY_NAME["LIST NODES"].told
    assert complete("GET TASK INFO swarm_f", names)[0].told == "task"
    assert complete("SLEEP ", names)[0].shown == "<seconds>"


def test_the_reference_is_current() -> None:
    """docs/swci-reference.md is what tools/swci_reference.py writes from the table as it is."""
    command = [sys.executable, str(ROOT / "tools" / "swci_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run: python tools/swci_reference.py" + done.stderr
