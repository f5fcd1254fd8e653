"""The roster of a round and the leader rule (docs/wire-formats.md, "Roster and leader")."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from eth_hash.auto import keccak

from .ids import Address, Digest

_ELIGIBLE_BIT = 1 << 160
RINGS_CACHED = 256
"""(job, run) pairs whose ring is remembered: it is asked for at every step of an engine."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Members that decide a round, ascending by address, each with its eligible flag."""

    members: tuple[tuple[Address, bool], ...]
    addresses: tuple[Address, ...] = field(init=False, repr=False, compare=False)
    eligible: tuple[Address, ...] = field(init=False, repr=False, compare=False)
    """Both asked for at every step of an engine."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", tuple(a for a, _ in self.members))
        object.__setattr__(self, "eligible", tuple(a for a, eligible in self.members if eligible))

    @classmethod
    def of(cls, members: Iterable[tuple[Address, bool]]) -> Roster:
        return cls(tuple(sorted(members)))

    @classmethod
    def from_words(cls, words: Iterable[int]) -> Roster:
        """From the contract's words: eligible << 160 | address.

        Raises:
            ValueError: not strictly ascending by address.
        """
        members = [(Address((w % _ELIGIBLE_BIT).to_bytes(20, "big")), bool(w & _ELIGIBLE_BIT)) for w in words]
        if any(a[0] >= b[0] for a, b in itertools.pairwise(members)):
            raise ValueError("roster words must ascend strictly by address")
        return cls(tuple(members))

    def words(self) -> list[int]:
        return [int.from_bytes(a, "big") | (_ELIGIBLE_BIT if eligible else 0) for a, eligible in self.members]

    def hash(self) -> Digest:
        return Digest(keccak(b"".join(w.to_bytes(32, "big") for w in self.words())))

    def __contains__(self, address: object) -> bool:
        return address in self.addresses

    def __len__(self) -> int:
        return len(self.members)

    @property
    def majority(self) -> int:
        """c = floor(n/2) + 1."""
        return len(self.members) // 2 + 1


@lru_cache(maxsize=RINGS_CACHED)
def ring_seed(job: Digest, run: int) -> int:
    """Upper 128 bits of keccak256(abi.encode(job, run)): where the ring of leaders starts."""
    return int.from_bytes(keccak(job + run.to_bytes(32, "big"))[:16], "big")


def leader(roster: Roster, job: Digest, run: int, round_: int, attempt: int) -> Address | None:
    """Who leads ``attempt`` of a round; None when the roster is empty.

    E[(h+attempt) mod |E|] while attempt < |E|, then R[(h+attempt) mod n], h = ring_seed(job, run) + round.
    """
    if not roster.members:
        return None
    place = ring_seed(job, run) + round_ + attempt
    if attempt < len(roster.eligible):
        return roster.eligible[place % len(roster.eligible)]
    return roster.members[place % len(roster)][0]
