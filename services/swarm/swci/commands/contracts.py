"""Commands about training contracts, which the rest of the platform calls jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from swarm.chain.names import GuardError, TrainingError
from swarm.chain.training import Training
from swarm.core.chain_view import Phase
from swarm.core.errors import OperatorFault, Reverted
from swarm.core.ids import JOB_NAME_BYTES_MAX, job_id
from swarm.core.picking import pick
from swarm.core.taskstatements import runner_id
from swarm.inspect import jobs as read
from swarm.inspect.operator import Member
from swarm.inspect.printing import figure, print_history, print_record
from swarm.inspect.reading import job_of
from swarm.inspect.reset import open_next
from swarm.inspect.tasks import assignments
from swarm.swci.grammar import Typed
from swarm.swci.say import Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind

from .swarm import printed

RUNNER_HEADER = "NUMBER, ASSIGNMENT, TASK, HOW IT ENDED, ASSIGNED BY, ASSIGNED, ENDED"
PERF_HEADER = "UID, SL ADMIN, LOSS, METRIC, TOTAL EPOCHS, FINISHED EPOCHS"


async def create(session: Session, typed: Typed, say: Say) -> None:
    name = typed.values["contract"]
    if "," in name or "/" in name or not name.isprintable() or not 1 <= len(name.encode()) <= JOB_NAME_BYTES_MAX:
        raise OperatorFault(
            f"{name!r:.200} cannot be a contract's name: 1 to {JOB_NAME_BYTES_MAX} bytes, no comma, no slash"
        )
    member = await session.member()
    async with session.access.writing(member) as (client, _):
        try:
            await Training(client, member.swarm.training).create_job(name)
        except Reverted as error:
            if error.name == TrainingError.JOB_EXISTS:
                raise OperatorFault(f"there is a contract {name} already; it can be used as it is") from error
            if error.name == GuardError.NOT_ALLOWED:
                raise OperatorFault(
                    "this certificate's node was admitted in a role that creates no contracts"
                ) from error
            raise
    say.line(f"Contract Created : {name}")


async def list_(session: Session, typed: Typed, say: Say) -> None:
    say.lines(await _names(session, await session.member()))


async def info(session: Session, typed: Typed, say: Say) -> None:
    # Nothing that can change: the original's client asks once, and keeps the answer (rows C11, R12).
    member = await session.member()
    found = await read.job(member.on, await _named(session, member, typed))
    origin = found["origin"]
    say.fact("NAME", found["name"])
    say.fact("ID", found["id"])
    say.fact("ORIGIN", "this chain" if origin is None else f"carried over from the chain with genesis {origin}")


async def status(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    name = await _named(session, member, typed)
    found, about = await asyncio.gather(read.stands(member.on, name), read.job(member.on, name))
    say.fact("NAME", name)
    say.fact("RUN", found["run"])
    say.fact("STATE", found["phase"].upper())
    say.fact("ROUND", found["round"])
    say.fact("JOINED", found["joined"])
    say.fact("MINPEERS", found["min_peers"])
    say.fact("LAST MODEL", found["last"] or "none")
    say.fact("TOLD", found["told"])
    say.fact("OPTIONS", about["options"] or "none")
    say.fact("CHANGED", f"{about['options_changed']} times")


async def reset(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    name = await _named(session, member, typed)
    async with session.access.writing(member) as (client, _):
        training = Training(client, member.swarm.training)
        state = await training.state(job_id(name))
        if state.phase is not Phase.IDLE:
            mend = f"RESET CONTRACT {name} FORCE"
            await open_next(member.link, training, name, force="force" in typed.values, mend=mend)
    say.line("Contract Reset")


async def perfdata(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    rows = await read.figures(await member.view(), await _named(session, member, typed))
    say.line(PERF_HEADER)
    for row in rows:
        figures = f"{figure(row['loss'])}, {figure(row['metric'])}"
        epochs = f"{row['epochs_total']}, {row['epochs_done']}"
        say.line(f"{row['node']}, {'ADMIN' if row['leads'] else '-'}, {figures}, {epochs}")


async def audit(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    record = await read.run(await member.view(), await _named(session, member, typed), _run(typed))
    printed(session, say, lambda console: print_record(console, record))


def _run(typed: Typed) -> int | None:
    text = typed.values.get("run", "latest")
    if text.lower() == "latest":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise OperatorFault(f"AUDIT: <run> is {text!r:.60}, expected a number or latest")
    return int(text)


async def history(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    everything = typed.values.get("contract", "all").lower() == "all"
    if not everything and await _tell_runner(member, typed.values["contract"], say):
        return
    rows = await read.history(await member.view(), None if everything else await _named(session, member, typed))
    printed(session, say, lambda console: print_history(console, rows))


async def _tell_runner(member: Member, name: str, say: Say) -> bool:
    """The last assignments of a task runner, if it is one and no contract is called so, newest first."""
    on = member.on
    if not await on.runners.name_of(runner_id(name)) or await on.training.name_of(job_id(name)):
        return False
    rows = [(row["assignment"], row["task"], row["told"]) for row in await assignments(on, name)]
    if rows:
        say.line(RUNNER_HEADER)
    say.lines(
        [
            f"{a['op']}, {a['aid']}, {task}, {how}, {a['by']}, {stamp(a['assigned_time'])}, "
            f"{stamp(a['ended_time']) if a['ended_time'] else '-'}"
            for a, task, how in rows
        ]
    )
    return True


async def _named(session: Session, member: Member, typed: Typed) -> str:
    """The contract that was meant; asks for the whole list only where the name as typed is none."""
    name = typed.values["contract"]
    try:
        await job_of(member.on.training, name)
    except OperatorFault:
        return pick("contract", name, await _names(session, member), whole=typed.command.changes)
    return name


async def _names(session: Session, member: Member) -> list[str]:
    found = [one["name"] for one in await read.jobs(member.on)]
    session.learn(Kind.CONTRACT, found)
    return found


HANDLERS: Mapping[str, Handler] = {
    "CREATE CONTRACT": create,
    "LIST CONTRACTS": list_,
    "GET CONTRACT INFO": info,
    "GET CONTRACT STATUS": status,
    "RESET CONTRACT": reset,
    "PERFDATA": perfdata,
    "AUDIT": audit,
    "HISTORY": history,
}
