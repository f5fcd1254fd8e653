"""The vocabulary of containers: what a SWOP asks a runtime for, and what it finds there.

Plain values, so that a runtime other than Docker (a batch system, an orchestrator) can take them as well. Nothing here
knows tasks or profiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

GRACE_SECONDS = 45
"""From SIGTERM to SIGKILL: a program saves its model, a node its journal."""
NO_NETWORK = "none"
PIDS_MAX = 4096
"""Processes and threads of a program: data loaders fit in, a fork bomb does not."""
BUILD_MINUTES = 360
"""Of a whole build, where no policy says otherwise."""
MEMORY_KEPT_SHARE, MEMORY_KEPT_BYTES = 1 / 16, 512 * 1024**2
"""Of the host's memory, and at least: kept from a program or build whose policy says nothing of memory."""


class MountKind(StrEnum):
    """A folder or file of the host, or a volume of the runtime by its name."""

    BIND = "BIND"
    VOLUME = "VOLUME"


@dataclass(frozen=True, slots=True)
class Mount:
    """Args: source: an absolute path of the host (BIND), or a volume's name."""

    kind: MountKind
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs of the host.

    Args:
        count: so many, -1 for all, 0 if they are named.
        ids: numbers or UUIDs of some.
    """

    count: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Devices:
    """What a container gets of the host's devices, and the rights that these need.

    Args:
        paths: ``host path``, ``host path:path inside`` or ``host path:path inside:rwm``.
        shm_bytes: size of /dev/shm; None: as the runtime has it (Docker: 64 MiB).
    """

    gpus: Gpus | None = None
    paths: tuple[str, ...] = ()
    ipc: str | None = None
    shm_bytes: int | None = None
    groups: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container that is to be made; a runtime makes it as it stands here or not at all.

    Args:
        image: a name or an id; it must be there already.
        entrypoint, command: None: as in the image.
        environment: over the image's.
        network: a network of the runtime by its name, ``none``, or None for the runtime's default.
        address: a fixed address in that network; aliases: further names by which others there find it.
        ports: port inside -> port of the host.
        user: ``uid`` or ``uid:gid``; None: as in the image.
        writable_root: whether its own file system may be written outside of mounts and ``scratch``.
        scratch: folders in memory that may be written.
        confined: no capabilities but those in ``devices``, no new privileges.
        pids: processes and threads at most; None: as the runtime has it.
        memory_bytes: at most; 0: all but what the host needs itself; None: as the runtime has it.
        grace_seconds: from SIGTERM to SIGKILL, for whoever stops it.
    """

    name: str
    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    network: str | None = None
    address: str | None = None
    aliases: tuple[str, ...] = ()
    host_name: str | None = None
    dns: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    user: str | None = None
    devices: Devices = Devices()
    writable_root: bool = True
    scratch: tuple[str, ...] = ()
    confined: bool = False
    pids: int | None = None
    memory_bytes: int | None = None
    grace_seconds: int = GRACE_SECONDS


class ContainerState(Enum):
    """PAUSED counts as running: whoever paused it may go on."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Found:
    """A container as its runtime shows it.

    Args:
        exit_code: of one that has ended; -1 if it is not known, or has not.
        out_of_memory: whether the host's kernel ended it for its memory.
    """

    name: str
    state: ContainerState
    image: str
    labels: Mapping[str, str]
    exit_code: int = -1
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """An image that is to be built.

    Args:
        tag: the name that it gets when all steps have passed.
        dockerfile: its text.
        context: volume whose files are the build's context; None: no files.
        network: of the build's steps; None: the runtime's default.
        memory_bytes: of each step at most; 0: all but what the host needs itself.
        minutes: of the whole build.
    """

    tag: str
    dockerfile: str
    context: str | None = None
    network: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    minutes: int = BUILD_MINUTES


def memory_of(asked_bytes: int, host_bytes: int) -> int:
    """What a container may have at most; 0: no bound, as the host's memory is not known."""
    kept = max(MEMORY_KEPT_BYTES, int(host_bytes * MEMORY_KEPT_SHARE))
    return asked_bytes or max(0, host_bytes - kept)


@dataclass(frozen=True, slots=True)
class Image:
    """Args:
    id: of its content (``sha256:...``).
    digests: by which registries know it.
    """

    id: str
    digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
