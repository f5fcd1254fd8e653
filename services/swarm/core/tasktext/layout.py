"""A body as ``GET TASK BODY`` prints it: the original's own layout, values without quotes.

It is no YAML, since a value may hold anything; ``typed`` reads it back. MAKE_USER_CONTAINER and RUN_SWARM are printed
as the original does; of the two other types no printed body is known, so theirs follow the same manner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .model import Body, BuildBody, Login, PullBody, RunBody, Task, Variable

FIRST = "---"
EMPTY = "''"
"""How an empty text is printed where nothing means "no value"."""


def slots(task: Task) -> list[str]:
    """The lines of the body, ``---`` first: what stands on chain, one item each, and what CONTENTLINES counts."""
    return lines_of(task.body)


def numbered(lines: Sequence[str], first: int = 0) -> list[str]:
    """As GET TASK BODY prints them."""
    return [f"{number:04d}: {line}" for number, line in enumerate(lines, first)]


def lines_of(body: Body) -> list[str]:
    return [FIRST, *_lines(body)]


def _lines(body: Body) -> Iterator[str]:
    if isinstance(body, BuildBody):
        yield _pair("BuildContext", body.context)
        yield "BuildSteps   :"
        for step in body.steps:
            yield f"    - {step}" if step else "    -"
        yield _pair("BuildType", body.kind)
    elif isinstance(body, RunBody):
        yield _pair("Command", body.command)
        yield _pair("Entrypoint", body.entrypoint)
        yield _pair("WorkingDir", body.working_dir)
        yield _pair("PrivateContent", body.private)
        yield "SharedContent :"
        for mount in body.shared:
            yield f"  - Src   : {mount.source}"
            yield f"    Tgt   : {mount.target}"
            yield f"    MType : {mount.kind}"
        yield "Envvars :"
        yield from (f"  - {_variable(one)}" for one in body.variables)
    elif isinstance(body, PullBody):
        yield _pair("OrgAndReg", body.registry)
        yield _pair("RepoName", body.repository)
        yield _pair("Tag", body.tag)
        if isinstance(body.auth, Login):
            yield "Auth :"
            yield f"  Username : {body.auth.user}"
            yield f"  Password : {body.auth.password}" if body.auth.password else "  Password :"
        else:
            yield _pair("Auth", body.auth)
    else:
        yield _pair("ContentType", body.kind)
        yield "OpsList :"
        for operation in body.operations:
            yield f"  - Operation : {operation.kind}"
            yield f"    Target    : {operation.target}"
            yield "    Options   :"
            yield from (f"      - {_variable(one)}" for one in operation.options)


def _pair(key: str, value: str | None) -> str:
    return f"{key} :" if value is None else f"{key} : {value}"


def _variable(one: Variable) -> str:
    return _pair(one.name, EMPTY if one.value == "" else one.value)
