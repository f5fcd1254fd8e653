"""What was seen on a host, as plain values; how it was seen is :mod:`swarm.doctor`'s, what it means is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report.

    Args:
        area: what was looked at: certificates, engine, path ...
        fix: what to do; empty only where all is well.
    """

    area: str
    level: Level
    text: str
    fix: str = ""


class Reach(StrEnum):
    """How far a connection to a port of another host came."""

    ANSWERS = "answers"
    TAKEN = "taken"
    """TCP was connected; there was no certificate to go further."""
    REFUSED = "refused"
    SILENT = "silent"
    UNKNOWN = "unknown name"
    STUCK = "stuck"
    """TCP was connected, and nothing came after it."""
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Reached:
    """A path to a port of another host.

    Args:
        whose: what is expected there.
        text: what the connection said, where it failed.
        milliseconds: of a TCP connection, the shortest of a few.
        segment_bytes: the largest TCP segment of the path, as both hosts agreed on it.
    """

    host: str
    port: int
    whose: str
    reach: Reach
    text: str = ""
    milliseconds: float | None = None
    segment_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine.

    Args:
        fault: why it cannot be asked; nothing else is known then.
        name, version: as it calls itself.
        folder: its data, on its host; free_bytes: there, as a container sees it.
        images: id of each node image by role; None: it is not here.
        names: what those images are called.
    """

    fault: str = ""
    name: str = ""
    version: str = ""
    folder: str = ""
    free_bytes: int | None = None
    rootless: bool = False
    selinux: bool = False
    images: Mapping[str, str | None] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of data as a program's container sees it. Args: fault: why it could not be mounted."""

    path: str
    fault: str = ""
    readable: bool = False
    writable: bool = False
    entries: int = 0
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Inside:
    """What a container saw that got what a program would get.

    Args:
        whose: the pair whose options it had.
        fault: why there was none, in the engine's words.
        user: number that it ran as.
        gpus: devices of GPUs that are there.
    """

    whose: str
    fault: str = ""
    user: int | None = None
    shm_bytes: int | None = None
    gpus_asked: bool = False
    gpus: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnPort:
    """Args: taken: something listens there; ours: nodes of this site run already."""

    port: int
    whose: str
    taken: bool
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen.

    Args:
        proxies: of this host's environment, by variable.
        said: findings of what judges itself: certificates, clocks, profiles, policies.
    """

    engine: Engine | None = None
    inside: tuple[Inside, ...] = ()
    reached: tuple[Reached, ...] = ()
    ports: tuple[OwnPort, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)
    said: tuple[Finding, ...] = ()
