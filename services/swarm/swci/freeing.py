"""Whether a task runner is free, and making it so: who wants it ends an assignment whose peers are silent.

When to suspect and expire is :mod:`swarm.core.taskrun.asking`'s. The operator's key is held for each transaction only:
the waits in between take minutes, and other shells of this operator go on working meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarm.chain.client import ChainClient
from swarm.chain.names import RunnerError
from swarm.chain.taskrunners import Taskrunners
from swarm.core.errors import ChainFault, OperatorFault, Reverted
from swarm.core.ids import Digest, to_hex
from swarm.core.shown import shown
from swarm.core.taskrun.asking import Lease, Step, lapse
from swarm.core.taskview import Assignment, RunnerState
from swarm.inspect.answers import check_status
from swarm.inspect.operator import Member

from . import tasking
from .say import Say, stamp
from .session import Session

LOOK_SECONDS = 2.0
FREEING_SECONDS = 600.0
"""How long a silent assignment is waited for to be ended; a lease of two minutes needs 150 s."""


@dataclass(frozen=True, slots=True)
class Runner:
    id: Digest
    name: str


def runners_of(client: ChainClient, member: Member) -> Taskrunners:
    return Taskrunners(client, member.swarm.contracts["Taskrunners"])


async def now_of(client: ChainClient) -> tuple[int, int]:
    """Number and time of the newest block."""
    block = await client.rpc("eth_getBlockByNumber", ["latest", False])
    if block is None:
        raise ChainFault("the SN has no newest block: its chain is starting")
    return int(block["number"], 16), int(block["timestamp"], 16)


async def next_of(member: Member) -> tuple[int, int]:
    """Number of the newest block, and the time that the next one will have.

    An idle chain that seals on demand has an old newest block, and stamps the next one by its SN's clock. This host's
    clock says nothing about that: it may be wrong by any time.
    """
    block, now = await now_of(member.reader)
    if member.swarm.can_reorganise:  # sealed by the clock: the newest block is new
        return block, now
    told = check_status(await member.looks.get("/v1/status")).get("time")  # an SN of an older version says none
    return block, max(now, int(told or 0))


async def task_name(member: Member, task: Digest) -> str:
    """Of a task that was assigned."""
    info = await tasking.tasks_of(member.reader, member).info(task)
    return shown(info.header.name) if info is not None else to_hex(task)


async def free(session: Session, member: Member, runner: Runner, say: Say) -> None:
    """Return once the runner is not busy: at once, or after what is silent on it has been ended.

    Raises:
        OperatorFault: its peers are there; says who and what.
    """
    runners = runners_of(member.reader, member)
    lease = Lease(await runners.lease_seconds(), await runners.grace_blocks())
    until = session.steady() + FREEING_SECONDS
    while True:
        view = await runners.state(runner.id)
        current = view.current
        if current is None or not view.busy:
            return
        block, now = await next_of(member)
        step = lapse(current, lease, now, block)
        try:
            if step is Step.SUSPECT:
                say.line(f"no peer of {runner.name} was heard since {stamp(current.heard)}: ending its task")
                async with session.access.writing(member) as (client, _):
                    await runners_of(client, member).suspect(runner.id, current.aid)
            elif step is Step.EXPIRE:
                async with session.access.writing(member) as (client, _):
                    await runners_of(client, member).expire(runner.id, current.aid)
                return
        except Reverted as error:  # somebody else was quicker, or a peer is back: look again
            if error.name not in (RunnerError.NOT_DUE, RunnerError.NOT_CURRENT, RunnerError.NOTHING_OPEN):
                raise
            if error.name == RunnerError.NOT_DUE and step is Step.SUSPECT:  # the SN's clock is ahead of its chain's
                raise OperatorFault(await busy(member, runner, current)) from error
        if step is Step.WAIT and (not current.suspected or session.steady() > until):
            raise OperatorFault(await busy(member, runner, current))
        say.mark()
        await session.sleep(LOOK_SECONDS)


async def busy(member: Member, runner: Runner, current: Assignment) -> str:
    """Why a runner is not free, with names and what can be done."""
    where = "waits for SWOPs to enrol" if current.shown is RunnerState.ASSIGNED else f"has {current.open} open pairs"
    return (
        f"task runner {runner.name} is busy: task {await task_name(member, current.task)} (assignment {current.op} by "
        f"{to_hex(current.by)}) {where}, last heard of {stamp(current.heard or current.assigned_time)}; "
        f"WAIT FOR TASKRUNNER, or RESET TASKRUNNER {runner.name} FORCE ends it"
    )
