"""A merged model that nobody serves is made again from its inputs: the merge is deterministic, its hash is known.

Owns who may do that and read the inputs for it: whoever leads the round's attempt, or, once that node is not heard
of any more, the next in the ring; nobody else, and only from contributors that lack the merged model themselves.
"""

from __future__ import annotations

from ..bundle import Bundle, Contribution
from ..ids import Address, BlobId
from ..merge.outer import split
from ..roster import leader
from ..statements import Result, RoundName, method_name
from . import controls, outers
from .actions import Merge
from .events import MergeDone, MergeFailed
from .state import EngineState, Out, Remerge

FAILURES_BEFORE = 2
"""Pulls of a merged model that found no source before it is made again."""
AGAIN_SECONDS = 30.0
"""Pause after a merge that failed here (a full disk, say)."""


def keeper(state: EngineState, bundle: Bundle, now: float) -> Address | None:
    """Who may read the inputs of a committed round: the first alive in the ring from its leader on, as seen here."""
    view, name = state.view, bundle.name
    if view is None:
        return None
    for step in range(2 * len(bundle.roster)):
        node = leader(bundle.roster, name.job, name.run, name.round, bundle.attempt + step)
        if node is None or node not in view.active or not (view.joined(node) or node in view.roster):
            continue
        if node == state.me or state.peers.live(node, now, state.commit_seen_at, None):
            return node
    return None


def may_read_input(state: EngineState, reader: Address, blob: BlobId, now: float) -> bool:
    """Whether this node's own input of the last committed round goes to ``reader``: only while its merge is lost."""
    bundle = state.commit
    if bundle is None or bundle.result.merged in state.held or bundle.result.merged != _last(state):
        return False
    mine = any(i.check_in.node == state.me and i.check_in.blob == blob for i in bundle.items)
    return mine and reader == keeper(state, bundle, now)


def _last(state: EngineState) -> BlobId | None:
    return state.view.state.prev if state.view is not None else None


def make_again(
    state: EngineState,
    name: RoundName,
    attempt: int,
    result: Result,
    items: tuple[Contribution, ...],
    now: float,
    out: Out,
) -> None:
    """Fetch what is missing of the inputs from their contributors, then merge; all only if every source failed."""
    transfer = state.transfers.get(result.merged)
    if transfer is None or transfer.failures < FAILURES_BEFORE or result.merged in state.held:
        return
    if state.remerge is not None or now < state.remerge_at.get(result.merged, 0.0):
        return
    weighted = [i for i in items if i.check_in.weight]
    missing = [i.check_in for i in weighted if i.check_in.blob not in state.held]
    for lost in missing:
        out.fetch(state, now, lost.blob, lost.size, [n for n in (lost.node,) if n != state.me])
    method, outer = split(method_name(result.method))
    ready, before = outers.gathered(state, name, outer, now, out)
    if missing or not weighted or not ready:
        return
    state.remerge = Remerge(name, attempt, result.merged, tuple(i.coefficient for i in weighted))
    out.report("nobody serves the merged model: making it again from its inputs", round=name.round)
    counted = controls.counted(state, [i.check_in for i in weighted])
    inputs = tuple((i.check_in.node, i.check_in.blob, weight) for i, weight in zip(weighted, counted, strict=True))
    recorded = state.remerge.coefficients
    out.append(Merge(name, attempt, method, inputs, recorded, outer, before))


def ended(state: EngineState, event: MergeDone | MergeFailed, now: float, out: Out) -> bool:
    """Whether the merge that ended was one of these."""
    wanted = state.remerge
    if wanted is None or (event.name, event.attempt) != (wanted.name, wanted.attempt):
        return False
    state.remerge = None
    if isinstance(event, MergeFailed):
        state.remerge_at[wanted.merged] = now + AGAIN_SECONDS
        out.warn(f"the merged model could not be made again: {event.text}", round=wanted.name.round)
    elif event.blob == wanted.merged and event.coefficients == wanted.coefficients:
        state.progress += 1
        out.report("made the merged model again; it has the recorded hash", round=wanted.name.round)
    else:
        state.remerge_at[wanted.merged] = float("inf")
        out.warn(
            "the recorded merged model does not follow from its inputs, or this node computes otherwise than its "
            "leader did: it is not used",
            round=wanted.name.round,
            incident="merge",
            recorded=f"0x{wanted.merged.hex()[:16]}",
            computed=f"0x{event.blob.hex()[:16]}",
        )
    return True
