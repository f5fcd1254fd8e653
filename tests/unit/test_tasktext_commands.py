"""``swarm task``: check, render and schema as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import profilefiles, taskfiles
from swarm import cli


class Typed:
    """What came out of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        """Of the envelope, whose other fields must fit the exit code."""
        told = json.loads(self.out)
        assert (told["schema_version"], told["exit_code"]) == (1, self.code)
        assert told["status"] == ("ok" if self.code == 0 else "failed")
        return told["data"]


@pytest.fixture
def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Types `swarm task ...` in a folder with the files of this test."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str, **files: str) -> Typed:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            cli.main(["task", *arguments])
        out, err = capsys.readouterr()
        return Typed(int(ended.value.code or 0), out, err)

    return typed


def test_a_good_file_is_told_in_one_line(swarm: Any) -> None:
    """With what it is; a profile as well."""
    told = swarm("check", "a.yaml", "p.yaml", a=taskfiles.BUILD, p=profilefiles.WHOLE)
    assert told.code == 0
    assert told.out == (
        "a.yaml: good (MAKE_USER_CONTAINER user_env, 10 lines on chain)\np.yaml: good (profile of demo with 2 nodes)\n"
    )


def test_every_problem_has_its_place_and_the_exit_code_is_1(swarm: Any) -> None:
    """Errors and defects; a warning alone is 0."""
    bad = taskfiles.RUN.replace("BIND", "BINDE").replace("/opt/model", "<CURRENT-PATH>")
    told = swarm("check", "a.yaml", a=bad)
    assert told.code == 1
    assert told.out.splitlines() == [
        "a.yaml:10:69: warning: LR in Envvars is written 1e-4 and arrives as 0.0001: put it in quotes if not meant",
        "a.yaml:13:14: defect: the placeholder <CURRENT-PATH> was left in: "
        "give it a value, by --set CURRENT-PATH=VALUE or, in the shell, SET CONTEXT ENV CURRENT-PATH VALUE",
        "a.yaml:15:16: error: MType is BINDE; did you mean BIND?",
        "a.yaml: refused (1 error, 1 defect, 1 warning)",
    ]
    warned = swarm("check", "a.yaml", a=taskfiles.RUN.replace("true", "yes"))
    assert warned.code == 0
    assert "LOOP in Envvars is written yes and arrives as True" in warned.out


def test_values_come_from_the_command_line_and_a_file(swarm: Any) -> None:
    """--set wins; each of several files takes what it has a place for, and what none has is told once."""
    run = taskfiles.RUN.replace("/opt/model", "<CURRENT-PATH>").replace("Prereq: user_env", "Prereq: env_<TIME_STAMP>")
    build = taskfiles.BUILD.replace("user_env", "env_<TIME_STAMP>")
    values = "vars:\n  CURRENT-PATH: /wrong\n  TIME_STAMP: 0412\n"
    told = swarm(
        "check", "a.yaml", "b.yaml", "--vars", "v.yaml", "--set", "CURRENT-PATH=/srv", "--set", "TIMESTAMP=1",
        "--output", "json", a=run, b=build, v=values,
    )  # fmt: skip
    assert told.code == 0
    first, second = told.data["files"]
    assert (first["task"]["prereq"], second["task"]["name"]) == ("env_0412", "env_0412")
    unused = [one["text"] for one in first["findings"] + second["findings"] if "given a value" in one["text"]]
    assert unused == ["<TIMESTAMP> is given a value and not in the text; did you mean TIME_STAMP?"]
    assert "/srv" in swarm("render", "a.yaml", "--vars", "v.yaml", "--set", "CURRENT-PATH=/srv").out


def test_a_prerequisite_that_is_misspelt_is_named(swarm: Any) -> None:
    """Among files that are checked together."""
    told = swarm("check", "a.yaml", "b.yaml", a=taskfiles.BUILD, b=taskfiles.RUN.replace("user_env", "usr_env"))
    assert told.code == 1
    assert "b.yaml: defect: Prereq usr_env is none of these tasks; did you mean user_env?" in told.out


def test_json_holds_what_is_printed(swarm: Any) -> None:
    """One envelope, each finding with line and column."""
    told = swarm("check", "a.yaml", "--output", "json", a=taskfiles.PULL.replace('"1.0"', "1.0"))
    (file,) = told.data["files"]
    assert (told.code, file["taken"], file["task"]) == (1, False, None)
    assert file["findings"] == [
        {"weight": "error", "line": 9, "column": 8, "text": "Tag is the number 1.0: put it in quotes if it is a text"}
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "none.yaml"], "none.yaml: No such file"),
        (["check", "."], "Is a directory"),
        (["check", "a.yaml", "--set", "A"], "write --set NAME=VALUE"),
        (["check", "a.yaml", "--vars", "none.yaml"], "none.yaml: No such file"),
        (["check", "a.yaml", "--output", "xml"], "'xml' is not one of 'text', 'json', 'jsonl'"),
        (["render", "none.yaml"], "none.yaml: No such file"),
        (["check"], "Missing argument"),
    ],
)
def test_what_is_no_use_of_the_command_ends_with_2(swarm: Any, arguments: list[str], says: str) -> None:
    """One sentence on stderr."""
    told = swarm(*arguments, a=taskfiles.RUN)
    assert told.code == 2
    assert says in told.err


