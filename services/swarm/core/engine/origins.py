"""Warm start: a run that begins from an earlier run's final model instead of its programs' own first parameters.

Each node reads on chain which model that is, pulls it by its hash if it is not in its store, and names it as its own
contribution to round 0. What all contribute alike comes out of a merge bit for bit, so round 0 commits that very
model, and programs load it before they train. Nothing else of the protocol changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..chain_view import Phase
from ..ids import ZERO32, BlobId, from_hex, to_hex
from ..statements import CheckIn, Result
from .events import Origin, ProgramSync
from .failing import fail_program
from .state import INPUT_FAILURES_MAX, EngineState, Out

FINALS_KEY = "engine/finals"
"""Journal key: final models of the last runs, oldest first, so that a later run can begin from one."""
FINALS_KEPT = 3


def origin(state: EngineState) -> Origin | None:
    """The model that round 0 begins from, None if programs begin from their own, or it is not known yet."""
    view, run = state.view, state.options.warm_start
    if view is None or run is None or view.origin is None or view.origin.run != run:
        return None
    return view.origin


def refuse(state: EngineState, now: float, out: Out) -> None:
    """A run that cannot begin as its options say begins with nobody: each program is told why."""
    found, view = origin(state), state.view
    if found is None or not found.fault or view is None or state.program.opened is None:
        return
    if view.state.round == 0 and view.state.phase in (Phase.IDLE, Phase.OPEN):
        fail_program(state, f"warm start: {found.fault}", now, out)


def ready(state: EngineState, pending: ProgramSync, now: float, out: Out) -> Origin | None:
    """The model to check in for round 0 once it is here and fits the program's; None: not yet, or never."""
    found = origin(state)
    if found is None or found.fault:
        return None
    held = state.held.get(found.blob)
    shown = f"the final model of run {found.run}, {to_hex(found.blob)[:18]}, from which this run begins,"
    if held is None:
        transfer = state.transfers.get(found.blob)
        if transfer is not None and transfer.failures >= INPUT_FAILURES_MAX:
            fail_program(state, f"warm start: {shown} is held by no member of this run", now, out)
        else:
            out.fetch(state, now, found.blob, found.size, state.participants())
        return None
    if held.manifest != pending.manifest:
        text = f"warm start: {shown} has other tensors (names, order, shapes, dtypes or framework) than this program's"
        fail_program(state, text, now, out)
        return None
    return found


def check_in_fault(state: EngineState, check_in: CheckIn) -> str | None:
    """What is wrong with a contribution to round 0 of a warm-started run, or None."""
    if state.options.warm_start is None or check_in.name.round > 0 or not check_in.weight:
        return None
    found = origin(state)
    return None if found is not None and check_in.blob == found.blob else "it is not the model that the run begins from"


def result_fault(state: EngineState, result: Result, items: Sequence[CheckIn]) -> str | None:
    """What is wrong with round 0's result; holds for ever, for everybody, as the option does."""
    if not items or items[0].name.round > 0 or state.options.warm_start is None:
        return None
    faults = [fault for item in items if (fault := check_in_fault(state, item)) is not None]
    if faults:
        return f"a check-in may not be used: {faults[0]}"
    found = origin(state)
    return None if found is not None and result.merged == found.blob else "its model is not the one the run begins from"


def serves(state: EngineState, blob: BlobId) -> bool:
    """Whether everybody joined may read this model for the run's beginning."""
    found = origin(state)
    return found is not None and found.blob == blob != ZERO32


def needed(state: EngineState) -> set[BlobId]:
    """What the store keeps for this run's beginning and for later ones'."""
    found = origin(state)
    blobs = {BlobId(from_hex(blob, 32)) for _, blob in state.journal.get(FINALS_KEY, [])}
    begins = found is not None and state.view is not None and state.view.state.round == 0
    return blobs | {found.blob} if found is not None and begins else blobs


def finals(state: EngineState) -> dict[str, Any]:
    """The journal's entry once this run's final model, the chain's last, has been loaded."""
    assert state.view is not None
    run, last = state.view.state.run, to_hex(state.view.state.prev)
    kept = [entry for entry in state.journal.get(FINALS_KEY, []) if entry[0] != run]
    state.journal[FINALS_KEY] = [*kept, [run, last]][-FINALS_KEPT:]
    return {FINALS_KEY: state.journal[FINALS_KEY]}
