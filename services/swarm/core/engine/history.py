"""What the chain has said so far about a run's rounds, and what follows when it takes some of it back.

Owns the difference between an SN that runs late (ignored) and a chain that was reorganised (followed, and told),
the recent merged models and bundles, and what a node finds of them in its journal. Which round is open, and what
is done about it, is the machine's business: a round opened again goes on from its journaled promises.
"""

from __future__ import annotations

from ..bundle import Bundle
from ..chain_view import Phase
from ..ids import ZERO32, BlobId, from_hex
from .context import CONTEXT_KEY, RoundContext
from .events import ChainView
from .messages import ProposalMessage
from .state import EngineState, Out

ROUNDS_REMEMBERED = 8
"""Merged models and bundles of so many rounds are remembered by name: no reorganisation goes back further."""


def late(old: ChainView, view: ChainView) -> bool:
    """Whether ``view`` is only older than what this node knows (another SN, or a read that took long).

    A reorganised chain says so: it has withdrawn events (``reorgs``), or it is as long as the one before.
    """
    return view.head < old.head and view.reorgs == old.reorgs


def look_back(state: EngineState, old: ChainView, out: Out) -> None:
    """If the chain has taken something back: tell it, and want again what may have been lost with it."""
    view = state.view
    assert view is not None
    back = _taken_back(old, view)
    if back is None and view.reorgs == old.reorgs:
        return
    state.answered_call, state.called_at, state.closed = 0, None, False
    if view.state.phase is not Phase.COMPLETE:
        state.complete_at = None
    if back is not None:
        out.warn(
            f"the chain was reorganised: {back}. This node goes on where the chain stands now, with what it signed",
            incident="reorganisation",
            head=view.head,
            head_before=old.head,
        )


def _taken_back(old: ChainView, view: ChainView) -> str | None:
    """What of the run's course no longer holds, or None."""
    before, after = old.state, view.state
    if before.started and not after.started:
        return f"round 0 of run {before.run} is not open any more"
    if after.round < before.round:
        several = before.round - after.round > 1
        rounds = f"rounds {after.round} to {before.round - 1}" if several else f"round {after.round}"
        return f"what was committed for {rounds} is withdrawn"
    if after.epoch < before.epoch:
        return f"the reform of round {before.round} is withdrawn"
    if (after.round, after.epoch) != (before.round, before.epoch):
        return None
    if after.prev != before.prev:
        return f"round {before.round - 1} has another result, 0x{after.prev.hex()[:16]} for 0x{before.prev.hex()[:16]}"
    if before.started and after.roster != before.roster:
        return f"round {before.round} has another roster"
    return None


def committed(state: EngineState, out: Out) -> None:
    """Remember the newest merged model; what stood for its round before, if another, is forgotten."""
    view, context, program = state.view, state.context, state.program
    assert view is not None
    last, merged = view.state.round - 1, view.state.prev
    if context is not None and context.certificate is not None:
        remember(state, context.certificate)
    if merged == ZERO32:
        return
    learn(state, last, merged, out)
    state.recent = [b for b in state.recent if b != merged][-(state.config.keep_rounds - 1) :]
    state.recent.append(merged)
    known = state.bundles.get(last)
    if known is not None:
        state.commit = known
    waiting = program.pending is not None and view.state.phase is Phase.OPEN
    if waiting and program.loaded >= last >= program.waits_for:
        program.waits_for = last + 1  # it synced while the chain was set back, and has this model already


def learn(state: EngineState, round_: int, merged: BlobId, out: Out) -> None:
    """The chain's model of a round; a program that loaded another one has none of the chain's from there on."""
    known = state.merged.get(round_)
    if known is not None and known != merged:
        out.warn(
            f"round {round_} has another merged model now than this node knew",
            incident="reorganisation",
            before=f"0x{known.hex()[:16]}",
            now=f"0x{merged.hex()[:16]}",
        )
        for gone in [r for r in state.merged if r >= round_]:
            del state.merged[gone]
        if state.program.loaded >= round_:
            state.program.loaded = round_ - 1
            state.program.base = min(state.program.base, round_ - 1)
            out.warn("the program trains from a model that was withdrawn; its next load brings the chain's")
    state.merged[round_] = merged
    for r in sorted(state.merged)[:-ROUNDS_REMEMBERED]:
        del state.merged[r]
    for r in [r for r, b in state.bundles.items() if state.merged.get(r, b.result.merged) != b.result.merged]:
        del state.bundles[r]


def remember(state: EngineState, bundle: Bundle) -> None:
    """Keep a verified bundle: should the chain lose it, it is submitted again."""
    state.bundles[bundle.name.round] = bundle
    for r in sorted(state.bundles)[:-ROUNDS_REMEMBERED]:
        del state.bundles[r]


def recall(state: EngineState) -> None:
    """After a restart: merged models of the rounds before, as far as this node signed something after them."""
    view = state.view
    assert view is not None
    for key in sorted(k for k in state.journal if k.startswith(f"{CONTEXT_KEY}{view.state.run:016x}.")):
        prev = BlobId(from_hex(state.journal[key]["name"]["prev"], 32))
        if prev != ZERO32 and prev not in state.recent:
            state.recent.append(prev)
    state.recent = state.recent[-state.config.keep_rounds :]


def certificate_of(state: EngineState, context: RoundContext) -> Bundle | None:
    """The bundle of a round that is open again, if it was committed once under this very name."""
    known = state.bundles.get(context.name.round)
    return known if known is not None and known.name == context.name else None


def inputs(state: EngineState) -> set[BlobId]:
    """What this node's signatures name in the last committed rounds and from there on.

    Its own contributions and what it merged as leader; and what it acknowledged for the open round and later ones:
    after a restart behind an SN that runs late, or a reorganisation, there are rounds beyond the open one.
    """
    view = state.view
    if view is None:
        return set()
    first, open_ = (
        _prefix(view.state.run, r) for r in (max(0, view.state.round - state.config.keep_rounds), view.state.round)
    )
    found: set[BlobId] = set()
    for key in (k for k in state.journal if k.startswith(CONTEXT_KEY) and k >= first):
        entry = state.journal[key]
        said = entry["check_ins"] + [item["check_in"] for item in (entry["proposal"] or {}).get("items", ())]
        found.update(BlobId(from_hex(signed["statement"]["blob"], 32)) for signed in said)
        if key >= open_:
            messages = [ProposalMessage.from_json(entry[k]) for k in ("acked", "proposal") if entry[k]]
            found.update(message.result.merged for message in messages)
    return found - {ZERO32}


def _prefix(run: int, round_: int) -> str:
    return f"{CONTEXT_KEY}{run:016x}.{round_:016x}."


def forget(state: EngineState) -> None:
    """Another run has begun: models and bundles of the old one are nothing to it."""
    state.recent, state.merged, state.bundles, state.ahead = [], {}, {}, {}
