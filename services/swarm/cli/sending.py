"""Commands that join as a node of role SWCI: what the shell does by the same row, and a job's reset and options."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from swarm.core.errors import SwarmFault
from swarm.node.settings import NodeSettings, node_settings_of
from swarm.swci.table import Line
from swarm.swci.table.options import OPERATOR, OPERATOR_FIELDS

if TYPE_CHECKING:
    from swarm.core.options import Flag

    from .building import Call

S = TypeVar("S", bound=NodeSettings)


def fields(line: Line) -> list[Flag]:
    """The settings that are its flags."""
    from swarm.core.options import flags_of

    model = _model(line)
    found = [one for one in flags_of(model) if one.opt.flags]
    return [one for one in found if line.settings != OPERATOR or one.name in OPERATOR_FIELDS]


def _model(line: Line) -> type[Any]:
    module, name = line.settings.split(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def _settings(call: Call) -> Any:
    return node_settings_of(_model(call.line), call.given, os.environ)


def reset(call: Call) -> int:
    from swarm.inspect.reset import reset as act

    told = asyncio.run(act(_settings(call)))
    return call.out.done({"lines": [told]}, lambda data: print(*data["lines"], sep="\n"))


def options(call: Call) -> int:
    from swarm.inspect.job import job_options, told

    settings = _settings(call)
    return call.out.done(asyncio.run(job_options(settings)), lambda data: print(told(data)))


def shell(call: Call) -> int:
    """A command of the shell, with the arguments of the command line."""
    from swarm.node.entry import run_node, start_logs

    values = _values(call)
    settings = _settings(call)
    start_logs("ERROR" if settings.log_level == "INFO" else settings.log_level)
    lines: list[str] = []

    def said(line: str) -> None:
        lines.append(line)
        call.out.step({"lines": [line]}, line)

    try:
        run_node(_shell(call, settings, values, said))
    except SwarmFault as fault:
        return call.out.fault(fault, {"lines": lines} if call.out.form == "json" else None)
    return call.out.done({"lines": lines} if call.out.form == "json" else None)


async def _shell(call: Call, settings: Any, values: dict[str, str], said: Any) -> None:
    from swarm.node.identity import state_folder
    from swarm.swci.__main__ import opened
    from swarm.swci.folder import Folder
    from swarm.swci.grammar import Typed
    from swarm.swci.say import Say

    folder = Folder(Path("/"))  # who types it may read any file that it may read
    folder.here = Path.cwd()
    begun = ""

    def write(text: str) -> None:
        nonlocal begun
        begun += text
        *whole, begun = begun.split("\n")
        for line in whole:
            if line.strip("#"):  # marks are for who watches a terminal
                said(line)

    async with opened(settings, state_folder(settings), folder) as (session, _):
        await session.handlers[call.command.name](session, Typed(call.command, values), Say(write, "", ""))


def _values(call: Call) -> dict[str, str]:
    """As the shell's grammar would have them."""
    found = {name: str(value) for name, value in call.values.items() if value is not None and value is not False}
    peers = found.pop("peers", None)
    if "peers" in call.values:
        if (peers is None) == ("swop" not in found):
            ways = "--peers n, --peers all" + (" or --target UUID" if "swop" in call.values else "")
            raise click.UsageError(f"say how many peers: one of {ways}", click.get_current_context())
        if peers is not None and peers.lower() != "all":
            if not (peers.isascii() and peers.isdigit() and len(peers) <= 9):
                raise click.UsageError(f"--peers {peers!r:.60}: a whole number, or all", click.get_current_context())
            found["n"] = peers
    return found
