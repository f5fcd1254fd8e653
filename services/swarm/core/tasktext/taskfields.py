"""The table of a task file: every key, what it takes, and why a value that is taken could not work."""

from __future__ import annotations

import re

from .bounds import OPERATIONS_MAX, SHARED_MAX, SLOTS_MAX, STEPS_MAX
from .fields import NAME, OUTCOME, Anything, Choice, Many, Maybe, Pairs, Record, Spec, Text, TextOr, absolute_advice
from .model import ROOT_TASK_NAME, TYPE_ALIASES, TaskType

_IMAGE = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/|:[0-9]+/)[a-z0-9]+)*")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")


def _one_word(text: str) -> str | None:
    return "no command can name a task with a blank in its name: use _ or -" if " " in text else None


TASK_TYPES = tuple(one.value for one in TaskType)

BUILD = Record(
    "a MAKE_USER_CONTAINER body",
    {
        "BuildContext": Maybe(Text(), about="volume whose files are copied into the build's context, or nothing"),
        "BuildSteps": Many(
            Text(0, empty_is_text=True), 1, STEPS_MAX, about="lines of one Dockerfile; empty ones may be among them"
        ),
        "BuildType": Choice(("INLINE", "REMOTE"), about="INLINE; REMOTE is taken and cannot be carried out"),
    },
    ("BuildContext", "BuildSteps", "BuildType"),
)
MOUNT = Record(
    "an item of SharedContent",
    {
        "Src": Text(about="folder of the host (BIND) or name of a volume (VOLUME)"),
        "Tgt": Text(advice=absolute_advice, about="where it is in the container"),
        "MType": Choice(("BIND", "VOLUME")),
    },
    ("Src", "Tgt", "MType"),
)
RUN = Record(
    "a RUN_SWARM body",
    {
        "Command": Text(about="what the entry point is started with"),
        "Entrypoint": Text(about="python3, bash ..."),
        "WorkingDir": Text(advice=absolute_advice, about="working folder in the container"),
        "PrivateContent": Maybe(
            Text(advice=absolute_advice), about="where each node's private data is mounted, or nothing"
        ),
        "SharedContent": Maybe(Many(MOUNT, 1, SHARED_MAX), about="what is mounted at every site, or nothing"),
        "Envvars": Maybe(
            Pairs(Anything(), SLOTS_MAX, about="NAME: value pairs"), about="environment of the program, or nothing"
        ),
    },
    ("Command", "Entrypoint", "WorkingDir", "Envvars", "PrivateContent", "SharedContent"),
)
LOGIN = Record("Auth", {"Username": Text(secret=True), "Password": Text(0, secret=True)}, ("Username", "Password"))
PULL = Record(
    "a PULL_IMAGE body",
    {
        "OrgAndReg": Text(about="registry and organisation"),
        "RepoName": Text(about="name of the repository"),
        "Tag": Text(about="tag of the image"),
        "Auth": Maybe(TextOr(Text(), LOGIN), about="nothing, a path to a config.json, or secret:<name>"),
    },
    ("OrgAndReg", "RepoName", "Tag", "Auth"),
)
OPERATION = Record(
    "an item of OpsList",
    {
        "Operation": Choice(("DOWNLOAD", "EXTRACT")),
        "Target": Text(about="address of what is fetched or unpacked"),
        "Options": Maybe(Pairs(Anything(), 20, known=("Out",)), about="- Out: folder"),
    },
    ("Operation", "Target", "Options"),
)
CONTENT = Record(
    "a MAKE_SWARM_USER_CONTENT body",
    {
        "ContentType": Choice(("BUILDCONTENT", "SWARMCONTENT"), about="one volume, or one for each node"),
        "OpsList": Many(OPERATION, 1, OPERATIONS_MAX),
    },
    ("ContentType", "OpsList"),
)
BODIES: dict[TaskType, Record] = {
    TaskType.RUN_SWARM: RUN,
    TaskType.MAKE_USER_CONTAINER: BUILD,
    TaskType.MAKE_SWARM_USER_CONTENT: CONTENT,
    TaskType.PULL_IMAGE: PULL,
}
HEAD: dict[str, Spec] = {
    "Name": Text(without=NAME, reserved=(ROOT_TASK_NAME,), advice=_one_word, about="name of the task"),
    "TaskType": Choice(TASK_TYPES, {alias: of.value for alias, of in TYPE_ALIASES.items()}),
    "Author": Text(about="who wrote it"),
    "Prereq": Text(without=NAME, advice=_one_word, about=f"task that must have been done, {ROOT_TASK_NAME} at first"),
    "Outcome": Text(without=OUTCOME, about="name of the image or volume that it makes"),
}
REQUIRED = (*HEAD, "Body")


def outcome_advice(kind: TaskType, outcome: str) -> str | None:
    """Why Docker cannot give this name to what the task makes; None if it can."""
    if "<" in outcome:
        return None
    if kind in (TaskType.MAKE_USER_CONTAINER, TaskType.PULL_IMAGE) and not _IMAGE.fullmatch(outcome):
        return "no image can have this name: use lower-case letters, digits and . _ - / between them"
    if kind is TaskType.MAKE_SWARM_USER_CONTENT and not _VOLUME.fullmatch(outcome):
        return "no volume can have this name: use letters, digits and . _ - with a letter or digit first"
    return None
