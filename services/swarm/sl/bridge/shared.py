"""Folders that SL and program share though they may be two users, whatever the umask of the one that makes them."""

from __future__ import annotations

import os
from pathlib import Path

ANYBODY = 0o777
PASSABLE = 0o755


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder and those above it that are missing; others may pass through them. What is there stays as it is.

    Raises:
        OSError: one of them cannot be made.
    """
    missing = [folder]
    while not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        try:
            one.mkdir()
        except FileExistsError:
            if not one.is_dir():
                raise
            continue  # somebody else's, or a link to it: it stays as it is
        # By descriptor and no link: who may write above could put a link to another folder in its place meanwhile.
        made = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(made, mode if one == folder else PASSABLE)
        finally:
            os.close(made)
