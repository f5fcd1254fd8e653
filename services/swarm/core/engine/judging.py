"""What is wrong with a proposal, or nothing: judged by everybody who is asked to acknowledge it, and by leaders
who are asked to take over what was acknowledged before them (design: protocol 5, step 4, and 6).

Some of it anybody can judge at any time (:func:`result_fault`); some depends on what a node knows now
(:func:`fresh_fault`), and must not be asked of a result that others may have acknowledged earlier.
"""

from __future__ import annotations

import itertools

from ..checkinflags import FLAGS_ALL
from ..ids import ZERO32, Address
from ..merge import measured_fault, split
from ..statements import CheckIn, Takeover, method_name
from . import controls, lateness, origins, outers
from .context import RoundContext
from .messages import ProposalMessage, Signed
from .state import EngineState


def sound(check_in: CheckIn) -> bool:
    """Flags, weight and size that the contract accepts, and no model older than its run."""
    if check_in.flags & ~FLAGS_ALL or not 1 <= check_in.version <= 2**31 or lateness.fault(check_in) is not None:
        return False
    if check_in.observer:
        return check_in.weight == 0
    return check_in.weight >= 1 and check_in.size >= 1


def entitling(state: EngineState, context: RoundContext, message: ProposalMessage) -> list[Signed[Takeover]]:
    """The takeovers that came with a proposal and count for it, one a member.

    Only these decide what the leader was bound to: this node may know others that the leader had not seen.
    """
    found: dict[Address, Signed[Takeover]] = {}
    for signed in message.takeovers:
        said = signed.statement
        if said.name != context.name or said.attempt != message.signed.statement.attempt:
            continue
        if said.node in context.roster and signed.valid(state.config.domain, state.verifier):
            found[said.node] = signed
    return list(found.values())


def result_fault(state: EngineState, context: RoundContext, message: ProposalMessage) -> str | None:
    """What nobody can have acknowledged rightly: check-ins, signatures, numbers. Holds or not for ever, for everybody.

    With it a dishonest leader's own ack does not bind those that come after it.
    """
    view = state.view
    assert view is not None
    items = [i.check_in for i in message.items]
    if any(a.node >= b.node for a, b in itertools.pairwise(items)):
        return "its check-ins do not ascend by node"
    if len(items) < view.state.min_peers:
        return f"{len(items)} check-ins, minPeers is {view.state.min_peers}"
    for item in message.items:
        own = item.check_in
        if own.name != context.name or not sound(own):
            return f"the check-in of 0x{own.node.hex()} may not be used"
        if not Signed(own, item.signature).valid(state.config.domain, state.verifier):
            return f"the check-in of 0x{own.node.hex()} is not signed by it"
    weighted = [i for i in message.items if i.check_in.weight]
    if context.name.round == 0 and not weighted:
        return "round 0 needs a contribution with a weight"
    if any(i.coefficient != 0.0 for i in message.items if not i.check_in.weight):
        return "an observer has a share"
    if not weighted:
        same = message.result.merged == view.state.prev
        return None if same else "without weights the merged model must be the previous one"
    if view.state.manifest not in (ZERO32, message.result.manifest):
        return "its manifest is not the run's"
    begins = origins.result_fault(state, message.result, items)
    if begins is not None:
        return begins
    method, outer = split(method_name(message.result.method))
    weights = controls.counted(state, [i.check_in for i in weighted])
    fault = controls.method_fault(state, method) or outers.fault(state, outer)
    if fault is not None:
        return fault
    expected = state.coefficients(method, weights)
    if expected is None:
        return measured_fault(method, weights, [i.coefficient for i in weighted])
    if expected != tuple(i.coefficient for i in weighted):
        return "its coefficients do not follow from the weights"
    return None


def fresh_fault(state: EngineState, context: RoundContext, message: ProposalMessage) -> str | None:
    """What is wrong with a proposal that nobody is bound to: all of that, and what this node knows now."""
    fault = result_fault(state, context, message)
    if fault is not None:
        return fault
    view = state.view
    assert view is not None
    items = [i.check_in for i in message.items]
    if any(i.weight for i in items):
        rest = outers.rest_fault(state, context.name, split(method_name(message.result.method))[1])
        if rest is not None:
            return rest
    allowed = set(state.contributors_allowed()) | set(context.roster.addresses)
    for own in items:
        if own.node not in allowed:
            return f"the check-in of 0x{own.node.hex()} may not be used"
    if all(i.done for i in items) and not {i.node for i in items}.issuperset(context.roster.addresses):
        return "it would end the run without a member of the roster"
    return controls.interval_fault(state, message.result.interval, message.items)
