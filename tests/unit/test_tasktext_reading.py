"""Task files read: what is taken, what is refused, and with which sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import taskfiles
from swarm.core.errors import OperatorFault
from swarm.core.tasktext.bounds import TEXT_BYTES_MAX
from swarm.core.tasktext.findings import FINDINGS_MAX, Findings, Reading, TaskTextFault, Weight
from swarm.core.tasktext.model import BuildBody, Made, Task, TaskType, Variable, environment, made_by
from swarm.core.tasktext.reading import read


def said(reading: Reading[Task], weight: Weight | None = None) -> list[str]:
    return [str(one) for one in reading.findings if weight in (None, one.weight)]


def refused(text: str | bytes) -> list[str]:
    """The errors of a text that must have some."""
    reading = read(text)
    assert reading.value is None
    return said(reading, Weight.ERROR)


def run_with(variables: str) -> str:
    return taskfiles.RUN.replace(
        'Envvars: ["MODEL_DIR": model, "MAX_EPOCHS": 32, LOOP: true, LR: 1e-4, UNSET: ~]', variables
    )


@pytest.mark.row("T01")
@pytest.mark.parametrize("key", ["Name", "TaskType", "Author", "Prereq", "Outcome", "Body"])
def test_each_top_level_key_is_required(key: str) -> None:
    """Without it the file is refused by the key's name."""
    lines = taskfiles.BUILD.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith(key))
    text = "".join(lines[:at] if key == "Body" else lines[:at] + lines[at + 1 :])
    assert any(f"the task has no {key}" in one for one in refused(text))


@pytest.mark.row("T01")
def test_no_other_top_level_key_is_taken() -> None:
    """A key too many is named with its line, a misspelt one with the right one, a badly indented one with its place."""
    assert "line 1: Extra is no key of the task; its keys are" in refused("Extra: 1\n" + taskfiles.BUILD)[0]
    assert refused(taskfiles.BUILD.replace("Prereq", "PreReqs")) == [
        "line 4: PreReqs is no key of the task; did you mean Prereq?"
    ]
    assert "line 1: Envvars is no key of the task; it belongs to a RUN_SWARM body: look at its indentation" in refused(
        "Envvars: ~\n" + taskfiles.RUN
    )


@pytest.mark.row("T01")
@pytest.mark.parametrize("key", ["Name: user_env", "Author: somebody", "Prereq: ROOTTASK", "Outcome: user-env-tf"])
def test_free_strings_have_1_to_160_characters(key: str) -> None:
    """160 of any script are taken, 161 and none are not."""
    name = key.partition(":")[0]
    for good in ("x", "x" * 160, "é" * 160):
        assert read(taskfiles.BUILD.replace(key, f"{name}: {good}")).value is not None
    assert (
        f"{name} is 161 characters long, at most 160"
        in refused(taskfiles.BUILD.replace(key, f"{name}: {'x' * 161}"))[0]
    )
    for empty in ("", "''", "~"):
        assert f"{name} is empty" in refused(taskfiles.BUILD.replace(key, f"{name}: {empty}"))[0]


@pytest.mark.row("T02")
def test_the_four_types_are_taken_and_no_other() -> None:
    """ROOT_TASK is the platform's own, and ROOTTASK nobody's name."""
    found = {read(text).taken().header.type for text in taskfiles.ALL.values()}
    assert found == set(TaskType)
    for other in ("ROOT_TASK", "run_swarm", "RUN", "5"):
        assert "TaskType is" in refused(taskfiles.RUN.replace("RUN_SWARM", other))[0]
    assert "did you mean RUN_SWARM?" in refused(taskfiles.RUN.replace("RUN_SWARM", "RUN_SWRAM"))[0]
    assert "ROOTTASK, which is built in" in refused(taskfiles.RUN.replace("Name: train", "Name: ROOTTASK"))[0]


@pytest.mark.row("X01")
def test_the_old_name_of_a_build_is_an_alias() -> None:
    """BUILD_SWARM is read as MAKE_USER_CONTAINER, with a warning that says so, and nothing else is."""
    reading = read(taskfiles.BUILD.replace("MAKE_USER_CONTAINER", "BUILD_SWARM"))
    assert reading.taken() == read(taskfiles.BUILD).taken()
    assert said(reading) == ["line 2: TaskType BUILD_SWARM is an old name of MAKE_USER_CONTAINER, which is taken"]


