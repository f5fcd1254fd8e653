"""`swarm policy allow` and `check`: what a refusal prints is typed, and takes that very task and no other one."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import shlex
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from support import taskfiles
from swarm.cli.main import main
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.swop.asked import Asked
from swarm.core.swop.containers import Devices, Gpus, Mount, MountKind
from swarm.core.swop.policy import SAID_CHARS_MAX, Granted, Policy, decide
from swarm.core.tasktext.model import Task
from swarm.core.tasktext.reading import read
from swarm.obs.log import VALUE_CHARS_MAX, redact
from swarm.swop.files import policy_in
from swarm.swop.policyfile import allow

WHO, OTHER = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
TEXT, NEXT = Digest(b"\x01" * 32), Digest(b"\x02" * 32)
GPU = Devices(gpus=Gpus(count=-1), capabilities=("CAP_NET_RAW",))
DATA = Mount(MountKind.BIND, "/srv/site one", "/data")


def task(text: str) -> Task:
    found = read(text, plain_secrets=True)
    assert found.value is not None, found.findings
    return found.value


def named(one: Task, name: str) -> Task:
    return replace(one, header=replace(one.header, name=name))


ASKED = {
    "build": Asked(
        task(taskfiles.BUILD), WHO, ("tensorflow/tensorflow:2.7.0",), urls=("https://x.example/a?b=1",), text=TEXT
    ),
    "run": Asked(task(taskfiles.RUN), WHO, (), (DATA,), (GPU,), secrets=("token",), text=TEXT),
    "pull": Asked(task(taskfiles.PULL), WHO, text=TEXT),
    "content": Asked(task(taskfiles.CONTENT), WHO, text=TEXT),
}


def typed(*words: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code, said.getvalue()
    return said.getvalue()


@pytest.mark.row("P02")
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("there", [None, '# ours\nrules:\n- tasks: ["mine"]   # kept\nshare_logs: true\n'])
def test_what_a_refusal_prints_takes_that_task(asked: Asked, there: str | None, tmp_path: Path) -> None:
    """Typed as it stands, but for the file's place; comments and what was there stay; another author's is refused."""
    path = tmp_path / "policy.yaml"
    if there is not None:
        path.write_text(there)
    before = Policy() if there is None else policy_in(path)
    said = decide(before, asked)
    assert isinstance(said, str)
    command = re.search("`(swarm policy allow [^`]*)`", said)
    assert command is not None, said
    words = shlex.split(command[1])[1:]
    typed(*(str(path) if word in ("policy.yaml", str(path)) else word for word in words))
    after = policy_in(path)
    assert isinstance(decide(after, asked), Granted)
    assert isinstance(decide(after, replace(asked, author=OTHER)), str)
    assert isinstance(decide(after, replace(asked, task=named(asked.task, "another"))), str)
    upgraded = decide(after, replace(asked, text=NEXT))
    assert isinstance(upgraded, str), "its next version"
    assert there is not None or "is another one than the rule names" in upgraded
    if there is not None:
        assert path.read_text().startswith('# ours\nrules:\n- tasks: ["mine"]   # kept\n')
        assert after.share_logs
    typed(*(str(path) if word in ("policy.yaml", str(path)) else word for word in words))
    assert policy_in(path) == after, "twice is once"


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "train-[ab]",
        "t?",
        "x; rm -rf /",
        "$(id)",
        "`id`",
        "--network",
        "a b",
        "no",
        "on",
        "1:30",
        "~",
        "0x12",
        "a\x85b",
        "\u2028",
    ],
)
def test_attack_a_tasks_name_is_no_pattern_and_no_command(name: str, tmp_path: Path) -> None:
    """Another site's author picks it: the rule takes that name alone, a shell reads it as one word, YAML as text."""
    asked = replace(ASKED["run"], task=named(ASKED["run"].task, name))
    said = decide(Policy(), asked)
    assert isinstance(said, str)
    words = shlex.split(said[said.index("swarm policy allow") : said.rindex("`, or")])
    path = tmp_path / "policy.yaml"
    typed(*words[1:3], str(path), *words[4:])
    after = policy_in(path)
    assert isinstance(decide(after, asked), Granted)
    for other in ("train-a", "tx", "network", "anything"):
        assert isinstance(decide(after, replace(asked, task=named(asked.task, other))), str)


