"""Two guards of the engine by themselves: which check-ins may be used at all, and when a failed program's node goes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.chain_view import Phase
from swarm.core.checkinflags import BEHIND_SHIFT, FLAG_DONE, FLAG_OBSERVER, FLAG_OWN_FIGURE
from swarm.core.engine import loading
from swarm.core.engine.actions import Finish
from swarm.core.engine.judging import sound
from swarm.core.engine.state import Out
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.statements import CheckIn, RoundName

WORD = Digest(bytes(32))
NAME = RoundName(WORD, 1, 3, 0, WORD, WORD)
GOOD = CheckIn(NAME, Address(bytes(20)), 1, BlobId(bytes(32)), 8, 1, 0, 0, 0, 0, 0)


def flags(bits: int) -> dict[str, int]:
    return {"flags": bits}


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        (flags(FLAG_DONE | FLAG_OWN_FIGURE), True),
        (flags(3 << BEHIND_SHIFT), True),
        (flags(4 << BEHIND_SHIFT), False),
        (flags(8), False),
        (flags(1 << 16), False),
        ({"version": 0}, False),
        ({"version": 2**31}, True),
        ({"version": 2**31 + 1}, False),
        ({"weight": 0}, False),
        ({"size": 0}, False),
        ({**flags(FLAG_OBSERVER), "weight": 0}, True),
        ({**flags(FLAG_OBSERVER), "weight": 1}, False),
        ({**flags(FLAG_OBSERVER), "weight": 0, "size": 0}, True),
        ({**flags(FLAG_OBSERVER | 8), "weight": 0}, False),
    ],
)
def test_each_fault_of_a_check_in_makes_it_unusable(change: dict[str, int], good: bool) -> None:
    """Alone: an unknown flag, a version out of range, a model older than its run, a weight that its role may not."""
    assert sound(replace(GOOD, **change)) is good


@pytest.mark.parametrize(
    ("joined", "on_roster", "stranded", "phase", "waited", "goes"),
    [
        (False, True, False, Phase.OPEN, 0.0, False),
        (False, False, False, Phase.OPEN, 0.0, True),
        (False, True, True, Phase.OPEN, 0.0, True),
        (True, True, False, Phase.OPEN, 0.0, False),
        (True, False, True, Phase.OPEN, 0.0, False),
        (True, True, False, Phase.OPEN, loading.LEAVE_SECONDS, True),
        (False, True, False, Phase.OPEN, loading.LEAVE_SECONDS, True),
        (True, True, False, Phase.COMPLETE, 0.0, True),
    ],
)
def test_a_failed_programs_node_goes_when_nobody_waits_for_it(
    joined: bool, on_roster: bool, stranded: bool, phase: Phase, waited: float, goes: bool
) -> None:
    """It has left on chain and the open round does not need its word, or none can be recorded; else after a minute."""
    me = Address(bytes([1] * 20))
    sent: list[str] = []
    out: Any = Out()
    out.transact = lambda _state, _now, what: sent.append(what)
    state: Any = SimpleNamespace(
        me=me,
        joined=joined,
        finished=False,
        stranded_since=5.0 if stranded else None,
        view=SimpleNamespace(state=SimpleNamespace(phase=phase), roster=(me,) if on_roster else ()),
        program=SimpleNamespace(failed="it raised", failed_at=100.0),
    )
    loading._leave(state, 100.0 + waited, out)
    assert state.finished is goes
    assert sent == (["leave"] if joined and phase is Phase.OPEN else [])
    assert list(out) == ([Finish(1, "the ML program failed: it raised")] if goes else [])
