"""The command line against a real SN: every reading's JSON fits its schema, and says what its text says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import patience, swci, warm
from support.certs import Authority
from support.snprocess import SnProcess, clean_environ, running_sn
from support.swop import swop
from support.trained import run_two_rounds
from swarm.cli.output import EXIT_UNSAID
from swarm.cli.schemas import schema_of
from swarm.core.ids import DEFAULT_JOB
from swarm.swci.table import LINES, Way

TR = "defaulttaskbb.taskdb.sml.hpe"
GIVEN = {"JOB": DEFAULT_JOB, "TASK": "user_env_task", "RUNNER": TR, "PEER": "0"}
READINGS = sorted(words for words, (_, line) in LINES.items() if line.way is Way.READ and words == line.words)
SHOWN = {
    "job history": "complete",
    "job list": DEFAULT_JOB,
    "job show": "0x",
    "job status": "complete after 2 rounds",
    "member list": "swci",
    "node list": "SENTINEL",
    "run figures": "0.25",
    "run show": "final model",
    "run wait": "complete after 2 rounds",
    "runner history": "user_env_task",
    "runner list": TR,
    "runner peer": "pair 0: SUCCEEDED",
    "runner peers": "0x",
    "runner show": "COMPLETE",
    "status": DEFAULT_JOB,
    "task body": "0000: ---",
    "task list": "ROOTTASK",
    "task show": "MAKE_USER_CONTAINER",
}
"""What the text of each must hold."""


@dataclass
class World:
    """An SN with a complete run and a task that was run, all of the latter by the command line."""

    sn: SnProcess
    here: swci.Operator
    folder: Path

    def swarm(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return warm.run(argv, clean_environ(COLUMNS="200"), seconds=60)

    def read(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.swarm(*argv, "--ops", self.sn.ops)

    def send(self, *argv: str) -> subprocess.CompletedProcess[str]:
        files = self.here.files
        trust = ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
        where = ["--sn-ip", f"127.0.0.1:{self.sn.port}", "--state-dir", str(self.here.state)]
        return self.swarm(*argv, *trust, *where)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ca = Authority()
    with running_sn(tmp_path_factory.mktemp("sn"), ca, "--task-lease", "5") as sn:
        asyncio.run(run_two_rounds(sn, ca))
        here = swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)
        (here.usr / "build.yaml").write_text(swci.BUILD)
        found = World(sn, here, here.usr)
        with swop(sn, ca, tmp_path_factory.mktemp("swops"), "w1", results=[0]):
            done = found.send("run", "start", str(here.usr / "build.yaml"), TR, "--peers", "1", "--output", "jsonl")
        assert done.returncode == 0, done.stdout + done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["status"] for one in told] == ["running"] * (len(told) - 1) + ["ok"]
        assert {"lines": ["Task assigned to TaskRunner"]} in [one["data"] for one in told]
        for one in told:
            Draft202012Validator(strict(schema_of(LINES["run start"][1], lines=True))).validate(one)
        yield found


def strict(schema: Any) -> Any:
    """Nothing may be there that the schema does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(one) for name, one in schema.items()}
    if "properties" in found and isinstance(found["properties"], dict):
        found["additionalProperties"] = False
    return found


def argv_of(words: str) -> list[str]:
    return [*words.split(), *(GIVEN[one.name] for one in LINES[words][1].options if one.needed)]


@pytest.mark.parametrize("words", READINGS)
def test_every_reading_says_the_same_in_each_form(world: World, words: str) -> None:
    """JSON fits the schema of its row, jsonl too; the text holds what the data do, and all end alike."""
    line, argv = LINES[words][1], argv_of(words)
    one = world.read(*argv, "--output", "json")
    assert (one.returncode, one.stderr) == (0, ""), one.stdout
    told = json.loads(one.stdout)
    Draft202012Validator(strict(schema_of(line))).validate(told)
    assert (told["schema_version"], told["status"], told["exit_code"], told["error"]) == (1, "ok", 0, None)
    assert told["data"] or words == "node why"

    by_line = world.read(*argv, "--output", "jsonl")
    envelopes = [json.loads(text) for text in by_line.stdout.splitlines()]
    for each in envelopes:
        Draft202012Validator(strict(schema_of(line, lines=True))).validate(each)
    if isinstance(told["data"], list):
        assert len(envelopes) == len(told["data"])
    else:
        assert (envelopes[-1]["status"], envelopes[-1]["exit_code"]) == ("ok", 0)

    text = world.read(*argv)
    assert (text.returncode, text.stderr) == (0, "")
    assert SHOWN.get(words, "") in text.stdout
    if words in ("job show", "job status"):
        shown = dict(line.split(" : ", 1) for line in text.stdout.splitlines())
        assert {name.strip(): value for name, value in shown.items()} == {
            name: "-" if value in (None, "") else str(value) for name, value in told["data"].items()
        }


