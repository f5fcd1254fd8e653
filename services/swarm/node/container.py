"""The first process of a node's container where it was started as root: takes what is needed, becomes the node's user.

Runs before any node code, and again for each `swarm` command of `docker exec`. The original's scripts start containers
as root and mount keys of mode 0600 that belong to whoever made them. What is to be done is decided in
:mod:`swarm.node.dropping`; becoming somebody else is setpriv's (util-linux). Linux only.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from swarm.core.errors import OperatorFault, SwarmFault

from . import dropping

USER = "swarm"
COMMAND = "/opt/swarm/bin/swarm"
PLACES = ("/dev/shm", "/run", "/tmp")  # noqa: S108 - the first that can be written; memory before disk
FILE_BYTES_MAX = 1024 * 1024
"""Of a file that is taken."""
FILES_MAX = 1000
"""In a folder of certificates."""
LOOK_SECONDS = 30.0
_CERTIFICATES = {".pem", ".crt", ".cer"}


def main() -> None:
    """Never returns: becomes the node's process, or ends with one sentence."""
    try:
        words, environ = _prepared(sys.argv[1:], dict(os.environ), pwd.getpwnam(USER))
        os.execvpe(words[0], words, environ)  # noqa: S606 - no shell: the container's own arguments
    except (SwarmFault, OSError, subprocess.TimeoutExpired, KeyError) as fault:
        sys.stderr.write(f"swarm: {fault}\n")
        sys.exit(fault.exit_code if isinstance(fault, SwarmFault) else OperatorFault.exit_code)


def _prepared(argv: list[str], environ: dict[str, str], user: pwd.struct_passwd) -> tuple[list[str], dict[str, str]]:
    groups = _groups(dropping.engine_socket(argv, environ))
    become = dropping.becoming(user.pw_uid, user.pw_gid, groups, _capabilities(), [COMMAND])
    taken = {}
    for kind, path in dropping.named(argv, environ).items():
        if Path(path).exists() and not _can(user, groups, "-r", path, *_inside(path)):
            taken[kind] = str(_take(kind, Path(path), user))
    for shared in map(Path, dropping.shared_folders(argv, environ)):
        if shared.is_dir() and not _can(user, groups, "-w", str(shared)):
            shared.chmod(0o777)
    state = dropping.state_folder(argv, environ)
    if state is not None:
        _give(Path(state), user)
    argv, environ = dropping.renamed(argv, environ, taken)
    return [*become, *argv], {**environ, "HOME": user.pw_dir}


def _groups(socket: str | None) -> tuple[int, ...]:
    """The group by which a SWOP reaches its engine: the only one that is kept."""
    if socket is None:
        return ()
    try:
        found = Path(socket).stat()
    except OSError:  # the SWOP itself says what is missing
        return ()
    return (found.st_gid,) if stat.S_ISSOCK(found.st_mode) and found.st_mode & stat.S_IWGRP else ()


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _can(user: pwd.struct_passwd, groups: Sequence[int], right: str, *paths: str) -> bool:
    """Whether the node's user has a right on all paths, asked of the kernel as that user."""
    return all(
        subprocess.run(  # noqa: S603 - the path is the operator's, and no shell reads it
            ["/usr/bin/test", right, path],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=list(groups),
            timeout=LOOK_SECONDS,
            check=False,
        ).returncode
        == 0
        for path in paths
    )


def _inside(path: str) -> list[str]:
    return [str(one) for one in _certificates(Path(path))] if Path(path).is_dir() else []


def _certificates(folder: Path) -> list[Path]:
    found = sorted(one for one in folder.iterdir() if one.suffix in _CERTIFICATES and one.is_file())
    if len(found) > FILES_MAX:
        raise OperatorFault(f"{folder} holds more than {FILES_MAX} certificates; name a folder of those you trust")
    return found


def _take(kind: dropping.Kind, path: Path, user: pwd.struct_passwd) -> Path:
    place = _place(user)
    if not kind.folder:
        return _put(_read(kind, path), place, kind.name, user)
    files = {one.name: _read(kind, one) for one in _certificates(path)}
    # Named by what is in it: each command in this container, health checks too, comes here anew.
    folder = place / f"{kind.name}-{sha256(repr(files).encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    beside = place / f".{secrets.token_hex(8)}"
    beside.mkdir(mode=0o750)
    os.chown(beside, 0, user.pw_gid)
    for name, data in files.items():
        _put(data, beside, name, user)
    try:
        beside.rename(folder)
    except OSError:  # another command was faster
        shutil.rmtree(beside)
    return folder


def _read(kind: dropping.Kind, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            dropping.refuse_loose(kind, str(path), os.fstat(file.fileno()).st_mode)
            data = file.read(FILE_BYTES_MAX + 1)
    except PermissionError:
        raise OperatorFault(
            f"{path} cannot be read by root here: leave this container the capability DAC_OVERRIDE, or start it with"
            " --user and the id of the file's owner"
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise OperatorFault(f"{path} has more than {FILE_BYTES_MAX} bytes; that is no key and no certificate")
    if not kind.secret and b"PRIVATE KEY" in data:
        raise OperatorFault(f"{path} holds a private key where a certificate is expected; name the right file")
    return data


def _put(data: bytes, folder: Path, name: str, user: pwd.struct_passwd) -> Path:
    beside = folder / f".{secrets.token_hex(8)}"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchown(handle, user.pw_uid, user.pw_gid)
    beside.replace(folder / name)
    return folder / name


def _place(user: pwd.struct_passwd) -> Path:
    """A folder of root's that the node's user can enter and not change; of this container alone."""
    name = f"swarm-{os.stat('/proc/self/ns/mnt').st_ino}"  # /dev/shm may be the host's
    for parent in PLACES:
        place = Path(parent) / name
        with contextlib.suppress(OSError):
            place.mkdir(mode=0o750)
            os.chown(place, 0, user.pw_gid)
        try:
            found = place.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o750):
            return place
    raise OperatorFault(
        f"no place for a copy of the keys: none of {', '.join(PLACES)} can be written; add --tmpfs /tmp"
    )


def _give(state: Path, user: pwd.struct_passwd) -> None:
    """The state folder, which must be its user's own, becomes that, and all in it that was its owner's or root's."""
    if not state.is_dir() or not dropping.may_be_given(str(state), state.is_mount()):
        return
    top = state.stat()
    if top.st_uid == user.pw_uid or os.statvfs(state).f_flag & os.ST_RDONLY:
        return  # a node that cannot write there says so
    for folder, _, names in os.walk(state):
        for name in (".", *names):
            path = os.path.join(folder, name)
            found = os.lstat(path)
            if found.st_dev == top.st_dev and found.st_uid in (0, top.st_uid):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


if __name__ == "__main__":
    main()
