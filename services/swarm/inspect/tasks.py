"""Reads tasks and task runners as the contracts have them; what an operator's own drafts mean is SWCI's."""

from __future__ import annotations

import asyncio
from typing import cast

from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks
from swarm.core.errors import OperatorFault
from swarm.core.ids import Digest, to_hex
from swarm.core.picking import pick
from swarm.core.shown import shown
from swarm.core.taskstatements import runner_id
from swarm.core.tasktext.layout import numbered
from swarm.core.taskview import Assignment, TaskInfo
from swarm.core.taskview import Peer as PeerRow

from . import shapes_tasks
from .assignments import described, why
from .plain import plain
from .source import Contracts

ASSIGNMENTS_MAX = 20
"""Of one runner that its history tells, the newest first."""


async def names(on: Contracts) -> list[shapes_tasks.TaskName]:
    """Final tasks, and how many versions each has; ROOTTASK first."""
    return [{"name": name, "versions": count} for name, count in await on.tasks.names()]


async def task(on: Contracts, task: str) -> shapes_tasks.Task:
    """The newest final version of a task, with its body.

    Raises:
        OperatorFault: there is none of that name; names the nearest.
    """
    number, info = await _latest(on.tasks, task)
    body = [line.decode("utf-8", "replace") for line in (await on.tasks.body(number, info)).lines]
    return cast(shapes_tasks.Task, {"id": to_hex(number), **plain(info), "body": body})


async def body(on: Contracts, task: str) -> shapes_tasks.Body:
    """The body of the newest final version, as GET TASK BODY prints it.

    Raises:
        OperatorFault: there is no such task; names the nearest.
    """
    number, info = await _latest(on.tasks, task)
    lines = (await on.tasks.body(number, info)).lines
    return {
        "id": to_hex(number),
        "name": info.header.name,
        "lines": numbered([line.decode("utf-8", "replace") for line in lines]),
    }


async def _latest(tasks: Tasks, name: str) -> tuple[Digest, TaskInfo]:
    found = await tasks.latest(name)
    if found is None:
        name = pick("final task", name, [one for one, _ in await tasks.names()])
        found = await tasks.latest(name)
    info = None if found is None else await tasks.info(found[0])
    if found is None or info is None:
        raise OperatorFault(f"the SN lists a task {shown(name)} and has no version of it: ask another SN")
    return found[0], info


async def task_name(on: Contracts, task: Digest) -> str:
    """Of a task that was assigned."""
    info = await on.tasks.info(task)
    return shown(info.header.name) if info is not None else to_hex(task)


async def runners(on: Contracts) -> dict[str, shapes_tasks.RunnerStands]:
    """Task runners by name, each with its present assignment."""
    there = await on.runners.runners()
    states = await asyncio.gather(*map(on.runners.state, there))
    return {name: plain(state) for name, state in zip(there.values(), states, strict=True)}


async def runner(on: Contracts, runner: str) -> shapes_tasks.Runner:
    """Everything about one.

    Raises:
        OperatorFault: there is none of that name; names the nearest.
    """
    number, name = await _runner(on.runners, runner)
    state, (ops, followers), lease = await asyncio.gather(
        on.runners.state(number), on.runners.counts(number), on.runners.lease_seconds()
    )
    current = state.current
    return {
        "name": name,
        "id": to_hex(number),
        "state": plain(state),
        "task": None if current is None else await task_name(on, current.task),
        "told": "idle" if current is None else why(current),
        "followers": followers,
        "assignments": ops,
        "lease_seconds": lease,
    }


async def assignments(on: Contracts, runner: str) -> list[shapes_tasks.AssignmentRow]:
    """Its last assignments, the newest first.

    Raises:
        OperatorFault: there is no such runner; names the nearest.
    """
    number, _ = await _runner(on.runners, runner)
    found = await on.runners.newest(number, ASSIGNMENTS_MAX)
    names = await asyncio.gather(*(task_name(on, one.task) for one in found))
    return [{"assignment": plain(one), "task": name, "told": why(one)} for one, name in zip(found, names, strict=True)]


async def peers(on: Contracts, runner: str) -> list[shapes_tasks.Peer]:
    """The SWOPs of its present assignment.

    Raises:
        OperatorFault: there is no such runner; names the nearest.
    """
    number, _ = await _runner(on.runners, runner)
    current = (await on.runners.state(number)).current
    found: list[shapes_tasks.Peer] = [] if current is None else plain(await on.runners.peers(current.aid))
    return found


async def pairs(on: Contracts, runner: str, peer: str) -> shapes_tasks.PeerPairs:
    """One SWOP's part in the present assignment.

    Raises:
        OperatorFault: no such runner or peer, or nobody has enrolled.
    """
    number, name = await _runner(on.runners, runner)
    current, there = await peers_now(on.runners, number, name)
    row = peer_of(peer, there)
    found = await on.runners.pairs(current.aid, row.swop) if row.allotted else ()
    return {
        "task_type": current.task_type.name,
        "peer": plain(row),
        "pairs": plain(found),
        "told": [await described(on.training.phase_of, one) for one in found],
    }


async def peers_now(runners: Taskrunners, runner: Digest, name: str) -> tuple[Assignment, tuple[PeerRow, ...]]:
    """Raises OperatorFault: nobody has enrolled."""
    current = (await runners.state(runner)).current
    found = () if current is None else await runners.peers(current.aid)
    if current is None or not found:
        raise OperatorFault(f"task runner {name} has no peers: nobody has enrolled")
    return current, found


def peer_of(typed: str, peers: tuple[PeerRow, ...]) -> PeerRow:
    """By its index from 0, or by its UUID.

    Raises:
        OperatorFault: none of them.
    """
    if typed.isascii() and typed.isdigit() and len(typed) <= 3:
        if int(typed) >= len(peers):
            raise OperatorFault(f"peer {typed}: there are {len(peers)}, numbered from 0")
        return peers[int(typed)]
    uid = pick("peer", typed, [to_hex(one.swop) for one in peers])
    return next(one for one in peers if to_hex(one.swop) == uid)


async def _runner(runners: Taskrunners, typed: str) -> tuple[Digest, str]:
    found = runner_id(typed)
    if await runners.name_of(found):
        return found, typed
    name = pick("task runner", typed, sorted((await runners.runners()).values()))
    return runner_id(name), name
