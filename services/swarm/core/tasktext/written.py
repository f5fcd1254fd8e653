"""A typed task as a file again: what a task that was typed line by line is kept as, and read from."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Body, BuildBody, Login, PullBody, RunBody, Task, Variable


def to_text(task: Task) -> str:
    """YAML that ``reading.read`` reads to this very task; all texts in quotes, so that none has a type of its own."""
    head = task.header
    lines = [
        f"Name: {_quoted(head.name)}",
        f"TaskType: {head.type.value}",
        f"Author: {_quoted(head.author)}",
        f"Prereq: {_quoted(head.prereq)}",
        f"Outcome: {_quoted(head.outcome)}",
        "Body:",
        *(f"  {line}" for line in _lines(task.body)),
    ]
    return "\n".join(lines) + "\n"


def _lines(body: Body) -> Iterator[str]:
    if isinstance(body, BuildBody):
        yield _pair("BuildContext", body.context)
        yield "BuildSteps:"
        yield from (f"- {_quoted(step)}" for step in body.steps)
        yield f"BuildType: {body.kind}"
    elif isinstance(body, RunBody):
        yield _pair("Command", body.command)
        yield _pair("Entrypoint", body.entrypoint)
        yield _pair("WorkingDir", body.working_dir)
        yield _pair("PrivateContent", body.private)
        yield "SharedContent:"
        for mount in body.shared:
            yield f"- Src: {_quoted(mount.source)}"
            yield f"  Tgt: {_quoted(mount.target)}"
            yield f"  MType: {mount.kind}"
        yield "Envvars:"
        yield from (f"- {_variable(one)}" for one in body.variables)
    elif isinstance(body, PullBody):
        yield _pair("OrgAndReg", body.registry)
        yield _pair("RepoName", body.repository)
        yield _pair("Tag", body.tag)
        if isinstance(body.auth, Login):
            yield "Auth:"
            yield f"  Username: {_quoted(body.auth.user)}"
            yield f"  Password: {_quoted(body.auth.password)}"
        else:
            yield _pair("Auth", body.auth)
    else:
        yield f"ContentType: {body.kind}"
        yield "OpsList:"
        for operation in body.operations:
            yield f"- Operation: {operation.kind}"
            yield f"  Target: {_quoted(operation.target)}"
            yield "  Options:"
            yield from (f"  - {_variable(one)}" for one in operation.options)


def _pair(key: str, value: str | None) -> str:
    return f"{key}:" if value is None else f"{key}: {_quoted(value)}"


def _variable(one: Variable) -> str:
    # The question mark: without it YAML takes a key of 1,024 characters at most, its escapes counted.
    return "{? " + _quoted(one.name) + ": " + ("" if one.value is None else _quoted(one.value)) + "}"


def _quoted(text: str) -> str:
    """In double quotes, with escapes for all that YAML could take for something else."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\U{ord(char):08X}")
    return '"' + "".join(out) + '"'
