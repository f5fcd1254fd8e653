"""Where members serve their blobs, as the chain has it."""

from __future__ import annotations

from swarm.chain.deploy import Deployed
from swarm.chain.events import Joined
from swarm.chain.latest import Latest
from swarm.chain.rpc import Rpc
from swarm.core.ids import Address


class Uris:
    """Where members serve their blobs, as they said when they last joined a job."""

    def __init__(self, rpc: Rpc, deployed: Deployed) -> None:
        self._joined = Latest(rpc, deployed.addresses, "Training", Joined)

    async def latest(self) -> dict[Address, str]:
        """URI by node, at the present head."""
        return {node: event.uri for node, event in (await self._joined.events()).items()}
