"""A shell's calls to the chain: one that was answered since the last new block is not asked again.

A shell that serves many callers is one member with one rate at its SN. Owns how long an answer holds: until the SN
tells of a new block, until a transaction of this process is in one, and never longer than ``FRESH_SECONDS``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swarm.chain.rpc import Rpc
from swarm.chain.wake import Waker

FRESH_SECONDS = 0.5
ANSWERS_MAX = 512
"""Answers kept at once; with more, all are forgotten."""
ANSWER_CHARS_MAX = 64 * 1024
"""A longer answer is not kept."""


@dataclass(slots=True)
class _Asked:
    begun: float
    task: asyncio.Task[Any]


class AtHead:
    """JSON-RPC as :class:`swarm.chain.rpc.Rpc`, remembering what was said of the newest block.

    Args:
        rpc: the way to the SN.
        waker: woken by the SN at each new block.
        clock: seconds, monotonic.
    """

    def __init__(self, rpc: Rpc, waker: Waker, clock: Callable[[], float] = time.monotonic) -> None:
        self._rpc, self._waker, self._clock = rpc, waker, clock
        self._ticket = waker.ticket()
        self._answers: dict[str, _Asked] = {}

    async def __call__(self, method: str, params: list[Any]) -> Any:
        if not _of_newest(method, params):
            return await self._rpc(method, params)
        if self._ticket.woken:
            self.forget()
        key = json.dumps([method, params])
        found = self._answers.get(key)
        if found is None or self._clock() - found.begun > FRESH_SECONDS:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            found = _Asked(self._clock(), asyncio.ensure_future(self._rpc(method, params)))
            self._answers[key] = found
            found.task.add_done_callback(lambda task: self._look_at(key, task))
        # One caller that goes away takes nothing from the others.
        return await asyncio.shield(found.task)

    def forget(self) -> None:
        """What was said holds no longer."""
        self._ticket = self._waker.ticket()
        self._answers.clear()

    async def writing(self, method: str, params: list[Any]) -> Any:
        """The same way without memory, for transactions; whoever reads after a receipt sees what it did."""
        answer = await self._rpc(method, params)
        if method == "eth_getTransactionReceipt" and answer is not None:
            self.forget()
        return answer

    def _look_at(self, key: str, task: asyncio.Task[Any]) -> None:
        """An error is told to those who asked by then, and asked anew; so is what is too long to keep."""
        bad = task.cancelled() or task.exception() is not None
        kept = self._answers.get(key)
        if kept is not None and kept.task is task and (bad or len(str(task.result())) > ANSWER_CHARS_MAX):
            del self._answers[key]


def _of_newest(method: str, params: list[Any]) -> bool:
    if method in ("eth_call", "eth_getBlockByNumber"):
        return "latest" in params
    return method == "eth_blockNumber"
