"""``swarm audit``, ``history``, ``wait`` and ``status``: read, print, and end with an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault
from swarm.core.ids import DEFAULT_JOB, to_hex
from swarm.core.shown import printable

from . import table
from .history import runs_of
from .reading import job_of, read_run, told
from .record import RunRecord
from .source import Source, View, open_view
from .watch import watch

Again = Callable[[dict[str, Any]], tuple[list[dict[str, Any]], int]]
"""Merges a record's rounds again: a row each (``round``, ``found``, ``why``), and the exit code."""

EXIT_COMPLETE, EXIT_FAILED, EXIT_TIMEOUT = 0, 1, 3
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
SHORT_HEX_CHARS = 10
COLUMNS_IN_A_PIPE = 160
JOBS_SHOWN_MAX = 100
"""Jobs in `swarm status`."""
OWN_FIGURE = (
    "* as an original client reports it: with a loss function that averages, its PyTorch loss is divided by the batch"
    " size once more"
)


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
    _print_record(_console(), record)
    if again is not None:
        shown = Table("round", "found", "how", title="merged again")
        for row in rows:
            shown.add_row(str(row["round"]), row["found"], _safe(row["why"]))
        _console().print(shown)
    return code


def wait(where: Source, job: str, run: int | None, timeout: float | None) -> int:
    """Wait for the end of a run, telling each step; its exit code."""
    return asyncio.run(_wait(where, job, run, timeout))


def status(where: Source, *, as_json: bool, every: float | None = None) -> int:
    """Print how the swarm stands; with ``every``, again and again after so many seconds."""

    async def act() -> dict[str, Any]:
        async with open_view(where) as view:
            return await _status(view)

    if every is not None:
        return watch(act, every, as_json=as_json)
    found = asyncio.run(act())
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print_status(_console(), found)
    return 0


def history(where: Source, job: str | None, *, as_json: bool) -> int:
    """Print all runs of a job, or of all jobs."""

    async def act() -> list[dict[str, Any]]:
        async with open_view(where) as view:
            names = [job] if job is not None else sorted((await view.training.jobs()).values())
            return [row for name in names for row in await runs_of(view, name)]

    rows = asyncio.run(act())
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print_history(_console(), rows)
    return 0


async def _wait(where: Source, job: str, run: int | None, timeout: float | None) -> int:
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            print(f"{_clock(int(time.time()))}  {job}: {text}", flush=True)

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


async def _status(view: View) -> dict[str, Any]:
    jobs, all_jobs = {}, await view.training.jobs()
    heard = {sign["said"].get("job") for sign in view.signs if sign["said"]}
    # Those that somebody trains, then the newest: each is a question to the SN, and a chain may hold thousands.
    newest = list(all_jobs.items())[::-1]
    order = sorted(newest, key=lambda job: (job[1] not in heard, job[1] != DEFAULT_JOB))
    for job, name in order[:JOBS_SHOWN_MAX]:
        state = await view.training.state(job)
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


def _console() -> Console:
    """As wide as the terminal or COLUMNS; in a pipe or file wide enough that no row is cut or broken into two."""
    console = Console(soft_wrap=False)
    return (
        console if console.is_terminal or "COLUMNS" in os.environ else Console(soft_wrap=False, width=COLUMNS_IN_A_PIPE)
    )


def _print_record(console: Console, record: dict[str, Any]) -> None:
    title = f"{record['job']} run {record['run']}: {record['phase']}"
    console.print(title + (f" ({record['reason']})" if record["reason"] else ""), markup=False, highlight=False)
    members = Table("node", "address for peers", "state", "leads", "loss", "metric", title="members")
    for m in record["members"]:
        leads = sum(1 for r in record["rounds"] if r["leader"] == m["node"])
        members.add_row(
            _safe(m["node"]), _safe(m["uri"]), m["state"], str(leads), _float(m["loss"]), _float(m["metric"])
        )
    console.print(members)
    rounds = Table("round", "time", "leader", "attempt", "from", "acks", "method", "merged", title="rounds")
    parts = Table("round", "node", "blob", "weight", "share", "epochs", "loss", "metric", title="contributions")
    for r in record["rounds"]:
        rounds.add_row(
            str(r["round"]),
            _clock(r.get("time")),
            _short(r["leader"]),
            str(r["attempt"]),
            str(sum(1 for c in r["contributions"] if c["weight"])),
            f"{r['acks']}/{len(r['roster'])}",
            _safe(r["method"]),
            _short(r["merged"]),
        )
        for c in r["contributions"]:
            parts.add_row(
                str(r["round"]),
                _short(c["node"]),
                _short(c["blob"]),
                str(c["weight"]) if c["counted"] == c["weight"] else f"{c['counted']} (says {c['weight']})",
                f"{c['coefficient']:.4f}",
                f"{c['epochs_done']}/{c['epochs_total']}",
                _float(c["loss"]) + ("*" if c["own_figure"] else ""),
                _float(c["metric"]),
            )
    console.print(rounds)
    console.print(parts)
    if any(c["own_figure"] for r in record["rounds"] for c in r["contributions"]):
        console.print(OWN_FIGURE, markup=False, highlight=False)
    for call in record["calls"]:
        text = f"call {call['call']} by {_short(call['by'])}: {len(call['answers'])} answers, {call['end'] or 'open'}"
        console.print(text, markup=False, highlight=False)
    if record["final"]:
        console.print(f"final model: {record['final']}", markup=False, highlight=False)


def _print_status(console: Console, found: dict[str, Any]) -> None:
    sn = found["sn"]
    head = sn["head"]["number"] if sn["head"] else "none"
    health = "up" if sn["up"] else f"DOWN: {sn['reason']}"
    console.print(
        printable(
            f"SN {sn['node']}: {health}, {sn['swarm']['chain']} chain, block {head}, "
            f"admission {sn['swarm']['admission']}"
        ),
        markup=False,
        highlight=False,
    )
    nodes = Table(*table.COLUMNS, title="the swarm")
    for row in found["nodes"]:
        for line in table.cells(row):
            nodes.add_row(*map(_safe, line))
    console.print(nodes)
    jobs = Table("job", "run", "phase", "state", title="jobs")
    for name, job in found["jobs"].items():
        jobs.add_row(_safe(name), str(job["run"]), job["phase"], job["told"])
    console.print(jobs)
    if found["jobs_more"]:
        console.print(f"and {found['jobs_more']} more jobs (swarm history NAME shows one)", highlight=False)


def _print_history(console: Console, rows: list[dict[str, Any]]) -> None:
    shown = Table("job", "run", "state", "rounds", "from", "began", "ended", "last merged model", "how", title="runs")
    for r in rows:
        shown.add_row(
            _safe(r["job"]),
            str(r["run"]),
            r["state"],
            str(r["rounds"]),
            f"{len(r['contributors'])} of {len(r['members'])}",
            _clock(r["began"]),
            _clock(r["ended"]),
            _short(r["final"] or "-"),
            _safe(r["how"]),
        )
    console.print(shown)


def _safe(text: str) -> str:
    """Others wrote it on the chain: no control characters, no markup of ours."""
    return printable(text).replace("[", "\\[")


def _short(text: str) -> str:
    return text[: 2 + SHORT_HEX_CHARS]


def _float(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _clock(seconds: int | None) -> str:
    if seconds is None or seconds >= 253_402_300_800:  # beyond the year 9999: "for ever"
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
