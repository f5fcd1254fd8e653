"""Answers as text: aligned columns, ``key : value`` lines, or the tables of :mod:`.printing`, which cost more to load.

Others wrote what is printed: nothing of it can steer a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.core.shown import printable, stamp

from . import shapes, shapes_tasks

GAP = "  "
NONE = "(none)"


def rows(found: Sequence[Mapping[str, Any]]) -> None:
    """A heading and a line each, in columns."""
    columns(list(found[0]) if found else [], [list(one.values()) for one in found])


def columns(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    if not lines:
        print(NONE)
        return
    cells = [[_cell(one) for one in line] for line in (names, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print(GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def facts(found: Mapping[str, Any]) -> None:
    """A line each."""
    width = max(map(len, found), default=0)
    for name, value in found.items():
        print(f"{name:<{width}} : {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return printable(f"{value:.6g}" if isinstance(value, float) else str(value))


def names(found: Sequence[Mapping[str, Any]]) -> None:
    for one in found:
        print(printable(one["name"]))
    if not found:
        print(NONE)


def nodes(found: Sequence[shapes.Node]) -> None:
    rows([{**one, "at": stamp(one["at"])} for one in found])


def waiting(found: Sequence[shapes.WaitRow]) -> None:
    from .watch import waits

    for one in found:
        print(printable(f"{one['role']} {one['name']}: {waits(one)}"))
    if not found:
        print(NONE)


def status(found: shapes.Standing) -> None:
    from .printing import console, print_status

    print_status(console(), found)


def history(found: list[shapes.RunRow]) -> None:
    from .printing import console, print_history

    print_history(console(), found)


def record(found: shapes.Run) -> None:
    from .printing import console, print_recomputed, print_record

    print_record(console(), found)
    if "recomputed" in found:
        print_recomputed(console(), found["recomputed"])


def task(found: shapes_tasks.Task) -> None:
    more = {name: value for name, value in found.items() if name not in ("header", "body")}
    times = {name: stamp(more[name]) if more[name] else None for name in ("created_time", "finalised_time")}  # type: ignore[arg-type]
    facts({**found["header"], **more, **times})


def body(found: shapes_tasks.Body) -> None:
    for line in found["lines"]:
        print(printable(line))


def runners(found: Mapping[str, shapes_tasks.RunnerStands]) -> None:
    columns(["name", "state", "busy"], [[name, one["shown"], one["busy"]] for name, one in found.items()])


def runner(found: shapes_tasks.Runner) -> None:
    state = found["state"]
    current = state["current"]
    told: dict[str, Any] = {name: value for name, value in found.items() if name != "state"}
    told |= {"shown": state["shown"], "busy": state["busy"]}
    if current is not None:
        counts = ("op", "aid", "by", "n", "named", "enrolled", "offered", "declined", "open", "succeeded", "failed")
        times = ("assigned_time", "started_time", "heard", "ended_time")
        told |= {name: value for name, value in current.items() if name in counts}
        told |= {name: stamp(int(str(value))) for name, value in current.items() if name in times and value}
    facts(told)


def peers(found: Sequence[shapes_tasks.Peer]) -> None:
    shown = ("swop", "state", "offer", "allotted", "open", "failed", "fault")
    lines = [[number, *(dict(one)[name] for name in shown), _time(one["heard"])] for number, one in enumerate(found)]
    columns(["index", *shown, "heard"], lines)


def pairs(found: shapes_tasks.PeerPairs) -> None:
    facts({"swop": found["peer"]["swop"], "state": found["peer"]["state"], "task_type": found["task_type"]})
    for number, told in enumerate(found["told"]):
        print(printable(f"pair {number}: {told}"))


def assignments(found: Sequence[shapes_tasks.AssignmentRow]) -> None:
    lines = [
        [
            one["op"],
            one["aid"],
            row["task"],
            row["told"],
            one["by"],
            _time(one["assigned_time"]),
            _time(one["ended_time"]),
        ]
        for row in found
        for one in [row["assignment"]]
    ]
    columns(["number", "assignment", "task", "told", "by", "assigned", "ended"], lines)


def _time(seconds: int) -> str | None:
    return stamp(seconds) if seconds else None
