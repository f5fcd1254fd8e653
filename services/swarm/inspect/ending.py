"""How a run ended, or why it goes no further, in a sentence: pure, from what the chain recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swarm.chain import events as ev
from swarm.core.control.combined import Committed, Told, combine
from swarm.core.control.joboptions import JobOptions
from swarm.core.errors import OperatorFault
from swarm.core.ids import to_hex

from .record import RunRecord

NAMES_MAX = 8
"""Members named in one sentence; the others are counted."""


def ending(record: RunRecord, happened: Sequence[tuple[int, Any]], options: str, begun: ev.RunReset | None) -> str:
    """How the run ended; "" while it is open and has the members that it needs.

    Args:
        record: what ``happened`` comes to.
        options: those of the job that the run went by.
        begun: the reset that began the next run, if there is one.
    """
    if record.phase == "complete":
        enough = _rule_held(happened, options)
        why = f"the job's stop rule held: {enough}" if enough else "all programs that were left had done their part"
        return f"complete: {why}{_absent(record)}"
    short = _too_few(record)
    if record.phase == "failed":
        by = f"reset by {to_hex(begun.by)}" + (", forced" if begun.forced else "") if begun else record.reason
        return f"too few members: {short}; then {by}" if short else str(by)
    if not short:
        return ""
    force = " --force" if _with(record, "joined") else ""
    return f"ended with too few members: {short}; swarm reset {record.job}{force} opens the next run"


def _too_few(record: RunRecord) -> str:
    """How many of a begun run's members are left, where it cannot go on with them; "" where it can."""
    left = len(_with(record, "joined"))
    if not record.rounds or left >= record.min_peers:
        return ""
    return f"{left} of the {record.min_peers} that it needs were left{_absent(record)}"


def _absent(record: RunRecord) -> str:
    words = {"left": "left for good", "dropped": "fell silent and were left out"}
    return "".join(f"; {_named(who)} {text}" for state, text in words.items() if (who := _with(record, state)))


def _with(record: RunRecord, state: str) -> list[str]:
    return [member["node"] for member in record.members.values() if member["state"] == state]


def _named(nodes: list[str]) -> str:
    more = len(nodes) - NAMES_MAX
    return ", ".join(nodes[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _rule_held(happened: Sequence[tuple[int, Any]], options: str) -> str | None:
    """What the job's stop rule says of the run's committed rounds, as its nodes found it."""
    try:
        known = JobOptions.from_text(options)
    except OperatorFault:  # of another version: no node of this one trained under them
        return None
    if known.stop is None:
        return None
    rounds: dict[int, tuple[int, list[Told]]] = {}
    for _, event in happened:
        match event:
            case ev.RoundMerged():
                rounds[event.round] = event.result.interval, []
            case ev.Contributed() if event.round in rounds:
                rounds[event.round][1].append(Told.of(event.stats))
    history = []
    for _, (interval, told) in sorted(rounds.items()):
        figures = combine(told, known.weighing)
        history.append(Committed(interval, figures.loss, figures.metric))
    return known.stop.reached(history)
