"""stop-swarm, uninstall and swarmLogCollector as programs of bash (rows O09, O10). Pure.

Containers are found by the image that they were made of, as the original does; ML programs are no node and stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarm.core.errors import OperatorFault

from .bash import line
from .facts import Facts
from .table import ROLES

NAMES = {"sl": "Swarm Learning", "sn": "Swarm Network", "swci": "Swarm Command Interface", "swop": "Swarm Operator"}
GRACE_SECONDS = 40
"""An SN's chain writes its state on SIGTERM; ended too early it starts from an older block."""
STOP_USAGE = """stop-swarm [--all] [--sl] [--sn] [--swci] [--swop] [--keep] [--sudo]
           [--registry R] [--tag T] [--dry-run]

Stops the platform's containers on this host and removes them; their volumes, and ML programs, stay.

  --all         SL, SN, SWCI and SWOP; also where none is named
  --sl, --sn, --swci, --swop   this kind only
  --keep        stopped containers stay
  --sudo        call docker by sudo"""
UNINSTALL_USAGE = """uninstall [--sudo] [--registry R] [--tag T] [--dry-run]

Stops and removes the platform's containers on this host, then its images of this registry and tag. Volumes
(chain, keys, models), images of users and files of this folder stay."""
LOGS_USAGE = """swarmLogCollector <hub> workspace=<folder> | mlimage=<image>

Collects logs and settings of the platform's containers on this host into logs/swarm_logs_<host>_<time>.tar.gz.

  <hub>      beginning of the images' names: swarm-learning, or hub.example/hpe/swarm-learning
  workspace  folder of the run, with swci/taskdefs and swop; its build task names the programs' image
  mlimage    the programs' image, where no SWOP runs them"""


@dataclass(slots=True)
class _Words:
    """Switches and values that stop-swarm and uninstall share."""

    switches: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)


def _words(argv: Sequence[str], switches: Sequence[str], script: str) -> _Words:
    found, words = _Words(), list(argv)
    while words:
        name, has, value = words.pop(0).partition("=")
        if name in ("--registry", "--tag"):
            if not has and not words:
                raise OperatorFault(f"{name} needs a value: {name}=VALUE")
            found.values[name[2:]] = value if has else words.pop(0)
        elif name[2:] in switches and name.startswith("--") and not has:
            found.switches.add(name[2:])
        else:
            raise OperatorFault(f"{name!r:.60} is no flag of {script}: see {script} --help")
    return found


def stop(argv: Sequence[str], facts: Facts) -> str:
    """stop-swarm.

    Raises:
        OperatorFault: an unknown word.
    """
    words = _words(argv, (*ROLES, "all", "keep", "sudo", "dry-run"), "stop-swarm")
    roles = [role for role in NAMES if role in words.switches]
    if not roles or "all" in words.switches:
        roles = list(NAMES)
    lines = [_stopped(role, words, facts) for role in roles]
    return _program(words, facts, lines)


def _stopped(role: str, words: _Words, facts: Facts) -> list[str]:
    image = facts.image(role, words.values.get("registry"), words.values.get("tag"))
    keep = "keep" if "keep" in words.switches else "remove"
    return ["stop_all", image, NAMES[role], str(GRACE_SECONDS), keep]


def uninstall(argv: Sequence[str], facts: Facts) -> str:
    """Containers, then images.

    Raises:
        OperatorFault: an unknown word.
    """
    words = _words(argv, ("sudo", "dry-run"), "uninstall")
    lines = [_stopped(role, words, facts) for role in NAMES]
    lines += [["remove_image", *_stopped(role, words, facts)[1:2]] for role in NAMES]
    return _program(words, facts, lines)


def _program(words: _Words, facts: Facts, lines: list[list[str]]) -> str:
    engine = [*(["sudo"] if "sudo" in words.switches else []), facts.command]
    said = [f"engine=({line(engine)})", *(["dry=yes"] if "dry-run" in words.switches else [])]
    return "\n".join([*said, *(line(one) for one in lines)]) + "\n"


def logs(argv: Sequence[str], facts: Facts) -> str:
    """swarmLogCollector.

    Raises:
        OperatorFault: not a hub and one source, or not usable as such.
    """
    if len(argv) != 2:
        raise OperatorFault(
            "give two words: the beginning of the images' names, and workspace=<folder> or mlimage=<image>"
        )
    hub, source = argv
    kind, _, value = source.partition("=")
    if kind not in ("workspace", "mlimage") or not value:
        raise OperatorFault(f"{source!r:.80} is neither workspace=<folder> nor mlimage=<image>")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}", hub):
        raise OperatorFault(f"{hub!r:.80} is no beginning of an image's name, as in swarm-learning")
    what = facts.path(value) if kind == "workspace" else value
    said = [f"engine=({line([facts.command])})"]
    if kind == "workspace":
        said.append(line(["need", "d", what, f"workspace: there is no folder {what} on this host: mend the path"]))
    return "\n".join([*said, line(["collect", hub.rstrip("/"), kind, what])]) + "\n"
