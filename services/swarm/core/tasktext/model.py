"""A task as typed values: what a SWOP carries out. How it is written, printed and checked stands in other modules."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ROOT_TASK_NAME = "ROOTTASK"
"""The first prerequisite of all; it is there from the chain's first block."""


class TaskType(enum.StrEnum):
    """As it stands in files and on chain."""

    RUN_SWARM = "RUN_SWARM"
    MAKE_USER_CONTAINER = "MAKE_USER_CONTAINER"
    MAKE_SWARM_USER_CONTENT = "MAKE_SWARM_USER_CONTENT"
    PULL_IMAGE = "PULL_IMAGE"


TYPE_ALIASES = {"BUILD_SWARM": TaskType.MAKE_USER_CONTAINER}
"""One page of the original's documents names it so."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Args:
    value: the text that a container gets; None: as in the image.
    """

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Mount:
    """Args:
    kind: BIND (``source`` is a folder of the host) or VOLUME (it is a name).
    """

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class BuildBody:
    """MAKE_USER_CONTAINER.

    Args:
        context: the volume whose files are copied into the build's context.
        steps: lines of one Dockerfile.
        kind: INLINE, or REMOTE, which the original takes and never carried out.
    """

    context: str | None
    steps: tuple[str, ...]
    kind: str

    @property
    def dockerfile(self) -> str:
        """The steps are one text: comments, empty and continued lines mean what they mean there."""
        return "\n".join(self.steps) + "\n"


@dataclass(frozen=True, slots=True)
class RunBody:
    """RUN_SWARM.

    Args:
        private: where each node's private data is mounted.
    """

    command: str
    entrypoint: str
    working_dir: str
    private: str | None
    shared: tuple[Mount, ...]
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class PullBody:
    """PULL_IMAGE.

    Args:
        auth: none, a path to a config.json or ``secret:<name>``, or user and password.
    """

    registry: str
    repository: str
    tag: str
    auth: str | Login | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Args:
    kind: DOWNLOAD or EXTRACT.
    options: names and values; ``Out`` has a meaning.
    """

    kind: str
    target: str
    options: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class ContentBody:
    """MAKE_SWARM_USER_CONTENT.

    Args:
        kind: BUILDCONTENT (one volume) or SWARMCONTENT (one for each node).
    """

    kind: str
    operations: tuple[Operation, ...]


Body = BuildBody | RunBody | PullBody | ContentBody
TYPE_OF: dict[type, TaskType] = {
    BuildBody: TaskType.MAKE_USER_CONTAINER,
    RunBody: TaskType.RUN_SWARM,
    PullBody: TaskType.PULL_IMAGE,
    ContentBody: TaskType.MAKE_SWARM_USER_CONTENT,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What ``CREATE TASK <type> <name> <author> <prereq> <outcome>`` says."""

    type: TaskType
    name: str
    author: str
    prereq: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Task:
    header: Header
    body: Body

    def __post_init__(self) -> None:
        if TYPE_OF[type(self.body)] is not self.header.type:
            raise ValueError(f"a {self.header.type} task with a body of {TYPE_OF[type(self.body)]}")


@dataclass(frozen=True, slots=True)
class Made:
    """Args:
    kind: image or volume.
    name: as Docker knows it.
    """

    kind: str
    name: str


def made_by(task: Task) -> Made | None:
    """What a task leaves at a site, named by its Outcome; RUN_SWARM leaves nothing that Docker names."""
    if isinstance(task.body, RunBody):
        return None
    if isinstance(task.body, ContentBody):
        return Made("volume", task.header.outcome)
    return Made("image", image_of(task.header.outcome))


def image_of(outcome: str) -> str:
    """A RUN_SWARM task runs the image that its prerequisite's Outcome names."""
    return f"{outcome}:latest"


def environment(task: Task) -> dict[str, str]:
    """What a RUN_SWARM task sets in the program's container. A variable without a value is left as in the image.

    A value ``secret:<name>`` is for the site to resolve (``secrets.secret_name``). Other tasks set nothing.
    """
    if not isinstance(task.body, RunBody):
        return {}
    last = {one.name: one.value for one in task.body.variables}
    return {name: value for name, value in last.items() if value is not None}
