"""Durable, private files: folders 0700, files 0600, written beside and renamed. Owns no format."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path

from swarm.core.errors import OperatorFault

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def private_folder(path: Path) -> Path:
    """Make ``path`` (parents too) readable by this user only, and prove that it is writable.

    Raises:
        OperatorFault: it cannot be made, is a file, or is not writable; names the path.
    """
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path.chmod(FOLDER_MODE)
    except OSError as error:
        raise OperatorFault(
            f"the folder {path} cannot be made private and used: {error.strerror or error}; "
            "give this process a folder that its user owns"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise OperatorFault(f"the folder {path} is not writable by user id {os.geteuid()}; run chown or chmod")
    return path


def refuse_readable_by_others(path: Path) -> None:
    """A secret must be the user's alone.

    Raises:
        OperatorFault: group or others have any permission on the file; says which chmod mends it.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise OperatorFault(f"{path} has mode {mode:04o} and others could use it; run: chmod 600 {path}")


def lock(name: Path, what: str, instead: str) -> int:
    """Hold the lock file ``name`` until the descriptor is closed; it stands for ``what``, which one process may use.

    flock, not a pid file: the kernel gives it back at kill -9.

    Raises:
        OperatorFault: another process holds it (its pid is named, and ``instead`` of stopping it), or the file cannot
            be written.
    """
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise OperatorFault(f"{name} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise OperatorFault(
            f"{what} belongs to another running process (pid {holder}); stop it, or {instead}"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def sync_folder(path: Path) -> None:
    """Make renames and new names in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write ``data`` durably and all at once, mode 0600.

    Raises:
        FileExistsError: ``replace`` is False and the name is taken (decided atomically).
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def room_for(fault: OSError) -> str:
    """What to do about a file that could not be written or read."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there (an SL keeps the models of its last rounds: --keep-rounds)"
    return "its owner, mode and mount must let this node write there"
