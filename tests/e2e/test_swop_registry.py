"""PULL_IMAGE against a real registry with logins: each kind of Auth, by a SWOP's own hands and a real engine."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from support import images, patience, taskfiles, tools
from support.chains import free_port
from swarm.core.ids import Address, Digest
from swarm.core.swop.pairs import Site
from swarm.core.taskrun.work import Key, Result, WorkState
from swarm.core.tasktext.model import PullBody, Task, image_of
from swarm.core.tasktext.profile import read_profile
from swarm.core.tasktext.reading import read
from swarm.core.taskview import TaskType
from swarm.store.journal import Journal
from swarm.swop.docker import DockerRuntime
from swarm.swop.hands import Hands
from swarm.swop.judging import Judged
from swarm.swop.keeping import Made
from swarm.swop.logins import login_of
from swarm.swop.runtime import Trouble
from swarm.swop.texts import Texts

pytestmark = [pytest.mark.docker, pytest.mark.registry, pytest.mark.timeout(120)]
USER, PASSWORD = "site", "p4ss word:colon"
HASHED = "$2b$04$P4Dhk.eEZCtXZJa8CxMpsucZxBU0pWx.AzI/uoa/lnWPoaqVkjLxS"
"""Of that password, by bcrypt, the only form that the registry takes."""
CONFIG = """version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""
PROFILE = """groupname: demo
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: bridge
nodes: []
"""
KEY = Key(Digest(b"k" * 32), 0, 1)


@dataclass(frozen=True)
class Hub:
    """A registry that holds one image. Args: host: with its port; digest: of the image."""

    host: str
    digest: str


def config(host: str, user: str = USER, password: str = PASSWORD) -> str:
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def answers(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The registry, with the base image pushed into it by the engine's own client."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    host = f"127.0.0.1:{port}"
    (folder / "htpasswd").write_text(f"{USER}:{HASHED}\n")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))
    (folder / "config.json").write_text(config(host))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([tools.registry(), "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    name = f"{host}/org/base:1.0"
    try:
        until = time.monotonic() + patience.seconds(20)
        while answers(f"http://{host}/v2/") != 401:
            there = process.poll() is None and time.monotonic() < until
            assert there, (folder / "log").read_text()
            time.sleep(0.05)
        docker("tag", images.base(), name)
        pushed = docker("--config", str(folder), "push", name)
        docker("image", "rm", name)
        yield Hub(host, pushed.rpartition("digest: ")[2].split()[0])
    finally:
        process.terminate()
        process.wait(timeout=patience.seconds(10))


async def pulled(hub: Hub, folder: Path, auth: str, secrets: dict[str, str]) -> tuple[Result, list[str], Made, Task]:
    """What a PULL_IMAGE task with this Auth comes to, and what the SWOP keeps of a failure."""
    text = taskfiles.PULL.replace("hub.example/org", f'"{hub.host}/org"').replace("Auth: ~", f"Auth: {auth}")
    outcome = f"pulled-{hub.host.rpartition(':')[2]}"
    reading = read(text.replace("Outcome: base", f"Outcome: {outcome}"), plain_secrets=True)
    assert reading.value is not None, reading.findings
    task, found = reading.value, read_profile(PROFILE).value
    assert isinstance(task.body, PullBody)
    assert found is not None
    runtime = DockerRuntime()
    with Journal(folder / "journal.db") as journal:
        texts, made = Texts(journal, secrets.values()), Made(journal)
        login = partial(login_of, secrets=secrets, usr_dir=folder)
        judged = Judged(None, task=task, of=(Digest(b"t" * 32), Digest(bytes(32))))  # type: ignore[arg-type]
        site = Site(Address(b"s" * 20), "sl:1")
        hands = Hands(runtime, found, site, texts, lambda _: judged, folder / "scratch", login, made)
        try:
            assert await hands.create(KEY) is None
            assert await hands.start(KEY) is None
            async with asyncio.timeout(patience.seconds(60)):
                while True:
                    [work] = [one for one in await hands.works(frozenset({KEY}), TaskType.PULL_IMAGE) if one.key == KEY]
                    if work.state is WorkState.EXITED:
                        break
                    await asyncio.sleep(0.05)
            image = await runtime.image(image_of(outcome))
            assert (image is not None) is work.result.ok
            if image is not None:
                assert f"{hub.host}/org/base@{hub.digest}" in image.digests
            return replace(work.result), texts.lines(KEY) or [], made, task
        finally:
            await runtime.remove_image(image_of(outcome))
            await runtime.remove_image(f"{hub.host}/org/base:1.0")
            await hands.aclose()
            runtime.close()


@pytest.mark.row("T05")
@pytest.mark.parametrize("kind", ["a path", "in clear", "a secret", "a secret config"])
async def test_each_kind_of_auth_opens_a_real_registry(hub: Hub, tmp_path: Path, kind: str) -> None:
    """The image is here by its digest, under the name of the task's Outcome, and noted as that task's."""
    (tmp_path / "config.json").write_text(config(hub.host))
    auth = {
        "a path": "config.json",
        "in clear": f"{{Username: {USER}, Password: '{PASSWORD}'}}",
        "a secret": "secret:hub",
        "a secret config": "secret:whole",
    }[kind]
    secrets = {"hub": f"{hub.host} {USER}:{PASSWORD}", "whole": config(hub.host)}
    result, lines, made, task = await pulled(hub, tmp_path, auth, secrets)
    assert result.ok, lines
    assert image_of(task.header.outcome) in made.names()


@pytest.mark.row("T05")
@pytest.mark.parametrize(
    ("auth", "secret"),
    [("~", ""), ("secret:hub", "{host} site:wrong"), ("secret:hub", "other.example site:{password}")],
)
async def test_who_has_no_login_is_refused_in_one_sentence(hub: Hub, tmp_path: Path, auth: str, secret: str) -> None:
    """Without one, with a wrong one, with that of another registry: the image's name and the fix, never the login."""
    text = secret.format(host=hub.host, password=PASSWORD)
    result, lines, made, _ = await pulled(hub, tmp_path, auth, {"hub": text})
    said = "\n".join(lines)
    assert not result.ok
    assert not made.names()
    assert hub.host in said
    assert PASSWORD not in said
    assert "site:wrong" not in said
    if "other.example" in secret:
        assert f"the secret hub is no login for {hub.host}" in said
    else:
        assert result.fault == Trouble.PULL_FAILED
        assert "see that its registry answers and that the login is right" in said
