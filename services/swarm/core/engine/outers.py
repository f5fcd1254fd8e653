"""The job's outer optimiser in the engine: what a merge or a load needs of the rounds before, and where it comes from.

The step itself is :mod:`swarm.core.merge.outer`. Every node keeps the last two merged models, which give the velocity;
a late joiner pulls the older one from whoever has it. If nobody serves that any more, a round is merged without
velocity, and its record says so: a run never waits for a model that is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..bundle import Bundle
from ..chain_view import Phase
from ..errors import OperatorFault
from ..ids import ZERO32, Address, BlobId
from ..merge.outer import Outer
from ..statements import RoundName
from . import controls
from .actions import FindBundle, LoadProgram
from .state import INPUT_FAILURES_MAX, EngineState, Out

FIND_AGAIN_SECONDS = 1.0


def word(state: EngineState, method: str) -> str:
    """The method as it is recorded when this node merges now with all that the job's options ask for."""
    outer = state.options.outer
    return method if outer is None else outer.word(method)


def unfit(state: EngineState) -> str | None:
    """Why this program's merge method cannot be used with the job's options, or None."""
    opened = state.program.opened
    allowed = controls.method_fault(state, opened.method) if opened is not None else None
    if allowed is not None:
        return f"this program cannot take part: {allowed}; ask for one of those (mergeMethod; --clip-norm of this site)"
    try:
        word(state, opened.method if opened is not None else "mean")
    except OperatorFault as fault:
        return str(fault)
    return None


def before(state: EngineState, name: RoundName) -> BlobId | None:
    """The merged model before ``name.prev``: zeros if there was none, None while it is not known here."""
    if name.round < 2:
        return BlobId(ZERO32)
    known = state.bundles.get(name.round - 1)
    return BlobId(known.name.prev) if known is not None and known.result.merged == name.prev else None


def fault(state: EngineState, outer: Outer | None) -> str | None:
    """What is wrong with the step that a result was made with, as anybody can tell at any time, or None."""
    wanted = state.options.outer
    if outer == wanted or (wanted is not None and outer == wanted.at_rest):
        return None
    return f"its outer step is {_shown(outer)}, the job's options say {_shown(wanted)}"


def rest_fault(state: EngineState, name: RoundName, outer: Outer | None) -> str | None:
    """What is wrong with a step without velocity: the model that would give it is here."""
    if outer == state.options.outer:
        return None
    blob = before(state, name)
    if blob is not None and blob in state.held:
        return "it leaves the velocity out although the merged model before the last is to be had"
    return None


def _shown(outer: Outer | None) -> str:
    return "none" if outer is None else outer.word("")


def gathered(
    state: EngineState, name: RoundName, outer: Outer | None, now: float, out: Out
) -> tuple[bool, BlobId | None]:
    """Whether the models that a merge of this round needs for its step are here, and the older one; else asks."""
    if outer is None or name.prev == ZERO32:
        return True, None
    if name.prev not in state.held:
        _fetch(state, BlobId(name.prev), now, out, ())
        return False, None
    if not outer.mu:
        return True, None
    blob = before(state, name)
    if blob is None:
        if state.finding_at is None or now - state.finding_at >= FIND_AGAIN_SECONDS:
            state.finding_at = now
            out.append(FindBundle(name.run, name.round - 1))
        return False, None
    if blob == ZERO32:
        return True, None
    if blob not in state.held:
        _fetch(state, blob, now, out, ())
        return False, None
    return True, blob


def for_open(state: EngineState, name: RoundName, now: float, out: Out) -> tuple[Outer | None, BlobId | None] | None:
    """The step for a merge of the open round, and the older model; None while something is on its way."""
    outer = state.options.outer
    ready, blob = gathered(state, name, outer, now, out)
    if ready:
        return outer, blob
    if outer is not None and name.prev in state.held and _lost(state, before(state, name)):
        out.warn("nobody serves the merged model before the last: merging without velocity", round=name.round)
        return outer.at_rest, None
    return None


def keep_past(
    state: EngineState, bundle: Bundle, holders: Callable[[EngineState], Sequence[Address]], now: float, out: Out
) -> None:
    """Hold, and serve, the model before the last one: the next merge or load needs it; ``holders`` may have it."""
    outer, blob = state.options.outer, BlobId(bundle.name.prev)
    if outer is None or not outer.mu or blob == ZERO32:
        return
    if blob not in state.recent:
        state.recent.insert(0, blob)
    if blob not in state.held:
        _fetch(state, blob, now, out, holders(state))


def start_of(state: EngineState, last: int) -> LoadProgram | None:
    """How the program loads the model of ``last``, the last committed round; None while what it needs is on its way.

    With a Nesterov step it trains from a point ahead of it; the run's final model is loaded as it is.
    """
    view, outer = state.view, state.options.outer
    assert view is not None
    plain = LoadProgram(last, view.state.prev)
    if view.state.phase is Phase.COMPLETE or outer is None or outer.kind != "nesterov" or not outer.mu:
        return plain
    assert state.commit is not None
    past = BlobId(state.commit.name.prev)
    if past == ZERO32:
        return plain
    if past in state.held:
        return LoadProgram(plain.round, plain.blob, outer, past)
    return plain if _lost(state, past) else None


def _lost(state: EngineState, blob: BlobId | None) -> bool:
    transfer = state.transfers.get(blob) if blob is not None else None
    return transfer is not None and transfer.failures >= INPUT_FAILURES_MAX


def _fetch(state: EngineState, blob: BlobId, now: float, out: Out, sources: Sequence[Address]) -> None:
    """Merged models of one run have the same header and tensors, so the same size."""
    assert state.view is not None
    everybody = [n for n in dict.fromkeys([*sources, *state.participants()]) if n != state.me]
    out.fetch(state, now, blob, state.view.state.prev_size, everybody)
