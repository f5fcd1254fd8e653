"""What the Training contract's model remembers of a job: its runs, seats, roster, calls. Owns no rule."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm.core.chain_view import Merged, Phase
from swarm.core.ids import ZERO32, Address, BlobId, Digest
from swarm.core.roster import Roster


@dataclass(slots=True)
class Seat:
    eligible: bool
    order: int
    joined_block: int
    joined_opening: int
    joined: bool = True
    left_block: int = 0
    left_opening: int = 0


@dataclass(slots=True)
class Call:
    id: int
    block: int
    time: int
    answers: dict[Address, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    number: int
    phase: Phase = Phase.IDLE
    started: bool = False
    round: int = 0
    epoch: int = 0
    openings: int = 0
    min_peers: int = 0
    interval: int = 0
    prev: Merged = field(default_factory=lambda: Merged(BlobId(ZERO32), 0))
    manifest: Digest = field(default_factory=lambda: Digest(ZERO32))
    roster: Roster = field(default_factory=lambda: Roster(()))
    opened_block: int = 0
    opened_time: int = 0
    seats: dict[Address, Seat] = field(default_factory=dict)
    merges: list[Merged] = field(default_factory=list)
    call: Call | None = None
    last_calls: dict[Address, tuple[int, int]] = field(default_factory=dict)
    closed: set[Address] = field(default_factory=set)
    joins: int = 0

    def joined(self) -> list[Address]:
        return sorted(node for node, seat in self.seats.items() if seat.joined)


@dataclass(slots=True)
class Job:
    name: str
    runs: list[Run] = field(default_factory=lambda: [Run(1)])
    calls: int = 0
    origin: Digest = field(default_factory=lambda: Digest(ZERO32))

    @property
    def run(self) -> Run:
        return self.runs[-1]
