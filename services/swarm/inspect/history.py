"""All runs of a job, each told apart by its number: when, how far, by whom, and how it ended."""

from __future__ import annotations

from typing import Any

from swarm.chain import events as ev
from swarm.core.chain_view import Phase
from swarm.core.ids import Address, to_hex

from .reading import events_of, job_of, told
from .record import build
from .source import View


async def runs_of(view: View, name: str) -> list[dict[str, Any]]:
    """The runs of the job ``name`` in order, the present one last.

    Raises:
        OperatorFault: no such job.
        ChainFault: the SN or its chain failed.
    """
    job = await job_of(view.training, name)
    state = await view.training.state(job)
    found: list[dict[str, Any]] = []
    for number in range(1, state.run + 1):
        happened = await events_of(view, job, number)
        row = _row(name, number, happened)
        row["began"], row["ended"] = [await _time(view, row[key]) for key in ("first_block", "last_block")]
        begun = next((event for _, event in happened if isinstance(event, ev.RunReset)), None)
        if begun is not None and found and found[-1]["state"] == "failed":
            found[-1]["how"] = f"reset by {to_hex(begun.by)}" + (", forced" if begun.forced else "")
        found.append(row)
    if found[-1]["state"] in ("open", "joining", "idle"):
        found[-1]["how"], found[-1]["ended"] = told(state), None
        found[-1]["state"] = "idle" if state.phase is Phase.IDLE else found[-1]["state"]
    return found


def _row(name: str, number: int, happened: list[tuple[int, Any]]) -> dict[str, Any]:
    record = build(name, number, happened)
    merged = [r for r in record.rounds.values() if r["merged"] is not None]
    contributors = {c["node"] for r in merged for c in r["contributions"] if c["weight"]}
    blocks = [block for block, event in happened if not isinstance(event, ev.RunReset | ev.Closed)]
    return {
        "job": name,
        "run": number,
        "state": record.phase,
        "how": record.reason or record.phase,
        "rounds": len(merged),
        "members": [to_hex(node) for node in sorted(record.members, key=Address)],
        "contributors": sorted(contributors),
        "final": merged[-1]["merged"] if merged else None,
        "first_block": blocks[0] if blocks else None,
        "last_block": blocks[-1] if blocks else None,
    }


async def _time(view: View, block: int | None) -> int | None:
    if block is None:
        return None
    found = await view.rpc("eth_getBlockByNumber", [hex(block), False])
    return int(found["timestamp"], 16)
