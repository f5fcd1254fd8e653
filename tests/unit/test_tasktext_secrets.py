"""What looks like a secret in a task, and what does not; placeholders that were left in, and giving them values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import taskfiles
from swarm.core.errors import OperatorFault
from swarm.core.tasktext import placeholders
from swarm.core.tasktext.findings import Findings, Weight
from swarm.core.tasktext.model import RunBody
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.secrets import looks_secret, named_secrets, secret_name, told_in

MADE_UP = "Ab1" * 14
"""Stands for the rest of a token."""


@pytest.mark.parametrize(
    "name",
    ["PASSWORD", "DB_PASSWORD", "db_passwd", "MYSQL_PWD", "hfToken", "HF_TOKEN", "WANDB_API_KEY", "apiKey", "APIKEY",
     "AWS_SECRET_ACCESS_KEY", "SECRET", "CLIENT_SECRET_2", "GITHUB_PAT", "SSH_PASSPHRASE", "credentials", "KAGGLE_KEY",
     "my.password", "private-key", "Auth-Token", "SECRET_KEY_BASE"],
)  # fmt: skip
def test_a_name_that_holds_a_secret_is_known(name: str) -> None:
    """In any letter case and manner of writing."""
    assert looks_secret(name, "hunter2")


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_TOKENS", "512"), ("NUM_TOKENS", "1"), ("TOKENIZERS_PARALLELISM", "False"), ("PAD_TOKEN", "[PAD]"),
     ("TOKEN_LENGTH", "8"), ("EOS_TOKEN", "x"), ("MAX_NEW_TOKEN", "7"), ("SORT_KEY", "age"), ("KEY", "x"),
     ("PASSWORD_FILE", "f"), ("HF_TOKEN", "/run/secrets/hf"), ("HF_TOKEN", "secret:hf"), ("HF_TOKEN", "<TOKEN>"),
     ("HF_TOKEN", "$TOKEN"), ("HF_TOKEN", ""), ("HF_TOKEN", None), ("PASSENGER", "x"), ("PATH", "/bin"),
     ("COMPASS", "n"),
     ("SECRETARY", "x"), ("MODEL_SHA", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("MONKEY", "x"), ("BYPASS", "1"),
     ("IMAGE", "python@sha256:" + "ab" * 32), ("URL", "https://host:8080/a@b"), ("PROXY", "http://proxy.example:8080"),
     ("DB_PASSWORD_LENGTH", "12"), ("USE_PASSWORD_ENABLED", "True"), ("COMMIT", "f" * 64), ("MD5", "0" * 32)],
)  # fmt: skip
def test_what_is_no_secret_is_not_warned_about(name: str, value: str | None) -> None:
    """Numbers of tokens, marks of language models, hashes, paths, references and placeholders."""
    assert not looks_secret(name, value)


@pytest.mark.parametrize(
    "value",
    ["ghp_" + MADE_UP, "github_pat_" + MADE_UP, "glpat-" + MADE_UP, "hf_" + MADE_UP, "sk-" + MADE_UP,
     "AKIA" + "ABCD1234EFGH5678", "xoxb-" + MADE_UP, "AIza" + MADE_UP[:35], "npm_" + MADE_UP,
     "eyJ" + MADE_UP + ".eyJ" + MADE_UP + ".sig", "postgres://me:hunter2@db.example/x", "https://:hunter2@host/x"],
)  # fmt: skip
def test_a_value_that_is_a_secret_is_known_under_any_name(value: str) -> None:
    """Tokens of known makers, and addresses with a password."""
    assert looks_secret("MODEL", value)
    text = taskfiles.RUN.replace("model/train.py", f"model/train.py {value}")
    assert any("a value in Command looks like a secret" in one.text for one in read(text).findings)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("train.py --password=hunter2", "password"),
        ("train.py --api-key hunter2 --x 1", "api-key"),
        ("ENV DB_PASSWORD=hunter2", "DB_PASSWORD"),
        ("ENV HF_TOKEN hunter2", "HF_TOKEN"),
        ("ARG TOKEN=hunter2", "TOKEN"),
        ("RUN export WANDB_API_KEY='hunter2' && x", "WANDB_API_KEY"),
        ("train.py --max-tokens=512", None),
        ("train.py --token $TOKEN", None),
        ("train.py --token <TOKEN>", None),
        ("RUN set the password policy", None),
        ("ENV PASSWORD=$PASSWORD", None),
        ("RUN pip install password-lib==1.0", None),
    ],
)
def test_commands_and_steps_are_looked_at(text: str, name: str | None) -> None:
    """By the names that they give values to."""
    assert told_in(text) == name


def test_a_secret_is_warned_about_with_the_fix_and_not_repeated() -> None:
    """The warning names the variable and the line, never the value."""
    text = taskfiles.RUN.replace("LOOP: true", "HF_TOKEN: hunter2-and-more")
    warned = [str(one) for one in read(text).findings if "secret" in one.text]
    assert warned == [
        "line 10: HF_TOKEN looks like a secret, and everybody in the swarm can read it: write secret:<name>, and put"
        " the value into each site's file of secrets"
    ]
    numbers = read(taskfiles.RUN.replace("LOOP: true", "ACCESS_TOKEN: 512, PASSWORD: 123456")).findings
    assert [one.text.split(" ")[0] for one in numbers if "secret" in one.text] == ["PASSWORD"]


def test_a_reference_to_a_secret_is_kept_and_named() -> None:
    """It is the value that a SWOP gets; a broken one is a defect."""
    task = read(taskfiles.RUN.replace("LOOP: true", "HF_TOKEN: secret:hf")).taken()
    assert isinstance(task.body, RunBody)
    values = [one.value or "" for one in task.body.variables]
    assert named_secrets([*values, "secret:hf", "secret:b.c-d_1"]) == ["hf", "b.c-d_1"]
    assert secret_name("secret:" + "x" * 65) is None
    broken = read(taskfiles.RUN.replace("LOOP: true", "HF_TOKEN: 'secret:my token'"))
    assert [one.line for one in broken.findings if one.weight is Weight.DEFECT] == [10]


def test_addresses_and_logins_are_looked_at_too() -> None:
    """An address with a password in an operation, and a reference in Auth that names nothing."""
    with_password = read(taskfiles.CONTENT.replace("https://data", "https://me:hunter2@data")).findings
    assert [one.text.split(",")[0] for one in with_password] == ["Target looks like a secret"]
    broken = read(taskfiles.PULL.replace("Auth: ~", "Auth: 'secret:my hub'"))
    assert [str(one) for one in broken.findings] == [
        "line 10: Auth: a secret's name has letters, digits and _ . - only, at most 64"
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("<CURRENT-PATH>/model", ["CURRENT-PATH"]),
        ("swarm_task_<TIME_STAMP>", ["TIME_STAMP"]),
        ("/a/<B-1>/<C_2>/<B-1>", ["B-1", "C_2"]),
        ("<Host-DNS-IP>", ["Host-DNS-IP"]),
        ("<your-ip>", ["your-ip"]),
        ("<path>", ["path"]),
        ("<GPU UUID>", ["GPU UUID"]),
        ("device=<GPU UUID>", ["GPU UUID"]),
        ("a < b > c", []),
        ("<5>", []),
        ("<a", []),
    ],
)
def test_placeholders_are_found_in_values(text: str, names: list[str]) -> None:
    """In capitals or not, inside paths and names."""
    assert placeholders.left_in(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("COPY <PROJECT-MODEL> /model", ["PROJECT-MODEL"]),
        ("--index-url http://<your-host>/simple", ["your-host"]),
        ("RUN echo '<html><p>x</p>' > index.html", []),
        ("RUN cat <<EOF > x", []),
        ("RUN g++ -DT='vector<T>' '#include <stdio.h>'", []),
        ("RUN sort <in >out", []),
        ("train.py --peers <NUM-MIN_PEERS>", ["NUM-MIN_PEERS"]),
    ],
)
def test_in_programs_only_capitals_and_dashed_words_are_placeholders(text: str, names: list[str]) -> None:
    """There are tags, templates and redirections too."""
    assert placeholders.left_in(text, program=True) == names


def test_a_placeholder_that_was_left_in_is_a_defect_with_its_line() -> None:
    """Each once a value; those in comments are none."""
    text = "# <NOTE>\n" + taskfiles.RUN.replace("/opt/model", "<CURRENT-PATH>/<X-Y>").replace("Name: t", "Name: <T_S>t")
    reading = read(text)
    assert reading.value is not None
    assert [str(one) for one in reading.findings if one.weight is Weight.DEFECT] == [
        f"line {line}: the placeholder <{name}> was left in: give it a value, by --set {name}=VALUE or, in the shell, "
        f"SET CONTEXT ENV {name} VALUE"
        for line, name in ((2, "T_S"), (14, "CURRENT-PATH"), (14, "X-Y"))
    ]


def test_values_replace_placeholders_as_sed_would() -> None:
    """Everywhere, longer forms first, once; typed values get their type after it."""
    text = taskfiles.RUN.replace("/opt/model", "<P>/examples/<P>/m").replace("32", "<N>")
    reading = read(text, {"P": "/<N>", "<P>/examples": "/srv", "N": "7"})
    body = reading.taken().body
    assert isinstance(body, RunBody)
    assert body.shared[0].source == "/srv//<N>/m"
    assert body.variables[1].value == "7"
    assert reading.content.decode() == text.replace("<P>/examples", "/srv").replace("<P>", "/\0").replace(
        "<N>", "7"
    ).replace("\0", "<N>")


def test_a_name_that_is_not_in_the_text_is_warned_about() -> None:
    """With the nearest placeholder that is."""
    text = taskfiles.RUN.replace("/opt/model", "<CURRENT-PATH>/m")
    told = [str(one) for one in read(text, {"CURENT_PATH": "/x"}).findings]
    assert told[0] == "<CURENT_PATH> is given a value and not in the text; did you mean CURRENT-PATH?"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\x1b[2J", "x" * 5000])
def test_a_value_cannot_make_lines_of_its_own(value: str) -> None:
    """Line numbers stay those of the file."""
    with pytest.raises(OperatorFault, match="the value of <P>"):
        read(taskfiles.RUN, {"P": value})


def test_values_are_given_on_the_command_line_or_in_a_file() -> None:
    """NAME=VALUE with any = in the value; a file is a map, on its own or below vars; its values are texts."""
    assert placeholders.given(["A=1", "<B>=x=y", "<C>/d=e", "A=2"]) == {"A": "2", "B": "x=y", "<C>/d": "e"}
    for wrong in ("A", "=1", ""):
        with pytest.raises(OperatorFault, match="write --set NAME=VALUE"):
            placeholders.given([wrong])
    expected = {"A": "010", "B": "yes", "C-D": "", "<E>/f": "g"}
    listed = "A: 010\nB: yes\n<C-D>:\n<E>/f: g\n"
    assert placeholders.from_file(listed.encode()) == expected
    assert (
        placeholders.from_file(("vars:\n" + "".join(f"  {one}\n" for one in listed.splitlines())).encode()) == expected
    )
    for wrong, says in (
        (b"- a\n", "a list stands where"),
        (b"A: [1]\n", "line 1: A is a list"),
        (b"A: 1\nA: 2\n", "twice"),
    ):
        with pytest.raises(OperatorFault, match=says):
            placeholders.from_file(wrong)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4), st.text(max_size=30))
def test_filling_never_fails_but_by_a_fault(values: dict[str, str], text: str) -> None:
    """Any names and values."""
    try:
        done = placeholders.filled(text, values, Findings())
    except OperatorFault:
        return
    assert all(f"<{name}>" not in text or value in done for name, value in values.items() if not name.startswith("<"))
