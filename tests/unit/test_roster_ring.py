"""The ring of leaders (docs/protocol.md): each round begins one member further, each attempt goes one further."""

from __future__ import annotations

from swarm.core.ids import Address, Digest
from swarm.core.roster import Roster, leader, ring_seed

JOB = Digest(bytes(range(32)))
NODES = [Address(bytes([n]) * 20) for n in range(1, 6)]


def test_leaders_go_round_by_rounds_and_by_attempts() -> None:
    """E[(h + attempt) mod |E|] with h = seed + round; then all members, eligible or not."""
    roster = Roster.of([(node, node != NODES[2]) for node in NODES])
    eligible = [node for node in NODES if node != NODES[2]]
    seed = ring_seed(JOB, 7)
    for round_ in range(1, 12):
        for attempt in range(4):
            assert leader(roster, JOB, 7, round_, attempt) == eligible[(seed + round_ + attempt) % 4]
        for attempt in range(4, 9):
            assert leader(roster, JOB, 7, round_, attempt) == NODES[(seed + round_ + attempt) % 5]
    assert leader(Roster.of([]), JOB, 7, 1, 0) is None
