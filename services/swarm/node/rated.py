"""Calls to a node that bounds how much it answers: asked once more when its rate allows it, within a bound.

What is asked, and of whom, is the caller's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from swarm.net.faults import BadAnswer

T = TypeVar("T")

RATE_SECONDS_MAX = 2.5
"""How long one call may wait in all for a rate of the other side: less than a silent SN is borne with."""
STEP_SECONDS_MIN = 0.02
"""A shorter wait would ask again too soon, if clocks round."""
TOO_MANY = 429


async def in_rate(
    act: Callable[[], Awaitable[T]],
    *,
    seconds_max: float = RATE_SECONDS_MAX,
    noted: Callable[[BadAnswer], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """``act``'s result; a refusal that names its wait (429) is waited for and asked again.

    Args:
        noted: hears of each such refusal, so that the wait can be seen.

    Raises:
        BadAnswer: the waits would come to more than ``seconds_max``; or whatever else ``act`` raises.
    """
    left = seconds_max
    while True:
        try:
            return await act()
        except BadAnswer as error:
            if error.status != TOO_MANY or not 0 < error.wait <= left:
                raise
            if noted is not None:
                noted(error)
            wait = max(error.wait, STEP_SECONDS_MIN)
            left -= wait
            await sleep(wait)
