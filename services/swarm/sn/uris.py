"""The last event of a kind by member, read from the chain as it grows: where members serve, where SNs are, who came."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from swarm.chain.contract import artifact
from swarm.chain.deploy import Deployed
from swarm.chain.events import Announced, EventDecoder, Joined, MemberAdmitted
from swarm.chain.paging import logs_up_to
from swarm.chain.rpc import Rpc
from swarm.core.ids import Address, to_hex

OVERLAP_BLOCKS = 8
"""Read again each time: a reorganisation may have replaced them."""

E = TypeVar("E", Joined, Announced, MemberAdmitted)


class Latest(Generic[E]):
    """An index of the last event of one kind by node; it catches up when it is asked."""

    def __init__(self, rpc: Rpc, deployed: Deployed, contract: str, kind: type[E]) -> None:
        self._rpc = rpc
        self._kind: type[E] = kind
        self._address = deployed.addresses[contract]
        self._topic = to_hex(artifact(contract).events[kind.__name__].hash)
        self._decode = EventDecoder(deployed.addresses)
        self._next_block = 0
        self._events: dict[Address, E] = {}
        self._lock = asyncio.Lock()

    async def events(self) -> dict[Address, E]:
        """The last event by node, at the present head, who said nothing for longest first."""
        async with self._lock:
            head = int(await self._rpc("eth_blockNumber", []), 16)
            first = max(0, self._next_block - OVERLAP_BLOCKS)
            async for log in logs_up_to(self._rpc, head, [self._address], [self._topic], first=first):
                event = self._decode(log)
                if isinstance(event, self._kind):
                    self._events.pop(event.node, None)
                    self._events[event.node] = event
            self._next_block = head + 1
            return dict(self._events)


class Uris:
    """Where members serve their blobs, as they said when they last joined a job."""

    def __init__(self, rpc: Rpc, deployed: Deployed) -> None:
        self._joined = Latest(rpc, deployed, "Training", Joined)

    async def latest(self) -> dict[Address, str]:
        """URI by node, at the present head."""
        return {node: event.uri for node, event in (await self._joined.events()).items()}
