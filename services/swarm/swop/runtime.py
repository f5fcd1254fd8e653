"""What a SWOP needs of whatever runs containers, and how that may fail.

Owns the protocol and its faults, nothing of any runtime. One behaviour suite (``tests/behaviour/test_runtime.py``)
holds every implementation to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from swarm.core.errors import OperatorFault
from swarm.core.swop.containers import BuildSpec, ContainerSpec, Found, Image

LOG_BYTES_MAX = 256 * 1024
"""Of a container's last output, in one look."""
FILE_BYTES_MAX = 64 * 1024
"""Of a file read out of a container."""


class Trouble(StrEnum):
    """Kinds of failure, as they stand on the chain as a peer's fault (at most 31 bytes)."""

    DAEMON_GONE = "DaemonGone"
    NO_IMAGE = "ImageMissing"
    NO_NETWORK = "NetworkMissing"
    NO_VOLUME = "VolumeMissing"
    NAME_TAKEN = "NameTaken"
    PORT_TAKEN = "PortTaken"
    NO_DEVICE = "DeviceMissing"
    NO_PROGRAM = "ProgramMissing"
    NO_CONTAINER = "ContainerMissing"
    NO_SPACE = "DiskFull"
    BUILD_FAILED = "BuildFailed"
    PULL_FAILED = "PullFailed"
    CONTENT_FAILED = "ContentFailed"
    LINKED = "MountIsALink"
    REFUSED = "RuntimeRefused"


class RuntimeFault(OperatorFault):
    """The runtime could not do it; the text names the thing and the fix.

    Args:
        trouble: what kind of failure.
        log: last lines of a build, if there was one.
    """

    def __init__(self, trouble: Trouble, text: str, log: str = "") -> None:
        super().__init__(text)
        self.trouble, self.log = trouble, log


@dataclass(frozen=True, slots=True)
class MountedAt:
    """Args: source: a path of the host, or a volume's name; target: in the container."""

    source: str
    target: str


class ContainerRuntime(Protocol):
    """Containers, images and volumes of one host. Every method may raise :class:`RuntimeFault`."""

    async def find(self, labels: Mapping[str, str]) -> list[Found]:
        """All containers that carry these labels, by name, in whatever state."""

    async def create(self, spec: ContainerSpec) -> None:
        """Make it, without starting it. One that is there by this name stays as it is if all its labels are these."""

    async def start(self, name: str, *, again: bool = False) -> None:
        """Start what was created; one that runs stays as it is, one that has ended is started only ``again``."""

    async def stop(self, name: str, grace_seconds: int) -> None:
        """SIGTERM, and SIGKILL after the grace; returns when it has ended. One that is gone counts as stopped."""

    async def remove(self, name: str) -> None:
        """Remove it, running or not, with the anonymous volumes that it alone had. One that is gone counts."""

    async def output(self, name: str, lines: int) -> str:
        """Its last lines, at most LOG_BYTES_MAX bytes of them, undecodable bytes replaced."""

    async def read_file(self, name: str, path: str) -> bytes | None:
        """A regular file out of it, running or not; None if there is none.

        Raises:
            RuntimeFault: also if it is larger than FILE_BYTES_MAX, or no regular file.
        """

    async def image(self, name: str) -> Image | None:
        """The image by this name or id, if it is here."""

    async def build(self, spec: BuildSpec) -> Image:
        """Build it; a step that fails leaves the tag as it was, and is told with its number and its last lines."""

    async def pull(self, name: str, login: Mapping[str, str] | None, tag: str) -> Image:
        """Get it from its registry, and give it the name ``tag`` here. ``login``: username and password."""

    async def remove_image(self, name: str) -> None:
        """Take the name away; one that is gone counts."""

    async def volume(self, name: str) -> bool:
        """Whether there is such a volume."""

    async def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make it; one that is there stays as it is."""

    async def remove_volume(self, name: str) -> None:
        """Remove it with what is in it; one that is gone counts.

        Raises:
            RuntimeFault: also while a container has it.
        """

    async def fill_volume(self, name: str, folder: Path, labels: Mapping[str, str]) -> None:
        """Make it if it is not there, and put a folder's files into it: root's, readable by all."""

    async def link_in(self, path: str, labels: Mapping[str, str]) -> str | None:
        """The first part of a path of the host that is a symbolic link; None: none is, as far as the path is there.

        Args:
            labels: of what is made to look.
        """

    async def mounts_of(self, container: str) -> tuple[MountedAt, ...] | None:
        """Folders of the host and volumes in a container, by their names; None: there is no container of this id."""

    async def network(self, name: str) -> bool:
        """Whether there is such a network."""
