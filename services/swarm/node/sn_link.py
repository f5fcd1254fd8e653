"""A node's way to an SN: calls, JSON-RPC through the gateway (calls of one moment travel as one batch), wake-ups.

Owns transport, patience, and turning to another SN when the present one fails; what calls mean is the chain
client's business. Every call may be made again at another SN: transactions are the same bytes, so that is harmless.
A node stays with the SN it has for as long as that one answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from swarm.chain.rpc import RpcUnreachable, unwrap
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault, PeerFault, SwarmFault
from swarm.core.limits import RPC_BATCH_MAX
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, TimedOut, Unreachable
from swarm.net.identity import PeerIdentity

from .rated import in_rate
from .sn_list import SnList

log = logging.getLogger("swarm.sn_link")

WAITING_MAX = 1000
"""Calls waiting for their batch; one more is refused."""
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
TURNS_MAX = 3
"""SNs that one call is made at, one after the other."""
LAG_BLOCKS_MAX = 3
"""An SN this far behind what others show is used only if none is better."""
INTERNAL = -32603
"""JSON-RPC code of a gateway whose chain does not answer."""
NOT_A_MEMBER = 403
"""Of an SN that lags behind this node's admission; of all SNs once it is revoked."""

T = TypeVar("T")
Accept = Callable[[str, Any], object]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. A silent SN is left after ``suspect`` and ``probe``, with a slow poll (2 s) before: below 10 s."""

    suspect: float = 3.0
    """A call without an answer for so long makes this node ask all SNs whether they are there."""
    probe: float = 3.0
    pause: float = 1.0
    """Between two such rounds of questions that changed nothing."""


def expect_sn(peer: PeerIdentity) -> None:
    """A certificate that names a role must name the SN's; one without a name is held by its chain alone."""
    if peer.spiffe is not None and peer.spiffe.role != "sn":
        raise PeerFault(
            f"the node behind the SN's address shows a certificate of role {peer.spiffe.role}: {peer.spiffe}"
        )


