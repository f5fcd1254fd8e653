"""Trainer controls in the engine: the next sync interval, the job's stop rule, the job's options.

The rules themselves are in :mod:`swarm.core.control`; here is when they are asked, and with which committed history.
A node whose history is behind its view waits with what depends on it: all nodes must conclude from the same rounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..bundle import Bundle, Contribution
from ..control.adaptive import bounds, next_interval
from ..control.combined import Told, combine
from ..control.joboptions import JobOptions
from ..errors import OperatorFault
from ..statements import CheckIn
from . import lateness
from .state import EngineState, Out


def read_options(state: EngineState, out: Out) -> None:
    """Take up the options that hold for the run, when the chain tells others than before."""
    view = state.view
    if view is None or view.options == state.options_text:
        return
    state.options_text = view.options
    try:
        state.options, state.options_fault = JobOptions.from_text(view.options), None
    except OperatorFault as fault:
        state.options_fault = f"{fault}; an operator sets others (swarm job), or this node needs a newer version"
        out.warn(state.options_fault)


def ready(state: EngineState) -> bool:
    """Whether what the rules look at is complete: nothing depends on history, or all committed rounds are known."""
    view, opened = state.view, state.program.opened
    if view is None:
        return False
    needed = state.options.stop is not None or (opened is not None and opened.adaptive)
    return not needed or len(view.history) == view.state.round


def stopped(state: EngineState) -> str | None:
    """Why the job's stop rule ends the run, or None."""
    rule, view = state.options.stop, state.view
    if rule is None or view is None or len(view.history) != view.state.round:
        return None
    return rule.reached(view.history)


def done(state: EngineState) -> bool:
    """Whether this node needs no further round: its program is done, or the job's rule says it is enough."""
    return state.program.done or stopped(state) is not None


def proposed_interval(state: EngineState, items: Iterable[Contribution]) -> int:
    """Batches until the merge after this one, as this node as leader of the round says."""
    opened, view = state.program.opened, state.view
    if opened is None or view is None:
        return view.state.interval if view is not None else 0
    if not opened.adaptive or not view.history:
        return opened.sync_interval
    return _ruled(state, items)


def interval_fault(state: EngineState, interval: int, items: Iterable[Contribution]) -> str | None:
    """What is wrong with a proposed interval for a node with an adaptive program, or None.

    A leader whose program is not adaptive, or is not there, keeps to what the run began with or had last.
    """
    opened, view = state.program.opened, state.view
    if opened is None or view is None or not opened.adaptive or not view.history:
        return None
    expected = _ruled(state, items)
    if interval in (expected, view.history[0].interval, view.history[-1].interval):
        return None
    return f"its sync interval {interval} is not {expected}, which follows from the losses"


def answer_interval(state: EngineState) -> int:
    """Batches until the program's next sync: its own, or for an adaptive one the last commit's."""
    opened, view = state.program.opened, state.view
    if opened is None:
        return 0
    if not opened.adaptive or view is None or view.state.interval < 1:
        return opened.sync_interval
    low, high = bounds(view.history[0].interval if view.history else opened.sync_interval)
    return min(high, max(low, view.state.interval))


def _ruled(state: EngineState, items: Iterable[Contribution]) -> int:
    view = state.view
    assert view is not None
    told = (Told.of(i.check_in) for i in items)
    history = view.history
    now = combine(told, state.options.weighing).loss
    return next_interval(max(1, history[0].interval), history[-1].interval, history[-1].loss, now)


def counted(state: EngineState, items: Iterable[CheckIn]) -> tuple[int, ...]:
    """What the weights of these check-ins count for in a merge of this run."""
    said = list(items)
    return state.options.weighing.counted([i.weight for i in said], [i.behind for i in said])


def tell_counted(state: EngineState, bundle: Bundle, out: Out) -> None:
    """Say who counts for less than it says in the committed rounds of a run; once for each weight that it claims."""
    at = (bundle.name.run, bundle.name.round)
    if state.weighed == at:
        return
    state.weighed = at
    lateness.tell(state, bundle, out)
    items = [i.check_in for i in bundle.items]
    for item, weight in zip(items, state.options.weighing.capped([i.weight for i in items]), strict=True):
        if weight == item.weight or state.capped.get(item.node) == (bundle.name.run, item.weight):
            continue
        state.capped[item.node] = (bundle.name.run, item.weight)
        out.warn(
            f"the weight of 0x{item.node.hex()} counts as {weight}, not as {item.weight} as it says: "
            f"{state.options.weighing.rule}",
            round=bundle.name.round,
        )


def method_fault(state: EngineState, method: str) -> str | None:
    """Why a merge by this method is not what the job's options allow, or None."""
    allowed = state.options.methods
    if not allowed or method.lower() in allowed:
        return None
    return f"its merge method {method} is not among those that the job's options allow ({', '.join(allowed)})"
