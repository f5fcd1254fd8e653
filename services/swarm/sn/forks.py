"""The one fork that Clique cannot end by itself: sealers on two chains of equal weight, each waiting for the other.

With two sealers, or two of three alive, both can have sealed the same height; a sealer may not seal twice in a row,
and a node leaves its chain for a heavier one only. Then one side must forget its last blocks. Which one is decided
here, the same at every sealer: the chain whose newest hash is larger. Its transactions are sent again by their senders.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from swarm.chain.geth.admin import GethAdmin

log = logging.getLogger(__name__)

DEPTH_BLOCKS_MAX = 8
"""Such a fork is one block deep, seldom two: after more, one side would have become heavier."""

BlockAt = Callable[[int], Awaitable[tuple[int, str] | None]]


@dataclass(frozen=True, slots=True)
class Tip:
    """A newest block; ``weight``: total difficulty of its chain."""

    number: int
    hash: str
    weight: int


def yields(own: Tip, others: Sequence[Tip]) -> int | None:
    """To which of the other sealers' chains ours must give way (its place), or None.

    A heavier one needs no help: geth follows it as soon as it is met.
    """
    rivals = [(t.hash, at) for at, t in enumerate(others) if t.weight == own.weight and t.hash < own.hash]
    return min(rivals)[1] if rivals else None


async def give_way(admin: GethAdmin, own: Tip, theirs: BlockAt) -> bool:
    """Stop sealing and forget the blocks that the other chain does not have; False if no common one is near."""
    for number in range(own.number - 1, max(-1, own.number - 1 - DEPTH_BLOCKS_MAX), -1):
        ours = await admin.block(number)
        if ours is not None and ours == await theirs(number):
            log.error(
                "two chains of equal weight: ours (block %d, %s) gives way, back to block %d",
                own.number,
                own.hash,
                number,
            )
            await admin.stop_sealing()
            await admin.rewind(number)
            return True
    return False
