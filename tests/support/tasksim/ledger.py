"""The chain of a task simulation: blocks over the contract's model, with delays, repeats, stops and reorganisations.

Owns order and finality of transactions; what each does is the model's (:mod:`.contract`), who may see which block an
SN's (:class:`Sn`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from .contract import Call, Contract, Refused

KEPT_BLOCKS = 40


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction on its way. ``not_before``: the tick from which a sealer may have it."""

    who: object
    call: Call
    not_before: int


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    time: int
    state: Contract
    txs: tuple[Sent, ...]


class Ledger:
    """Args: depth: blocks after which nothing is taken back; 0: an embedded chain, which seals on demand."""

    def __init__(
        self, start: Contract, depth: int, rng: random.Random, accepted: Callable[[Call, Contract, Contract], None]
    ):
        self.depth = depth
        self.blocks = [Block(0, 0, start, ())]
        self.pool: list[Sent] = []
        self.stopped_until = 0
        self.reorganised = 0
        self._rng = rng
        self._accepted = accepted

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def send(self, who: object, call: Call, now: int, delay: int) -> None:
        """One nonce after the other: what a sender has in the pool already is not sent again."""
        if not any(sent.who == who and sent.call == call for sent in self.pool):
            self.pool.append(Sent(who, call, now + delay))

    def tick(self, now: int, *, heartbeat: int, part: float) -> bool:
        """A block, unless the chain stands still or has nothing to seal; ``part`` of what waits gets in."""
        if now < self.stopped_until:
            return False
        if self.depth == 0 and not self.pool and not (self.head.state.waiting() and now - self.head.time >= heartbeat):
            return False
        self._seal(now, part)
        return True

    def reorganise(self, blocks: int, now: int) -> None:
        """Take the newest blocks back; their transactions wait again, some of them for a while."""
        if len(self.blocks) <= blocks:
            return
        taken = self.blocks[-blocks:]
        del self.blocks[-blocks:]
        self.reorganised += 1
        again = [sent for block in taken for sent in block.txs]
        self.pool = [replace(s, not_before=now + self._rng.choice([0, 0, 4, 8])) for s in again] + self.pool
        for block in taken:
            self._seal(block.time, 0.5)
        self._seal(now, 0.5)

    def _seal(self, now: int, part: float) -> None:
        state, number = self.head.state, self.head.number + 1
        blocked: set[object] = set()
        kept, mined = [], []
        for sent in self.pool:  # in order of each sender's nonces
            if sent.not_before > now or sent.who in blocked or self._rng.random() > part:
                blocked.add(sent.who)
                kept.append(sent)
                continue
            mined.append(sent)
            before = state
            try:
                state = before.after(sent.call, max(now, self.head.time + 1), number)
            except Refused:
                continue
            self._accepted(sent.call, before, state)
        self.pool = kept
        self.blocks.append(Block(number, max(now, self.head.time + 1), state, tuple(mined)))
        del self.blocks[:-KEPT_BLOCKS]


class Sn:
    """What one SN shows: the chain as it is, or as it was while it is behind."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._frozen: list[Block] | None = None
        self._until = 0

    def falls_behind(self, now: int, ticks: int) -> None:
        self._frozen, self._until = list(self._ledger.blocks), now + ticks

    def blocks(self, now: int) -> list[Block]:
        if self._frozen is not None and now < self._until:
            return self._frozen
        self._frozen = None
        return self._ledger.blocks
