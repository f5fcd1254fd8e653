"""Under which name this node knows each round: what an SN says of it later must be that, unless the chain went back.

Owns the first full name (previous model and roster) known of each run, round and epoch, from opened rounds and the
journal, and what speaks against a view or a bundle that has another. Whether the chain went back the feed says.
"""

from __future__ import annotations

from ..bundle import Bundle
from ..ids import from_hex
from ..roster import Roster
from ..statements import RoundName, name_from_json
from .context import CONTEXT_KEY, RoundContext
from .events import ChainView
from .state import EngineState, KnownName, Out

NAMES_KEPT = 64 + 1
"""Names remembered, oldest rounds first to go: as many as rounds may stay in the journal (--keep-rounds), and one."""


def recall(state: EngineState) -> None:
    """After a restart: the names under which this node has signed something."""
    for key in sorted(k for k in state.journal if k.startswith(CONTEXT_KEY)):
        entry = state.journal[key]
        if entry.get("first"):
            roster = Roster.from_words(int.from_bytes(from_hex(word, 32), "big") for word in entry["roster"])
            _remember(state, name_from_json(entry["name"]), roster, 0)


def opened(state: EngineState, context: RoundContext) -> None:
    """A round opens here: its name is known from now on, unless another one was before."""
    view, name = state.view, context.name
    assert view is not None
    if _key(name) not in state.names:
        _remember(state, name, context.roster, view.reorgs)
    context.first = state.names[_key(name)].name == name


def contradiction(state: EngineState, view: ChainView) -> str | None:
    """Why this view cannot be of the chain that this node knows, or None."""
    if not view.state.started:
        return None
    name = view.state.round_name(state.config.job)
    known = state.names.get(_key(name))
    if known is None or known.name == name or view.reorgs > known.reorgs:
        return None
    return f"round {name.round} has {_other(known.name, name)}, and no block was taken back"


def fault(state: EngineState, bundle: Bundle) -> str | None:
    """Why a bundle cannot be what this node's members decided, or None.

    Where the chain did go back, a round's name may be another. Then one at least of the members that this node knew,
    has heard over TLS, or is, must have acknowledged: the keys of invented ones are anybody's. Those of the first
    roster alone would not do: after a start that was taken back, others may be the founders.
    """
    name, view = bundle.name, state.view
    known = state.names.get(_key(name))
    if known is None or known.name == name or view is None:
        return None
    other = f"it names round {name.round} with {_other(known.name, name)}"
    if view.reorgs <= known.reorgs:
        return f"{other}, and no block was taken back"
    acknowledged = {ack.node for ack, _ in bundle.acks}
    if not acknowledged & {state.config.me, *known.members} and not any(map(state.peers.was_heard, acknowledged)):
        return f"{other}, and none of the members that this node knows acknowledged it"
    return None


def refuse_view(state: EngineState, text: str, now: float, out: Out) -> None:
    """Say once what the SN tells that cannot be; this node stays where it was."""
    if state.refused_view is None or state.refused_view[0] != text:
        state.refused_view = (text, now)
        out.error(
            f"the SN cannot be believed: {text}; this node stays where it stands, until an SN tells the round that it "
            "knows: compare the SNs (swarm status), and name an honest one (--sn-ip)",
            incident="sn",
        )


def _other(known: RoundName, told: RoundName) -> str:
    if known.roster != told.roster:
        return f"another roster (0x{told.roster.hex()[:16]} for 0x{known.roster.hex()[:16]})"
    return f"another model before it (0x{told.prev.hex()[:16]} for 0x{known.prev.hex()[:16]})"


def _remember(state: EngineState, name: RoundName, roster: Roster, reorgs: int) -> None:
    state.names[_key(name)] = KnownName(name, frozenset(roster.addresses), reorgs)
    for old in sorted(state.names)[:-NAMES_KEPT]:
        del state.names[old]


def _key(name: RoundName) -> tuple[int, int, int]:
    return name.run, name.round, name.epoch
