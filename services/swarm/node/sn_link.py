"""A node's way to its SN: JSON-RPC through the gateway (calls of one moment travel as one batch) and wake-ups.

Owns transport and patience; what calls mean is the chain client's business. One SN for now: a list of them,
and turning to the next when one fails, has its place in :meth:`SnLink.rpc`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import ssl
from typing import Any

from swarm.chain.rpc import RpcUnreachable, unwrap
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault, PeerFault, SwarmFault
from swarm.core.limits import RPC_BATCH_MAX
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.identity import PeerIdentity

log = logging.getLogger("swarm.sn_link")

WAITING_MAX = 1000
"""Calls waiting for their batch; one more is refused."""
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


def expect_sn(peer: PeerIdentity) -> None:
    """A certificate that names a role must name the SN's; one without a name is held by its chain alone."""
    if peer.spiffe is not None and peer.spiffe.role != "sn":
        raise PeerFault(
            f"the node behind the SN's address shows a certificate of role {peer.spiffe.role}: {peer.spiffe}"
        )


class SnLink:
    """Calls one SN over mutual TLS."""

    def __init__(self, url: str, context: ssl.SSLContext, waker: Waker) -> None:
        self.url = url
        self.client = JsonClient(url, context, expect_sn)
        self._waker = waker
        self._ids = itertools.count(1)
        self._queue: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self.trouble = ""
        """Why the last call or stream failed; empty when it did not."""

    async def rpc(self, method: str, params: list[Any]) -> Any:
        """One JSON-RPC call; see :class:`swarm.chain.rpc.Rpc`."""
        if len(self._queue) >= WAITING_MAX:
            raise RpcUnreachable(f"{method}: {WAITING_MAX} calls wait for {self.url} already")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        call = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        self._queue.append((call, answer))
        if len(self._queue) == 1:
            loop.call_soon(self._flush)
        return unwrap(await answer, method)

    def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:RPC_BATCH_MAX], self._queue[RPC_BATCH_MAX:]
            task = asyncio.get_running_loop().create_task(self._post(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _post(self, batch: list[tuple[dict[str, Any], asyncio.Future[Any]]]) -> None:
        calls = [call for call, _ in batch]
        try:
            answer = await self.client.post("/v1/rpc", calls[0] if len(calls) == 1 else calls)
            answers = answer if isinstance(answer, list) else [answer]
            by_id = {a.get("id"): a for a in answers if isinstance(a, dict)}
            self.trouble = ""
            for call, future in batch:
                if not future.done():
                    found = by_id.get(call["id"])
                    if found is None:
                        future.set_exception(ChainFault(f"{self.url} left {call['method']} unanswered"))
                    else:
                        future.set_result(found)
        except BadAnswer as error:
            self._fail(batch, ChainFault(f"the SN refused: {error}"))
        except (Unreachable, PeerFault) as error:
            self._fail(batch, RpcUnreachable(str(error)))
        except asyncio.CancelledError:
            self._fail(batch, RpcUnreachable(f"the link to {self.url} is closed"))
            raise

    def _fail(self, batch: list[tuple[dict[str, Any], asyncio.Future[Any]]], error: SwarmFault) -> None:
        self.trouble = str(error)
        for _, future in batch:
            if not future.done():
                future.set_exception(error)

    async def listen(self) -> None:
        """Turn the SN's messages about new heads into wake-ups, for ever; silence is covered by slow polls."""
        failures = 0
        while True:
            try:
                async for _ in self.client.websocket("/v1/events"):
                    failures = 0
                    self._waker.wake()
            except SwarmFault as error:
                if failures == 0:
                    log.warning("no wake-ups from %s: %s", self.url, error)
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])
            failures += 1
            self._waker.wake()
            # Health follows the SN also while this node has nothing to ask: a call notes the trouble or its end.
            with contextlib.suppress(ChainFault):
                await self.rpc("eth_blockNumber", [])

    async def aclose(self) -> None:
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self.client.aclose()
