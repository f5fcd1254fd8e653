"""The embedded chain: a London EVM in this process, an SQLite journal, geth's JSON-RPC (a subset)."""

from __future__ import annotations

from swarm.chain.embedded.chain import EmbeddedChain, Listener
from swarm.chain.embedded.errors import RpcError

__all__ = ["EmbeddedChain", "Listener", "RpcError"]
