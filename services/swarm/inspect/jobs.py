"""Reads jobs: which there are, what is fixed about one, where it stands, and what its members reported last."""

from __future__ import annotations

import asyncio
from typing import Any

from swarm.core.chain_view import JobState
from swarm.core.errors import OperatorFault
from swarm.core.ids import job_id, to_hex
from swarm.core.picking import pick

from . import shapes
from .history import runs_of
from .reading import read_run, told
from .source import Contracts, View


async def name_of(on: Contracts, typed: str) -> str:
    """The job that ``typed`` means: its name, or a beginning that only one has.

    Raises:
        OperatorFault: no job, or several; names them.
    """
    try:
        found = job_id(typed)
    except ValueError as error:
        raise OperatorFault(str(error)) from None
    if await on.training.name_of(found):
        return typed
    return pick("job", typed, sorted((await on.training.jobs()).values()))


async def jobs(on: Contracts) -> list[shapes.JobName]:
    """Every job, by name."""
    found = sorted((await on.training.jobs()).items(), key=lambda one: one[1])
    return [{"name": name, "id": to_hex(job)} for job, name in found]


async def job(on: Contracts, job: str) -> shapes.Job:
    """What is fixed about a job.

    Raises:
        OperatorFault: there is none of that name.
    """
    name = await name_of(on, job)
    number = job_id(name)
    origin, state, (options, changed) = await asyncio.gather(
        on.training.origin_of(number), on.training.state(number), on.options.get(number)
    )
    return {
        "name": name,
        "id": to_hex(number),
        "origin": None if origin is None else to_hex(origin),
        "runs": state.run,
        "options": options,
        "options_changed": changed,
    }


async def stands(on: Contracts, job: str) -> shapes.JobStands:
    """Where a job stands now.

    Raises:
        OperatorFault: there is none of that name.
    """
    return stands_of(await on.training.state(job_id(await name_of(on, job))))


def stands_of(state: JobState) -> shapes.JobStands:
    return {
        "run": state.run,
        "phase": state.phase.name.lower(),
        "round": state.round,
        "joined": state.joined_count,
        "min_peers": state.min_peers,
        "last": to_hex(state.prev) if any(state.prev) else None,
        "told": told(state),
    }


async def history(view: View, job: str | None = None) -> list[shapes.RunRow]:
    """All runs of a job, or of all jobs.

    Raises:
        OperatorFault: there is none of that name.
    """
    names = [await name_of(view.on, job)] if job is not None else sorted((await view.training.jobs()).values())
    return [row for name in names for row in await runs_of(view, name)]


async def run(view: View, job: str, run: int | None = None) -> shapes.Run:
    """The record of a run, by default of the latest.

    Raises:
        OperatorFault: no such job or run.
    """
    return (await read_run(view, await name_of(view.on, job), run)).to_json()


async def figures(view: View, job: str) -> list[shapes.Figure]:
    """For each member of the present run what it reported last, and whether it leads the open round.

    Raises:
        OperatorFault: there is no job of that name.
    """
    return figures_of(await run(view, job), view.signs)


def figures_of(record: shapes.Run, signs: list[dict[str, Any]]) -> list[shapes.Figure]:
    last: dict[str, shapes.Contribution] = {}
    for one in record["rounds"]:
        last |= {part["node"]: part for part in one["contributions"]}
    leads = {s["node"] for s in signs if s["said"] and s["alive"] and s["said"].get("leading") == "leader"}
    rows: list[shapes.Figure] = []
    for found in record["members"]:
        node, part = found["node"], last.get(found["node"])
        rows.append(
            {
                "node": node,
                "leads": node in leads,
                "loss": found["loss"] if found["loss"] is not None else part["loss"] if part else None,
                "metric": found["metric"] if found["metric"] is not None else part["metric"] if part else None,
                "epochs_total": part["epochs_total"] if part else 0,
                "epochs_done": part["epochs_done"] if part else 0,
            }
        )
    return rows
