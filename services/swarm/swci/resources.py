"""Our own resources of the REST face: jobs, runs, nodes, waits, tasks and runners as JSON, and the chain's events.

Reads only, as the command line does, in the swarm of the caller's shell. The stream is made of the chain's logs, which
keep their numbers: who comes back with the last one that it had goes on behind it, and nothing is kept for a client.
"""

# No postponed annotations here: FastAPI reads those of the handlers below.

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Path, Request
from fastapi.responses import StreamingResponse

from swarm.chain.events import EventDecoder
from swarm.chain.paging import logs_up_to
from swarm.core.errors import ChainFault, OperatorFault
from swarm.inspect import shapes, shapes_tasks
from swarm.inspect import tasks as read
from swarm.inspect.history import runs_of
from swarm.inspect.operator import Member
from swarm.inspect.plain import plain
from swarm.inspect.reading import read_run
from swarm.inspect.source import View
from swarm.inspect.standing import standing, waiting
from swarm.net.answers import ApiError

from .freeing import now_of

STREAMS_MAX = 32
"""Clients that listen to events at once."""
STREAM_LOOK_SECONDS = 5.0
"""The safety net when no wake-up comes; a comment is sent then, so that a client that is gone is noticed."""
NAME_CHARS_MAX = 640
CONTRACTS = ("Membership", "Training", "JobOptions", "Tasks", "Taskrunners")
_EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,9})")

Name = Annotated[str, Path(min_length=1, max_length=NAME_CHARS_MAX)]
MemberOf = Callable[..., Awaitable[Member]]


def add_resources(app: FastAPI, member_of: MemberOf) -> None:
    """Args: member_of: a dependency: this SWCI in the swarm that a caller's shell means."""
    streams = asyncio.Semaphore(STREAMS_MAX)
    Here = Annotated[Member, Depends(member_of)]

    @app.get("/v1/nodes", summary="Every member: role, state, round, when it was last heard of")
    async def nodes(here: Here) -> list[shapes.NodeRow]:
        return (await standing(await _view(here)))["nodes"]

    @app.get("/v1/waits", summary="What every member waits for, of whom, since when, until when")
    async def waits(here: Here) -> list[shapes.WaitRow]:
        return await waiting(await _view(here))

    @app.get("/v1/jobs", summary="Training contracts by name, and where each stands")
    async def jobs(here: Here) -> dict[str, shapes.JobStands]:
        return (await standing(await _view(here)))["jobs"]

    @app.get("/v1/jobs/{name}/runs", summary="All runs of a job: when, how many rounds, from whom, how each ended")
    async def runs(here: Here, name: Name) -> list[shapes.RunRow]:
        view = await _view(here)
        with _not_found():
            return await runs_of(view, name)

    @app.get("/v1/jobs/{name}/runs/{run}", summary="One run: members, rounds, shares, metrics")
    async def run(here: Here, name: Name, run: Annotated[int, Path(ge=0, lt=2**63)]) -> shapes.Run:
        view = await _view(here)
        with _not_found():
            return (await read_run(view, name, run)).to_json()

    @app.get("/v1/tasks", summary="Names of final tasks, and how many versions each has")
    async def tasks(here: Here) -> list[shapes_tasks.TaskName]:
        return await read.names(here.on)

    @app.get("/v1/tasks/{name}", summary="The newest version of a task, with its body")
    async def task(here: Here, name: Name) -> shapes_tasks.Task:
        if await here.on.tasks.latest(name) is None:
            raise ApiError(404, "not_found", "no final task has that name")
        return await read.task(here.on, name)

    @app.get("/v1/runners", summary="Task runners by name, each with its present assignment")
    async def runners(here: Here) -> dict[str, shapes_tasks.RunnerStands]:
        return await read.runners(here.on)

    @app.get("/v1/events", summary="The chain's events from Last-Event-ID on, or those to come (server-sent events)")
    async def events(
        request: Request, here: Here, last_event_id: Annotated[str, Header(max_length=40)] = ""
    ) -> StreamingResponse:
        if streams.locked():
            raise ApiError(503, "busy", f"{STREAMS_MAX} clients listen already")
        after = await _after(here, last_event_id)
        return StreamingResponse(_stream(here, after, streams), media_type="text/event-stream")


async def _view(here: Member) -> View:
    """The swarm as its SN tells it; that none answers is neither this SWCI's failure nor a thing that is not there."""
    try:
        return await here.view()
    except OperatorFault as fault:
        raise ApiError(503, "no_swarm", str(fault)) from fault


class _not_found:
    """An operator's mistake in a path is a thing that is not there."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OperatorFault):
            raise ApiError(404, "not_found", str(error)) from error


async def _after(here: Member, last: str) -> tuple[int, int]:
    """Block and index of the last event that a client has; the newest block's end if it has none."""
    if not last:
        return (await now_of(here.reader))[0], 2**31
    found = _EVENT_ID.fullmatch(last)
    if found is None:
        raise ApiError(422, "bad_request", "Last-Event-ID: expected the id of an event, <block>-<index>")
    return int(found[1]), int(found[2])


async def _stream(here: Member, after: tuple[int, int], streams: asyncio.Semaphore) -> AsyncIterator[str]:
    """Events as they come, one page of logs in memory at a time: a client that does not read holds up only itself."""
    there = {name: here.swarm.contracts[name] for name in CONTRACTS}
    decode = EventDecoder(there)
    async with streams:
        while True:
            ticket = here.reader.waker.ticket()
            try:
                head, _ = await now_of(here.reader)
                async for log in logs_up_to(here.link.rpc, head, list(there.values()), first=after[0]):
                    event = decode(log)
                    if event is not None and (log.block, log.index) > after:
                        after = log.block, log.index
                        told = json.dumps(plain(event), default=str)
                        yield f"id: {log.block}-{log.index}\nevent: {type(event).__name__}\ndata: {told}\n\n"
            except ChainFault as fault:
                yield f": the SN does not answer: {' '.join(str(fault).split())}\n\n"
            if not await ticket.wait(STREAM_LOOK_SECONDS):
                yield ": waiting\n\n"
