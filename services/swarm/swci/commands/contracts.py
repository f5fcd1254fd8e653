"""Commands about training contracts, which the rest of the platform calls jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from swarm.chain.joboptions import JobOptions
from swarm.chain.names import GuardError, TrainingError
from swarm.chain.training import Training
from swarm.core.chain_view import Phase
from swarm.core.errors import OperatorFault, Reverted
from swarm.core.ids import JOB_NAME_BYTES_MAX, job_id, to_hex
from swarm.core.taskstatements import runner_id
from swarm.inspect.history import runs_of
from swarm.inspect.operator import Member
from swarm.inspect.printing import print_history, print_record
from swarm.inspect.reading import job_of, read_run, told
from swarm.inspect.reset import open_next
from swarm.inspect.source import View
from swarm.swci.freeing import runners_of, task_name
from swarm.swci.grammar import Typed
from swarm.swci.picking import pick
from swarm.swci.say import Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind
from swarm.swci.waiting import why as how

from .swarm import printed

RUNNER_HEADER = "NUMBER, ASSIGNMENT, TASK, HOW IT ENDED, ASSIGNED BY, ASSIGNED, ENDED"
RUNNER_HISTORY_MAX = 20
"""Assignments that HISTORY of a task runner tells."""
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
    member = await session.member()
    say.lines(await _names(session, _training(member)))


async def info(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    training = _training(member)
    name = await _named(session, training, typed)
    job = job_id(name)
    contract = JobOptions(member.reader, member.swarm.contracts["JobOptions"])
    origin, state, (options, version) = await asyncio.gather(
        training.origin_of(job), training.state(job), contract.get(job)
    )
    say.fact("NAME", name)
    say.fact("ID", to_hex(job))
    say.fact("ORIGIN", "this chain" if origin is None else f"carried over from the chain with genesis {to_hex(origin)}")
    say.fact("RUNS", state.run)
    say.fact("OPTIONS", options or "none")
    say.fact("CHANGED", f"{version} times")


async def status(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    training = _training(member)
    name = await _named(session, training, typed)
    state = await training.state(job_id(name))
    say.fact("NAME", name)
    say.fact("RUN", state.run)
    say.fact("STATE", state.phase.name)
    say.fact("ROUND", state.round)
    say.fact("JOINED", state.joined_count)
    say.fact("MINPEERS", state.min_peers)
    say.fact("LAST MODEL", to_hex(state.prev) if any(state.prev) else "none")
    say.fact("TOLD", told(state))


async def reset(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    name = await _named(session, _training(member), typed)
    async with session.access.writing(member) as (client, _):
        training = Training(client, member.swarm.training)
        state = await training.state(job_id(name))
        if state.phase is not Phase.IDLE:
            mend = f"RESET CONTRACT {name} FORCE"
            await open_next(member.link, training, name, force="force" in typed.values, mend=mend)
    say.line("Contract Reset")


async def perfdata(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    view = await member.view()
    record = (await read_run(view, await _named(session, view.training, typed), None)).to_json()
    say.line(PERF_HEADER)
    for row in performance(record, view.signs):
        say.line(row)


def performance(record: dict[str, Any], signs: list[dict[str, Any]]) -> list[str]:
    """A line for each member of a run: what its last check-in reported, and whether it leads the open round."""
    last: dict[str, dict[str, Any]] = {}
    for one in record["rounds"]:
        last |= {part["node"]: part for part in one["contributions"]}
    leads = {s["node"] for s in signs if s["said"] and s["alive"] and s["said"].get("leading") == "leader"}
    rows = []
    for found in record["members"]:
        node = found["node"]
        part: dict[str, Any] = last.get(node, {})
        loss = found["loss"] if found["loss"] is not None else part.get("loss")
        metric = found["metric"] if found["metric"] is not None else part.get("metric")
        epochs = f"{part.get('epochs_total', 0)}, {part.get('epochs_done', 0)}"
        rows.append(f"{node}, {'ADMIN' if node in leads else '-'}, {_figure(loss)}, {_figure(metric)}, {epochs}")
    return rows


async def audit(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    view = await member.view()
    name = await _named(session, view.training, typed)
    record = (await read_run(view, name, _run(typed))).to_json()
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
    view: View = await member.view()
    everything = typed.values.get("contract", "all").lower() == "all"
    if not everything and await _tell_runner(session, member, typed.values["contract"], say):
        return
    names = await _names(session, view.training) if everything else [await _named(session, view.training, typed)]
    rows = [row for name in names for row in await runs_of(view, name)]
    printed(session, say, lambda console: print_history(console, rows))


async def _tell_runner(session: Session, member: Member, name: str, say: Say) -> bool:
    """The last assignments of a task runner, if it is one and no contract is called so, newest first."""
    runners, runner = runners_of(member.reader, member), runner_id(name)
    if not await runners.name_of(runner) or await _training(member).name_of(job_id(name)):
        return False
    rows = [
        f"{a.op}, {to_hex(a.aid)}, {await task_name(member, a.task)}, {how(a)}, {to_hex(a.by)}, "
        f"{stamp(a.assigned_time)}, {stamp(a.ended_time) if a.ended_time else '-'}"
        for a in await runners.newest(runner, RUNNER_HISTORY_MAX)
    ]
    if rows:
        say.line(RUNNER_HEADER)
    say.lines(rows)
    return True


def _training(member: Member) -> Training:
    return Training(member.reader, member.swarm.training)


async def _names(session: Session, training: Training) -> list[str]:
    names = sorted((await training.jobs()).values())
    session.known[Kind.CONTRACT] = names
    return names


async def _named(session: Session, training: Training, typed: Typed) -> str:
    """The contract that was meant; asks for the whole list only where the name as typed is none."""
    name = typed.values["contract"]
    try:
        await job_of(training, name)
    except OperatorFault:
        return pick("contract", name, await _names(session, training))
    return name


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


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
