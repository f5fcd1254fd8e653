"""``swarm audit``, ``history``, ``wait`` and ``status``: read, print, and end with an exit code."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.table import Table

from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault

from . import shapes
from .history import runs_of
from .printing import clock, console, print_history, print_record, print_status, safe
from .reading import job_of, read_run, told
from .record import RunRecord
from .source import Source, View, open_view
from .standing import standing
from .watch import watch

Again = Callable[[shapes.Run], tuple[list[dict[str, Any]], int]]
"""Merges a record's rounds again: a row each (``round``, ``found``, ``why``), and the exit code."""

EXIT_COMPLETE, EXIT_FAILED, EXIT_TIMEOUT = 0, 1, 3
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0


def audit(where: Source, job: str, run: int | None, *, as_json: bool, again: Again | None = None) -> int:
    """Print the record of a run, and with ``again`` what came of merging its rounds again; the exit code."""

    async def act() -> RunRecord:
        async with open_view(where) as view:
            return await read_run(view, job, run)

    record = asyncio.run(act()).to_json()
    rows, code = ([], 0) if again is None else again(record)
    if as_json:
        print(json.dumps(record if again is None else {**record, "recomputed": rows}, indent=1))
        return code
    print_record(console(), record)
    if again is not None:
        shown = Table("round", "found", "how", title="merged again")
        for row in rows:
            shown.add_row(str(row["round"]), row["found"], safe(row["why"]))
        console().print(shown)
    return code


def wait(where: Source, job: str, run: int | None, timeout: float | None) -> int:
    """Wait for the end of a run, telling each step; its exit code."""
    return asyncio.run(_wait(where, job, run, timeout))


def status(where: Source, *, as_json: bool, every: float | None = None) -> int:
    """Print how the swarm stands; with ``every``, again and again after so many seconds."""

    async def act() -> shapes.Standing:
        async with open_view(where) as view:
            return await standing(view)

    if every is not None:
        return watch(act, every, as_json=as_json)
    found = asyncio.run(act())
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_status(console(), found)
    return 0


def history(where: Source, job: str | None, *, as_json: bool) -> int:
    """Print all runs of a job, or of all jobs."""

    async def act() -> list[shapes.RunRow]:
        async with open_view(where) as view:
            names = [job] if job is not None else sorted((await view.training.jobs()).values())
            return [row for name in names for row in await runs_of(view, name)]

    rows = asyncio.run(act())
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print_history(console(), rows)
    return 0


async def _wait(where: Source, job: str, run: int | None, timeout: float | None) -> int:
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            print(f"{clock(int(time.time()))}  {job}: {text}", flush=True)

    wanted = run
    try:
        async with asyncio.timeout(timeout), open_view(where) as view:
            number = await job_of(view.training, job)
            while True:
                try:
                    state = await view.training.state(number)
                except ChainFault as error:
                    say(f"the SN does not answer ({error}); asking again")
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                wanted = state.run if wanted is None or (wanted == 0 and run is None) else wanted
                if state.run > wanted:
                    return await _judge_past(view, job, wanted, say)
                if state.run == wanted:
                    say(f"run {wanted}: {told(state)}")
                    if state.phase is Phase.COMPLETE:
                        return EXIT_COMPLETE
                    if state.phase is Phase.FAILED:
                        say(f"run {wanted} failed: {(await read_run(view, job, wanted)).reason}")
                        return EXIT_FAILED
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        sys.stderr.write(f"swarm: {job} has not ended within {timeout:g} s; last: {said or 'no answer'}\n")
        return EXIT_TIMEOUT


async def _judge_past(view: View, job: str, run: int, say: Any) -> int:
    """A run that is not the current one any more ended one way or the other."""
    record = await read_run(view, job, run)
    if record.phase == "complete":
        say(f"run {run}: complete after {len(record.rounds)} rounds")
        return EXIT_COMPLETE
    say(f"run {run}: {record.phase}, and a reset began the next run")
    return EXIT_FAILED