def test_render_shows_what_each_site_will_run(swarm: Any) -> None:
    """The body on chain, the image of the prerequisite, and for each node its containers with what overrides what."""
    told = swarm(
        "render", "run.yaml", "--with", "build.yaml", "--profile", "site.yaml", "--output", "json",
        run=taskfiles.RUN.replace("LOOP: true", "TOKEN: secret:hub"), build=taskfiles.BUILD, site=profilefiles.WHOLE,
    )  # fmt: skip
    assert told.code == 0
    (site,) = told.data["sites"]
    assert (site["image"], site["secrets"], site["body"][0]) == ("user-env-tf:latest", ["hub"], "0000: ---")
    sl, ml = site["containers"][:2]
    assert (sl["container"], ml["container"]) == ("demo-train-s-0-<16 hex digits>", "demo-train-u-0-<16 hex digits>")
    assert sl["environment"] == {"SL_LOG_LEVEL": "DEBUG", "SL_RAM_INTENSIVE": "False"}
    assert ml["environment"] == {"MODEL_DIR": "model", "MAX_EPOCHS": "2", "TOKEN": "secret:hub", "LR": "0.0001"}
    assert ml["mounts"] == ["/data/site-1 at /tmp/test/data (BIND)", "/opt/model at /tmp/test/model (BIND)"]
    text = swarm("render", "run.yaml", "--with", "build.yaml", "--profile", "site.yaml").out
    assert "        MAX_EPOCHS=2\n" in text
    assert "SECRETS  : hub, from each site's file" in text


@pytest.mark.parametrize("kind", taskfiles.ALL)
def test_each_type_is_rendered(swarm: Any, kind: str) -> None:
    """Without a profile the task's own part; a Dockerfile as it stands."""
    told = swarm("render", "a.yaml", a=taskfiles.ALL[kind])
    assert told.code == 0
    expected = {
        "BUILD": "    RUN pip3 install --upgrade pip && pip3 install \\\n       keras pandas\n",
        "RUN": "image what the task user_env made",
        "PULL": "image hub.example/org/base:1.0",
        "CONTENT": "MAKES    : volume volume-1",
    }
    assert expected[kind] in told.out


def test_render_of_a_refused_task_ends_with_1(swarm: Any) -> None:
    """With every reason; so does a profile that is refused."""
    told = swarm("render", "a.yaml", a=taskfiles.RUN.replace("Author: somebody\n", ""))
    assert (told.code, told.out) == (1, "")
    assert "refused: a.yaml: line 1: the task has no Author" in told.err
    told = swarm("render", "a.yaml", "--profile", "p.yaml", "--output", "json", a=taskfiles.RUN, p="nodes: []\n")
    assert (told.code, told.data) == (1, None)


def test_the_schemas_are_printed(swarm: Any) -> None:
    """As JSON that is valid in its draft."""
    for arguments in (["schema"], ["schema", "--profile"], ["schema", "--plain-secrets"]):
        told = swarm(*arguments)
        assert told.code == 0
        Draft202012Validator.check_schema(json.loads(told.out))


def test_a_text_cannot_steer_the_terminal(swarm: Any) -> None:
    """What is printed of a file has no control characters."""
    bad = taskfiles.RUN.replace("somebody", '"\\x1b[2J\\u202e"').replace("Command:", "Com\u202emand:")
    told = swarm("check", "a.yaml", a=bad)
    assert told.code == 1
    assert all(line.isprintable() for line in told.out.splitlines())


def test_a_pipe_is_read_and_the_command_starts_quickly(tmp_path: Path) -> None:
    """`-` is what is piped in; nothing heavy is imported for it."""
    command = [sys.executable, "-X", "importtime", "-m", "swarm.cli", "task", "check", "-"]
    begun = time.monotonic()
    done = subprocess.run(command, input=taskfiles.RUN, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.endswith("-: good (RUN_SWARM train, 15 lines on chain, 1 warning)\n")
    assert time.monotonic() - begun < 60
    assert not {"web3", "fastapi", "cryptography", "numpy", "httpx"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }
