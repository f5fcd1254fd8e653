"""``swarm task``: checks task files and profiles before anything is sent, shows what sites will run, prints schemas.

Reads files and prints, no more: no chain, no node. What is right or wrong is ``core/tasktext``'s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.shown import printable
from swarm.core.tasktext import placeholders
from swarm.core.tasktext.bounds import PROFILE_BYTES_MAX
from swarm.core.tasktext.findings import Finding, Findings, Reading, TaskTextFault, Weight
from swarm.core.tasktext.layout import slots
from swarm.core.tasktext.model import Task
from swarm.core.tasktext.profile import Profile, looks_like_profile, read_profile
from swarm.core.tasktext.reading import read, strangers
from swarm.core.tasktext.rendering import as_text, image_for, rendered
from swarm.core.tasktext.schema import profile_schema, task_schema

from .shapes_host import CheckedFile, CheckedFiles, RenderedSites, TaskTold

T = TypeVar("T")
OK, DEFECTS = 0, 1


class Refused(SwarmFault):
    """A file of a task that is to be rendered is refused."""


def check(
    files: Sequence[str], sets: Sequence[str] = (), vars_file: str | None = None, *, plain_secrets: bool = False
) -> tuple[CheckedFiles, int]:
    """Check task files and profiles; several together, so that a prerequisite may be in another one.

    Returns:
        What was found, and 0: good, perhaps with warnings; 1: errors, or what is taken and cannot work.

    Raises:
        OperatorFault: a file cannot be read, or a value cannot be used.
    """
    values = values_of(sets, vars_file)
    raws = {file: _bytes(file) for file in files}
    readings: dict[str, Reading[Any]] = {file: _read(raw, values, plain_secrets) for file, raw in raws.items()}
    tasks = {file: one.value for file, one in readings.items() if isinstance(one.value, Task)}
    others = strangers(list(tasks.values()))
    found = {
        file: [*one.findings, *(others.get(tasks[file].header.name, ()) if file in tasks else ())]
        for file, one in readings.items()
    }
    for unused in _unused(raws.values(), values):
        found[files[0]].append(unused)
    code = OK if all(one.weight is Weight.WARNING for listed in found.values() for one in listed) else DEFECTS
    return {"files": [_as_json(file, readings[file], found[file]) for file in files]}, code


def print_checked(found: CheckedFiles) -> None:
    for file in found["files"]:
        for one in file["findings"]:
            place = f"{file['file']}:{one['line']}:{one['column']}" if one["line"] else file["file"]
            print(f"{place}: {one['weight']}: {one['text']}")
        print(f"{file['file']}: {file['verdict']}")


def render(
    file: str,
    sets: Sequence[str] = (),
    vars_file: str | None = None,
    *,
    profiles: Sequence[str] = (),
    others: Sequence[str] = (),
    plain_secrets: bool = False,
) -> tuple[RenderedSites, int]:
    """Show what sites will run of a task.

    Args:
        profiles: of sites, each shown for itself.
        others: files of other tasks, among them the prerequisite, whose Outcome names the image.

    Returns:
        It, and 0; 1 if one of the files is taken and cannot work.

    Raises:
        OperatorFault: a file cannot be read, or a value cannot be used.
        Refused: one of the files is refused.
    """
    values = values_of(sets, vars_file)
    findings: list[tuple[str, Finding]] = []
    try:
        task = _taken(file, _read(_bytes(file), values, plain_secrets, of_profile=False), findings)
        earlier = [_taken(one, _read(_bytes(one), values, plain_secrets, of_profile=False), findings) for one in others]
        sites = {
            one: _taken(one, _read(_bytes(one), values, plain_secrets, of_profile=True), findings) for one in profiles
        }
    except TaskTextFault as fault:
        raise Refused(f"refused: {fault}") from fault
    image = image_for(task, earlier)
    defects = [f"{where}: {one.weight.value}: {one}" for where, one in findings if one.weight is Weight.DEFECT]
    shown = {name: rendered(task, profile, image) for name, profile in sites.items()} or {
        "": rendered(task, None, image)
    }
    told: list[dict[str, Any]] = [{"profile": name or None, **one} for name, one in shown.items()]
    return {"sites": told, "defects": defects}, DEFECTS if defects else OK


def print_rendered(found: RenderedSites) -> None:
    for one in found["sites"]:
        if one["profile"]:
            print(f"#### {one['profile']}")
        print(*map(printable, as_text(one)), sep="\n")
    for defect in found["defects"]:
        print(defect, file=sys.stderr)


def schema(*, of_profile: bool = False, plain_secrets: bool = False) -> dict[str, Any]:
    """The JSON Schema of task files, or of profiles."""
    return profile_schema() if of_profile else task_schema(plain_secrets=plain_secrets)


def values_of(sets: Sequence[str], vars_file: str | None) -> dict[str, str]:
    """Values of placeholders: a file's, and over them those of the command line."""
    below = {}
    if vars_file is not None:
        try:
            below = placeholders.from_file(_bytes(vars_file))
        except OperatorFault as fault:
            raise OperatorFault(f"{vars_file}: {fault}") from fault
    return {**below, **placeholders.given(sets)}


