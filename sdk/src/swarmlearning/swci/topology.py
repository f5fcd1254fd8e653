"""The swarm's picture: SNs in a row, and below each the nodes that use it, as an SVG that a notebook shows by itself.

Owns layout and drawing; the rows are :func:`.answers.nodes`'.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple, Union
from xml.sax.saxutils import escape

BOX_WIDTH, BOX_GAP, ROW_GAP, LINE_HEIGHT, MARGIN = 150, 20, 60, 16, 20
SHORT = {"SENTINEL": "SN *", "SN": "SN", "FULLNODE": "SN", "SWOP": "SWOP", "SL": "SL"}
NETWORK_NODES = ("SENTINEL", "SN", "FULLNODE")


class Box(NamedTuple):
    """Args: row, column: its place; parent: index of the box that it stands below, -1 for none."""

    row: int
    column: float
    parent: int
    colour: str
    lines: Tuple[str, ...]


class Picture:
    """Shown by a notebook; ``str`` of it is the SVG."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = tuple(boxes)
        self._height = LINE_HEIGHT * (1 + max((len(box.lines) for box in boxes), default=1))

    def __str__(self) -> str:
        width = int(2 * MARGIN + (1 + max((b.column for b in self.boxes), default=0)) * (BOX_WIDTH + BOX_GAP) - BOX_GAP)
        rows = 1 + max((box.row for box in self.boxes), default=0)
        height = 2 * MARGIN + rows * self._height + (rows - 1) * ROW_GAP
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">']
        for box in self.boxes:
            if box.parent >= 0:
                (x1, y1), (x2, y2) = self._corner(self.boxes[box.parent]), self._corner(box)
                ends = f'x1="{x1 + BOX_WIDTH / 2:.0f}" y1="{y1 + self._height}" x2="{x2 + BOX_WIDTH / 2:.0f}" y2="{y2}"'
                parts.append(f'<line {ends} stroke="black"/>')
        for box in self.boxes:
            x, y = self._corner(box)
            fill = escape(box.colour, {'"': "&quot;"})
            size = f'width="{BOX_WIDTH}" height="{self._height}"'
            parts.append(f'<rect x="{x:.0f}" y="{y}" {size} rx="6" fill="{fill}" stroke="black"/>')
            for number, line in enumerate(box.lines):
                place = f'x="{x + BOX_WIDTH / 2:.0f}" y="{y + LINE_HEIGHT * (number + 1)}"'
                parts.append(f'<text {place} font-size="11" text-anchor="middle">{escape(line)}</text>')
        return "\n".join([*parts, "</svg>"])

    _repr_svg_ = __str__

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Write the SVG."""
        Path(path).write_text(str(self), encoding="utf-8")

    def onto_axes(self) -> None:
        """Draw on matplotlib's present axes, where the program has matplotlib.pyplot in use."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        axes: Any = pyplot.gca()
        axes.set_axis_off()
        for box in self.boxes:
            if box.parent >= 0:
                up = self.boxes[box.parent]
                axes.plot([up.column, box.column], [-up.row, -box.row], color="black", zorder=1)
        for box in self.boxes:
            look = {"boxstyle": "round", "facecolor": box.colour, "edgecolor": "black"}
            axes.text(box.column, -box.row, "\n".join(box.lines), ha="center", va="center", bbox=look, zorder=2)
        columns, rows = [box.column for box in self.boxes], [-box.row for box in self.boxes]
        axes.set_xlim(min(columns, default=0) - 0.6, max(columns, default=0) + 0.6)
        axes.set_ylim(min(rows, default=0) - 0.5, max(rows, default=0) + 0.5)

    def _corner(self, box: Box) -> Tuple[float, int]:
        return MARGIN + box.column * (BOX_WIDTH + BOX_GAP), MARGIN + box.row * (self._height + ROW_GAP)


def draw(rows: Sequence[Dict[str, str]], colour: Callable[[str], str], attrs: Sequence[str]) -> Picture:
    """Place the nodes: SNs above, each with its nodes side by side below it; nodes of no known SN stand last."""
    above = [row for row in rows if row["NodeType"] in NETWORK_NODES]
    below = [row for row in rows if row["NodeType"] not in NETWORK_NODES]
    known = {row["UUID"]: number for number, row in enumerate(above)}
    boxes: List[Box] = []
    children: List[Box] = []
    column = 0.0
    for number, row in enumerate(above):
        mine = [child for child in below if known.get(child["ParentUUID"]) == number]
        for place, child in enumerate(mine):
            children.append(Box(1, column + place, number, colour(child["NodeType"]), _lines(child, attrs)))
        middle = column + max(len(mine) - 1, 0) / 2
        boxes.append(Box(0, middle, -1, colour(row["NodeType"]), _lines(row, attrs)))
        column += max(len(mine), 1)
    for child in below:
        if child["ParentUUID"] not in known:
            children.append(Box(1, column, -1, colour(child["NodeType"]), _lines(child, attrs)))
            column += 1
    return Picture([*boxes, *children])


def _lines(row: Dict[str, str], attrs: Sequence[str]) -> Tuple[str, ...]:
    more = tuple(row.get(name, "") for name in attrs if name not in ("NodeType", "HostIP"))
    return (SHORT.get(row["NodeType"], row["NodeType"]), row["HostIP"], *more)
