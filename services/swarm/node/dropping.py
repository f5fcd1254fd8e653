"""What a container's first process does while it is root, decided: what it takes, what it gives, what it becomes.

Pure. :mod:`swarm.node.container` looks, copies and becomes; a node's own settings judge what is in the files.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from swarm.core.errors import OperatorFault

SETGID, SETUID, SETPCAP = 6, 7, 8
"""Numbers of Linux capabilities."""
SOCKET = "/var/run/docker.sock"
TAKEN = "SWARM_TAKEN_FROM"
"""Variable that tells a node where its copies came from: a SWOP keeps those places from tasks as well."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A file that a node is told of by a flag or a variable.

    Args:
        name: of the copy.
        secret: nobody but its owner may have any right on it; such a file is refused, never copied to a tighter mode.
        folder: it is a folder of certificates.
        below: variable and flag of the folder that a relative path is in.
    """

    name: str
    flag: str
    variable: str
    secret: bool = False
    folder: bool = False
    below: tuple[str, str] | None = None


KINDS = (
    Kind("cert.pem", "--cert", "SWARM_ID_CERT"),
    Kind("key.pem", "--key", "SWARM_ID_KEY", secret=True),
    Kind("cacert.pem", "--cacert", "SWARM_ID_CACERT"),
    Kind("capath", "--capath", "SWARM_ID_CAPATH", folder=True),
    Kind("password", "--key-password-file", "SWARM_KEY_PASSWORD_FILE", secret=True),
    Kind("secrets.yaml", "--secrets", "SWOP_SECRETS", secret=True, below=("--usr-dir", "USR_DIR")),
)


def value(flag: str, variable: str, argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """What a setting says: its last flag, else its variable."""
    found = environ.get(variable) or None
    for at, word in enumerate(argv):
        if word == flag and at + 1 < len(argv):
            found = argv[at + 1]
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


def named(argv: Sequence[str], environ: Mapping[str, str]) -> dict[Kind, str]:
    """The files that the settings name, with their paths."""
    paths = {}
    for kind in KINDS:
        path = value(kind.flag, kind.variable, argv, environ)
        if path is not None:
            base = value(*kind.below, argv, environ) if kind.below else None
            paths[kind] = posixpath.join(base, path) if base else path
    return paths


def renamed(
    argv: Sequence[str], environ: Mapping[str, str], taken: Mapping[Kind, str]
) -> tuple[list[str], dict[str, str]]:
    """Flags and variables that name the copies instead."""
    words, variables = list(argv), dict(environ)
    for kind, path in taken.items():
        if kind.variable in variables:
            variables[kind.variable] = path
        for at, word in enumerate(words):
            if word == kind.flag and at + 1 < len(words):
                words[at + 1] = path
            elif word.startswith(f"{kind.flag}="):
                words[at] = f"{kind.flag}={path}"
    variables.pop(TAKEN, None)
    if taken:
        variables[TAKEN] = ":".join(path for kind, path in named(argv, environ).items() if kind in taken)
    return words, variables


def taken_from(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The originals of the copies that this process was told of."""
    return tuple(path for path in environ.get(TAKEN, "").split(":") if path)


def refuse_loose(kind: Kind, path: str, mode: int) -> None:
    """A secret that others could read stays refused: a tighter copy would hide it.

    Raises:
        OperatorFault: which file, its mode, and the command that mends it.
    """
    mode = stat.S_IMODE(mode)
    if kind.secret and mode & 0o077:
        raise OperatorFault(f"{path} has mode {mode:04o} and others could use it; run: chmod 600 {path}")


def state_folder(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    return value("--state-dir", "SWARM_STATE_DIR", argv, environ)


def shared_folders(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """What an SL shares with the program beside it, which may be any user."""
    if argv[:1] != ["sl"]:
        return ()
    pipes = [environ.get("SL_REQUEST_CHANNEL"), environ.get("SL_RESPONSE_CHANNEL")]
    folders = {posixpath.dirname(pipe) for pipe in pipes if pipe} | {environ.get("SWARM_EXCHANGE_DIR", "")}
    return tuple(sorted(folder for folder in folders if len(folder) > 1))


def engine_socket(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """The container engine's socket of a SWOP; None: another node, or an engine elsewhere."""
    if argv[:1] != ["swop"]:
        return None
    told = value("--docker-socket-file", "DOCKER_HOST", argv, environ)
    if told is None or told.startswith("/"):
        return told or SOCKET
    parts = urlsplit(told)
    return parts.path if parts.scheme == "unix" else None


def may_be_given(path: str, is_mount: bool) -> bool:
    """Whether a folder may change its owner: what was mounted, or what the image made for nodes; nothing else."""
    return is_mount or posixpath.normpath(path).startswith("/platform/swarm/")


def becoming(uid: int, gid: int, groups: Sequence[int], capabilities: int, command: Sequence[str]) -> list[str]:
    """The command that gives up root, all groups but ``groups``, and every capability for good, and runs ``command``.

    Args:
        capabilities: that this process has, as a bit set.

    Raises:
        OperatorFault: the container was started as root without the right to become somebody else.
    """
    if not capabilities >> SETUID & 1 or not capabilities >> SETGID & 1:
        raise OperatorFault(
            "this container was started as root without the capabilities SETUID and SETGID, so it cannot become the"
            f" node's user: start it with --user {uid}:{gid}, or leave it these two"
        )
    words = ["setpriv", f"--reuid={uid}", f"--regid={gid}"]
    words.append(f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups")
    words += ["--inh-caps=-all", "--ambient-caps=-all"]
    if capabilities >> SETPCAP & 1:  # without it no-new-privs alone keeps what is gone from coming back
        words.append("--bounding-set=-all")
    return [*words, "--no-new-privs", "--", *command]