def _read(raw: bytes, values: Mapping[str, str], plain_secrets: bool, *, of_profile: bool | None = None) -> Any:
    """A Reading of a task or of a profile; what it is, is seen in the text if it is not told."""
    there = _present(raw, values)
    if looks_like_profile(raw) if of_profile is None else of_profile:
        return read_profile(raw, there)
    return read(raw, there, plain_secrets=plain_secrets)


def _taken(file: str, reading: Reading[T], findings: list[tuple[str, Finding]]) -> T:
    findings += [(file, one) for one in reading.findings]
    return reading.taken(file)


def _present(raw: bytes, values: Mapping[str, str]) -> dict[str, str]:
    """Of several files each has some of the placeholders."""
    return placeholders.present(raw.decode("utf-8", "replace"), values)


def _unused(raws: Iterable[bytes], values: Mapping[str, str]) -> tuple[Finding, ...]:
    """Values that no file has a place for, with the nearest placeholder that one has."""
    found = Findings()
    text = "\n".join(raw.decode("utf-8", "replace") for raw in raws)
    placeholders.filled(text, {k: v for k, v in values.items() if k not in placeholders.present(text, values)}, found)
    return found.sorted()


def _bytes(file: str) -> bytes:
    """A file, - for what is piped in; never more of it than the reader would look at."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(PROFILE_BYTES_MAX + 1)
        with Path(file).open("rb") as opened:
            return opened.read(PROFILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorFault(f"{file}: {error.strerror or error}: name a file that can be read") from error


def _verdict(reading: Reading[Any], found: Sequence[Finding]) -> str:
    counts = {weight: sum(one.weight is weight for one in found) for weight in Weight}
    told = ", ".join(f"{count} {weight.value}{'s' if count > 1 else ''}" for weight, count in counts.items() if count)
    if reading.value is None:
        return f"refused ({told})"
    if isinstance(reading.value, Task):
        head = reading.value.header
        what = f"{head.type.value} {head.name}, {len(slots(reading.value))} lines on chain"
    else:
        what = f"profile of {reading.value.group} with {len(reading.value.nodes)} nodes"
    verdict = "would be taken, cannot work" if counts[Weight.DEFECT] else "good"
    return f"{verdict} ({what}{', ' + told if told else ''})"


def _as_json(file: str, reading: Reading[Any], found: Sequence[Finding]) -> CheckedFile:
    value = reading.value
    task: TaskTold | None = None
    if isinstance(value, Task):
        head = value.header
        task = {
            "name": head.name,
            "type": head.type.value,
            "author": head.author,
            "prereq": head.prereq,
            "outcome": head.outcome,
            "lines": len(slots(value)),
        }
    return {
        "file": file,
        "taken": value is not None,
        "kind": "profile" if isinstance(value, Profile) else "task" if task else None,
        "task": task,
        "verdict": _verdict(reading, found),
        "findings": [
            {"weight": one.weight.value, "line": one.line, "column": one.column, "text": one.text} for one in found
        ],
    }
