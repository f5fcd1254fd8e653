"""Commands that read the swarm's record: one reading each, printed or as JSON. They can change nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from swarm.core.errors import OperatorFault
from swarm.swci.table.options import SOURCE

from .output import EXIT_FAILED

if TYPE_CHECKING:
    from swarm.inspect.source import Source

    from .building import Call


@dataclass(frozen=True)
class Reading:
    """Args: read: "module:function", of a view, or with ``on`` of its contracts; draw: prints what it found."""

    read: str
    draw: str
    on: bool = False


_TEXTS = "swarm.inspect.texts"
READINGS: Mapping[str, Reading] = {
    "node list": Reading("swarm.inspect.nodes:nodes", f"{_TEXTS}:nodes"),
    "node why": Reading("swarm.inspect.standing:waiting", f"{_TEXTS}:waiting"),
    "member list": Reading("swarm.inspect.standing:members_of", f"{_TEXTS}:rows"),
    "job list": Reading("swarm.inspect.jobs:jobs", f"{_TEXTS}:names", on=True),
    "job show": Reading("swarm.inspect.jobs:job", f"{_TEXTS}:facts", on=True),
    "job status": Reading("swarm.inspect.jobs:stands", f"{_TEXTS}:facts", on=True),
    "job history": Reading("swarm.inspect.jobs:history", f"{_TEXTS}:history"),
    "run figures": Reading("swarm.inspect.jobs:figures", f"{_TEXTS}:rows"),
    "task list": Reading("swarm.inspect.tasks:names", f"{_TEXTS}:rows", on=True),
    "task show": Reading("swarm.inspect.tasks:task", f"{_TEXTS}:task", on=True),
    "task body": Reading("swarm.inspect.tasks:body", f"{_TEXTS}:body", on=True),
    "runner list": Reading("swarm.inspect.tasks:runners", f"{_TEXTS}:runners", on=True),
    "runner show": Reading("swarm.inspect.tasks:runner", f"{_TEXTS}:runner", on=True),
    "runner peers": Reading("swarm.inspect.tasks:peers", f"{_TEXTS}:peers", on=True),
    "runner peer": Reading("swarm.inspect.tasks:pairs", f"{_TEXTS}:pairs", on=True),
    "runner history": Reading("swarm.inspect.tasks:assignments", f"{_TEXTS}:assignments", on=True),
}


def reading(call: Call) -> int:
    found = READINGS[call.line.words]
    where = source_of(call)
    data = asyncio.run(_read(where, found, call.values))
    return call.out.done(data, _named(found.draw))


async def _read(where: Source, found: Reading, values: Mapping[str, Any]) -> Any:
    from swarm.inspect.source import open_view

    async with open_view(where) as view:
        return await _named(found.read)(view.on if found.on else view, **values)


def _named(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


def source_of(call: Call) -> Source:
    """Whom its options mean; they are no values of the command any more."""
    from swarm.inspect.source import source

    whom = {one.value: call.values.pop(one.value) for one in SOURCE}
    return source(**whom, environ=os.environ)


def status(call: Call) -> int:
    from swarm.inspect.source import open_view
    from swarm.inspect.standing import standing
    from swarm.inspect.texts import status as draw

    where, seconds, watched = source_of(call), call.values["seconds"], call.values["watch"]
    if seconds is not None and not watched:
        raise OperatorFault(f"swarm status {seconds:g}: seconds are for --watch")

    async def look() -> Any:
        async with open_view(where) as view:
            return await standing(view)

    if not watched:
        return call.out.done(asyncio.run(look()), draw)
    from swarm.inspect.watch import SECONDS_DEFAULT, watch

    every = SECONDS_DEFAULT if seconds is None else seconds
    if call.out.form != "text":
        call.out.form = "jsonl"  # one after the other: an envelope each
        return watch(look, every, as_json=True, say=lambda found, trouble: call.out.step(found, "", trouble))
    return watch(look, every, as_json=call.out.bare)


def run(call: Call) -> int:
    """The record of a run, and with --recompute what came of merging its rounds again."""
    from swarm.inspect.texts import record as draw

    again, folder = call.values.pop("recompute"), call.values.pop("state_dir")
    where = source_of(call)
    data = asyncio.run(_read(where, Reading("swarm.inspect.jobs:run", ""), call.values))
    code = 0
    if again:
        from swarm.sl.recompute import recomputed
        from swarm.sl.settings import SlSettings

        rows, code = recomputed(folder or SlSettings.default_state_folder(os.environ), data)
        data = {**data, "recomputed": rows}
    return call.out.done(data, draw, code)


def wait(call: Call) -> int:
    """Each step as it changes; the last one says how the run ended."""
    from swarm.inspect.commands import wait as act

    last: dict[str, Any] = {}

    def say(step: Any, text: str) -> None:
        last.update(step)
        call.out.step(step, text)

    where = source_of(call)
    failed = asyncio.run(act(where, call.values["job"], call.values["run"], call.values["timeout"], say))
    return call.out.done(dict(last) or None, None, EXIT_FAILED if failed else 0)
