"""Our own resources of the REST face: jobs, runs, nodes, waits, tasks and runners as JSON.

Reads only, as the command line does, in the swarm of the caller's shell. The stream of events is :mod:`.streams`'.
"""

# No postponed annotations here: FastAPI reads those of the handlers below.

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Path

from swarm.core.errors import OperatorFault
from swarm.inspect import shapes, shapes_tasks
from swarm.inspect import tasks as read
from swarm.inspect.history import runs_of
from swarm.inspect.operator import Member
from swarm.inspect.reading import read_run
from swarm.inspect.source import View
from swarm.inspect.standing import standing, waiting
from swarm.net.answers import ApiError

NAME_CHARS_MAX = 640

Name = Annotated[str, Path(min_length=1, max_length=NAME_CHARS_MAX)]
MemberOf = Callable[..., Awaitable[Member]]


def add_resources(app: FastAPI, member_of: MemberOf) -> None:
    """Args: member_of: a dependency: this SWCI in the swarm that a caller's shell means."""
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
