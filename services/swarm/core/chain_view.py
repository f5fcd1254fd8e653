"""What a node sees of the contracts: states and records as plain values, the same on every kind of chain.

Owns the shapes that the engine and the simulator decide on; ``chain`` fills them from calls and events.
Addresses are 20 bytes, hashes 32; a hash of zeros means "none yet".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .ids import Address, BlobId, Digest
from .statements import RoundName


class Role(IntEnum):
    """What a member may be (order of the contract's enum)."""

    NONE = 0
    SN = 1
    SL = 2
    SWCI = 3
    SWOP = 4


class Status(IntEnum):
    """Where a membership stands (order of the contract's enum)."""

    NONE = 0
    ACTIVE = 1
    SUSPENDED = 2
    REVOKED = 3


class Phase(IntEnum):
    """Where a job stands (order of the contract's enum)."""

    NONE = 0
    IDLE = 1
    OPEN = 2
    COMPLETE = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Member:
    """One node's record in the Membership contract; all zero if it was never admitted.

    ``expires`` is block time in seconds; ``since`` and ``changed_block`` are block numbers.
    """

    role: Role
    status: Status
    spki: bytes
    spiffe: bytes
    site: bytes
    expires: int
    since: int
    changed_block: int

    def active_at(self, seconds: int) -> bool:
        """Active and not expired at block time ``seconds`` (the contract's isActive)."""
        return self.status is Status.ACTIVE and seconds <= self.expires


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the Directory: where a contract of some name stands, and its version."""

    target: Address
    version: int


@dataclass(frozen=True, slots=True)
class JobState:
    """The Training contract's record of a job.

    ``round`` is the open round; after completion the number of committed rounds. ``started`` says that the
    founders are complete. ``opened_time`` and ``call_time`` are block times in seconds.
    """

    phase: Phase
    started: bool
    run: int
    round: int
    epoch: int
    min_peers: int
    interval: int
    prev: BlobId
    prev_size: int
    manifest: Digest
    roster: Digest
    opened_block: int
    opened_time: int
    joined_count: int
    call_id: int
    call_block: int
    call_time: int

    def round_name(self, job: Digest) -> RoundName:
        """The name that every statement about the open round binds."""
        return RoundName(job, self.run, self.round, self.epoch, self.prev, self.roster)


@dataclass(frozen=True, slots=True)
class Joiner:
    """Somebody who joined the current run; ``joined`` is false after leaving or being dropped."""

    node: Address
    eligible: bool
    joined: bool
    joined_block: int
    left_block: int


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of one committed round: blob id and size in bytes."""

    blob: BlobId
    size: int


@dataclass(frozen=True, slots=True)
class Stats:
    """A check-in's numbers as the contract records them; loss and metric in multiples of 1e-6."""

    weight: int
    loss: int
    metric: int
    epochs_done: int
    epochs_total: int
    flags: int
