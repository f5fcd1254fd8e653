"""The flags of commands that join as an operator (swarm reset, swarm job), which are fields of their settings."""

from __future__ import annotations

import json

import pytest
from swarm import cli
from swarm.cli.building import Call
from swarm.core.ids import DEFAULT_JOB
from swarm.inspect.job import JobSettings
from swarm.inspect.reset import ResetSettings
from swarm.node.settings import node_settings_of

NODE = ["--sn-ip", "sn1", "--cert", "c.pem", "--key", "k.pem", "--cacert", "ca.pem"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What was typed, and nothing done."""
    found: list[Call] = []
    monkeypatch.setattr("swarm.cli.acts.act", lambda call: found.append(call) or 0)
    return found


def typed(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(argv))
    return int(ended.value.code or 0)


@pytest.mark.parametrize("words", [["reset"], ["job", "reset"]])
@pytest.mark.parametrize(
    "argv", [["my.job", "--force", *NODE], ["--force", "my.job", *NODE], [*NODE, "--force", "my.job"]]
)
def test_the_job_may_stand_anywhere(calls: list[Call], words: list[str], argv: list[str]) -> None:
    """Before, between and after the flags the job is the same one, by the old name and the new one."""
    assert typed(*words, *argv) == 0
    found = node_settings_of(ResetSettings, calls[0].given, {})
    assert (found.job, found.force, found.sn_ip) == ("my.job", True, "sn1")


@pytest.mark.parametrize("words", [["job"], ["job", "options"]])
def test_without_a_job_it_is_the_one_that_every_swarm_has(calls: list[Call], words: list[str]) -> None:
    """Left out, and with options whose value looks like a name."""
    assert typed(*words, *NODE, "--options", "{}") == 0
    found = node_settings_of(JobSettings, calls[0].given, {})
    assert (found.job, found.options) == (DEFAULT_JOB, "{}")


def test_the_job_of_earlier_versions_is_told_from_a_verb(calls: list[Call]) -> None:
    """`swarm job NAME` shows its options, as ever; a verb is one."""
    assert typed("job", "my.job", *NODE) == 0
    assert (calls[0].line.words, calls[0].given["job"]) == ("job options", "my.job")
    assert typed("job", "show", "my.job") == 0
    assert (calls[1].line.words, calls[1].values["job"]) == ("job show", "my.job")


def test_a_second_job_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """One command acts on one job; what is too much is named, with the help to ask for."""
    assert typed("reset", "one", "two", *NODE) == 2
    told = capsys.readouterr().err
    assert told == "swarm: Got unexpected extra argument (two); see: swarm reset --help\n"


def test_a_setting_that_cannot_be_is_an_envelope_too(capsys: pytest.CaptureFixture[str]) -> None:
    """With --output json everything that goes wrong is one."""
    assert typed("job", "reset", "--sn-ip", "a b", *NODE[2:], "--output", "json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["exit_code"], told["data"]) == ("refused", 2, None)
    assert "--sn-ip='a b'" in told["error"]["message"]
