"""The order in which files of tests begin: what is soon told first, the two longest files from the very start.

Owns the order alone. Workers take one file after the other (`--dist loadfile`), so a long one that begins late leaves
the others without work; those of the simulations compute and wait for nothing, so unit tests can run beside them.
"""

from __future__ import annotations

from pathlib import PurePath

FIRST = ("sim/test_sim_seeds.py", "sim/test_sim_tasks.py")
FOLDERS = ("unit", "sim", "contracts", "e2e", "integration", "behaviour", "attacks")
"""The last two have many short files, for workers that are done early."""


def place(path: PurePath) -> tuple[int, int]:
    """Where a file stands; files of one place keep the order they have. Folders that are not known come last."""
    folder, name = path.parent.name, f"{path.parent.name}/{path.name}"
    if name in FIRST:
        return 0, FIRST.index(name)
    return 1, FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
