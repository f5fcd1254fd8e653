"""A task file to a typed task, with every problem named at its line; nothing is read that cannot be printed again."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from .bounds import SLOT_BYTES_MAX, SLOTS_MAX, TASK_VALUES_MAX, TEXT_BYTES_MAX
from .fields import Record
from .findings import Finding, Findings, Reading, Weight, quoted
from .layout import lines_of
from .model import (
    ROOT_TASK_NAME,
    Body,
    BuildBody,
    ContentBody,
    Header,
    Login,
    Mount,
    Operation,
    PullBody,
    RunBody,
    Task,
    TaskType,
    Variable,
)
from .placeholders import filled, name_them
from .secrets import FIX, broken_reference, looks_secret, secret_name, told_in
from .taskfields import BODIES, HEAD, REQUIRED, TASK_TYPES, outcome_advice
from .walk import BAD, Walk
from .yamltree import Node, Unreadable, decoded, tree

TYPO_RATIO = 0.8
BROKEN = "a secret's name has letters, digits and _ . - only, at most 64"
PROGRAM_KEYS = frozenset({"BuildSteps", "Command", "Entrypoint"})
_ELSEWHERE = {
    **dict.fromkeys(REQUIRED, "the task"),
    **{key: "Body" for record in BODIES.values() for key in record.fields},
}


def read(text: bytes | str, values: Mapping[str, str] | None = None, *, plain_secrets: bool = False) -> Reading[Task]:
    """Read one task file.

    Args:
        values: of placeholders, by name.
        plain_secrets: let ``Username`` and ``Password`` in the text pass with a warning.

    Raises:
        OperatorFault: ``values`` cannot be used. What is wrong with the text is in the result.
    """
    found = Findings()
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    task = None
    try:
        decoded_text = decoded(text, TEXT_BYTES_MAX, found)
        if values:
            decoded_text = decoded(filled(decoded_text, values, found), TEXT_BYTES_MAX, found)
            content = decoded_text.encode()
        top = tree(decoded_text, TASK_VALUES_MAX, found)
        task = task_of(top, found, plain_secrets)
    except Unreadable:
        task = None
    return Reading(None if found.refused else task, found.sorted(), content)


def task_of(top: Node, found: Findings, plain_secrets: bool) -> Task | None:
    """From the tree of a whole task; None if something in it is refused."""
    name_them(top, found, program=PROGRAM_KEYS)
    kind = _kind(top)
    record = BODIES[kind]
    whole = Record("the task", {**HEAD, "Body": record}, REQUIRED)
    taken = Walk(found, _ELSEWHERE | dict.fromkeys(record.fields, record.what)).take(top, whole, "the task")
    body = top.get("Body")
    if body is not None and body.kind == "map":
        _secrets(body, found, plain_secrets)
    if taken is BAD or found.refused:
        return None
    head = {key: taken[key] for key in HEAD}
    task = Task(
        Header(TaskType(head["TaskType"]), head["Name"], head["Author"], head["Prereq"], head["Outcome"]),
        _body(kind, taken["Body"]),
    )
    _advise(task, top, found)
    _measure(task, top, found)
    return task


def strangers(tasks: Sequence[Task]) -> dict[str, list[Finding]]:
    """Of tasks that belong together, by name: a prerequisite that is none of them and nearly is: probably misspelt."""
    names = [one.header.name for one in tasks]
    found: dict[str, list[Finding]] = {}
    for task in tasks:
        prereq = task.header.prereq
        if prereq in (*names, ROOT_TASK_NAME):
            continue
        alike = difflib.get_close_matches(prereq, [*names, ROOT_TASK_NAME], n=1, cutoff=TYPO_RATIO)
        if alike and alike[0] != task.header.name:
            text = f"Prereq {quoted(prereq)} is none of these tasks; did you mean {quoted(alike[0])}?"
            found.setdefault(task.header.name, []).append(Finding(Weight.DEFECT, 0, 0, text))
    return found


def _kind(top: Node) -> TaskType:
    """The type that is written, else the one whose keys the body has most of: the body is checked in any case."""
    written = top.get("TaskType")
    if written is not None and written.text in TASK_TYPES:
        return TaskType(written.text)
    if written is not None and written.text == "BUILD_SWARM":
        return TaskType.MAKE_USER_CONTAINER
    body = top.get("Body")
    keys = {key.text for key, _ in body.pairs} if body is not None else set()
    return max(BODIES, key=lambda kind: len(keys & set(BODIES[kind].fields)))


def _body(kind: TaskType, taken: Mapping[str, Any]) -> Body:
    """From the plain values that the table of this kind of body lets through."""
    if kind is TaskType.MAKE_USER_CONTAINER:
        return BuildBody(taken["BuildContext"], taken["BuildSteps"], taken["BuildType"])
    if kind is TaskType.RUN_SWARM:
        mounts = tuple(Mount(one["Src"], one["Tgt"], one["MType"]) for one in taken["SharedContent"] or ())
        variables = tuple(Variable(name, value) for name, value in taken["Envvars"] or ())
        private = taken["PrivateContent"]
        return RunBody(taken["Command"], taken["Entrypoint"], taken["WorkingDir"], private, mounts, variables)
    if kind is TaskType.PULL_IMAGE:
        auth = taken["Auth"]
        if isinstance(auth, Mapping):
            auth = Login(auth["Username"], auth["Password"])
        return PullBody(taken["OrgAndReg"], taken["RepoName"], taken["Tag"], auth)
    operations = tuple(
        Operation(one["Operation"], one["Target"], tuple(Variable(name, value) for name, value in one["Options"] or ()))
        for one in taken["OpsList"]
    )
    return ContentBody(taken["ContentType"], operations)


def _secrets(body: Node, found: Findings, plain_secrets: bool) -> None:
    auth = body.get("Auth")
    if auth is not None and auth.kind == "map":
        for key, value in auth.pairs:
            if key.text in ("Username", "Password") and value.kind == "scalar" and secret_name(value.text) is None:
                weight = Weight.WARNING if plain_secrets else Weight.ERROR
                found.add(weight, value.line, value.column, f"{key.text} stands in the text, and {FIX}")
    elif auth is not None and broken_reference(auth.text):
        found.add(Weight.DEFECT, auth.line, auth.column, f"Auth: {BROKEN}")
    for name, value in _named_values(body):
        if looks_secret(name.text, value.text if value.value is not None else None):
            if not (isinstance(value.value, int | float) and "token" in name.text.casefold()):
                found.add(
                    Weight.WARNING, value.line, value.column, f"{quoted(name.text)} looks like a secret, and {FIX}"
                )
        elif broken_reference(value.text):
            found.add(Weight.DEFECT, value.line, value.column, f"{quoted(name.text)}: {BROKEN}")
    for program in sorted(PROGRAM_KEYS):
        node = body.get(program)
        for one in [] if node is None else node.items or [node]:
            told = told_in(one.text)
            if told is not None:
                what = f"{quoted(told)} in {program}" if told else f"a value in {program}"
                found.add(Weight.WARNING, one.line, one.column, f"{what} looks like a secret, and {FIX}")


def _named_values(body: Node) -> list[tuple[Node, Node]]:
    """Variables, and the addresses and options of operations."""
    listed = [one for key in ("Envvars", "OpsList") if (one := body.get(key)) is not None]
    pairs = [pair for one in listed for item in one.items for pair in item.pairs]
    options = [pair for key, value in pairs if key.text == "Options" for item in value.items for pair in item.pairs]
    return [(key, value) for key, value in (*pairs, *options) if value.kind == "scalar"]


def _advise(task: Task, top: Node, found: Findings) -> None:
    """What is taken and cannot work, seen over several keys."""
    head = task.header
    place = top.get("Outcome") or top
    advice = outcome_advice(head.type, head.outcome)
    if advice is not None:
        found.add(Weight.DEFECT, place.line, place.column, f"Outcome is {quoted(head.outcome)}: {advice}")
    if head.prereq == head.name:
        place = top.get("Prereq") or top
        found.add(Weight.DEFECT, place.line, place.column, f"Prereq is the task {quoted(head.name)} itself")
    body = top.get("Body") or top
    if isinstance(task.body, BuildBody):
        place = body.get("BuildSteps") or body
        if not any(step.lstrip().casefold().startswith("from ") for step in task.body.steps):
            found.add(
                Weight.DEFECT, place.line, place.column, "BuildSteps have no FROM: a Dockerfile needs one to begin with"
            )
        if task.body.kind == "REMOTE":
            place = body.get("BuildType") or body
            found.add(
                Weight.DEFECT, place.line, place.column,
                "BuildType REMOTE was never carried out by the original, nor is it here: use INLINE",
            )  # fmt: skip
    if isinstance(task.body, RunBody):
        listed = body.get("SharedContent") or body
        for mount, node in zip(task.body.shared, listed.items, strict=False):
            if mount.kind == "BIND" and not mount.source.startswith(("/", "<")):
                place = node.get("Src") or node
                found.add(
                    Weight.DEFECT, place.line, place.column,
                    f"Src is {quoted(mount.source)}: a BIND needs a path of the host that begins with /",
                )  # fmt: skip


def _measure(task: Task, top: Node, found: Findings) -> None:
    lines = lines_of(task.body)
    if len(lines) > SLOTS_MAX:
        found.add(Weight.ERROR, 0, 0, f"the body has {len(lines):,} lines, at most {SLOTS_MAX:,}")
    for line in lines:
        size = len(line.encode())
        if size > SLOT_BYTES_MAX:
            body = top.get("Body") or top
            found.add(
                Weight.ERROR, body.line, body.column,
                f"the line {quoted(line)} has {size} bytes in the body, at most {SLOT_BYTES_MAX}: shorten it",
            )  # fmt: skip
