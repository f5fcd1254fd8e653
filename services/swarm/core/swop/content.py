"""Where the files of MAKE_SWARM_USER_CONTENT may lie, and under which names (row T06).

Owns the rules for paths and options; fetching and unpacking are :mod:`swarm.swop.contents`'. Every path is one of the
volume that is made, and stays in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from ..errors import OperatorFault
from ..tasktext.model import ContentBody, Operation, Task
from ..tasktext.profile import Profile

SCHEMES = ("http", "https")
PATH_CHARS_MAX, PARTS_MAX = 1024, 64
NAMELESS = "download"
"""Name of a file whose address names none."""
_SHA256 = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file to download: its address, its place in the volume, the SHA-256 that it must have (lower case) or None."""

    url: str
    to: PurePosixPath
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Unpack:
    """An archive of the volume to unpack, and the folder that its files go to."""

    archive: PurePosixPath
    to: PurePosixPath


def step_of(operation: Operation) -> Fetch | Unpack:
    """What an item of ``OpsList`` means.

    ``Out`` is a folder of the volume; a download keeps the name in its address. ``Sha256`` is ours: a download whose
    content is another is refused.

    Raises:
        OperatorFault: the address or path cannot be used; says why.
    """
    options = {one.name.lower(): one.value for one in operation.options if one.value is not None}
    out = inside(options.get("out", "."), "Out")
    if operation.kind == "EXTRACT":
        archive = inside(operation.target, "Target")
        return Unpack(archive, out)
    try:
        parts = urlsplit(operation.target)
        fit = parts.scheme.lower() in SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fit = False
    if not fit or not operation.target.isprintable() or len(operation.target) > PATH_CHARS_MAX:
        raise OperatorFault(f"Target is {operation.target!r}: a DOWNLOAD needs an address that begins with https://")
    digest = options.get("sha256")
    if digest is not None and not _SHA256.fullmatch(digest):
        raise OperatorFault(f"Sha256 is {digest!r}: write its 64 hexadecimal digits")
    name = PurePosixPath(unquote(parts.path)).name or NAMELESS
    return Fetch(operation.target, inside(str(out / name), "Target"), None if digest is None else digest.lower())


def content_volumes(task: Task, profile: Profile) -> tuple[str, ...]:
    """The volumes that get a task's content here: one by its Outcome, or one for each node of the profile."""
    if not isinstance(task.body, ContentBody):
        return ()
    if task.body.kind == "BUILDCONTENT":
        return (task.header.outcome,)
    return tuple(f"{task.header.outcome}-{node.index}" for node in profile.nodes)


def inside(text: str, what: str) -> PurePosixPath:
    """A relative path that stays where it is.

    Raises:
        OperatorFault: it is absolute, leads out, or is no path.
    """
    path = PurePosixPath(text)
    wrong = path.is_absolute() or ".." in path.parts or any(ord(char) < 32 or char in "\\\x7f" for char in text)
    if wrong or len(text) > PATH_CHARS_MAX or len(path.parts) > PARTS_MAX:
        raise OperatorFault(f"{what} is {text[:200]!r}: name a path inside the volume, without .. and without / first")
    return path
