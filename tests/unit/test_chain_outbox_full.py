"""An outbox on a full disk: what is mined cannot be crossed off, and that ends nobody."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from swarm.chain.client import MINED_LOOK_SECONDS, ChainClient, MemoryOutbox, OutboxEntry
from swarm.core.errors import LocalFault
from swarm.core.ids import Digest


class Full(MemoryOutbox):
    """Removes nothing while its disk is full."""

    full = True

    def remove(self, nonce: int) -> None:
        if self.full:
            raise LocalFault("database or disk is full")
        super().remove(nonce)


async def test_what_cannot_be_crossed_off_now_is_crossed_off_later() -> None:
    """The loop that looks after transactions goes on; the row says what is wrong."""
    outbox, now = Full(), [100.0]
    outbox.put(OutboxEntry(0, b"\x02", Digest(bytes(32)), "join"))

    async def rpc(method: str, params: list[Any]) -> Any:
        return "0x5" if method == "eth_blockNumber" else {"blockNumber": "0x5", "status": "0x1"}

    client = ChainClient(rpc, Account.create(), outbox, chain_id=7, clock=lambda: now[0])
    await client.tend()
    assert "full" in client.pending()[0].trouble
    outbox.full = False
    now[0] += MINED_LOOK_SECONDS
    await client.tend()
    assert client.pending() == []
