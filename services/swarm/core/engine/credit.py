"""What one member's words may cause here: which of a pulse are heard, and how often they move this node's attempt.

Owns the bounds against a member that signs without end; what a heard statement means is the follower's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..ids import Address
from ..limits import ATTEMPT_AHEAD_MAX
from ..statements import Refusal, Statement
from .context import RoundContext
from .messages import Pulse, Signed

MOVES_BURST, MOVE_SECONDS = 8.0, 15.0
"""Higher attempts that one member's word alone may lead to in a round: so many at once, then one each so many
seconds. A member that calls takeovers without end slows a round, it cannot stop it."""
ATTEMPT_LATE, ATTEMPT_AHEAD_LATE = 2**31, 16
"""Above that number a peer's word moves this node by small steps only: the numbers must never run out."""


def said(pulse: Pulse, me: Address) -> Iterable[Signed[Statement]]:
    """The sender's own words for this node, the last of each kind: an honest pulse has one, each costs a check."""
    kinds: dict[str, Signed[Statement]] = {}
    for signed in pulse.statements:
        statement = signed.statement
        if statement.signer != pulse.node or (isinstance(statement, Refusal) and statement.node != me):
            continue
        kinds[statement.KIND] = signed
    return kinds.values()


def may_move(context: RoundContext, node: Address, attempt: int, now: float) -> int:
    """The attempt to which the word of ``node`` alone takes this node now, counted; the one it is at if nowhere.

    One that is too far ahead moves this node as far as one step may go: else a member that jumps further and
    further while some are cut off would part them from the others for good.
    """
    ahead = ATTEMPT_AHEAD_MAX if context.promised < ATTEMPT_LATE else ATTEMPT_AHEAD_LATE
    level, at = context.moves.get(node, (MOVES_BURST, now))
    level = min(MOVES_BURST, level + (now - at) / MOVE_SECONDS)
    allowed = level >= 1.0
    context.moves[node] = (level - 1.0 if allowed else level, now)
    return min(attempt, context.promised + ahead) if allowed else context.promised