@pytest.mark.parametrize(("old", "new"), [("audit", "run show"), ("history", "job history"), ("status", "status")])
def test_json_of_earlier_versions_is_bare(world: World, old: str, new: str) -> None:
    """As before: the data alone, which are those of the envelope."""
    argv = argv_of(new)[len(new.split()) :] if new != "job history" else [DEFAULT_JOB]
    bare = json.loads(world.read(old, *argv, "--json").stdout)
    data = json.loads(world.read(*new.split(), *argv, "--output", "json").stdout)["data"]
    if new == "status":  # it is of another moment
        assert (bare["jobs"], set(bare)) == (data["jobs"], set(data))
    else:
        assert bare == data


def test_a_beginning_that_only_one_has_is_a_name(world: World) -> None:
    """Of jobs, tasks and runners; one that is none names the nearest, with code 2 in an envelope too."""
    assert json.loads(world.read("job", "show", "defaultbb", "--output", "json").stdout)["data"]["name"] == DEFAULT_JOB
    assert json.loads(world.read("task", "show", "user_env", "--output", "json").stdout)["data"]["header"]["name"]
    done = world.read("task", "body", "user_envtask", "--output", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["status"]) == (2, 2, "refused")
    assert "did you mean user_env_task?" in told["error"]["message"]


def test_a_wait_that_runs_out_is_3_in_every_form(world: World) -> None:
    """A run that nobody has begun: each step a line, then the envelope that says so."""
    assert world.send("job", "create", "waited.for").returncode == 0
    enough = f"{patience.seconds(2):g}"  # for the first look, beside others too
    done = world.read("run", "wait", "waited.for", "--timeout", enough, "--output", "jsonl")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert [one["status"] for one in told] == ["running", "timeout"]
    assert told[0]["data"]["told"].endswith("nobody has joined yet")
    assert told[-1]["error"]["kind"] == "WaitOver"
    done = world.read("wait", "waited.for", "--timeout", enough)
    assert (done.returncode, f"has not ended within {enough} s" in done.stderr) == (3, True)


def test_what_changes_something_says_the_lines_of_the_shell(world: World) -> None:
    """By the same code: created, refused with 2 the second time, deleted."""
    done = world.send("runner", "create", "second", "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["data"]) == (0, {"lines": ["TaskRunner Created : second"]})
    done = world.send("runner", "create", "second", "--output", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["data"]) == (2, "refused", {"lines": []})
    assert told["error"]["message"] == "there is a task runner second already; it can be used as it is"
    done = world.send("runner", "reset", "second")
    assert (done.returncode, done.stdout) == (0, "TaskRunner Reset\n")
    text = (world.folder / "build.yaml").read_text().replace("user_env_task", "other_task")
    (world.folder / "other.yaml").write_text(text)
    assert world.send("task", "create", str(world.folder / "other.yaml")).returncode == 0
    assert world.send("task", "delete", "other_task").stdout == "Task Deleted\n"
    done = world.send("job", "options", DEFAULT_JOB, "--output", "json")
    assert json.loads(done.stdout)["data"] == {"job": DEFAULT_JOB, "options": None, "change": 0}
    done = world.send("job", DEFAULT_JOB)
    assert done.stdout == f"{DEFAULT_JOB}: options none (programs alone say how they train)\n"


def test_a_watched_status_is_an_envelope_a_look(world: World) -> None:
    """Until it is interrupted; here by the first two lines."""
    import sys

    command = [
        sys.executable,
        "-m",
        "swarm.cli",
        "status",
        "--watch",
        "0.5",
        "--output",
        "jsonl",
        "--ops",
        world.sn.ops,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environ()) as running:
        assert running.stdout is not None
        told = [json.loads(running.stdout.readline()) for _ in range(2)]
        running.terminate()
    for one in told:
        assert (one["status"], one["exit_code"], one["error"]) == ("running", None, None)
        assert DEFAULT_JOB in one["data"]["jobs"]


@pytest.mark.parametrize("form", [["--output", "jsonl"], ["--json"], []], ids=str)
def test_a_watch_ends_when_its_reader_has_seen_enough(world: World, form: list[str]) -> None:
    """As `| head -1` does: with its next look, its own code, and no trace."""
    command = [sys.executable, "-m", "swarm.cli", "status", "--watch", "0.5", *form, "--ops", world.sn.ops]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environ()) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stdout.readline()
        watching.stdout.close()
        try:
            assert watching.wait(patience.seconds(20)) == EXIT_UNSAID
        finally:
            watching.kill()
        assert watching.stderr.read() == b""