def steps(count: int, step: str = "RUN true") -> str:
    return taskfiles.BUILD.split("    - FROM")[0] + "    - FROM scratch\n" + f"    - {step}\n" * (count - 1)


@pytest.mark.row("T03")
def test_the_bound_of_80_is_on_the_number_of_steps() -> None:
    """80 are taken, 83 are refused by their number at the line of the key; a step may be 160 characters long."""
    body = read(steps(80, "RUN " + "y" * 156)).taken().body
    assert isinstance(body, BuildBody)
    assert len(body.steps) == 80
    assert refused(steps(83)) == ["line 9: BuildSteps has 83 items, at most 80"]
    assert "at least 1" in refused(taskfiles.BUILD.split("    - FROM")[0].rstrip() + " []\n")[0]


@pytest.mark.row("T03")
def test_steps_are_one_dockerfile_text() -> None:
    """Empty items, one blank, comments and continued lines are taken as they stand; no line is judged alone."""
    body = read(taskfiles.BUILD + "    -\n    - 'anything : at all'\n").taken().body
    assert isinstance(body, BuildBody)
    assert body.dockerfile == (
        "FROM tensorflow/tensorflow:2.7.0\n \n\n# what the program needs\n"
        "RUN pip3 install --upgrade pip && pip3 install \\\n   keras pandas\n\nanything : at all\n"
    )


@pytest.mark.row("T03")
def test_a_build_body_has_its_three_keys_and_their_values() -> None:
    """BuildContext may be nothing; BuildType is INLINE or REMOTE, and REMOTE is named as what nobody carries out."""
    assert read(taskfiles.BUILD.replace("BuildContext: sl-cli-lib", "BuildContext: ~")).sound
    assert "BuildType is inline; did you mean INLINE?" in refused(taskfiles.BUILD.replace("INLINE", "inline"))[0]
    remote = read(taskfiles.BUILD.replace("INLINE", "REMOTE"))
    assert remote.value is not None
    assert not remote.sound
    for key in ("BuildContext: sl-cli-lib", "BuildType: INLINE"):
        name = key.partition(":")[0]
        assert refused(taskfiles.BUILD.replace(f"    {key}\n", "")) == [
            f"line 6: a MAKE_USER_CONTAINER body has no {name}"
        ]
    assert made_by(read(taskfiles.BUILD).taken()) == Made("image", "user-env-tf:latest")


@pytest.mark.row("T04")
def test_a_run_body_has_its_six_keys_and_their_bounds() -> None:
    """Each is required; SharedContent is nothing or 1 to 10 mounts of BIND or VOLUME; PrivateContent may be nothing."""
    for key in ("Command", "Entrypoint", "WorkingDir", "Envvars", "PrivateContent"):
        lines = [line for line in taskfiles.RUN.splitlines() if not line.strip().startswith(key + ":")]
        assert refused("\n".join(lines)) == [f"line 6: a RUN_SWARM body has no {key}"]
    head, mount = taskfiles.RUN.split("SharedContent:\n")
    assert refused(head) == ["line 6: a RUN_SWARM body has no SharedContent"]
    for nothing in ("SharedContent:", "SharedContent: ~"):
        assert read(head + nothing).sound
    assert len(read(head + "SharedContent:\n" + mount * 10).taken().body.shared) == 10  # type: ignore[union-attr]
    assert "SharedContent has 11 items, at most 10" in refused(head + "SharedContent:\n" + mount * 11)[0]
    assert "SharedContent has 0 items, at least 1" in refused(head + "SharedContent: []")[0]
    assert "MType is TMPFS" in refused(taskfiles.RUN.replace("BIND", "TMPFS"))[0]
    assert read(taskfiles.RUN.replace("PrivateContent: /tmp/test/data", "PrivateContent: ~")).sound


@pytest.mark.row("T05")
def test_a_pull_has_three_kinds_of_auth() -> None:
    """Nothing, a path or a secret's name, or user and password: these are refused in clear, with the fix."""
    for auth in ("~", "/etc/docker/config.json", "secret:hub"):
        assert read(taskfiles.PULL.replace("Auth: ~", f"Auth: {auth}")).sound
    login = taskfiles.PULL.replace("Auth: ~", "Auth: {Username: me, Password: hunter2}")
    errors = refused(login)
    assert len(errors) == 2
    assert all("secret:<name>" in one and "hunter2" not in one for one in errors)
    allowed = read(login, plain_secrets=True)
    assert allowed.value is not None
    assert all("secret:<name>" in one for one in said(allowed, Weight.WARNING))
    assert read(taskfiles.PULL.replace("Auth: ~", "Auth: {Username: secret:u, Password: secret:p}")).sound
    for key in ("OrgAndReg", "RepoName", "Tag", "Auth"):
        lines = [line for line in taskfiles.PULL.splitlines() if not line.strip().startswith(key + ":")]
        assert refused("\n".join(lines)) == [f"line 6: a PULL_IMAGE body has no {key}"]


@pytest.mark.row("T06")
def test_content_has_one_of_two_types_and_1_to_20_operations() -> None:
    """ContentType, Operation, Target and Options with their known key; another option is warned about."""
    assert "ContentType is OTHER" in refused(taskfiles.CONTENT.replace("SWARMCONTENT", "OTHER"))[0]
    assert read(taskfiles.CONTENT.replace("SWARMCONTENT", "BUILDCONTENT")).sound
    assert "Operation is COPY" in refused(taskfiles.CONTENT.replace("DOWNLOAD", "COPY"))[0]
    one = "  - {Operation: DOWNLOAD, Target: x, Options: []}\n"
    head = taskfiles.CONTENT.split("  - ")[0]
    assert len(read(head + one * 20).taken().body.operations) == 20  # type: ignore[union-attr]
    assert "OpsList has 21 items, at most 20" in refused(head + one * 21)[0]
    assert "at least 1" in refused(head.rstrip() + " []")[0]
    warned = said(read(taskfiles.CONTENT.replace("Out:", "Outt:")))
    assert made_by(read(taskfiles.CONTENT).taken()) == Made("volume", "volume-1")
    assert warned == ["line 12: Outt is no option of Options; did you mean Out?"]


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ("true", "True"), ("True", "True"), ("FALSE", "False"), ("32", "32"), ("1e-4", "0.0001"), ("5E-5", "5e-05"),
        ("0.00005", "5e-05"), ("1.10", "1.1"), ("yes", "True"), ("Off", "False"), ("y", "y"), ("010", "8"),
        ("0x1F", "31"), ("08", "08"), ("1_000", "1000"), ("12:30:45", "45045"), ("-7", "-7"), (".inf", "inf"),
        ("2024-01-01", "2024-01-01"), ("0.3.0", "0.3.0"), ("'true'", "true"), ('"1e-4"', "1e-4"), ("model", "model"),
        ("''", ""), ("[0, 1]", "[0, 1]"), ("!!str 010", "010"), ("None", "None"), ("a b", "a b"), ("1.", "1.0"),
        ("10.0.0.1", "10.0.0.1"), ("0o17", "0o17"), ("+5", "5"), ("0b101", "5"), ("-", "-"), (".", "."),
    ],
)  # fmt: skip
def test_a_value_reaches_the_program_as_the_original_prints_it(written: str, arrives: str) -> None:
    """YAML 1.1 and Python's own text of the value; two exceptions that docs/task-files.md names."""
    if written in ("-",):
        written = f"'{written}'"
    reading = read(run_with(f"Envvars:\n    - A: {written}"))
    assert environment(reading.taken()) == {"A": arrives}


@pytest.mark.parametrize("nothing", ["~", "null", "Null", ""])
def test_a_variable_without_a_value_is_as_in_the_image(nothing: str) -> None:
    """It is not set at all, never the text None."""
    task = read(run_with(f"Envvars:\n    - A: {nothing}\n    - B: b")).taken()
    assert task.body.variables[0] == Variable("A", None)  # type: ignore[union-attr]
    assert environment(task) == {"B": "b"}


def test_a_value_that_arrives_otherwise_than_written_is_told() -> None:
    """With both texts, and the fix; what everybody knows (true, 32) is not."""
    told = said(read(run_with("Envvars: [A: yes, B: 010, C: true, D: 32, E: 'yes', F: 1.10]")))
    assert [one.split(": ", 1)[1] for one in told] == [
        f"{name} in Envvars is written {written} and arrives as {arrives}: put it in quotes if not meant"
        for name, written, arrives in (("A", "yes", "True"), ("B", "010", "8"), ("F", "1.10", "1.1"))
    ]


@pytest.mark.parametrize("key", ['“DATA_DIR"', "“DATA_DIR”", "‘DATA_DIR’", "«DATA_DIR»"])
def test_a_key_in_curly_quotes_passes_with_a_warning(key: str) -> None:
    """As a word processor leaves them; the program gets the name without them."""
    for text in (f"Envvars: [{key}: data]", f"Envvars:\n    - {key}: data"):
        reading = read(run_with(text))
        assert environment(reading.taken()) == {"DATA_DIR": "data"}
        assert any("curly quotes" in one for one in said(reading, Weight.WARNING))
    assert read(taskfiles.BUILD.replace("Author", "“Author”")).taken() == read(taskfiles.BUILD).taken()


def test_names_are_never_words_of_yaml() -> None:
    """A variable that is named ON or 010 is named so."""
    task = read(run_with("Envvars: [ON: 1, yes: 2, 010: 3, ~: 4]")).taken()
    assert environment(task) == {"ON": "1", "yes": "2", "010": "3", "~": "4"}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ("Envvars: {A: 1}", "Envvars is a map: it is a list, so write each as - NAME: value"),
        ("Envvars: [A=1]", "an item of Envvars is the text A=1 (write NAME: value, not NAME=value)"),
        ("Envvars:\n    - A: 1\n      B: 2", "an item of Envvars is a map of 2 pairs (A, B)"),
        ("Envvars: [A=B: 1]", "a name in Envvars holds =; it may not hold"),
        ("Envvars: ['': 1]", "a name in Envvars is empty"),
        ("Envvars: [A: " + "9" * 101 + "]", "a number of 101 digits, at most 100"),
        ("Envvars: [A: " + "x" * 161 + "]", "A in Envvars is 161 characters long, at most 160"),
        ('Envvars: [A: "x\\ny"]', "A in Envvars holds U+000A"),
        ("Envvars: [A: !!python/object:os.system x]", "is not taken: write the value without it"),
        ("Envvars: [A: !!int x]", "'x' is no int"),
    ],
)
def test_an_environment_that_cannot_be_is_named(variables: str, says: str) -> None:
    """Each with its line and the right form."""
    assert any(one.startswith("line ") and says in one for one in refused(run_with(variables))), refused(
        run_with(variables)
    )


@pytest.mark.parametrize("char", [",", "/", "\\\\", "\\t", "\\n", "\\x1b", "\\u202e", "\\u200b", "\\xa0", "\\0"])
@pytest.mark.parametrize("key", ["Name: user_env", "Prereq: ROOTTASK"])
def test_names_hold_nothing_that_breaks_a_list_or_a_terminal(key: str, char: str) -> None:
    """Commas, slashes, control and hidden characters are refused by name, and not printed."""
    name = key.partition(":")[0]
    (error,) = refused(taskfiles.BUILD.replace(key, f'{name}: "a{char}b"'))
    assert "it may not hold commas, slashes, control or hidden characters" in error
    assert error.isprintable()


