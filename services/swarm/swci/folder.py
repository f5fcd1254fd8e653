"""The folder that SWCI's file commands see: USR_DIR and what is below it, nothing else, and never a shell."""

from __future__ import annotations

import heapq
import os
import stat
from pathlib import Path

from swarm.core.errors import OperatorFault

from .say import stamp

ALIAS = "/platform/swarm/usr"
"""What init scripts call the folder, whatever it is on this host."""
ENTRIES_MAX = 1000
"""Lines of one listing."""
FOLDERS_MAX, INNER_MAX, NEAR_MAX = 50, 100, 10
"""Folders that completion looks into, entries of each, and entries that a complaint names."""
FILE_BYTES_MAX = 1024 * 1024
"""A task definition or script that is read."""


class Folder:
    """A present folder inside a root.

    Raises:
        OperatorFault: (any method) outside the root, or not there; names the path and the root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.here = self.root

    def place(self, text: str) -> Path:
        """What ``text`` names, links followed; it may not exist."""
        if "\0" in text:
            raise OperatorFault(f"{text!r:.200} is no file's name")
        # Where the root is that of the whole host, the path means itself.
        if self.root != self.root.parent and (text == ALIAS or text.startswith(ALIAS + "/")):
            text = str(self.root) + text[len(ALIAS) :]
        try:
            found = Path(os.path.realpath(self.here / text))
        except OSError as error:
            raise OperatorFault(f"{text!r:.200} cannot be used: {error.strerror or error}") from None
        if found != self.root and self.root not in found.parents:
            raise OperatorFault(f"{text!r:.200} is outside {self.root}, which SWCI is confined to (USR_DIR)")
        return found

    def change(self, text: str) -> Path:
        found = self.place(text) if text else self.root
        if not os.path.isdir(found):  # a name that is too long is none, and no fault
            raise OperatorFault(f"there is no folder {found}")
        self.here = found
        return found

    def read(self, text: str) -> bytes:
        """A file's bytes."""
        found = self.place(text)
        try:
            # Non-blocking, so that a pipe under that name stops nobody.
            handle = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise OperatorFault(f"{found} is no file")
                with os.fdopen(handle, "rb", closefd=False) as file:
                    data = file.read(FILE_BYTES_MAX + 1)
            finally:
                os.close(handle)
        except OSError as error:
            raise OperatorFault(f"{found} cannot be read: {error.strerror or error}{self._near(found)}") from None
        if len(data) > FILE_BYTES_MAX:
            raise OperatorFault(f"{found} is above {FILE_BYTES_MAX} bytes, the most that is read")
        return data

    def listing(self, options: str) -> list[str]:
        """What ``ls`` prints: names in order, with -l also mode, size and time, with -a hidden ones too."""
        words = options.replace("()", "").split()
        flags = {flag for word in words if word.startswith("-") for flag in word[1:]}
        if flags - set("la1"):
            raise OperatorFault(f"ls takes -l and -a, not -{''.join(sorted(flags - set('la1')))}")
        places = [word for word in words if not word.startswith("-")]
        if len(places) > 1:
            raise OperatorFault(f"ls lists one folder or file, not {len(places)}")
        found = self.place(places[0] if places else ".")
        if not os.path.exists(found):
            raise OperatorFault(f"there is no {found}")
        try:
            entries = sorted(found.iterdir()) if found.is_dir() else [found]
            shown = [one for one in entries if "a" in flags or not one.name.startswith(".")]
            lines = [self._entry(one) if "l" in flags else one.name for one in shown[:ENTRIES_MAX]]
        except OSError as error:
            raise OperatorFault(f"{found} cannot be listed: {error.strerror or error}") from None
        more = len(shown) - ENTRIES_MAX
        return [*lines, f"and {more} more"] if more > 0 else lines

    def names(self) -> list[str]:
        """Files and folders below the present folder, one level deep, for completion; links are not followed."""
        try:
            here = self.place(".")
        except OperatorFault:
            return []
        found = [one for one in _entries(here, ENTRIES_MAX) if not one.name.startswith(".")]
        folders = [one for one in found if one.is_dir(follow_symlinks=False)][:FOLDERS_MAX]
        inner = [f"{d.name}/{one.name}" for d in folders for one in _entries(Path(d.path), INNER_MAX)]
        return [one.name for one in found] + inner

    def _entry(self, path: Path) -> str:
        told = path.lstat()
        return f"{stat.filemode(told.st_mode)} {told.st_size:>10} {stamp(told.st_mtime)} {path.name}"

    def _near(self, path: Path) -> str:
        """What lies where ``path`` was looked for, never above the root."""
        place = path.parent if path != self.root else path
        if not place.is_dir():
            return f"; there is no folder {place}"
        return f"; {place} holds: {', '.join(one.name for one in _entries(place, NEAR_MAX)) or 'nothing'}"


def _entries(place: Path, most: int) -> list[os.DirEntry[str]]:
    """The first of a folder by name; none of one that cannot be read. What lies in one is bounded by nobody."""
    try:
        with os.scandir(place) as there:
            return heapq.nsmallest(most, there, key=lambda one: one.name)
    except OSError:
        return []