class SnLink:
    """Calls one SN of a list over mutual TLS.

    Args:
        accept: sees an SN's answer to ``/v1/swarm`` before that SN is turned to; raises a SwarmFault if it serves
            another swarm than this node's.
    """

    def __init__(
        self,
        sns: SnList,
        context: ssl.SSLContext,
        waker: Waker,
        accept: Accept = lambda url, answer: None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._sns, self._context, self._waker, self._accept = sns, context, waker, accept
        self._patience = patience or Patience()
        self._clients: dict[str, JsonClient] = {}
        self._client = self._client_of(sns.urls[0])
        self._since = time.time()
        self._turning = asyncio.Lock()
        self._turned = asyncio.Event()
        self._tried_at = -self._patience.pause
        self._ids = itertools.count(1)
        self._queue: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._height = 0
        self._refused: dict[str, str] = {}
        self._troubled_at = 0.0
        self._calls, self._used = 0, time.monotonic()
        self.trouble = ""
        """Why the last call or stream failed; empty when it did not."""
        self.on_turn: list[Callable[[], None]] = []
        """Called when another SN is used from now on: what was sent may have died with the last one."""

    @property
    def url(self) -> str:
        """The SN in use."""
        return self._client.url

    def status(self) -> dict[str, Any]:
        """For status pages: which SN, since when, which others could be used, and what is wrong."""
        since = datetime.fromtimestamp(self._since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"url": self.url, "since": since, "list": self._sns.urls, "trouble": self.trouble or None}

    def told(self) -> list[dict[str, Any]]:
        """The wait for an SN as a row of the table of waits; empty while one answers."""
        if not self.trouble:
            return []
        return [
            {
                "what": "an SN that answers",
                "whom": ", ".join(self._sns.urls),
                "since_seconds": time.monotonic() - self._troubled_at,
                "until_seconds": None,
                "then": f"it is asked again and again ({self.trouble})",
            }
        ]

    def seen(self, height: int) -> None:
        """This node has seen a block of that number: an SN far below it lags."""
        self._height = max(self._height, height)

    async def doubt(self) -> bool:
        """The present SN's chain stands still or lags: look whether another one is ahead; True if turned to it."""
        return await self._turn(self._client)

    @property
    def unused_seconds(self) -> float:
        """Since its owner's last call was answered; news of the SN's own accord are none."""
        return 0.0 if self._calls else time.monotonic() - self._used

    def touch(self) -> None:
        """It is about to be used."""
        self._used = time.monotonic()

    async def get(self, path: str) -> Any:
        """GET; raises what :class:`JsonClient` raises, once no SN gives an answer."""
        with self._in_use():
            return await self._ask(lambda client: client.get(path))

    async def post(self, path: str, body: Any) -> Any:
        """POST, as :meth:`get`; it may reach more than one SN. No sign of use: own looks come here too."""
        return await self._ask(lambda client: client.post(path, body))

    async def rpc(self, method: str, params: list[Any]) -> Any:
        """One JSON-RPC call; see :class:`swarm.chain.rpc.Rpc`."""
        with self._in_use():
            return await self._rpc(method, params)

    async def _rpc(self, method: str, params: list[Any]) -> Any:
        if len(self._queue) >= WAITING_MAX:
            raise RpcUnreachable(f"{method}: {WAITING_MAX} calls wait for {self.url} already")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        call = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        self._queue.append((call, answer))
        if len(self._queue) == 1:
            loop.call_soon(self._flush)
        return unwrap(await answer, method)

    async def listen(self) -> None:
        """Turn the SN's messages about new heads into wake-ups, for ever; silence is covered by slow polls."""
        failures = 0
        while True:
            client = self._client
            stream = asyncio.ensure_future(self._stream(client))
            moved = asyncio.ensure_future(self._turned.wait())
            try:
                await asyncio.wait({stream, moved}, return_when=asyncio.FIRST_COMPLETED)
                if not stream.done():
                    failures = 0
                    continue
                failures = 0 if stream.result() else failures
            except SwarmFault as error:
                if failures == 0:
                    log.warning("no wake-ups from %s: %s", client.url, error)
            finally:
                await _end(stream, moved)
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])
            failures += 1
            self._waker.wake()
            # Health follows the SN also while this node has nothing to ask: a call notes the trouble or its end.
            with contextlib.suppress(ChainFault):
                await self._rpc("eth_blockNumber", [])

    async def aclose(self) -> None:
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls, self._used = self._calls - 1, time.monotonic()

    # ---- one call -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:RPC_BATCH_MAX], self._queue[RPC_BATCH_MAX:]
            task = asyncio.get_running_loop().create_task(self._post(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _post(self, batch: list[tuple[dict[str, Any], asyncio.Future[Any]]]) -> None:
        calls = [call for call, _ in batch]
        try:
            by_id = await self._answers(calls[0] if len(calls) == 1 else calls)
            for call, future in batch:
                if not future.done():
                    found = by_id.get(call["id"])
                    if found is None:
                        future.set_exception(ChainFault(f"{self.url} left {call['method']} unanswered"))
                    else:
                        future.set_result(found)
        except BadAnswer as error:
            # An SN that is starting, or whose chain is away, says so itself: it did not refuse this call.
            refused = ChainFault(f"the SN refused: {error}")
            _fail(batch, refused if error.status < 500 else RpcUnreachable(str(error)))
        except (Unreachable, PeerFault) as error:
            _fail(batch, RpcUnreachable(str(error)))
        except asyncio.CancelledError:
            _fail(batch, RpcUnreachable(f"the link to {self.url} is closed"))
            raise
        except Exception as error:  # a bug here: it is told by the log, and whoever waits for an answer hears of it
            _fail(batch, RpcUnreachable(f"the call to {self.url} failed here: {error!r}"))
            raise

    async def _answers(self, body: Any) -> dict[Any, Any]:
        """The answers by id, from an SN whose chain is there, if there is one."""
        while True:
            client = self._client
            answer = await self.post("/v1/rpc", body)
            answers = [a for a in (answer if isinstance(answer, list) else [answer]) if isinstance(a, dict)]
            silent = any(isinstance(a.get("error"), dict) and a["error"].get("code") == INTERNAL for a in answers)
            if not (silent and await self._turn(client)):
                return {a.get("id"): a for a in answers if isinstance(a.get("id"), int)}

    async def _ask(self, act: Callable[[JsonClient], Awaitable[T]]) -> T:
        turns = 0
        while True:
            client = self._client
            try:
                answer = await self._watched(
                    client, lambda asked: in_rate(lambda: act(asked), noted=partial(self._note, asked))
                )
            except (Unreachable, PeerFault) as error:
                self._note(client, error)
                turns += 1
                if turns >= TURNS_MAX or not (_elsewhere(error) and await self._turn(client)):
                    raise
            else:
                self._well(client)
                return answer

    async def _watched(self, client: JsonClient, act: Callable[[JsonClient], Awaitable[T]]) -> T:
        """One call; given up when this node turns to another SN meanwhile, which a long silence leads to."""
        call = asyncio.ensure_future(act(client))
        moved = asyncio.ensure_future(self._turned.wait())
        try:
            while True:
                await asyncio.wait({call, moved}, timeout=self._patience.suspect, return_when=asyncio.FIRST_COMPLETED)
                if call.done():
                    return call.result()
                if moved.done() or await self._turn(client):
                    raise TimedOut(client.url, "no answer in time; another SN is used now")
        finally:
            await _end(call, moved)

    async def _stream(self, client: JsonClient) -> bool:
        """Wake for each message; whether there was one."""
        told = False
        async for _ in client.websocket("/v1/events"):
            told = True
            self._waker.wake()
        return told

    def _note(self, client: JsonClient, error: SwarmFault) -> None:
        if client is self._client:
            self._troubled_at = self._troubled_at if self.trouble else time.monotonic()
            self.trouble = str(error)

    def _well(self, client: JsonClient) -> None:
        if client is self._client:
            self.trouble = ""

    # ---- turning to another SN ----------------------------------------------------------------------

    async def _turn(self, failed: JsonClient) -> bool:
        """Look for a better SN than ``failed``; True once another one is in use."""
        async with self._turning:
            if self._client is not failed:
                return True
            urls = self._sns.urls
            others = [url for url in urls if url != failed.url]
            if not others or time.monotonic() - self._tried_at < self._patience.pause:
                return False
            found = await self._choose([*(url for url in urls if url == failed.url), *others])
            self._tried_at = time.monotonic()
            if found is None or found == failed.url:
                return False
            log.warning("turning from the SN %s to %s: %s", failed.url, found, self.trouble or "it is behind")
            self._client, self._since, self.trouble = self._client_of(found), time.time(), ""
            self._tried_at -= self._patience.pause
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()
        for tell in self.on_turn:
            tell()
        self._waker.wake()
        return True

    async def _choose(self, urls: list[str]) -> str | None:
        """The first that answers and is not behind the others; the least behind if all are."""
        found = await asyncio.gather(*(self._probe(url) for url in urls))
        heads = {url: head for url, head in zip(urls, found, strict=True) if head is not None}
        if not heads:
            return None
        newest = max(self._height, *heads.values())
        good = [url for url, head in heads.items() if head + LAG_BLOCKS_MAX >= newest]
        return good[0] if good else max(heads, key=heads.__getitem__)

    async def _probe(self, url: str) -> int | None:
        """The SN's height; -1 if it does not know this node as a member; None if it cannot be used."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": "eth_blockNumber", "params": []}
        try:
            client = self._client_of(url)
            async with asyncio.timeout(self._patience.probe):
                self._accept(url, await client.get("/v1/swarm"))
                return int(unwrap(await client.post("/v1/rpc", body), "eth_blockNumber"), 16)
        except BadAnswer as error:
            if error.status == NOT_A_MEMBER:
                return -1
            self._refuse(url, str(error))
        except (SwarmFault, TimeoutError, TypeError, ValueError) as error:
            self._refuse(url, str(error) or f"no answer in {self._patience.probe} s")
        return None

    def _refuse(self, url: str, why: str) -> None:
        if self._refused.get(url) != why:
            self._refused[url] = why
            log.info("the SN %s cannot be used now: %s", url, why)

    def _client_of(self, url: str) -> JsonClient:
        if url not in self._clients:
            self._clients[url] = JsonClient(url, self._context, expect_sn)
        return self._clients[url]


def _elsewhere(error: SwarmFault) -> bool:
    """Whether another SN may do better: this one is not there, not well, or behind."""
    return not isinstance(error, BadAnswer) or error.status >= 500 or error.status == NOT_A_MEMBER


def _fail(batch: list[tuple[dict[str, Any], asyncio.Future[Any]]], error: SwarmFault) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
