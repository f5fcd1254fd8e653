"""A merged model that is a member's own update of the round before: its leader shows that it has the bytes first.

Who acknowledges a model serves it to everybody, so the hash of somebody else's update, which stands on chain, would
publish that update. An honest merge can come to the same bytes; a leader that has them needs nobody to publish them.
"""

from __future__ import annotations

from .actions import LetShow
from .context import RoundContext
from .events import BlobShown
from .messages import ProposalMessage
from .state import EngineState, Out


def shown(state: EngineState, context: RoundContext, message: ProposalMessage, out: Out) -> bool:
    """Whether the leader need not show its merged model, or has done so; else it is asked to, once at a time."""
    result, leader = message.result, message.signed.statement.leader
    wanted = (leader, result.merged)
    before = {i.check_in.blob for i in state.commit.items} if state.commit is not None else set()
    known = {i.check_in.blob for i in message.items} | {context.name.prev}
    if result.merged not in before - known or wanted in context.shown:
        return True
    if context.showing != wanted:
        context.showing = wanted
        out.report(
            f"the merged model of 0x{leader.hex()} is a member's own update of the round before: asking it to show "
            "that it has it",
            round=context.name.round,
        )
        out.append(LetShow(result.merged, result.size, leader))
    return False


def hear(context: RoundContext, event: BlobShown) -> str | None:
    """A leader that has shown the model is acknowledged like any other; what speaks against one that has not."""
    if context.showing != (event.peer, event.blob):
        return None
    context.showing = None
    if not event.fault:
        context.shown.add((event.peer, event.blob))
        return None
    return f"its merged model is a member's own update of the round before, and it does not show it ({event.fault})"
