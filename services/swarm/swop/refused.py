"""What a container engine's refusals mean: one sentence with the fix, and a word for the chain."""

from __future__ import annotations

import errno
import re
from typing import Any

from docker.errors import APIError

from swarm.core.shown import shown
from swarm.core.swop.containers import ContainerSpec, Found
from swarm.core.swop.pairs import SWOP

from .runtime import RuntimeFault, Trouble

_MEANT: tuple[tuple[str, Trouble, str], ...] = (
    (r"no such image|pull access denied|manifest .* not found", Trouble.NO_IMAGE,
     "build or pull the image first"),
    (r"network .* not found", Trouble.NO_NETWORK,
     "make the network with `docker network create`, or name another in the profile"),
    (r"no such volume|get .*: no such volume", Trouble.NO_VOLUME,
     "make the volume with `docker volume create`, or name another"),
    (r"no such container", Trouble.NO_CONTAINER, "it was removed by somebody else"),
    (r"port is already allocated|address already in use|bind for .* failed", Trouble.PORT_TAKEN,
     "end what uses the port, or give this node another one in the profile"),
    (r"no space left on device", Trouble.NO_SPACE, "make room on the disk of the container engine"),
    (r"could not select device driver|nvidia-container-cli|unknown or invalid runtime name|no such file or directory"
     r".*/dev/|error gathering device information", Trouble.NO_DEVICE,
     "this host has no such device, or its container toolkit is not installed: mend usrcontaineropts in the profile"),
    (r"executable file not found|no such file or directory: unknown|permission denied: unknown|exec format error",
     Trouble.NO_PROGRAM, "see that Entrypoint and Command name a program that is in the image"),
    (r"bind source path does not exist", Trouble.NO_VOLUME, "make the folder on this host, or name another"),
    (r"invalid mount config|mounts denied", Trouble.NO_VOLUME, "see the mounts of the task and the profile"),
)  # fmt: skip
"""In this order: the first that fits."""
_MEANT_BY = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), trouble, fix) for pattern, trouble, fix in _MEANT)
SAID_CHARS_MAX = 400


def translated(error: APIError) -> RuntimeFault:
    """The fault that an engine's answer means."""
    return meaning(str(error.explanation or error))


def meaning(said: str, log: str = "") -> RuntimeFault:
    """Of the engine's own words, which stand in the text as well."""
    words = " ".join(said.split())[:SAID_CHARS_MAX]
    for pattern, trouble, fix in _MEANT_BY:
        if pattern.search(said):
            return RuntimeFault(trouble, f"the container engine says: {words}; {fix}", log)
    return RuntimeFault(Trouble.REFUSED, f"the container engine refuses: {words}", log)


def name_taken(spec: ContainerSpec, there: Found) -> RuntimeFault:
    """A container has the name, and other labels."""
    other = there.labels.get(SWOP)
    if other is not None and other != spec.labels.get(SWOP):
        fix = f"it is SWOP {shown(other)}'s: give each SWOP of a host its own groupname in its profile"
    else:
        fix = f"look at it with `docker inspect {spec.name}` and remove it"
    return RuntimeFault(Trouble.NAME_TAKEN, f"a container {spec.name} is there already and is not this one; {fix}")


def not_pulled(name: str, said: object) -> RuntimeFault:
    """A registry, or the way to it, refused."""
    words = " ".join(str(said).split())[:SAID_CHARS_MAX]
    full = meaning(words).trouble is Trouble.NO_SPACE
    fix = "make room on this host's disk" if full else "see that its registry answers and that the login is right"
    text = f"the image {name} cannot be pulled: {words}; {fix}"
    return RuntimeFault(Trouble.NO_SPACE if full else Trouble.PULL_FAILED, text)


def gone(error: Exception, url: str | None) -> RuntimeFault:
    """The engine did not answer: why, and what to do."""
    where = url or "DOCKER_HOST, else /var/run/docker.sock"
    cause: Any = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM):
            return RuntimeFault(
                Trouble.DAEMON_GONE,
                f"the container engine's socket may not be used by this user ({where}); give this process the socket's"
                " group (SWOP_DOCKER_GID, docker run --group-add)",
            )
        if isinstance(cause, OSError) and cause.errno == errno.ENOENT:
            return RuntimeFault(
                Trouble.DAEMON_GONE, f"there is no container engine's socket ({where}); start the engine, or mount it"
            )
        cause = cause.__cause__ or cause.__context__ or next((a for a in cause.args if isinstance(a, Exception)), None)
    return RuntimeFault(Trouble.DAEMON_GONE, f"the container engine does not answer ({where}): {error}")
