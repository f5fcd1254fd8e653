"""Values of a model that are not finite: which may be merged, and which are a fault.

A mask buffer of -inf or a quantisation observer that has seen nothing yet is no fault: it is the same at every site. So
a tensor's NaNs and infinities count, place and bits, as one digest, and a model may hold those that the other
check-ins of the round hold too and that the merged model before held already. Who reads them off a file is the shell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..ids import BlobId
from .context import Odd, RoundContext
from .state import EngineState

__all__ = ["allowed", "own_model", "shared"]


def shared(odds: Sequence[Odd]) -> Odd:
    """What more than half of the models hold. A model that holds anything else, or less, cannot be merged with them."""
    counts = Counter(digest for odd in odds for digest in odd)
    return frozenset(digest for digest, count in counts.items() if 2 * count > len(odds))


def allowed(state: EngineState, context: RoundContext, odd: Odd, own: Odd | None = None) -> bool | None:
    """Whether a model of this round may hold these; None: the merged model before is not here yet.

    From round 1 on nothing may come up that the merged model before did not hold: a model that has diverged is refused
    even if all have. Round 0 has no model before it.

    Args:
        own: what this node's own model holds, for a judge of round 0's result; None: whatever the others hold too.
    """
    if not odd:
        return True
    if context.name.round == 0:
        return own is None or odd <= own
    before = state.held.get(BlobId(context.name.prev))
    return None if before is None else odd <= before.odd


def own_model(state: EngineState) -> Odd | None:
    """What the model that this node checked in holds; None if it has none to compare with."""
    own = state.own_check_in()
    held = state.held.get(own.blob) if own is not None else None
    return held.odd if held is not None else None
