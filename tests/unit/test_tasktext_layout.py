"""The printed body: the original's layout to the letter, and everything that is printed read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import taskfiles
from swarm.core.tasktext.bounds import SLOT_BYTES_MAX, SLOTS_MAX, STEPS_MAX, TEXT_BYTES_MAX
from swarm.core.tasktext.findings import TaskTextFault, Weight
from swarm.core.tasktext.layout import numbered, slots
from swarm.core.tasktext.model import Header, RunBody, Task, TaskType, Variable
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.typed import checked, from_lines
from swarm.core.tasktext.written import to_text

RUN_HEADER = Header(TaskType.RUN_SWARM, "train", "somebody", "env", "train")


def test_a_build_body_is_printed_in_the_originals_layout() -> None:
    """Three blanks before the colon of BuildSteps; steps behind four blanks and a dash; an empty step is a dash."""
    assert numbered(slots(read(taskfiles.BUILD).taken())) == [
        "0000: ---",
        "0001: BuildContext : sl-cli-lib",
        "0002: BuildSteps   :",
        "0003:     - FROM tensorflow/tensorflow:2.7.0",
        "0004:     -  ",
        "0005:     -",
        "0006:     - # what the program needs",
        "0007:     - RUN pip3 install --upgrade pip && pip3 install \\",
        "0008:     -    keras pandas",
        "0009: BuildType : INLINE",
    ]


def test_a_run_body_is_printed_in_the_originals_layout() -> None:
    """Keys in the original's order whatever the file's, values without quotes, typed ones as a program gets them."""
    assert numbered(slots(read(taskfiles.RUN).taken())) == [
        "0000: ---",
        "0001: Command : model/train.py --minpeers=3",
        "0002: Entrypoint : python3",
        "0003: WorkingDir : /tmp/test",
        "0004: PrivateContent : /tmp/test/data",
        "0005: SharedContent :",
        "0006:   - Src   : /opt/model",
        "0007:     Tgt   : /tmp/test/model",
        "0008:     MType : BIND",
        "0009: Envvars :",
        "0010:   - MODEL_DIR : model",
        "0011:   - MAX_EPOCHS : 32",
        "0012:   - LOOP : True",
        "0013:   - LR : 0.0001",
        "0014:   - UNSET :",
    ]


def test_the_two_other_types_are_printed_alike() -> None:
    """No body of these is known from the original: the layout is ours, in the same manner."""
    assert slots(read(taskfiles.PULL).taken()) == [
        "---", "OrgAndReg : hub.example/org", "RepoName : base", "Tag : 1.0", "Auth :",
    ]  # fmt: skip
    assert slots(read(taskfiles.CONTENT).taken()) == [
        "---",
        "ContentType : SWARMCONTENT",
        "OpsList :",
        "  - Operation : DOWNLOAD",
        "    Target    : https://data.example/set.tgz",
        "    Options   :",
        "      - Out : set",
        "  - Operation : EXTRACT",
        "    Target    : set.tgz",
        "    Options   :",
    ]


def ambiguous(task: Task) -> bool:
    """What the layout cannot tell apart: a value of just two single quotes."""
    body = task.body
    variables = list(getattr(body, "variables", ()))
    for operation in getattr(body, "operations", ()):
        variables += operation.options
    return any(one.value == "''" for one in variables)


@settings(max_examples=100, deadline=None)
@given(taskfiles.tasks().filter(lambda task: not ambiguous(task)))
def test_every_printed_body_is_read_back_to_the_same_values(task: Task) -> None:
    """Whatever stands in the values: colons, dashes, keys, quotes, blanks at both ends."""
    back = from_lines(task.header, slots(task), plain_secrets=True)
    if back.value is None:
        assert any("bytes" in one.text for one in back.findings), back.findings
        return
    assert back.value == task
    assert read(back.content, plain_secrets=True).value == task


@settings(max_examples=100, deadline=None)
@given(taskfiles.tasks())
def test_a_task_written_as_a_file_is_read_to_the_same_task(task: Task) -> None:
    """The file of a typed task has no ambiguity at all."""
    back = read(to_text(task), plain_secrets=True)
    if back.value is None:
        assert any("bytes" in one.text for one in back.findings), back.findings
        return
    assert back.value == task


def test_one_item_is_one_line_never_folded_never_split() -> None:
    """A step of 160 characters, and one with runs of blanks, is one line as it stands."""
    long = "RUN " + "x" * 156
    text = taskfiles.BUILD + f"    - {long}\n    - 'a   b  '\n"
    assert slots(read(text).taken())[-3:] == [f"    - {long}", "    - a   b  ", "BuildType : INLINE"]


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ("  - A : b", Variable("A", "b")),
        ("- A: b", Variable("A", "b")),
        ("-   A:b", Variable("A", "b")),
        ("  - A :", Variable("A", None)),
        ("  - A : ''", Variable("A", "")),
        ("  - A : x : y", Variable("A", "x : y")),
        ("  - A :  b", Variable("A", " b")),
        ("  - A : # b", Variable("A", "# b")),
    ],
)
def test_typed_lines_may_be_looser_than_printed_ones(line: str, variable: Variable) -> None:
    """Any indentation, and a colon without a blank before it."""
    lines = ["Command: x.py", " Entrypoint:python3", "WorkingDir : /t", "PrivateContent : ~", "SharedContent :",
             "Envvars :", line]  # fmt: skip
    assert from_lines(RUN_HEADER, lines).taken().body == RunBody("x.py", "python3", "/t", None, (), (variable,))


def test_typed_lines_without_their_indentation_are_read() -> None:
    """A shell may drop leading blanks: nothing depends on them but a name that an option shares with a key."""
    for text in taskfiles.ALL.values():
        task = read(text).taken()
        if task.header.type is not TaskType.MAKE_USER_CONTAINER:
            assert from_lines(task.header, [line.lstrip() for line in slots(task)]).taken() == task


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["Commandd : x"], "line 1: Commandd is no key of a RUN_SWARM body; did you mean Command?"),
        (["Command : x", "Command : y"], "line 2: Command stands twice"),
        (["what"], "line 1: what is no KEY : value and no item of a list"),
        (["- A : b"], "line 1: - A : b is an item of a list, and no list begins above it"),
        (["Envvars : A=b"], "line 1: Envvars is a list"),
        (["Envvars :", "- A"], "line 2: A is no NAME : value"),
        (["Command :"], "line 1: Command is empty"),
        (["Command : " + "x" * 161], "line 1: Command is 161 characters long, at most 160"),
        (["Command : " + "\U0001f600" * 160], f"line 1: this line has 650 bytes, at most {SLOT_BYTES_MAX}"),
        (["SharedContent :", "- Src : /a", "  MType : BINDS"], "line 3: MType is BINDS; did you mean BIND?"),
        (["x"] * SLOTS_MAX, f"the body has {SLOTS_MAX + 1:,} lines, at most {SLOTS_MAX:,}"),
    ],
)
def test_a_line_that_cannot_be_is_named_by_its_number(lines: list[str], says: str) -> None:
    """As GET TASK BODY numbers them."""
    found = from_lines(RUN_HEADER, ["---", *lines]).findings
    assert any(str(one).startswith(says) and one.weight is Weight.ERROR for one in found), found


def test_lines_that_fit_and_make_no_file_that_fits_are_refused_as_a_whole() -> None:
    """Characters that a file writes as escapes: each line is within its bound, the file is not. No line is named."""
    header = Header(TaskType.MAKE_USER_CONTAINER, "n", "me", "ROOTTASK", "hub/a")
    steps = ["- FROM x", *["- RUN " + "\u200b" * 150] * (STEPS_MAX - 1)]
    found = from_lines(header, ["BuildContext : x", "BuildType : INLINE", "BuildSteps :", *steps])
    assert found.value is None
    assert len(found.content) > TEXT_BYTES_MAX
    assert [str(one) for one in found.findings if one.weight is Weight.ERROR] == [
        f"the task has {len(found.content):,} bytes as a file, at most 65,536"
    ]


def test_the_words_of_create_task_are_those_of_a_file() -> None:
    """What a file could not say is refused before anything is on chain, all of it at once."""
    good = Header(TaskType.RUN_SWARM, "a", "me", "ROOTTASK", "hub/a")
    assert checked(good) == good
    with pytest.raises(TaskTextFault) as fault:
        checked(Header(TaskType.RUN_SWARM, "a/b", "", "x,y", "z" * 161))
    told = str(fault.value)
    assert told.startswith("task a/b: Name holds /; it may not hold commas, slashes")
    assert "; Author is empty" in told
    assert "; Prereq holds ,;" in told
    assert "; Outcome is 161 characters long, at most 160" in told


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(TaskType)), st.lists(st.text(max_size=40) | taskfiles.HOSTILE, max_size=20))
def test_no_typed_lines_make_the_reader_fail(kind: TaskType, lines: list[str]) -> None:
    """Any lines give a task or findings."""
    back = from_lines(Header(kind, "n", "a", "ROOTTASK", "o"), lines)
    assert (back.value is None) == any(one.weight is Weight.ERROR for one in back.findings)
