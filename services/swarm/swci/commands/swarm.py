"""Commands that look at the swarm as a whole."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from swarm.chain.taskrunners import Taskrunners
from swarm.core.ids import Digest
from swarm.core.taskview import RunnerState
from swarm.inspect.assignments import why as how
from swarm.inspect.nodes import Node, nodes_of
from swarm.inspect.operator import Member
from swarm.inspect.printing import print_status
from swarm.inspect.standing import standing
from swarm.inspect.watch import waits
from swarm.swci.freeing import runners_of, task_name
from swarm.swci.grammar import Typed
from swarm.swci.nodelogs import called, last_lines
from swarm.swci.say import INDENT, Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind

RUNNERS_MAX = 100
"""Task runners in STATUS and WHY."""
NODES_HEADER = "NODE TYPE, HOST, PORT, CONTAINER, UUID, PARENT UUID, I-AM-ALIVE"


async def list_nodes(session: Session, typed: Typed, say: Say) -> None:
    found = await nodes_now(session)
    say.line(NODES_HEADER)
    for node in found:
        parts = (node.kind, node.host, node.port, node.name, node.node, node.parent, stamp(node.at))
        say.line(",".join(parts))


async def nodes_now(session: Session) -> list[Node]:
    member = await session.member()
    found = await nodes_of(await member.view(), member.places, session.clock())
    session.learn(Kind.NODE, [node.node for node in found])
    return found


async def status(session: Session, typed: Typed, say: Say) -> None:
    found = await standing(await (await session.member()).view())
    printed(session, say, lambda console: print_status(console, found))
    for line in await runners_told(await session.member()):
        say.line(line)


async def runners_told(member: Member) -> list[str]:
    """How each task runner stands, in a line."""
    runners = runners_of(member.reader, member)
    there = list((await runners.runners()).items())[:RUNNERS_MAX]
    # Asked at one moment, these travel as few batches.
    return list(await asyncio.gather(*(_runner_told(member, runners, runner, name) for runner, name in there)))


async def _runner_told(member: Member, runners: Taskrunners, runner: Digest, name: str) -> str:
    current = (await runners.state(runner)).current
    if current is None:
        return f"task runner {name}: {RunnerState.IDLE.name}"
    if current.shown is RunnerState.ASSIGNED:
        seats = f"{current.n} wanted" if current.n else f"{current.named} SWOPs named"
        told = f"waits for SWOPs, {seats}, {current.offered} offered by {current.enrolled}"
    elif current.busy:
        told = f"{current.open} pairs open, {current.failed} failed, last heard of {stamp(current.heard)}"
    else:
        told = how(current)
    return f"task runner {name}: {current.shown.name}, task {await task_name(member, current.task)}: {told}"


async def why(session: Session, typed: Typed, say: Say) -> None:
    found = await standing(await (await session.member()).view())
    rows = [(row, wait) for row in found["nodes"] for wait in row["waits"]]
    say.lines([f"{row['role']} {row['name']}: {waits(wait)}" for row, wait in rows])
    for name, job in found["jobs"].items():
        say.line(f"contract {name}: run {job['run']}, {job['phase']}: {job['told']}")
    for line in await runners_told(await session.member()):
        say.line(line)


async def logs(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    view = await member.view()
    node = called(await nodes_of(view, member.places, session.clock()), typed.values["node"])
    lines, gone = await last_lines(member, view, node)
    say.line(f"the last {len(lines)} lines of {node.kind} {node.name}" + (f", {gone} before them" if gone else ""))
    for line in lines:
        say.line(line)


def printed(session: Session, say: Say, draw: Callable[[Console], Any]) -> None:
    """What the command line prints as tables, as lines of an answer."""
    text = io.StringIO()
    draw(Console(file=text, width=max(40, session.columns - len(INDENT)), soft_wrap=False))
    for line in text.getvalue().splitlines():
        say.line(line)


HANDLERS: Mapping[str, Handler] = {
    "LIST NODES": list_nodes,
    "STATUS": status,
    "WHY": why,
    "LOGS": logs,
}
