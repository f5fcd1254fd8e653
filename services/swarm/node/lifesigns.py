"""Tells the SN that this node is alive, what it does and whom it waits for (row D16); owns when, not what.

Best effort: a message that does not arrive is not repeated, the next one says everything anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from swarm.core.alive import ALIVE_SECONDS, ALIVE_SOONER_SECONDS, CLOSEST_SECONDS, Alive
from swarm.core.errors import SwarmFault

log = logging.getLogger("swarm.node.lifesigns")

LOOK_SECONDS = 1.0
LAST_WORD_SECONDS = 3.0
"""What a node's end may take longer for its last sign of life."""

Tell = Callable[[dict[str, Any]], Awaitable[object]]


async def tell(look: Callable[[], Alive], send: Tell, clock: Callable[[], float] = time.monotonic) -> None:
    """Send a message every 10 s, and sooner after a change of the state or of what is waited for; for ever."""
    sent_at, last, troubled = -ALIVE_SECONDS, "", False
    while True:
        now, said = clock(), look()
        shape = "|".join([said.state, said.leading, *(w.what + w.whom for w in said.waits)])
        due = ALIVE_SOONER_SECONDS if shape != last else ALIVE_SECONDS
        if now - sent_at >= due:
            sent_at, last = now, shape
            try:
                await send(said.to_json())
                troubled = False
            except SwarmFault as fault:
                if not troubled:
                    log.info("the SN did not take a sign of life: %s", fault)
                troubled = True
        await asyncio.sleep(LOOK_SECONDS)


async def last_word(said: Alive, send: Tell, told_at: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Say how this node ended, so that nobody takes what it said before for news; best effort, bounded.

    Args:
        told_at: when the last message went out: one that follows too closely is not looked at.
    """
    ended = replace(said, leading="-", waits=())
    try:
        async with asyncio.timeout(LAST_WORD_SECONDS):
            await asyncio.sleep(max(0.0, told_at + 1.2 * CLOSEST_SECONDS - clock()))
            await send(ended.to_json())
    except (SwarmFault, TimeoutError) as fault:
        log.info("the SN did not take this node's last sign of life: %s", fault or "no answer")
