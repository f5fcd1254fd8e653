"""Where members serve their blobs, as they said when they last joined a job; read from the chain as it grows."""

from __future__ import annotations

import asyncio

from swarm.chain.contract import artifact
from swarm.chain.deploy import Deployed
from swarm.chain.events import EventDecoder, Joined
from swarm.chain.logs import parse_log
from swarm.chain.rpc import Rpc
from swarm.core.ids import Address, to_hex

PAGE_BLOCKS_MAX = 5000
"""Blocks read at a time."""
OVERLAP_BLOCKS = 8
"""Read again each time: a reorganisation may have replaced them."""


class Uris:
    """An index that catches up when it is asked."""

    def __init__(self, rpc: Rpc, deployed: Deployed) -> None:
        self._rpc = rpc
        self._address = to_hex(deployed.training.address)
        self._topic = to_hex(artifact("Training").events["Joined"].hash)
        self._decode = EventDecoder(deployed.addresses)
        self._next_block = 0
        self._uris: dict[Address, str] = {}
        self._lock = asyncio.Lock()

    async def latest(self) -> dict[Address, str]:
        """URI by node, at the present head."""
        async with self._lock:
            head = int(await self._rpc("eth_blockNumber", []), 16)
            first = max(0, self._next_block - OVERLAP_BLOCKS)
            while first <= head:
                last = min(head, first + PAGE_BLOCKS_MAX - 1)
                wanted = {
                    "address": self._address,
                    "topics": [self._topic],
                    "fromBlock": hex(first),
                    "toBlock": hex(last),
                }
                for raw in await self._rpc("eth_getLogs", [wanted]):
                    event = self._decode(parse_log(raw))
                    if isinstance(event, Joined):
                        self._uris[event.node] = event.uri
                first = self._next_block = last + 1
            return dict(self._uris)
