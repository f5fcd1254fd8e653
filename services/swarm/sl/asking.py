"""Asks the chain again while it is away: an SN that restarts its chain is gone for seconds. Owns patience only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from swarm.chain.rpc import RpcError, RpcUnreachable
from swarm.node.sn_link import INTERNAL
from swarm.obs.waits import Waits

CHAIN_RETRY_SECONDS = 0.5
CHAIN_WAIT_SECONDS = 120.0

T = TypeVar("T")


async def asked(ask: Callable[[], Awaitable[T]], waits: Waits, whom: str) -> T:
    """The answer, as soon as the chain gives one.

    Raises:
        ChainFault: it said no, or was away for CHAIN_WAIT_SECONDS.
    """
    until = time.monotonic() + CHAIN_WAIT_SECONDS
    with waits.row(what="the chain", whom=whom, deadline_seconds=CHAIN_WAIT_SECONDS, then="this node takes part"):
        while True:
            try:
                return await ask()
            except (RpcError, RpcUnreachable) as fault:
                away = isinstance(fault, RpcUnreachable) or fault.code == INTERNAL
                if not away or time.monotonic() >= until:
                    raise
            await asyncio.sleep(CHAIN_RETRY_SECONDS)
