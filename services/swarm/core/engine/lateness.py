"""How many rounds behind this site's model is, and whose model counted for less since it came late.

The node knows which merged model its program took over last; so it, and not the program, says in the check-in how many
rounds were committed since. What that takes off a weight is a rule of the job (:mod:`swarm.core.control.staleness`).
Nobody can see from which model another one was trained: as a weight, the number is its site's own word. What a check-in
can be held against is that no model is older than its run.
"""

from __future__ import annotations

from ..bundle import Bundle
from ..checkinflags import BEHIND_MAX
from ..ids import BlobId
from ..statements import CheckIn
from .context import RoundContext
from .state import EngineState, Out


def note_base(state: EngineState) -> None:
    """The program has synced: keep which round's merged model its training began from; -1: its own first parameters."""
    program, view = state.program, state.view
    after = program.opened.after if program.opened is not None and program.synced == 1 else None
    goes_on = after is not None and view is not None and after[0] == view.state.run
    program.base = after[1] if after is not None and goes_on else program.loaded


def behind(state: EngineState, context: RoundContext, blob: BlobId) -> int:
    """Rounds committed between the merged model that ``blob`` was trained from and the open round."""
    pending = state.program.pending
    if pending is None or blob != pending.blob or blob == context.name.prev:
        return 0  # the merged model before itself, or the one that a run begins from
    return min(max(0, context.name.round - 1 - state.program.base), BEHIND_MAX)


def now_behind(state: EngineState) -> int:
    """Rounds committed since the merged model that this site's program trains from; of one that waits for a merge:
    what its check-in says."""
    program, view = state.program, state.view
    if program.pending is not None:
        own = state.own_check_in()
        return own.behind if own is not None else 0
    if view is None or program.loaded < 0 or program.over:
        return 0
    return max(0, view.state.round - 1 - program.loaded)


def fault(check_in: CheckIn) -> str | None:
    """What is wrong with the number that a check-in names, as anybody can tell at any time, or None."""
    if check_in.behind <= check_in.name.round:
        return None
    return f"its model cannot be {check_in.behind} rounds behind in round {check_in.name.round}"


def tell(state: EngineState, bundle: Bundle, out: Out) -> None:
    """Say whose model counted for less in a committed round since it is behind; once, until one of it is not."""
    run, weighing = bundle.name.run, state.options.weighing
    items = [i.check_in for i in bundle.items if i.check_in.weight]
    weights, late = [i.weight for i in items], [i.behind for i in items]
    if weighing.staleness is None:
        return
    whole = weighing.capped(weights)
    for item, full, counted in zip(items, whole, weighing.shown(weights, late), strict=True):
        if counted == full:
            state.late.pop(item.node, None)
        elif state.late.get(item.node) != run:
            state.late[item.node] = run
            out.report(
                f"the model of 0x{item.node.hex()} is {item.behind} rounds behind: its weight counts as {counted:.4g}, "
                f"not as {full} (the job's option staleness: {weighing.staleness.shown})",
                round=bundle.name.round,
            )
