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

    def sha256(self, service: str, path: str) -> str:
        """Hash of a file in a container, running or not."""
        packed = subprocess.run(
            ["docker", "cp", f"{self.container(service)}:{path}", "-"], capture_output=True, timeout=60, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            (member,) = archive.getmembers()
            file = archive.extractfile(member)
            assert file is not None
            return hashlib.sha256(file.read()).hexdigest()

    def logs(self) -> str:
        return self.compose("logs", "--no-color", f"--tail={LOG_LINES}")


@contextmanager
def project(name: str, certs: Path, nodes: Sequence[str], **settings: str) -> Iterator[Project]:
    """Images built from this tree, certificates, nodes up and healthy; everything is removed at the end."""
    made = Project(f"{name}{os.getpid()}", "test", certs, settings)
    images.base()
    made.script("deploy/docker/build.sh", seconds=900)
    made.script("deploy/docker/certs.sh")
    try:
        made.compose("up", "-d", *nodes)
        made.until_healthy(*nodes)
        yield made
    except Exception:
        print(made.logs())
        raise
    finally:
        made.compose("down", "--volumes", "--timeout", "40")