def test_a_name_with_a_blank_is_a_defect() -> None:
    """It is taken, as by the original, and no command could ever name it."""
    reading = read(taskfiles.BUILD.replace("user_env", "user env", 1))
    assert reading.value is not None
    assert said(reading, Weight.DEFECT) == [
        "line 1: Name is user env: no command can name a task with a blank in its name: use _ or -"
    ]


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    """Not the first only."""
    text = (
        taskfiles.RUN.replace("Author: somebody", "Author: 5")
        .replace("Prereq: user_env", "Prereq: a/b")
        .replace("WorkingDir", "WorkDir")
        .replace("BIND", "BINDE")
    )
    assert [one.split(":")[0] for one in refused(text)] == ["line 3", "line 4", "line 9", "line 15"]
    with pytest.raises(TaskTextFault, match=r"^x.yaml: line 3: .*; line 4: .*; line 9: .*; line 15: ") as fault:
        read(text).taken("x.yaml")
    assert isinstance(fault.value, OperatorFault)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (taskfiles.RUN.encode("utf-16"), "the text is UTF-16: save it as UTF-8"),
        (taskfiles.RUN.replace("somebody", "J\xf6rg").encode("latin-1"), "line 3: the byte 0xf6 is no UTF-8"),
        (b"", "the text is empty"),
        (b"# nothing\n", "the text is empty"),
        (b"- a\n", "line 1: the task is a list"),
        (b"just words", "line 1: the task is the text just words"),
        (taskfiles.RUN.encode() + b"---\nName: b\n", "line 16: a second document begins"),
        (taskfiles.RUN.replace("    Entry", "\tEntry"), "line 8: a tab stands where YAML indents: use blanks"),
        (taskfiles.RUN.replace("model/train.py", "a: b"), "line 7: a second ': ' stands in this value"),
        (taskfiles.RUN.replace("Author: s", "Author:\u00a0s"), "line 3: a blank that is none of YAML's (U+00A0"),
        (taskfiles.RUN.replace("somebody", "@me"), "line 3: a value begins with @: put the value in quotes"),
        (taskfiles.RUN.replace("somebody", "'me"), "a quote is opened here or above and never closed"),
        (taskfiles.RUN.replace("somebody", "a\x07b"), "line 3: the character U+0007 cannot be in a text"),
        (taskfiles.RUN.replace("somebody", "*me"), "line 3: *me names no value above"),
        (taskfiles.RUN + "    WorkingDir: /b\n", "line 16: the key WorkingDir stands twice, first in line 9"),
        (taskfiles.BUILD + "    - RUN echo a: b\n", "line 16: item 7 of BuildSteps is read as a pair because of"),
        (taskfiles.BUILD + "    - |\n      RUN a\n      RUN b\n", "one line a value, so make a list item of each"),
        (taskfiles.PULL.replace('"1.0"', "1.0"), "line 9: Tag is the number 1.0: put it in quotes if it is a text"),
        ("? [a]\n: b\n" + taskfiles.PULL, "line 1: a list stands where a key must be a text"),
        (taskfiles.PULL + "#" * TEXT_BYTES_MAX, "at most 65,536"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_is_refused_in_one_sentence(text: str | bytes, says: str) -> None:
    """Encoding, YAML and structure, each with its place."""
    assert any(says in one for one in refused(text)), refused(text)


def test_what_editors_do_to_a_file_changes_nothing() -> None:
    """Byte order mark, line ends of Windows, no newline at the end, tabs and blanks after values."""
    plain = read(taskfiles.RUN).taken()
    for text in (
        "\ufeff" + taskfiles.RUN,
        taskfiles.RUN.replace("\n", "\r\n"),
        taskfiles.RUN.rstrip("\n"),
        taskfiles.RUN.replace("python3", "python3 \t "),
        "---\n" + taskfiles.RUN + "...\n",
        "%YAML 1.1\n---\n" + taskfiles.RUN,
        taskfiles.RUN.replace("[", "[\n        ").replace(", ", ",\n        ").replace("~]", "~,\n    ]"),
    ):
        assert read(text).taken() == plain
        assert read(text.encode()).content == text.encode()


def test_the_page_tells_what_arrives_as_it_arrives() -> None:
    """Each line of the table in docs/task-files.md, through the reader."""
    page = (Path(__file__).parents[2] / "docs" / "task-files.md").read_text().split("| written | arrives |")[1]
    rows = [line.split("|")[1:3] for line in page.split("\n\n")[0].splitlines() if line.startswith("| `")]
    checked = 0
    for written, arrives in (map(re.compile("`([^`]+)`").findall, row) for row in rows):
        for at, one in enumerate(written):
            expected = arrives[min(at, len(arrives) - 1)]
            assert environment(read(run_with(f"Envvars:\n    - A: {one}")).taken()) == {"A": expected}
            checked += 1
    assert checked > 12


def test_findings_beyond_the_bound_are_counted_and_hide_no_error() -> None:
    """The list ends with how many more there were; the only error is in it, though it came last."""
    found = Findings()
    for number in range(FINDINGS_MAX + 7):
        found.add(Weight.WARNING, number, 1, f"warning {number}")
    assert len(found.sorted()) == FINDINGS_MAX + 1
    assert str(found.sorted()[-1]).endswith("and 7 more findings")
    found.add(Weight.ERROR, 999, 1, "the error")
    assert any(one.text == "the error" for one in found.sorted())
    assert str(found.sorted()[-1]).endswith("and 8 more findings")
