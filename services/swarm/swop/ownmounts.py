"""What of the host is mounted into this SWOP's own container: keys and state lie there, so no task may mount it.

A process in a container sees paths of its own; tasks name paths of the host. The engine knows both, once it is known
which container this is. Pure but for :class:`OwnMounts`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from .files import CONTAINER_NOTE
from .runtime import ContainerRuntime, MountedAt

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_HOSTNAME = re.compile(r"[0-9a-f]{12,64}")
NOTE_BYTES_MAX = 4096


def candidates(cgroup: str, mounts: str, note: str, hostname: str) -> tuple[str, ...]:
    """Ids that this container may have, the surest first: what the kernel says, what a script wrote, an engine's habit.

    Args:
        cgroup, mounts: /proc/self/cgroup and /proc/self/mountinfo.
        note: of the run scripts (row O08).
    """
    found = _ID.findall(cgroup)
    found += [
        one for line in mounts.splitlines() if line.split()[4:5] == ["/etc/hostname"] for one in _ID.findall(line)
    ]
    found += _ID.findall(note)
    if _HOSTNAME.fullmatch(hostname):
        found.append(hostname)
    return tuple(dict.fromkeys(found))


def kept_from_tasks(mounted: Sequence[MountedAt], usr_dir: str, files: Sequence[str]) -> tuple[str, ...]:
    """Of the host: all that is mounted here; of the folder USR_DIR, beside which data may lie, the site's own files.

    Args:
        files: this SWOP's, as it sees them.
    """
    kept = []
    for one in mounted:
        if not _holds(one.target, usr_dir):
            kept.append(one.source)
            continue
        below = [posixpath.relpath(file, one.target) for file in files if _holds(one.target, file)]
        kept += [posixpath.join(one.source, path) for path in below]
    return tuple(kept)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class OwnMounts:
    """What :func:`kept_from_tasks` says of this container, asked once the engine answers; nothing outside of one."""

    def __init__(self, runtime: ContainerRuntime, usr_dir: Path, files: Sequence[str]) -> None:
        self._runtime, self._usr_dir, self._files = runtime, str(usr_dir.resolve()), files
        self._known: tuple[str, ...] | None = None

    async def __call__(self) -> tuple[str, ...]:
        """
        Raises:
            RuntimeFault: the engine does not answer.
        """
        if self._known is None:
            self._known = await self._asked()
        return self._known

    async def _asked(self) -> tuple[str, ...]:
        ids = candidates(
            _text(Path("/proc/self/cgroup")),
            _text(Path("/proc/self/mountinfo")),
            _text(CONTAINER_NOTE)[:NOTE_BYTES_MAX],
            _text(Path("/etc/hostname")).strip(),
        )
        for one in ids:
            mounted = await self._runtime.mounts_of(one)
            if mounted is not None:
                return kept_from_tasks(mounted, self._usr_dir, self._files)
        return ()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
