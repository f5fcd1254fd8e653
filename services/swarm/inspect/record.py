"""A run as its events tell it: pure, from events in chain order to one plain record (the JSON of ``swarm audit``)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from swarm.chain import events as ev
from swarm.chain.exporting import past_of
from swarm.core.chain_view import Phase
from swarm.core.checkinflags import FLAG_DONE, FLAG_OBSERVER, FLAG_OWN_FIGURE, behind_of
from swarm.core.control.joboptions import weighing_of
from swarm.core.exported import PastRun
from swarm.core.ids import Address, to_hex
from swarm.core.statements import from_fixed, method_name

from . import shapes

_EARLIER: dict[str, Any] = {"epoch": 0, "attempt": 0, "leader": "", "method": "", "interval": 0, "acks": 0}
_EARLIER["block"] = None
"""What a carried round does not tell any more: an export has its merged model only."""


@dataclass(slots=True)
class RunRecord:
    """What the chain says about one run. ``rounds`` and ``members`` are in chain order."""

    job: str
    run: int
    phase: str = "open"
    min_peers: int = 0
    reason: str | None = None
    final: str | None = None
    members: dict[Address, dict[str, Any]] = field(default_factory=dict)
    rounds: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    options: str = ""
    earlier: dict[str, Any] | None = None
    """Of a run that was carried over: ``chain`` (its genesis), ``began``, ``ended`` (block times there)."""

    def weigh(self, options: str) -> None:
        """Note the run's options, and what each claimed weight counts for under them (``counted``)."""
        self.options = options
        weighing = weighing_of(options)
        for one in self.rounds.values():
            parts = one["contributions"]
            shown = weighing.shown([p["weight"] for p in parts], [p["behind"] for p in parts])
            for part, weight in zip(parts, shown, strict=True):
                part["counted"] = weight

    def to_json(self) -> shapes.Run:
        return {
            "job": self.job,
            "run": self.run,
            "phase": self.phase,
            "reason": self.reason,
            "min_peers": self.min_peers,
            "final": self.final,
            "options": self.options,
            "members": [cast(shapes.RunMember, one) for one in self.members.values()],
            "rounds": [cast(shapes.Round, one) for one in self.rounds.values() if one["merged"] is not None],
            "open_round": next((r["round"] for r in self.rounds.values() if r["merged"] is None), None),
            "calls": [cast(shapes.Call, one) for one in self.calls],
            "earlier": cast(shapes.Earlier | None, self.earlier),
        }


def build(job: str, run: int, happened: Iterable[tuple[int, Any]]) -> RunRecord:
    """The record of ``run`` from (block, event) pairs of this job and run in chain order."""
    record = RunRecord(job, run)
    for block, event in happened:
        _add(record, block, event)
    if record.phase == "open" and not record.rounds:
        record.phase = "joining"
    return record


def _add(record: RunRecord, block: int, event: Any) -> None:
    match event:
        case ev.Joined():
            record.members[event.node] = {
                "node": to_hex(event.node),
                "uri": event.uri,
                "joined_block": block,
                "eligible": event.eligible,
                "state": "joined",
                "loss": None,
                "metric": None,
            }
        case ev.Left():
            _set(record, event.node, state="left")
        case ev.RoundOpened():
            record.min_peers = event.min_peers
            record.rounds[event.round] = {
                "round": event.round,
                "epoch": event.epoch,
                "opened_block": block,
                "roster": [to_hex(a) for a in event.roster.addresses],
                "merged": None,
                "contributions": [],
            }
        case ev.Contributed():
            _round(record, event.round)["contributions"].append(_contribution(event))
        case ev.RoundMerged():
            _round(record, event.round).update(
                epoch=event.epoch,
                attempt=event.attempt,
                leader=to_hex(event.leader),
                merged=to_hex(event.result.merged),
                size=event.result.size,
                method=method_name(event.result.method),
                interval=event.result.interval,
                acks=event.acks,
                block=block,
            )
        case ev.RunCompleted():
            record.phase, record.final = "complete", to_hex(event.merged)
        case ev.RunFailed():
            record.phase, record.reason = "failed", event.reason
        case ev.RoundsCarried():
            for number, blob in enumerate(event.words[::2], event.first):
                _round(record, number).update(_EARLIER, merged=f"0x{blob:064x}")
            for number, size in enumerate(event.words[1::2], event.first):
                record.rounds[number]["size"] = size
        case ev.RunCarried():
            _carried(record, block, past_of(event))
        case ev.RunReset() if event.run == record.run:
            record.reason = f"{record.reason or ''} begun by a reset of {to_hex(event.by)}".strip()
        case ev.Called():
            record.calls.append(
                {"call": event.call_id, "by": to_hex(event.by), "block": block, "answers": [], "end": None}
            )
        case ev.Answered():
            _call(record, event.call_id)["answers"].append(to_hex(event.node))
        case ev.CallVoided():
            _call(record, event.call_id)["end"] = "void"
        case ev.CallLapsed():
            _call(record, event.call_id)["end"] = "lapsed"
        case ev.Reformed():
            _call(record, event.call_id)["end"] = "reformed"
            for node in event.dropped:
                _set(record, node, state="dropped")
        case ev.Closed():
            _set(record, event.node, loss=_number(event.loss), metric=_number(event.metric))


def _carried(record: RunRecord, block: int, past: PastRun) -> None:
    """A run of an earlier chain: how it stood there, and who was in it."""
    how = {Phase.COMPLETE: "complete", Phase.FAILED: "failed"}.get(past.phase, "open")
    kept = "it went on when it was exported; " if how == "open" else ""
    record.phase, record.reason = how, f"{kept}carried over from the chain with genesis {to_hex(past.chain)}"
    record.earlier = {"chain": to_hex(past.chain), "began": past.began, "ended": past.ended}
    for node in past.members:
        record.members[node] = {
            "node": to_hex(node),
            "uri": "",
            "joined_block": block,
            "eligible": None,
            "state": "merged" if node in past.contributors else "joined",
            "loss": None,
            "metric": None,
        }
    if past.phase is Phase.COMPLETE and record.rounds:
        record.final = record.rounds[max(record.rounds)]["merged"]


def _contribution(event: ev.Contributed) -> dict[str, Any]:
    stats = event.stats
    return {
        "node": to_hex(event.node),
        "version": event.version,
        "blob": to_hex(event.blob),
        "size": event.size,
        "weight": stats.weight,
        "counted": stats.weight,
        "behind": behind_of(stats.flags),
        "coefficient": event.coefficient,
        "loss": _number(stats.loss),
        "metric": _number(stats.metric),
        "epochs_done": stats.epochs_done,
        "epochs_total": stats.epochs_total,
        "done": bool(stats.flags & FLAG_DONE),
        "observer": bool(stats.flags & FLAG_OBSERVER),
        "own_figure": bool(stats.flags & FLAG_OWN_FIGURE),
    }


def _number(value: int) -> float | None:
    """None for what was not reported: NaN is not JSON."""
    found = from_fixed(value)
    return None if math.isnan(found) else found


def _round(record: RunRecord, number: int) -> dict[str, Any]:
    return record.rounds.setdefault(
        number, {"round": number, "opened_block": None, "roster": [], "merged": None, "contributions": []}
    )


def _call(record: RunRecord, call_id: int) -> dict[str, Any]:
    for call in record.calls:
        if call["call"] == call_id:
            return call
    raise ValueError(f"call {call_id} has an end without a beginning: events are missing")


def _set(record: RunRecord, node: Address, **values: Any) -> None:
    if node in record.members:
        record.members[node].update(values)
