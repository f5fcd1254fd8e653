"""What a run cannot go on without: members that left for good, members that are only silent, room on the own disk.

Owns who they are, the wait by name, and its end. A run that too few members are left of ends after a stated
time; silent ones are waited for as long as it takes, because nobody can tell a dead site from a cut line.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..chain_view import Phase
from ..ids import Address, to_hex
from .actions import TellProgram
from .events import ChainView
from .failing import fail_program
from .state import EngineState, Out

NAMES_MAX = 8
"""Members named in one sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Whom the run waits for: ``until`` is None for as long as it takes."""

    what: str
    whom: tuple[Address, ...]
    text: str
    since: float
    until: float | None
    then: str


def gone(state: EngineState) -> dict[Address, str]:
    """Members of the run that left for good, and how: their program or the chain said so."""
    view, found = state.view, {}
    assert view is not None
    for node in state.others():
        peer, joiner = state.peers[node], view.joiners.get(node)
        if node not in view.active:
            found[node] = "is no longer an active member: revoked, suspended or expired"
        elif peer.phase == "failed":
            found[node] = str(peer.left) if peer.left is not None else "its ML program failed"
        elif joiner is not None and not joiner.joined and node not in state.dropped:
            found[node] = "it left the run"
    return found


def note_dropped(state: EngineState, old: ChainView) -> None:
    """A reform leaves out who was silent: they did not leave, and may join again. ``old``: the view before this one."""
    view = state.view
    assert view is not None
    if view.state.epoch > old.state.epoch:
        state.dropped |= {n for n in old.roster.addresses if old.joined(n) and not view.joined(n)}
    state.dropped -= {n for n in state.dropped if view.joined(n)}


def disk_refused(state: EngineState, text: str, now: float) -> None:
    """This node's own disk took no model."""
    state.disk_trouble = (text, now if state.disk_trouble is None else state.disk_trouble[1])


def wait(state: EngineState, now: float) -> Wait | None:
    """Whom this node's run waits for, if it cannot go on without them."""
    view, program = state.view, state.program
    if view is None or not state.joined or view.state.phase not in (Phase.IDLE, Phase.OPEN):
        return None
    if program.failed is not None or program.over:
        return None
    need, left = view.state.min_peers, gone(state)
    remaining = [n for n in state.others() if n not in left]
    standing = 1 + len(remaining)  # with this node
    command = f"swarm reset {state.config.job_name} --force"
    if standing < need <= standing + len(left):
        since = now if state.stranded_since is None else state.stranded_since
        names = _named([f"{to_hex(n)} ({how})" for n, how in left.items()])
        text = (
            f"run {view.state.run} of {state.config.job_name} has {standing} of the {need} members that it needs "
            f"(minPeers), others left for good: {names}"
        )
        then = f"the run ends here, unless one of them comes back; {command} ends it at once"
        return Wait("members that left", tuple(left), text, since, since + state.config.stranded_seconds, then)
    if program.pending is None:
        return None
    if state.disk_trouble is not None:
        trouble, since = state.disk_trouble
        text = f"this SL cannot keep a model: {trouble}"
        return Wait("room on this node's disk", (state.me,), text, since, None, "it is tried again; make room there")
    if not view.state.started:
        return None
    opened = state.context.opened_at if state.context is not None else state.started_at
    heard = {n: _heard(state, n, opened) for n in remaining}
    silent = {n: at for n, at in heard.items() if now - at >= state.config.live_seconds}
    silent |= {n: state.peers[n].phase_at for n in heard if n not in silent and state.peers.absent(n, now)}
    if not silent or standing - len(silent) >= need:
        return None
    names = _named([to_hex(n) for n in silent])
    text = (
        f"run {view.state.run} of {state.config.job_name} waits for members that are silent, or without their ML "
        f"program: {names}; it needs {need} (minPeers) and {standing - len(silent)} are heard of"
    )
    then = f"the run goes on; they are waited for as long as it takes, {command} ends it at once"
    return Wait("silent members", tuple(silent), text, min(silent.values()), None, then)


def watch(state: EngineState, now: float, out: Out) -> None:
    """Say whom the run waits for, to the log and to the program; end what too few are left of."""
    program, found = state.program, wait(state, now)
    if program.failed is not None:
        return
    stranded = found is not None and found.until is not None
    if found is None or not stranded:
        if state.stranded_since is not None:
            out.report("enough members are there again: the run goes on")
        state.stranded_since = None
    elif state.stranded_since is None:
        state.stranded_since = now
        out.warn(f"{found.text}; {found.then}", ends_in_seconds=state.config.stranded_seconds)
    if found is not None and found.until is not None and now >= found.until:
        fail_program(state, f"{found.text}; none came back within {state.config.stranded_seconds:g} s", now, out)
        return
    if program.pending is None:
        return
    told = () if found is None else (found.what, *(n.hex() for n in found.whom))
    if told != program.told_wait:
        program.told_wait = told
        said = (
            TellProgram("", now)
            if found is None
            else TellProgram(f"{found.text}; then {found.then}", found.since, found.until)
        )
        out.append(said)


def _heard(state: EngineState, node: Address, opened: float) -> float:
    """When a member was heard of last; one that never was counts from when this node began to listen."""
    at = state.peers[node].pulse_at
    return max(state.started_at, opened) if at is None else at


def _named(names: list[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
