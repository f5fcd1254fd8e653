"""What a container sees of its host, as one line of JSON: run in one that got what a program would get.

Stands alone: it runs in a node's image with ``python -m swarm.doctor.inside FOLDER...``, and asks nobody.
"""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

ENTRIES_MAX = 1_000
"""Looked at in a folder of data."""
GPU_DEVICES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")


def seen(folders: Sequence[str]) -> dict[str, Any]:
    """User, memory shared between processes (bytes), the engine's disk (bytes free), GPUs, and each folder."""
    return {
        "user": os.getuid(),
        "shm_bytes": _size("/dev/shm"),  # noqa: S108 - looked at, not written
        "free_bytes": _free("/"),
        "gpus": sorted(one for pattern in GPU_DEVICES for one in glob.glob(pattern)),
        "folders": [_folder(path) for path in folders],
    }


def _folder(path: str) -> dict[str, Any]:
    readable, entries = False, 0
    if os.access(path, os.R_OK | os.X_OK):
        with os.scandir(path) as found:
            first = list(islice(found, ENTRIES_MAX))
        entries = len(first)
        readable = all(os.access(one.path, os.R_OK) for one in first)
    return {
        "path": path,
        "readable": readable,
        "writable": os.access(path, os.W_OK | os.X_OK),
        "entries": entries,
        "free_bytes": _free(path),
    }


def _size(path: str) -> int | None:
    try:
        there = os.statvfs(path)
    except OSError:
        return None
    return there.f_blocks * there.f_frsize


def _free(path: str) -> int:
    try:
        there = os.statvfs(path)
    except OSError:
        return 0
    return there.f_bavail * there.f_frsize


if __name__ == "__main__":
    print(json.dumps(seen(sys.argv[1:])))
