"""``swarm status --watch``: the swarm on one screen that is drawn anew, until Ctrl-C.

Owns layout and loop; what is shown is :mod:`.commands`' reading. In a pipe or file every look is printed below the
one before, as JSON a line each. An SN that stops answering is said above what it told last, and asked again.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TextIO

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.shown import printable

from . import plain, shapes, table

SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX = 2.0, 0.5, 3600.0
EXIT_INTERRUPTED = 130
TERMINAL_DEFAULT = (120, 40)
COLUMNS = ("node", "role", "state", "round", "last seen", "in / out / disk")
GAP, INDENT = "  ", "      "
HOME, REST_OF_LINE, REST_OF_SCREEN, CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"

Say = Callable[[shapes.Standing, str | None], object]
"""What was found, and why it is old; None: it is not."""
Look = Callable[[], Awaitable[shapes.Standing]]


def watch(look: Look, seconds: float, *, as_json: bool, out: TextIO | None = None, say: Say | None = None) -> int:
    """Show the swarm every ``seconds`` until interrupted; the process's exit code.

    Args:
        as_json: a line each, of bare JSON, or as ``say`` has it.

    Raises:
        OperatorFault: the first look failed, or ``seconds`` is out of range.
    """
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise OperatorFault(f"--watch {seconds:g}: expected {SECONDS_MIN:g} to {SECONDS_MAX:g} seconds")
    out = out or sys.stdout
    try:
        asyncio.run(_loop(look, seconds, as_json, out, say))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


async def _loop(look: Look, seconds: float, as_json: bool, out: TextIO, say: Say | None) -> None:
    found = await look()
    trouble: str | None = None
    terminal = out.isatty() and not as_json
    if terminal:
        out.write(CLEAR)
    while True:
        if as_json and say is not None:
            say(found, trouble)
        elif as_json:
            print(plain.as_json({**found, "trouble": trouble}), file=out, flush=True)
        else:
            _draw(out, found, seconds, trouble, terminal)
        await asyncio.sleep(seconds)
        try:
            found, trouble = await look(), None
        except SwarmFault as fault:
            trouble = " ".join(str(fault).split())


def _draw(out: TextIO, found: Mapping[str, Any], seconds: float, trouble: str | None, terminal: bool) -> None:
    clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if not terminal:
        print("\n".join(screen(found, clock=clock, trouble=trouble)), end="\n\n", file=out, flush=True)
        return
    width, height = shutil.get_terminal_size(TERMINAL_DEFAULT)
    lines = screen(found, clock=f"{clock}, every {seconds:g} s, Ctrl-C ends", trouble=trouble)
    if len(lines) > height - 1:
        lines = [*lines[: height - 2], f"({len(lines) - height + 2} more lines: make the window higher)"]
    drawn = "".join(line[:width] + REST_OF_LINE + "\n" for line in lines)
    out.write(HOME + drawn + REST_OF_SCREEN)
    out.flush()


def screen(found: Mapping[str, Any], *, clock: str, trouble: str | None = None) -> list[str]:
    """The lines: the SN, the jobs, and one row a node with a line for each thing it waits for.

    Args:
        found: what ``swarm status --json`` prints.
        trouble: why ``found`` is old, None if it is not.
    """
    sn = found["sn"]
    head = sn["head"]["number"] if sn["head"] else "none"
    health = "up" if sn["up"] else f"DOWN: {sn['reason']}"
    lines = [f"{clock}  SN {sn['node']}: {health}, {sn['swarm']['chain']} chain, block {head}"]
    if trouble is not None:
        lines.append(f"NO ANSWER, what follows is old: {trouble}")
    lines += [f"job {name}: run {job['run']}, {job['phase']}: {job['told']}" for name, job in found["jobs"].items()]
    rows = [table.cells(row)[0][: len(COLUMNS)] for row in found["nodes"]]
    widths = [max(len(row[i]) for row in (COLUMNS, *rows)) for i in range(len(COLUMNS))]
    lines += ["", _row(COLUMNS, widths)]
    for row, texts in zip(found["nodes"], rows, strict=True):
        lines.append(_row(texts, widths))
        lines += [INDENT + waits(wait) for wait in row["waits"]]
    return [printable(line) for line in lines]


def waits(wait: Mapping[str, Any]) -> str:
    """One wait as a sentence: for what, of whom, since and until when, and what happens then."""
    whom = f" ({wait['whom']})" if wait["whom"] else ""
    ends = "" if wait["until"] is None else f", until {table.until(wait['until'])}"
    then = f", then {wait['then']}" if wait["then"] else ""
    return f"waits for {wait['what']}{whom} since {table.ago(wait['since'])}{ends}{then}"


def _row(texts: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
