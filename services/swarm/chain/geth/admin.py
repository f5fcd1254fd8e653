"""The few administrative calls we make, all over the unix socket: sealing, votes, peers."""

from __future__ import annotations

from typing import Any

from swarm.chain.rpc import Rpc, RpcError
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, from_hex, to_hex


def tip_of(block: Any) -> tuple[int, str, int]:
    """Number, hash and total difficulty of a block as a node gave it.

    Raises:
        ChainFault: there is none, or it has no total difficulty.
    """
    if block is None or block.get("totalDifficulty") is None:
        raise ChainFault(f"the node's newest block has no total difficulty: {block!r:.80}")
    return int(block["number"], 16), str(block["hash"]), int(block["totalDifficulty"], 16)


class GethAdmin:
    """``clique_*``, ``admin_*`` and ``miner_*`` of one geth; another client would be another class."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def start_sealing(self) -> None:
        await self._rpc("miner_start", [])

    async def stop_sealing(self) -> None:
        await self._rpc("miner_stop", [])

    async def sealing(self) -> bool:
        mining: bool = await self._rpc("eth_mining", [])
        return mining

    async def unlocked(self, who: Address) -> bool:
        """Whether geth can use that key yet: the socket opens before ``--unlock`` is done.

        On a chain that seals on demand, a transaction that comes in between is never sealed.
        """
        try:
            await self._rpc("eth_sign", [to_hex(who), "0x"])
        except RpcError as error:
            if "authentication needed" in error.message:
                return False
            raise
        return True

    async def height(self) -> int:
        return int(await self._rpc("eth_blockNumber", []), 16)

    async def pool_pending(self) -> int:
        """Transactions that could be mined now."""
        return int((await self._rpc("txpool_status", []))["pending"], 16)

    async def signers(self) -> list[Address]:
        """Who may seal at the head."""
        return [Address(from_hex(a, 20)) for a in await self._rpc("clique_getSigners", ["latest"])]

    async def propose(self, who: Address, seal: bool) -> None:
        """Vote a signer in or out; the vote stays until it is passed or discarded."""
        await self._rpc("clique_propose", [to_hex(who), seal])

    async def discard(self, who: Address) -> None:
        await self._rpc("clique_discard", [to_hex(who)])

    async def proposals(self) -> dict[Address, bool]:
        found: dict[str, bool] = await self._rpc("clique_proposals", [])
        return {Address(from_hex(a, 20)): seal for a, seal in found.items()}

    async def sealer_of(self, block_hash: str) -> Address:
        """Who sealed that block."""
        return Address(from_hex(await self._rpc("clique_getSigner", [block_hash]), 20))

    async def block(self, number: int | None = None) -> tuple[int, str] | None:
        """Number and hash of a block, of the newest by default; None if there is none of that number."""
        found = await self._rpc("eth_getBlockByNumber", ["latest" if number is None else hex(number), False])
        return None if found is None else (int(found["number"], 16), str(found["hash"]))

    async def tip(self) -> tuple[int, str, int]:
        """Number, hash and total difficulty of the newest block."""
        return tip_of(await self._rpc("eth_getBlockByNumber", ["latest", False]))

    async def rewind(self, number: int) -> None:
        """Forget all blocks after that one; peers that have them give them back, unless their chain is heavier."""
        await self._rpc("debug_setHead", [hex(number)])

    async def enode(self) -> str:
        """This node's address for others."""
        return str((await self._rpc("admin_nodeInfo", []))["enode"])

    async def peers(self) -> list[dict[str, Any]]:
        return list(await self._rpc("admin_peers", []))

    async def add_peer(self, enode: str) -> None:
        """Connect to that node and stay connected. Trusted: it counts in no limit of peers (docs/chain.md, Peers)."""
        await self._rpc("admin_addTrustedPeer", [enode])
        await self._rpc("admin_addPeer", [enode])

    async def remove_peer(self, enode: str) -> None:
        await self._rpc("admin_removeTrustedPeer", [enode])
        await self._rpc("admin_removePeer", [enode])
