"""What a container engine refuses, in its own words as engines write them: a word for the chain, and one fix."""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, DockerException
from swarm.core.swop.containers import BuildSpec, ContainerSpec, ContainerState, Found
from swarm.core.swop.pairs import SWOP
from swarm.swop import refused
from swarm.swop.building import stream_build
from swarm.swop.docker import DockerRuntime
from swarm.swop.runtime import RuntimeFault, Trouble

NOBODY = 65534
NO_GPU = 'could not select device driver "" with capabilities: [[gpu]]'
NO_DEVICE = 'error gathering device information while adding custom device "/dev/kfd": no such file or directory'
NO_PROGRAM = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process:"
    ' exec: "train": executable file not found in $PATH: unknown'
)


@pytest.mark.parametrize(
    ("said", "trouble", "fix"),
    [
        (NO_GPU, Trouble.NO_DEVICE, "mend usrcontaineropts"),
        ("nvidia-container-cli: initialization error: nvml error", Trouble.NO_DEVICE, "container toolkit"),
        (NO_DEVICE, Trouble.NO_DEVICE, "mend usrcontaineropts"),
        ("write /var/lib/docker/tmp/x: no space left on device", Trouble.NO_SPACE, "make room on the disk"),
        ("No such image: base:1", Trouble.NO_IMAGE, "build or pull the image first"),
        ("pull access denied for a/b, repository does not exist", Trouble.NO_IMAGE, "build or pull"),
        ("network swarm-net not found", Trouble.NO_NETWORK, "docker network create"),
        ("get model: no such volume", Trouble.NO_VOLUME, "docker volume create"),
        ("No such container: x", Trouble.NO_CONTAINER, "removed by somebody else"),
        ("Bind for 0.0.0.0:16000 failed: port is already allocated", Trouble.PORT_TAKEN, "another one in the profile"),
        (NO_PROGRAM, Trouble.NO_PROGRAM, "Entrypoint and Command"),
        ('exec "/x": permission denied: unknown', Trouble.NO_PROGRAM, "Entrypoint and Command"),
        ("invalid mount config: bind source path does not exist: /data", Trouble.NO_VOLUME, "make the folder"),
        ("something new in the next release", Trouble.REFUSED, "refuses: something new"),
    ],
)
def test_an_engines_words_are_kept_and_the_fix_is_named(said: str, trouble: Trouble, fix: str) -> None:
    """In one line, whatever line breaks and letter case they come in."""
    for words in (said, said.upper(), f"{said}\nsee the log\n"):
        found = refused.translated(APIError("500 Server Error", explanation=words))
        assert found.trouble is trouble
        assert fix in (str(found) if trouble is not Trouble.REFUSED else str(found).lower())
        assert "\n" not in str(found)
        assert " ".join(words.split()) in str(found)


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        ({}, "look at it with `docker inspect demo-s-0` and remove it"),
        ({SWOP: "0xaa"}, "look at it with `docker inspect demo-s-0` and remove it"),
        ({SWOP: "0xbb\x1b"}, "it is SWOP 0xbb"),
    ],
)
def test_a_name_that_another_swop_has_is_told_with_that_swop(labels: dict[str, str], fix: str) -> None:
    """Two SWOPs of one host with one profile: whose the container is, and what keeps them apart."""
    spec = ContainerSpec("demo-s-0", "sl:1", labels={SWOP: "0xaa"})
    found = refused.name_taken(spec, Found("demo-s-0", ContainerState.RUNNING, "sl:1", labels))
    assert found.trouble is Trouble.NAME_TAKEN
    assert "demo-s-0 is there already and is not this one; " + fix in str(found)
    assert ("groupname" in str(found)) is ("0xbb" in fix)
    assert "\x1b" not in str(found)


def test_an_endless_answer_is_cut() -> None:
    """An engine's words may hold a whole build's."""
    assert len(str(refused.meaning("x" * 10_000))) < 2 * refused.SAID_CHARS_MAX


