"""How the whole swarm stands at this moment, as one plain record: the SN, the members, the jobs."""

from __future__ import annotations

import asyncio
from typing import Any

from swarm.core.ids import DEFAULT_JOB, to_hex

from . import shapes, table
from .jobs import stands_of
from .source import View

JOBS_SHOWN_MAX = 100
"""Jobs in `swarm status`."""


async def standing(view: View) -> shapes.Standing:
    """What `swarm status` shows.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    all_jobs = await view.training.jobs()
    heard = {sign["said"].get("job") for sign in view.signs if sign["said"]}
    # Those that somebody trains, then the newest: each is a question to the SN, and a chain may hold thousands.
    newest = list(all_jobs.items())[::-1]
    order = sorted(newest, key=lambda job: (job[1] not in heard, job[1] != DEFAULT_JOB))
    shown = order[:JOBS_SHOWN_MAX]
    # Asked at one moment, these travel as few batches.
    states = await asyncio.gather(*(view.training.state(job) for job, _ in shown))
    jobs = {name: stands_of(state) for (_, name), state in zip(shown, states, strict=True)}
    members: list[Any] = [*await members_of(view)]
    return {
        "sn": view.status,  # type: ignore[typeddict-item]  # as .answers leaves it
        "nodes": table.rows(members, view.signs),
        "jobs": jobs,
        "jobs_more": max(0, len(order) - JOBS_SHOWN_MAX),
    }


async def members_of(view: View) -> list[shapes.MemberRow]:
    """Everybody who was ever admitted."""
    return [
        {"node": to_hex(node), "role": m.role.name.lower(), "status": m.status.name.lower(), "expires": m.expires}
        for node, m in (await view.membership.members()).items()
    ]


async def waiting(view: View) -> list[shapes.WaitRow]:
    """What each member waits for, of whom, since when, until when."""
    rows = (await standing(view))["nodes"]
    return [
        {"node": row["node"], "name": row["name"], "role": row["role"], **wait} for row in rows for wait in row["waits"]
    ]
