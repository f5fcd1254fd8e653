"""All runs of a job, each told apart by its number: when, how far, by whom, and how it ended."""

from __future__ import annotations

from typing import Any

from swarm.chain import events as ev
from swarm.core.chain_view import Phase
from swarm.core.ids import Address, to_hex

from . import shapes
from .ending import ending
from .reading import events_of, job_of, options_at_start, record_of, time_of, told
from .source import View


async def runs_of(view: View, name: str) -> list[shapes.RunRow]:
    """The runs of the job ``name`` in order, the present one last.

    Raises:
        OperatorFault: no such job.
        ChainFault: the SN or its chain failed.
    """
    job = await job_of(view.training, name)
    state = await view.training.state(job)
    runs = [await events_of(view, job, number) for number in range(1, state.run + 1)]
    found: list[shapes.RunRow] = []
    for number, happened in enumerate(runs, 1):
        options = await options_at_start(view, job, happened)
        after = runs[number] if number < len(runs) else []
        begun = next((event for _, event in after if isinstance(event, ev.RunReset)), None)
        row = _row(name, number, happened, options, begun)
        earlier = row["earlier"]
        if earlier is not None:  # the blocks are those of the import
            row["began"], row["ended"] = earlier["began"] or None, earlier["ended"] or None
        else:
            row["began"], row["ended"] = [await _time(view, row[key]) for key in ("first_block", "last_block")]
        found.append(row)
    if not found:
        return []
    last = found[-1]
    if last["state"] in ("open", "joining"):
        last["state"] = "idle" if state.phase is Phase.IDLE else last["state"]
        # Where nobody is left, the last one to leave was its end.
        last["ended"] = last["ended"] if last["how"] and not state.joined_count else None
        last["how"] = last["how"] or told(state)
    return found


def _row(
    name: str, number: int, happened: list[tuple[int, Any]], options: str = "", begun: ev.RunReset | None = None
) -> shapes.RunRow:
    record = record_of(name, number, happened)
    merged = [r for r in record.rounds.values() if r["merged"] is not None]
    contributors = {c["node"] for r in merged for c in r["contributions"] if c["weight"]}
    contributors |= {m["node"] for m in record.members.values() if m["state"] == "merged"}
    blocks = [block for block, event in happened if not isinstance(event, ev.RunReset | ev.Closed | ev.JobCarried)]
    return {
        "job": name,
        "run": number,
        "state": record.phase,
        "how": record.reason if record.earlier is not None else ending(record, happened, options, begun),
        "rounds": len(merged),
        "members": [to_hex(node) for node in sorted(record.members, key=Address)],
        "contributors": sorted(contributors),
        "late": sum(1 for r in merged for c in r["contributions"] if c["weight"] and c["behind"]),
        "earlier": record.to_json()["earlier"],
        "final": merged[-1]["merged"] if merged else None,
        "first_block": blocks[0] if blocks else None,
        "last_block": blocks[-1] if blocks else None,
        "began": None,
        "ended": None,
    }


async def _time(view: View, block: int | None) -> int | None:
    if block is None:
        return None
    return await time_of(view.rpc, block)
