"""What the demo shows: one live table on a terminal, plain lines elsewhere; draws, decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .report import Final, Quality, moment

COLUMNS = ("node", "state", "round", "role", "epochs", "loss", "metric", "bytes in/out", "waiting for")
WIDE_COLUMNS_MIN = 120
"""Characters that a row takes with what its site waits for."""
LINES_SECONDS = 5.0
"""Between two reports where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Row:
    """One site as it is now; texts only."""

    cells: tuple[str, ...]

    @property
    def line(self) -> str:
        return " | ".join(f"{n} {c}" for n, c in zip(COLUMNS[1:], self.cells[1:], strict=True) if c not in ("", "-"))


def row(name: str, status: Mapping[str, Any] | None, now: float, names: Mapping[str, str]) -> Row:
    """The row of a site from its SL's ``/v1/status``; None while the SL does not answer.

    Args:
        now: wall clock, seconds.
        names: address of a node -> what to call it.
    """
    if status is None:
        return Row((name, "starting", *["-"] * (len(COLUMNS) - 2)))
    total = status.get("epochs_total")
    epochs = f"{status.get('epochs_done', 0)}/{total}" if total else "-"
    role = status.get("role")
    return Row(
        (
            name,
            str(status.get("state", "-")),
            _text(status.get("round")),
            "-" if role == status.get("node_role") else _text(role),
            epochs,
            _number(status.get("loss")),
            _number(status.get("metric")),
            f"{_bytes(status.get('bytes_in'))} / {_bytes(status.get('bytes_out'))}",
            waiting(status.get("waits") or [], now, names),
        )
    )


def waiting(waits: Sequence[Mapping[str, Any]], now: float, names: Mapping[str, str]) -> str:
    """The longest wait in words: what, for whom, for how long, and how many more."""
    if not waits:
        return "-"
    first = waits[0]
    seconds = now - moment(first["since"])
    named = ", ".join(names.get(one, one) for one in str(first.get("whom") or "").split(", "))
    whom = f" ({named})" if named else ""
    more = f", {len(waits) - 1} more" if len(waits) > 1 else ""
    return f"{first['what']}{whom} {max(0.0, seconds):.0f} s{more}"


def live(title: str, rows: Sequence[Row], width: int) -> RenderableType:
    """The live view: what goes on, and one row a site; what each waits for goes below where ``width`` is too small."""
    if not rows:
        return Text(title)
    table = Table(box=None, header_style="bold", pad_edge=False)
    below = width < WIDE_COLUMNS_MIN
    for index, name in enumerate(COLUMNS[:-1] if below else COLUMNS):
        table.add_column(name, no_wrap=True, overflow="ellipsis", justify="left" if index in (0, 1, 3, 8) else "right")
    for one in rows:
        table.add_row(*(Text(cell) for cell in (one.cells[:-1] if below else one.cells)))
    parts: list[RenderableType] = [Text(title, style="bold"), table]
    if below:
        told = (one.cells[0] + (f" waits for {one.cells[-1]}" if one.cells[-1] != "-" else "") for one in rows)
        parts += [Text(line, no_wrap=True, overflow="ellipsis") for line in told]
    return Group(*parts)


def plain_lines(title: str, rows: Sequence[Row]) -> list[str]:
    return [
        f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {title}",
        *(f"  {one.cells[0]}: {one.line}" for one in rows),
    ]


class Screen:
    """Where the demo shows itself: a live table on a terminal, else a few lines every 5 s and at each new step."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self._clock = console, clock
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._step, self._next = "", 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the live table away; what is printed from now on stays."""
        if self._live is not None:
            self._live.stop()

    def show(self, step: str, detail: str = "", rows: Sequence[Row] = ()) -> None:
        """Show what is going on now, how far it is, and the sites."""
        title = f"{step}: {detail}" if detail else step
        if self._live is not None:
            self._live.update(live(title, rows, self.console.width), refresh=True)
            return
        now = self._clock()
        if step == self._step and now < self._next:
            return
        self._step, self._next = step, now + LINES_SECONDS
        for text in plain_lines(title, rows):
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def quality_table(alone: Sequence[Quality], swarm: Quality, central: Quality) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("trained on")
    table.add_column("accuracy", justify="right")
    table.add_column("AUC", justify="right")
    for number, quality in enumerate(alone, start=1):
        table.add_row(f"site {number} alone", f"{quality.accuracy:.4f}", f"{quality.auc:.4f}")
    table.add_row("the swarm", f"{swarm.accuracy:.4f}", f"{swarm.auc:.4f}", style="bold")
    table.add_row("all data pooled", f"{central.accuracy:.4f}", f"{central.auc:.4f}")
    return table


def final_lines(finals: Sequence[Final]) -> list[str]:
    return [f"{final.site}: chunk root {final.blob}\n     SHA-256    {final.sha256}" for final in finals]


def seeds_table(reports: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """A Markdown table, one line a seed."""
    lines = [
        "| seed | best site's AUC | swarm AUC | pooled AUC | sites' mean accuracy | swarm | pooled | s/round |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for seed, report in reports.items():
        auc, accuracy = report["auc"], report["accuracy"]
        mean = sum(accuracy["alone"]) / len(accuracy["alone"])
        lines.append(
            f"| {seed} | {max(auc['alone']):.4f} | {auc['swarm']:.4f} | {auc['central']:.4f} | {mean:.4f}"
            f" | {accuracy['swarm']:.4f} | {accuracy['central']:.4f} | {report['round_seconds']['p50']} |"
        )
    return lines


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):.4f}"


def _bytes(value: Any) -> str:
    if value is None:
        return "-"
    size = float(value)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
