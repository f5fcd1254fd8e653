"""The last event of a kind by member, read from the chain as it grows: where members serve, where SNs are, who came."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from swarm.core.ids import Address, to_hex

from .contract import artifact
from .events import Announced, EventDecoder, Joined, MemberAdmitted
from .paging import logs_up_to
from .rpc import Rpc

OVERLAP_BLOCKS = 8
"""Read again each time: a reorganisation may have replaced them."""
BEHIND_BLOCKS_MAX = 1024
"""A head so far below what was read means that all is read anew."""

E = TypeVar("E", Joined, Announced, MemberAdmitted)


class Latest(Generic[E]):
    """An index of the last event of one kind by node; it catches up when it is asked, and reads no old block twice.

    Args:
        addresses: by contract name, at least of ``contract``.
        more: further topics.
    """

    def __init__(
        self, rpc: Rpc, addresses: Mapping[str, Address], contract: str, kind: type[E], more: Sequence[str] = ()
    ) -> None:
        self._rpc = rpc
        self._kind: type[E] = kind
        self._address = addresses[contract]
        self._topics = [to_hex(artifact(contract).events[kind.__name__].hash), *more]
        self._decode = EventDecoder({contract: self._address})
        self._next_block = 0
        self._settled: dict[Address, E] = {}
        """Of the blocks before ``_next_block``."""
        self._lock = asyncio.Lock()

    async def events(self) -> dict[Address, E]:
        """The last event by node, at the present head, who said nothing for longest first.

        Raises:
            ChainFault: the chain failed; what was read before stays.
        """
        async with self._lock:
            head = int(await self._rpc("eth_blockNumber", []), 16)
            first = self._next_block
            if head + BEHIND_BLOCKS_MAX < first:
                # No SN lags so far: the head that was told before was none, or this is another chain.
                first, self._settled = 0, {}
            settled, found = dict(self._settled), dict(self._settled)
            async for log in logs_up_to(self._rpc, head, [self._address], self._topics, first=first):
                event = self._decode(log)
                if isinstance(event, self._kind):
                    for index in (found, settled) if log.block <= head - OVERLAP_BLOCKS else (found,):
                        index.pop(event.node, None)
                        index[event.node] = event
            self._settled, self._next_block = settled, max(first, head - OVERLAP_BLOCKS + 1)
            return found