@pytest.mark.parametrize(
    ("said", "trouble", "fix"),
    [
        ("unauthorized: authentication required", Trouble.PULL_FAILED, "the login is right"),
        ("failed to register layer: no space left on device", Trouble.NO_SPACE, "make room on this host's disk"),
        ("network x not found", Trouble.PULL_FAILED, "its registry answers"),
    ],
)
def test_a_pull_fails_by_the_registry_or_by_the_disk(said: str, trouble: Trouble, fix: str) -> None:
    """The image is named; what the words would mean elsewhere does not count."""
    found = refused.not_pulled("hub.example/org/base:1.0", said)
    assert found.trouble is trouble
    assert str(found).startswith("the image hub.example/org/base:1.0 cannot be pulled: ")
    assert fix in str(found)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "SWOP_DOCKER_GID"), (errno.ENOENT, "start the engine"), (errno.EPIPE, "answer")],
)
def test_the_first_cause_of_a_silent_engine_is_found(number: int, words: str) -> None:
    """However deep the client's libraries wrap it: as a cause, as a context, or among the arguments."""
    cause = OSError(number, os.strerror(number))
    inner = requests.ConnectionError(cause)
    outer = DockerException("Error while fetching server API version")
    outer.__cause__ = inner
    found = refused.gone(outer, "unix:///run/other.sock")
    assert found.trouble is Trouble.DAEMON_GONE
    assert words in str(found)
    assert "unix:///run/other.sock" in str(found)


async def test_a_socket_that_this_user_may_not_use_is_told_with_the_group_to_give(tmp_path: Path) -> None:
    """A real one that listens, of another user: the engine lives, and it is no reason to start it."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        runtime = DockerRuntime(f"unix://{path}")
        own = os.geteuid()
        try:
            if own == 0:
                os.seteuid(NOBODY)
            with pytest.raises(RuntimeFault, match="socket may not be used by this user") as told:
                await runtime.find({})
        finally:
            os.seteuid(own)
            runtime.close()
    assert told.value.trouble is Trouble.DAEMON_GONE
    assert "SWOP_DOCKER_GID" in str(told.value)


async def test_a_full_disk_of_this_process_is_told_as_one(tmp_path: Path) -> None:
    """A build's context is written to a file here first: that is no refusal of the engine's."""
    runtime = DockerRuntime(f"unix://{tmp_path}/none.sock")

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RuntimeFault, match="No space left on device") as told:
        await runtime._do(full)
    runtime.close()
    assert told.value.trouble is Trouble.NO_SPACE


class Engine:
    """Args: answers: of a build, as the engine's client gives them."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers, self.closed = answers, False

    def build(self, **_: object) -> Iterator[dict[str, Any]]:
        try:
            yield from self._answers
        finally:
            self.closed = True


def test_a_build_that_takes_longer_than_the_site_allows_is_given_up() -> None:
    """A step that writes now and then is not silent, and has an end all the same, with the key that gives more."""
    times = iter(range(0, 10_000, 50))
    engine = Engine({"stream": "Step 1/1 : RUN train\n"}, *[{"stream": "still here\n"}] * 100)
    spec = BuildSpec("user-env:latest", "FROM x\n", minutes=3)
    with pytest.raises(RuntimeFault, match=r"given up at step 1 of 1 .* more than 3 minutes; build_minutes") as told:
        stream_build(engine, spec, io.BytesIO(), clock=lambda: float(next(times)))
    assert told.value.trouble is Trouble.BUILD_FAILED
    assert told.value.log.splitlines() == ["Step 1/1 : RUN train", "still here", "still here"]
    assert engine.closed


@pytest.mark.parametrize(
    ("error", "trouble", "words"),
    [
        ("failed to write layer: write /data: no space left on device", Trouble.NO_SPACE, "make room on the disk"),
        (
            "The command '/bin/sh -c pip install x' returned a non-zero code: 1",
            Trouble.BUILD_FAILED,
            "RUN pip install x\nnearly",
        ),
    ],
)
def test_a_disk_that_fills_up_in_a_build_is_no_fault_of_its_step(error: str, trouble: Trouble, words: str) -> None:
    """The step is named in both; only the one is for the host's operator to mend."""
    engine = Engine({"stream": "Step 2/3 : RUN pip install x\n"}, {"stream": "nearly\n"}, {"error": error})
    with pytest.raises(RuntimeFault, match="at step 2 of 3") as told:
        stream_build(engine, BuildSpec("user-env:latest", "FROM x\n"), io.BytesIO())
    assert told.value.trouble is trouble
    assert words in str(told.value)
    assert "nearly" in told.value.log
