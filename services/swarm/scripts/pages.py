"""What --help prints and docs/run-scripts.md shows of the table of flags."""

from __future__ import annotations

from .bash import line
from .table import COMMON, IDENTITY, LICENCE, OWN, Flag

WHAT = {
    "sn": "Starts a swarm network node in a container.",
    "sl": "Starts a swarm learning node in a container, and an ML program beside it.",
    "swop": "Starts a swarm operator node in a container.",
    "swci": "Starts the operator's shell in a container.",
}


def rows(flags: tuple[Flag, ...], role: str | None = None) -> list[tuple[str, str]]:
    """Flag with value, and its sentence."""
    return [
        (f"--{flag.name} <{flag.value}>" if flag.value else f"--{flag.name}", _told(flag))
        for flag in flags
        if role is None or role in flag.roles
    ]


def _told(flag: Flag) -> str:
    published = "" if flag.inside is None else f"; published for {flag.inside} in the container"
    variable = f" (`{flag.env}`)" if flag.env else ""
    return f"{flag.told}{variable}{published}"


def help_of(name: str) -> str:
    """A program that prints the help."""
    role = name.removeprefix("run-")
    lines = [f"{name} [flags] [docker options] [-- words for the node]", WHAT[role], ""]
    parts = [rows(OWN, role), rows(IDENTITY), rows(COMMON), rows(LICENCE)]
    lines += [f"  {flag:<36} {told.replace('`', '')}" for part in parts for flag, told in part]
    lines += ["", "Every option of `docker container create` passes through."]
    if role == "sl":
        lines.append("--ml-image IMAGE starts the ML program; --ml-<option> is a docker option of its container.")
    return line(["printf", "%s\\n", *lines]) + "\n"
