"""The one table of the swarm's contracts: what is deployed, in which order, with what, and which facade speaks to it.

Deployment, the Directory's entries, what nodes pin and what status shows are all read off it; it sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address

from .directory import Directory
from .facade import Facade
from .joboptions import JobOptions
from .membership import Membership
from .training import Training

VERSION = 3
"""Of all contracts together, as their Directory keeps it; grows with every change of any of them."""
Made = Mapping[str, Address]


@dataclass(frozen=True, slots=True)
class Part:
    """One contract, or a library that one of the later ones is linked to (it has no facade)."""

    name: str
    facade: type[Facade] | None = None
    arguments: Callable[[Made, int], tuple[Any, ...]] = lambda made, rescue_after: ()
    """Of its constructor, from the addresses of the earlier ones and the seconds until a call is due."""


SUITE: tuple[Part, ...] = (
    Part("Directory", Directory),
    Part("Membership", Membership),
    Part("TrainingCalls"),
    Part("TrainingCarried"),
    Part("Training", Training, lambda made, rescue_after: (made["Membership"], rescue_after)),
    Part("JobOptions", JobOptions, lambda made, _: (made["Training"],)),
)
DIRECTORY, *_ENTRIES = SUITE
ENTRIES: tuple[Part, ...] = tuple(_ENTRIES)
"""What the Directory names."""


def require_readable(found: int, where: str) -> None:
    """Raises OperatorFault when the contracts ``where`` are newer than this program's: older ones it can read."""
    if found > VERSION:
        require_version(found, where)


def require_version(found: int, where: str) -> None:
    """Raises OperatorFault when the contracts ``where`` are older or newer than this program's."""
    if found == VERSION:
        return
    if found < VERSION:
        remedy = (
            "go on with the program version that began it, or begin a new chain in new state folders and carry members "
            "and jobs over with `swarm chain export FILE` and `swarm chain import FILE`"
        )
    else:
        remedy = (
            "update this installation to what the swarm's other nodes run (`swarm chain export` and `import` carry a "
            "chain forward, never back)"
        )
    raise OperatorFault(
        f"{where} has contracts of version {found}, and this program works with version {VERSION}: {remedy}"
    )
