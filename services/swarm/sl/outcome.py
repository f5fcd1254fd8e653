"""What a run came to, as one JSON text for the ML program's result file; decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from swarm.core.engine.state import EngineState
from swarm.core.ids import to_hex
from swarm.core.statements import method_name

SPANS_MAX = 1000
"""Spans of rounds that are told, newest last: the text must fit the pipe's frame (64 KiB)."""


def spans(rounds: Iterable[int]) -> list[list[int]]:
    """Ascending numbers as [first, last] pairs without gaps."""
    found: list[list[int]] = []
    for one in rounds:
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return found


def record_text(state: EngineState, own_rounds: Iterable[int]) -> str:
    """The record (docs/wire-formats.md, section 6): of the last round from its verified bundle, of this node's part in
    all rounds from ``own_rounds``."""
    view, bundle = state.view, state.commit
    rounds = set(own_rounds)
    record: dict[str, Any] = {"node": to_hex(state.me), "strict": state.config.strict or state.options.strict}
    if view is not None:
        record |= {"run": view.state.run, "rounds": view.state.round}
    if bundle is not None and view is not None and bundle.name.run == view.state.run:
        if any(i.check_in.node == state.me and i.check_in.weight for i in bundle.items):
            rounds.add(bundle.name.round)  # the events of the last commit may still be under way
        record |= {
            "method": method_name(bundle.result.method),
            "contributors": [
                {"node": to_hex(i.check_in.node), "weight": i.check_in.weight, "share": i.coefficient}
                for i in bundle.items
                if i.check_in.weight
            ],
        }
    record |= {"own_rounds": len(rounds), "took_part": spans(sorted(rounds))[-SPANS_MAX:]}
    return json.dumps(record, separators=(",", ":"))
