"""How the whole swarm stands at this moment, as one plain record: the SN, the members, the jobs."""

from __future__ import annotations

import asyncio
from typing import Any

from swarm.core.ids import DEFAULT_JOB, to_hex

from . import table
from .reading import told
from .source import View

JOBS_SHOWN_MAX = 100
"""Jobs in `swarm status`."""


async def standing(view: View) -> dict[str, Any]:
    """What `swarm status` shows.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    jobs, all_jobs = {}, await view.training.jobs()
    heard = {sign["said"].get("job") for sign in view.signs if sign["said"]}
    # Those that somebody trains, then the newest: each is a question to the SN, and a chain may hold thousands.
    newest = list(all_jobs.items())[::-1]
    order = sorted(newest, key=lambda job: (job[1] not in heard, job[1] != DEFAULT_JOB))
    shown = order[:JOBS_SHOWN_MAX]
    # Asked at one moment, these travel as few batches.
    states = await asyncio.gather(*(view.training.state(job) for job, _ in shown))
    for (_, name), state in zip(shown, states, strict=True):
        jobs[name] = {
            "run": state.run,
            "phase": state.phase.name.lower(),
            "round": state.round,
            "joined": state.joined_count,
            "min_peers": state.min_peers,
            "told": told(state),
        }
    members = [
        {"node": to_hex(node), "role": m.role.name.lower(), "status": m.status.name.lower(), "expires": m.expires}
        for node, m in (await view.membership.members()).items()
    ]
    return {
        "sn": view.status,
        "nodes": table.rows(members, view.signs),
        "jobs": jobs,
        "jobs_more": max(0, len(order) - JOBS_SHOWN_MAX),
    }
