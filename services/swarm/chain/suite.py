"""The one table of the swarm's contracts: what is deployed, in which order, with what, and which facade speaks to it.

Deployment, the Directory's entries, what nodes pin and what status shows are all read off it; it sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address
from swarm.core.limits import RESCUE_AFTER_SECONDS, TASK_LEASE_SECONDS

from .directory import Directory
from .facade import Facade
from .joboptions import JobOptions
from .membership import Membership
from .taskrunners import Taskrunners
from .tasks import Tasks
from .training import Training

VERSION = 6
"""Of all contracts together, as their Directory keeps it; grows with every change of any of them."""
Made = Mapping[str, Address]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is settled for a swarm when its contracts are deployed.

    Args:
        rescue_after: seconds of block time until a call is due.
        task_lease: seconds of block time after which a silent peer of a task is suspected.
    """

    rescue_after: int = RESCUE_AFTER_SECONDS
    task_lease: int = TASK_LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Part:
    """One contract, or a library that one of the later ones is linked to (it has no facade)."""

    name: str
    facade: type[Facade] | None = None
    arguments: Callable[[Made, Terms], tuple[Any, ...]] = lambda made, terms: ()
    """Of its constructor, from the addresses of the earlier ones."""


SUITE: tuple[Part, ...] = (
    Part("Directory", Directory),
    Part("Membership", Membership),
    Part("TrainingCalls"),
    Part("TrainingCarried"),
    Part("Training", Training, lambda made, terms: (made["Membership"], terms.rescue_after)),
    Part("JobOptions", JobOptions, lambda made, _: (made["Training"],)),
    Part("Tasks", Tasks, lambda made, _: (made["Membership"],)),
    Part("TaskrunnersPeers"),
    Part("Taskrunners", Taskrunners, lambda made, terms: (made["Tasks"], terms.task_lease)),
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