def test_what_no_rule_may_take_names_no_command() -> None:
    """A folder of keys: no file allows it, so nothing is printed to type."""
    said = decide(Policy(), replace(ASKED["run"], mounts=(Mount(MountKind.BIND, "/etc", "/x"),)))
    assert "swarm policy allow" not in str(said)


def test_attack_a_command_that_a_log_would_cut_is_not_printed() -> None:
    """Half of one may name the folder above the one that was asked for."""
    for parts, whole in ((5, True), (300, False)):
        deep = Mount(MountKind.BIND, "/srv" + "/part-of-it" * parts, "/data")
        said = redact(str(decide(Policy(), replace(ASKED["run"], mounts=(deep,)))))
        assert ("swarm policy allow" in said, "... (cut)" in said) == (whole, not whole and len(said) > VALUE_CHARS_MAX)
        assert said.count("`") == (2 if whole else 0)
    assert VALUE_CHARS_MAX > SAID_CHARS_MAX


def test_a_file_that_is_no_policy_stays_as_it_is(tmp_path: Path) -> None:
    """Named with its fault; nothing is written. A new file is no secret, and only its owner writes it."""
    path = tmp_path / "policy.yaml"
    for text in ("rules: x\n", "a: [\n", "- 1\n"):
        path.write_text(text)
        with pytest.raises(OperatorFault, match=r"policy\.yaml"):
            allow(path, {"tasks": ["a"]})
        assert path.read_text() == text
    path.unlink()
    with pytest.raises(OperatorFault, match="kinds has 'X'"):
        allow(path, {"kinds": ["X"]})
    assert not path.exists()
    assert allow(path, {"tasks": ["a"]}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["policy.yaml"]
    with pytest.raises(OperatorFault, match="cannot be written: No such file"):
        allow(tmp_path / "none" / "policy.yaml", {"tasks": ["a"]})


def test_check_says_what_a_file_allows(tmp_path: Path) -> None:
    """In words, and as one envelope."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "share_logs: true\nrules:\n- tasks: [a]\n  images: [base:1]\n"
        "- {privileged: true, confined: false, secrets: [t]}\n"
    )
    said = typed("policy", "check", str(path))
    assert "2 rules; operators may read what failed programs wrote" in said
    assert "1: a (" in said
    assert "secrets t; privileged; not confined" in said
    found = json.loads(typed("policy", "check", str(path), "--output", "json"))
    assert [one["images"] for one in found["data"]["rules"]] == [["base:1"], []]


def test_attack_what_would_be_read_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a SWOP could not start with, or that says more than was typed, never takes the old one's place."""
    path = tmp_path / "policy.yaml"
    allow(path, {"tasks": ["a"]})
    before = path.read_bytes()
    monkeypatch.setattr("swarm.swop.policyfile._quoted", dict)
    with pytest.raises(OperatorFault, match=r"policy\.yaml"):
        allow(path, {"tasks": ["no"]})
    assert path.read_bytes() == before


def test_two_at_once_lose_no_rule(tmp_path: Path) -> None:
    """The second one is told to come again, and waits for nobody; what is there stays."""
    path = tmp_path / "policy.yaml"
    allow(path, {"tasks": ["a"]})
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(OperatorFault, match="another command writes"):
            allow(path, {"tasks": ["b"]})
    finally:
        os.close(folder)
    assert allow(path, {"tasks": ["b"]}) == 2


def test_a_files_mode_owner_and_link_stay(tmp_path: Path) -> None:
    """A SWOP that may read the file, by whatever name, may read it after a rule was added."""
    real, link = tmp_path / "real.yaml", tmp_path / "policy.yaml"
    real.write_text("rules: []\n")
    real.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(real, 10001, 10002)
    before = real.stat()
    link.symlink_to(real)
    allow(link, {"tasks": ["a"]})
    after = real.stat()
    assert link.is_symlink()
    assert policy_in(real).rules[0].tasks == ("a",)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
