"""Reads what the views show: events of one run, page by page, and the state of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swarm.chain import events as ev
from swarm.chain.events import EventDecoder
from swarm.chain.paging import logs_up_to
from swarm.chain.rpc import Rpc
from swarm.chain.training import Training
from swarm.core.chain_view import JobState, Phase
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.ids import Address, Digest, job_id, to_hex

from .record import RunRecord, build
from .source import View

NAMES_MAX = 20
"""Jobs that a refusal names."""


async def job_of(training: Training, name: str) -> Digest:
    """The job called ``name``.

    Raises:
        OperatorFault: there is none; names those that exist.
    """
    try:
        job = job_id(name)
    except ValueError as error:
        raise OperatorFault(str(error)) from None
    if not await training.name_of(job):
        there = sorted((await training.jobs()).values())
        more = f" and {len(there) - NAMES_MAX} more" if len(there) > NAMES_MAX else ""
        raise OperatorFault(f"no job is called {name}; there are: {', '.join(there[:NAMES_MAX])}{more}")
    return job


async def read_run(view: View, name: str, run: int | None) -> RunRecord:
    """The record of a run, by default the latest, with block times.

    Raises:
        OperatorFault: no such job or run.
        ChainFault: the SN or its chain failed.
    """
    job = await job_of(view.training, name)
    state = await view.training.state(job)
    number = state.run if run is None else run
    if not 0 <= number <= state.run:
        raise OperatorFault(f"--run={number}: the latest run of {name} is {state.run}")
    happened = await events_of(view, job, number)
    record = record_of(name, number, happened)
    if view.options is not None:
        record.weigh(await options_at_start(view, job, happened))
    if number == state.run and state.phase is Phase.IDLE and not record.members:
        record.phase = "idle"
    for one in record.rounds.values():
        if one["merged"] is not None and one["block"] is not None:
            one["time"] = await time_of(view.rpc, one["block"])
    return record


def record_of(name: str, number: int, happened: list[tuple[int, Any]]) -> RunRecord:
    """The record that these events make.

    Raises:
        ChainFault: they do not fit together; the SN leaves some out.
    """
    try:
        return build(name, number, happened)
    except ValueError as error:
        raise ChainFault(f"what the SN tells of run {number} of {name} does not fit together: {error}") from error


async def time_of(rpc: Rpc, block: int) -> int:
    """Block time, in seconds.

    Raises:
        ChainFault: the SN or its chain failed, or has no such block.
    """
    found = await rpc("eth_getBlockByNumber", [hex(block), False])
    if found is None:
        raise ChainFault(f"the SN has no block {block}, of which it told an event")
    return int(found["timestamp"], 16)


async def events_of(view: View, job: Digest, run: int) -> list[tuple[int, Any]]:
    """Everything the chain says about one run: (block, event) in order.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    return await _events(view, "Training", view.training.address, [None, to_hex(job), "0x" + f"{run:064x}"])


async def options_at_start(view: View, job: Digest, happened: Sequence[tuple[int, Any]]) -> str:
    """The job's options that a run went by; "" for one that was carried over, of which that is not known.

    They cannot change once somebody has joined; a reset opens the run before that.

    Args:
        happened: the events of the run.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    if view.options is None or any(isinstance(event, ev.RunCarried) for _, event in happened):
        return ""
    joined = next((block for block, event in happened if isinstance(event, ev.Joined)), None)
    changes = await _events(view, "JobOptions", view.options, [None, to_hex(job)])
    texts = [event.options for block, event in changes if joined is None or block <= joined]
    return texts[-1] if texts else ""


async def _events(view: View, name: str, contract: Address, topics: list[str | None]) -> list[tuple[int, Any]]:
    decode = EventDecoder({name: contract})
    head = int(await view.rpc("eth_blockNumber", []), 16)
    found: list[tuple[int, Any]] = []
    async for log in logs_up_to(view.rpc, head, [contract], topics):
        event = decode(log)
        if event is not None:
            found.append((log.block, event))
    return found


def told(state: JobState) -> str:
    """Where a job stands, in a few words."""
    if state.phase is Phase.IDLE:
        return "nobody has joined yet"
    if state.phase is Phase.OPEN and not state.started:
        return f"{state.joined_count} joined, the run starts with {state.min_peers}"
    if state.phase is Phase.OPEN:
        few = f" of the {state.min_peers} that it needs" if state.joined_count < state.min_peers else ""
        return f"round {state.round} is open, {state.joined_count} joined{few}"
    return f"{state.phase.name.lower()} after {state.round} rounds"
