"""The compose quick start as a test drives it: own project name, own certificates, logs printed when a test fails."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support import images
from support.tools import ROOT, docker

COMMAND_SECONDS_MAX = 300.0
READY_SECONDS_MAX = 300.0
LOG_LINES = 60
PROFILES = ("--profile", "demo", "--profile", "several", "--profile", "task")


class NotReadyError(Exception):
    """A container did not become what the test waits for; the text holds its state."""


@dataclass(frozen=True)
class Project:
    """One `docker compose` project of the repository's compose file."""

    name: str
    tag: str
    certs: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables of the compose file."""

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SWARM_IMAGE_TAG": self.tag,
            "SWARM_CERTS_DIR": str(self.certs),
            "SWARM_NETWORK": self.name,
            "SWOP_KEEP_CONTAINERS": "true",
            **self.settings,
        }

    def script(self, *command: str, seconds: float = COMMAND_SECONDS_MAX) -> str:
        """Runs a command in the repository's root with this project's environment; raises CalledProcessError."""
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-4000:])
            done.check_returncode()
        return done.stdout

    def compose(self, *arguments: str) -> str:
        """Runs compose with all profiles known; raises CalledProcessError after printing what it said."""
        return self.script(*docker(), "-p", self.name, *PROFILES, *arguments)

    def container(self, service: str) -> str:
        """Id of a service's container, running or not."""
        labels = [f"label=com.docker.compose.project={self.name}", f"label=com.docker.compose.service={service}"]
        filters = [part for label in labels for part in ("--filter", label)]
        return self.script("docker", "ps", "--all", "--quiet", *filters).strip()

    def state(self, service: str, field: str) -> str:
        """A field of `docker inspect`, for example `.State.ExitCode`."""
        return self.script("docker", "inspect", "--format", f"{{{{{field}}}}}", self.container(service)).strip()

    def until_healthy(self, *services: str) -> None:
        """Waits until each service's healthcheck passes; raises NotReadyError."""
        end = time.monotonic() + READY_SECONDS_MAX
        for service in services:
            while (health := self.state(service, ".State.Health.Status")) != "healthy":
                if time.monotonic() > end:
                    raise NotReadyError(f"{service} is {health} after {READY_SECONDS_MAX:.0f} s")
                time.sleep(0.5)

    def exit_code(self, service: str) -> int:
        """Waits for the container's end."""
        return int(self.script("docker", "wait", self.container(service)))

    def programs(self) -> list[str]:
        """Ids of the programs' containers that this project's SWOP made."""
        filters = [f"name=^/{self.name}-", "label=swarm-learning.part=u"]
        return self.script(
            "docker", "ps", "--all", "--quiet", *(word for one in filters for word in ("--filter", one))
        ).split()

    def sha256(self, service: str, path: str) -> str:
        """Hash of a file in a service's container, running or not."""
        return self.sha256_in(self.container(service), path)

    def sha256_in(self, container: str, path: str) -> str:
        packed = subprocess.run(
            ["docker", "cp", f"{container}:{path}", "-"], capture_output=True, timeout=60, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            (member,) = archive.getmembers()
            file = archive.extractfile(member)
            assert file is not None
            return hashlib.sha256(file.read()).hexdigest()

    def logs(self) -> str:
        """Of the services, and of what the SWOP made."""
        said = self.compose("logs", "--no-color", f"--tail={LOG_LINES}")
        for one in self._of_swop("container"):
            done = subprocess.run(
                ["docker", "logs", f"--tail={LOG_LINES}", one], capture_output=True, text=True, timeout=60, check=False
            )
            said += f"--- {one}\n{done.stdout}{done.stderr}"
        return said

    def _of_swop(self, what: str) -> list[str]:
        """Names of the containers or volumes that this project's SWOP made."""
        listed = (
            ["ps", "--all", "--filter", "label=swarm-learning.swop", "--format", "{{.Names}}"]
            if what == "container"
            else ["volume", "ls", "--quiet"]
        )
        beginning = f"{self.name}-" if what == "container" else f"swop-{self.name}-"
        return [one for one in self.script("docker", *listed).split() if one.startswith(beginning)]

    def remove(self) -> None:
        """All containers, volumes and networks, and what the SWOP made."""
        self.compose("rm", "--force", "--stop", "swop", "task")
        for one in self._of_swop("container"):
            self.script("docker", "rm", "--force", "--volumes", one)
        self.compose("down", "--volumes", "--timeout", "40")
        for one in self._of_swop("volume"):
            self.script("docker", "volume", "rm", "--force", one)
        subprocess.run(
            ["docker", "rmi", "--force", f"{self.name}-program"], capture_output=True, timeout=60, check=False
        )


@contextmanager
def project(name: str, certs: Path, nodes: Sequence[str], **settings: str) -> Iterator[Project]:
    """Images built from this tree, certificates, nodes up and healthy; everything is removed at the end."""
    made = Project(f"{name}{os.getpid()}", "test", certs, settings)
    images.nodes(made.tag)
    made.script("deploy/docker/certs.sh")
    try:
        made.compose("up", "-d", *nodes)
        made.until_healthy(*nodes)
        yield made
    except Exception:
        print(made.logs())
        raise
    finally:
        made.remove()
