"""``swarm reset``: opens the next run of a job, as a node of role SWCI that joins like any other.

Owns its settings and what it tells; that a busy job is not reset by accident is the contract's rule.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from swarm.chain.events import EventDecoder, RunReset
from swarm.chain.names import GuardError, TrainingError
from swarm.chain.training import Training
from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault, OperatorFault, Reverted, SwarmFault
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.options import Opt
from swarm.node.sn_link import SnLink

from . import table
from .answers import check_signs
from .operator import OperatorSettings, operator
from .reading import job_of, time_of


class ResetSettings(OperatorSettings):
    """Open the next run of a job."""

    command = "reset"

    force: Annotated[bool, Opt("--force", switch=True)] = Field(
        False, description="end a run whose members are live; their programs fail"
    )


async def reset(settings: ResetSettings) -> str:
    """Open the next run; a sentence that says which.

    Raises:
        OperatorFault: settings, certificates, no such job, members are live, nothing to reset.
        ChainFault: the chain refused or did not answer.
    """
    async with operator(settings) as here:
        return await open_next(here.link, here.training, settings.job, force=settings.force, mend="--force")


async def open_next(link: SnLink, training: Training, name: str, *, force: bool, mend: str) -> str:
    """Open a job's next run; a sentence that says which, and how the one before ended.

    Args:
        mend: how whoever asks would say ``force``.

    Raises:
        OperatorFault: no such job, members are live, nothing to reset.
        ChainFault: the chain refused or did not answer.
    """
    job = await job_of(training, name)
    before = await training.state(job)
    try:
        receipt = await training.reset(job, force)
    except Reverted as error:
        if error.name == TrainingError.MEMBERS_LIVE:
            live = await _live(link, training, job, error.values["members"])
            raise OperatorFault(
                f"{name} is busy: run {before.run} has {len(live)} live members: {'; '.join(live)}. Wait for its end, "
                f"or end it with {mend}: their programs fail then"
            ) from error
        if error.name == TrainingError.WRONG_PHASE:
            raise OperatorFault(f"nothing to reset: nobody has joined run {before.run} of {name} yet") from error
        if error.name == GuardError.NOT_ALLOWED:
            raise OperatorFault("this certificate's node was admitted in a role that may not reset jobs") from error
        raise
    decode = EventDecoder({"Training": training.address})
    opened = [event.run for event in map(decode, receipt.logs) if isinstance(event, RunReset)]
    if not opened:
        raise ChainFault("the reset was mined without saying which run it opened")
    ended = "was complete" if before.phase is Phase.COMPLETE else "ended without a result"
    return f"{name}: run {opened[0]} is open for joining; run {before.run} {ended}"


async def _live(link: SnLink, training: Training, job: Digest, members: Sequence[Address]) -> list[str]:
    """Who holds the run, each in a few words: name, address, since when, when last heard of."""
    joiners = {j.node: j for j in await training.joiners_of(job)}
    try:
        signs: dict[str, Any] = {s["node"]: s for s in check_signs(await link.get("/v1/alive"))}
    except SwarmFault:
        signs = {}  # the refusal itself is what matters; names are a courtesy
    told = []
    for node in members:
        sign = signs.get(to_hex(node), {})
        joined = "at a time that the SN does not know"
        if node in joiners:
            at = await time_of(link.rpc, joiners[node].joined_block)
            joined = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        heard = f"heard of {table.ago(sign['age_seconds'])} ago" if sign else "not heard of at this SN"
        name = f"{sign['name']} " if sign.get("name") else ""
        told.append(f"{name}{to_hex(node)}, joined {joined}, {heard}")
    return told
