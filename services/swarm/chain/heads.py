"""Head news of a node over its unix socket: wake-ups that survive the node's restarts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from swarm.core.errors import ChainFault

from .rpc import IpcRpc
from .wake import Sleep

_log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
NEWS_MAX = 64
"""Heads waiting to be told; older ones give way, since only the newest matters."""


async def watch_heads(
    path: str | os.PathLike[str],
    on_head: Callable[[], None],
    *,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Call ``on_head`` for each new block header, and whenever the connection came or went, for ever.

    It is a wake-up alone: what the node says of the block is not looked at.
    """
    while True:
        async with IpcRpc(path) as rpc:
            news: asyncio.Queue[Any] = asyncio.Queue(NEWS_MAX)
            rpc.notifications = news
            try:
                await rpc("eth_subscribe", ["newHeads"])
                on_head()
                while await news.get() is not None:
                    on_head()
            except ChainFault as error:
                _log.debug("no head news from %s: %s", path, error)
        on_head()
        await sleep(RETRY_SECONDS)
