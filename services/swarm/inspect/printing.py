"""Prints what operators ask for as tables: for a terminal, a file, or the lines of a shell. Reads nothing itself."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from swarm.core.shown import printable

from . import shapes, table

SHORT_HEX_CHARS = 10
COLUMNS_IN_A_PIPE = 160
OWN_FIGURE = (
    "* as an original client reports it: with a loss function that averages, its PyTorch loss is divided by the batch"
    " size once more"
)


def console() -> Console:
    """As wide as the terminal or COLUMNS; in a pipe or file wide enough that no row is cut or broken into two."""
    console = Console(soft_wrap=False)
    return (
        console if console.is_terminal or "COLUMNS" in os.environ else Console(soft_wrap=False, width=COLUMNS_IN_A_PIPE)
    )


def print_record(console: Console, record: shapes.Run) -> None:
    title = f"{record['job']} run {record['run']}: {record['phase']}"
    console.print(title + (f" ({record['reason']})" if record["reason"] else ""), markup=False, highlight=False)
    members = Table("node", "address for peers", "state", "leads", "loss", "metric", title="members")
    for m in record["members"]:
        leads = sum(1 for r in record["rounds"] if r["leader"] == m["node"])
        members.add_row(safe(m["node"]), safe(m["uri"]), m["state"], str(leads), _float(m["loss"]), _float(m["metric"]))
    console.print(members)
    rounds = Table("round", "time", "leader", "attempt", "from", "acks", "method", "merged", title="rounds")
    parts = Table(
        "round", "node", "blob", "behind", "weight", "share", "epochs", "loss", "metric", title="contributions"
    )
    for r in record["rounds"]:
        rounds.add_row(
            str(r["round"]),
            clock(r.get("time")),
            _short(r["leader"]),
            str(r["attempt"]),
            str(sum(1 for c in r["contributions"] if c["weight"])),
            f"{r['acks']}/{len(r['roster'])}",
            safe(r["method"]),
            _short(r["merged"]),
        )
        for c in r["contributions"]:
            parts.add_row(
                str(r["round"]),
                _short(c["node"]),
                _short(c["blob"]),
                str(c["behind"] or "-"),
                str(c["weight"]) if c["counted"] == c["weight"] else f"{c['counted']:.10g} (says {c['weight']})",
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


def print_recomputed(console: Console, rows: list[shapes.Recomputed]) -> None:
    shown = Table("round", "found", "how", title="merged again")
    for row in rows:
        shown.add_row(str(row["round"]), row["found"], safe(row["why"]))
    console.print(shown)


def print_status(console: Console, found: shapes.Standing) -> None:
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
            nodes.add_row(*map(safe, line))
    console.print(nodes)
    jobs = Table("job", "run", "phase", "state", title="jobs")
    for name, job in found["jobs"].items():
        jobs.add_row(safe(name), str(job["run"]), job["phase"], job["told"])
    console.print(jobs)
    if found["jobs_more"]:
        console.print(f"and {found['jobs_more']} more jobs (swarm history NAME shows one)", highlight=False)


def print_history(console: Console, rows: list[shapes.RunRow]) -> None:
    shown = Table(
        "job", "run", "state", "rounds", "from", "late", "began", "ended", "last merged model", "how", title="runs"
    )
    for r in rows:
        shown.add_row(
            safe(r["job"]),
            str(r["run"]),
            r["state"],
            str(r["rounds"]),
            f"{len(r['contributors'])} of {len(r['members'])}",
            str(r["late"] or "-"),
            clock(r["began"]),
            clock(r["ended"]),
            _short(r["final"] or "-"),
            safe(r["how"] or ""),
        )
    console.print(shown)


def safe(text: str) -> str:
    """Others wrote it on the chain: no control characters, no markup of ours."""
    return printable(text).replace("[", "\\[")


def _short(text: str) -> str:
    return text[: 2 + SHORT_HEX_CHARS]


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _float(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def clock(seconds: int | None) -> str:
    if seconds is None or seconds >= 253_402_300_800:  # beyond the year 9999: "for ever"
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
