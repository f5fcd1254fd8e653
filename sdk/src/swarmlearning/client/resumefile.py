"""The resume file: where an ML program stood after a merge, so that a restarted one goes on from there.

Owns the file's form, its bounds and checks, and writing it whole or not at all. It is a tensor file whose header
carries one JSON object; nothing in it is ever executed. What is put in, and when, is ``resume``'s and the callbacks'.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Optional

import numpy.typing as npt

from .. import tensorfile

__all__ = ["ResumeFileError", "ResumePoint", "path_for", "prepare_folder", "read", "write"]

FORMAT = "swarm.resume.1"
FILE_BYTES_MAX = 64 << 30
JOB_BYTES_MAX = 160
COUNT_MAX = 2**53
NOTES_DEPTH_MAX = 8
NOTES_ITEMS_MAX = 20_000
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class ResumeFileError(ValueError):
    """The file is torn, not this user's, or out of bounds; the text says what is wrong."""


@dataclass(frozen=True)
class ResumePoint:
    """Where a program stood.

    Attributes:
        job: name of the job.
        swarm, blob, manifest: 64 hex digits each: the swarm, its merged model that was loaded last, and SHA-256 of
            names, shapes and dtypes of the program's model.
        run, round: of that merged model.
        step: batches done since the first start.
        epochs: epochs done since the first start.
        notes: what a framework needs beside its tensors: JSON of numbers, texts, lists and objects.
    """

    job: str
    swarm: str
    run: int
    round: int
    blob: str
    manifest: str
    step: int
    epochs: int
    notes: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ResumeFileError for anything of another type or out of bounds."""
        if type(self.job) is not str or not 1 <= len(self.job.encode("utf-8", "replace")) <= JOB_BYTES_MAX:
            raise ResumeFileError(f"its job is no text of 1 to {JOB_BYTES_MAX} bytes")
        for name in ("swarm", "blob", "manifest"):
            value = getattr(self, name)
            if type(value) is not str or not _DIGEST.match(value):
                raise ResumeFileError(f"its {name} is not 64 hex digits")
        for name in ("run", "round", "step", "epochs"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= COUNT_MAX:
                raise ResumeFileError(f"its {name} is no number from 0 to {COUNT_MAX}")
        if type(self.notes) is not dict:
            raise ResumeFileError("its notes are no object")
        _check_notes(self.notes)


def _check_notes(notes: Any) -> None:
    """Level by level, so that no depth can exhaust the stack."""
    level, items = [notes], 0
    for _ in range(NOTES_DEPTH_MAX):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                if not all(type(key) is str for key in one):
                    raise ResumeFileError("its notes have a key that is no text")
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ResumeFileError(f"its notes hold {one}")
            elif not (one is None or type(one) in (bool, int, float, str)):
                raise ResumeFileError(f"its notes hold a {type(one).__name__}")
        items += len(below)
        if items > NOTES_ITEMS_MAX:
            raise ResumeFileError(f"its notes have more than {NOTES_ITEMS_MAX} items")
        if not below:
            return
        level = below
    raise ResumeFileError(f"its notes are nested deeper than {NOTES_DEPTH_MAX} levels")


def path_for(folder: Path, job: str) -> Path:
    """The file of a job: its name is hashed, because jobs have any name."""
    return folder / f"{hashlib.sha256(job.encode()).hexdigest()[:16]}.resume"


def prepare_folder(folder: Path) -> None:
    """Make the folder for this user alone, or check the one that is there.

    Raises:
        ResumeFileError: others may write there, so that nothing in it can be trusted.
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ResumeFileError(f"{folder} is not a folder")
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
        raise ResumeFileError(
            f"the folder {folder} may be written by others (owner {found.st_uid}, mode {found.st_mode & 0o7777:o});"
            " set SWARM_RESUME_DIR to one of this user's own, mode 0700"
        )


def write(path: Path, point: ResumePoint, tensors: Mapping[str, npt.ArrayLike]) -> None:
    """Write the file atomically and durably, mode 0600.

    Raises:
        ResumeFileError: something cannot be stored.
        OSError: the file cannot be written.
    """
    point.check()
    header = json.dumps({"format": FORMAT, **asdict(point)}, separators=(",", ":"), allow_nan=False)
    try:
        tensorfile.write(path, tensors, {"platform": "resume", "resume": header}, durable=True, mode=0o600)
    except tensorfile.TensorFileError as fault:
        raise ResumeFileError(str(fault)) from fault


def read(path: Path) -> Optional[tuple[ResumePoint, tensorfile.TensorArrays]]:
    """The file's content, or None if there is no file. The arrays map it read-only.

    Raises:
        ResumeFileError: it is torn, another user's, or breaks a bound; it was not used.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as fault:
        why = "it is a link" if fault.errno == errno.ELOOP else fault.strerror or str(fault)
        raise ResumeFileError(f"{path.name} cannot be read: {why}") from fault
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise ResumeFileError(f"{path.name} is not a plain file")
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ResumeFileError(f"{path.name} is another user's, or others may write it")
    if found.st_size > FILE_BYTES_MAX:
        raise ResumeFileError(f"{path.name} has {found.st_size} bytes, allowed are {FILE_BYTES_MAX}")
    try:
        arrays = tensorfile.open_arrays(path)
        return _point(arrays.header.metadata.get("resume", "")), arrays
    except (tensorfile.TensorFileError, ResumeFileError, OSError) as fault:
        raise ResumeFileError(f"{path.name} is refused: {fault}") from fault


def _point(text: str) -> ResumePoint:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ResumeFileError(f"its header is no JSON: {type(fault).__name__}") from None
    if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
        raise ResumeFileError(f"its format is not {FORMAT}")
    if set(body) != {one.name for one in fields(ResumePoint)}:
        raise ResumeFileError(f"it has other fields than {FORMAT}")
    point = ResumePoint(**body)
    point.check()
    return point
