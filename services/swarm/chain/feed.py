"""The event feed: all events of our contracts, in order, at least once, through reconnects, reorgs, restarts.

A wake-up only says "look"; the truth is a block cursor. Blocks up to the cursor are final and handled; those
after it are read again at each look and told apart by (block hash, log index). A log that was delivered and
is no longer there is reported as :class:`Removed`. Handlers must be idempotent: after a restart everything
since the last final block comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swarm.core.errors import ChainFault
from swarm.core.ids import Address, Digest, from_hex, to_hex

from .logs import Log, parse_log
from .rpc import Rpc, RpcError
from .wake import Sleep, Waker

SLOW_POLL_SECONDS = 5.0
"""The safety net when no wake-up comes."""
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PAGE_BLOCKS_MAX = 2_000
SAVE_BLOCKS = 100
"""The cursor of a quiet chain is saved once per so many blocks."""
WINDOW_LOGS_MAX = 100_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last block that is final and handled."""

    block: int
    hash: Digest


class CursorStore(Protocol):
    """Keeps the cursor; ``load`` answers None at the first start. ``save`` returns when it is durable."""

    def load(self) -> Cursor | None: ...

    def save(self, cursor: Cursor) -> None: ...


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of ours on the chain; ``final`` once no reorg can take it back."""

    event: Any
    log: Log
    final: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """An event that was delivered and is no longer on the chain; reported newest first."""

    event: Any
    log: Log


Handler = Callable[[Happened | Removed], Awaitable[None]]
Decoder = Callable[[Log], Any | None]


class EventFeed:
    """Reads logs of ``addresses`` and hands events to one handler.

    Args:
        decoder: log -> event, or None for logs that are none of ours.
        confirmations_final: blocks after which a block cannot be replaced; 0 where finality is immediate.
        waker: woken by head news; the feed works without, at SLOW_POLL_SECONDS.
        start_block: where to begin when the store has no cursor.
    """

    def __init__(
        self,
        rpc: Rpc,
        addresses: Sequence[Address],
        decoder: Decoder,
        cursor_store: CursorStore,
        *,
        confirmations_final: int,
        waker: Waker,
        start_block: int = 0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._rpc = rpc
        self._addresses = [to_hex(a) for a in addresses]
        self._decoder = decoder
        self._store = cursor_store
        self._confirmations = confirmations_final
        self._waker = waker
        self._start_block = start_block
        self._sleep = sleep
        self._cursor: Cursor | None = None
        self._saved = -1
        self._window: dict[tuple[bytes, int], tuple[Log, Any]] = {}
        self._head_hash = b""
        self._page = PAGE_BLOCKS_MAX
        self._anchored = False
        self.trouble = ""
        """Why the last look failed; empty when it did not."""
        self.head = 0
        """Number of the last block seen."""

    @property
    def cursor(self) -> int:
        """Number of the last final block whose events are handled; -1 before the first."""
        return -1 if self._cursor is None else self._cursor.block

    async def run(self, handler: Handler) -> None:
        """Deliver events for ever; failures of the node are retried, those of the handler are raised.

        Raises:
            ChainFault: the chain behind ``rpc`` is not the one of the cursor, or a final block was replaced.
        """
        failures = 0
        while True:
            ticket = self._waker.ticket()
            try:
                batch = await self._look()
            except ForeignChain:
                raise
            except ChainFault as error:
                if not self.trouble:
                    _log.warning("event feed: %s", error)
                self.trouble = str(error)
                self._anchored = False
                await self._sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            failures, self.trouble = 0, ""
            if batch is not None:
                await self._deliver(batch, handler)
                if batch.more:
                    continue
            await ticket.wait(SLOW_POLL_SECONDS, self._sleep)

    def reanchor(self) -> None:
        """Another node stands behind ``rpc``: check at the next look that it has the chain of the cursor."""
        self._anchored = False

    async def catch_up(self, handler: Handler) -> None:
        """Deliver everything up to the present head once, and return.

        Raises:
            ChainFault: the node failed; try again.
        """
        while (batch := await self._look()) is not None:
            await self._deliver(batch, handler)
            if not batch.more:
                return

    async def _look(self) -> _Batch | None:
        """Read one page; None if the head has not changed."""
        if not self._anchored:
            await self._anchor()
        head, head_hash = await self._block("latest")
        if head_hash == self._head_hash:
            return None
        self.head = head
        while True:
            last, final_block = self._range(head)
            if last <= self.cursor:
                return None
            request = {
                "address": self._addresses,
                "fromBlock": hex(self.cursor + 1),
                "toBlock": hex(last),
            }
            try:
                raw = await self._rpc("eth_getLogs", [request])
                break
            except RpcError:
                if self._page == 1:
                    raise
                self._page = max(1, self._page // 4)  # perhaps more than the node gives at once: ask for less
        self._page = min(PAGE_BLOCKS_MAX, self._page * 2)
        if not isinstance(raw, list):
            raise ChainFault(f"eth_getLogs answered {raw!r:.100}")
        logs = sorted((parse_log(entry) for entry in raw), key=lambda entry: (entry.block, entry.index))
        final = self._cursor
        if final_block == head:
            final = Cursor(head, head_hash)
        elif final_block > self.cursor:
            final = Cursor(*(await self._block(hex(final_block))))
        return _Batch(logs, last, final, last < head, head_hash if last == head else b"")

    def _range(self, head: int) -> tuple[int, int]:
        """Up to which block to read, and which is then final: a page of a backlog, or all up to the head."""
        final = head - self._confirmations
        if final - self.cursor > self._page:
            return self.cursor + self._page, self.cursor + self._page
        return head, final

    async def _deliver(self, batch: _Batch, handler: Handler) -> None:
        seen = {entry.key for entry in batch.logs}
        missing = [e.block for key, (e, _) in self._window.items() if e.block <= batch.last and key not in seen]
        # What stood in later blocks went with them, also where the chain has not grown as far again.
        gone = [e for key, (e, _) in self._window.items() if missing and e.block >= min(missing) and key not in seen]
        for entry in sorted(gone, key=lambda e: (e.block, e.index), reverse=True):
            _, event = self._window.pop(entry.key)
            await handler(Removed(event, entry))
        final_block = -1 if batch.final is None else batch.final.block
        for entry in batch.logs:
            if entry.key in self._window:
                continue
            event = self._decoder(entry)
            if event is None:
                continue
            if len(self._window) >= WINDOW_LOGS_MAX:
                raise ChainFault(f"more than {WINDOW_LOGS_MAX} events since the last final block")
            await handler(Happened(event, entry, entry.block <= final_block))
            self._window[entry.key] = (entry, event)
        self._advance(batch)
        self._head_hash = batch.head_hash

    def _advance(self, batch: _Batch) -> None:
        final = batch.final
        if final is None or final == self._cursor:
            return
        settled = [key for key, (entry, _) in self._window.items() if entry.block <= final.block]
        for key in settled:
            del self._window[key]
        self._cursor = final
        if settled or final.block - self._saved >= SAVE_BLOCKS:
            self._store.save(final)
            self._saved = final.block

    async def _anchor(self) -> None:
        """After a start or a reconnect: is this still the chain that the cursor belongs to?"""
        if self._cursor is None:
            self._cursor = self._store.load()
            if self._cursor is None and self._start_block > 0:
                self._cursor = Cursor(*(await self._block(hex(self._start_block - 1))))
            self._saved = self.cursor
        if self._cursor is not None:
            found = await self._rpc("eth_getBlockByNumber", [hex(self._cursor.block), False])
            if found is None:
                raise ChainFault(
                    f"the chain node has not reached block {self._cursor.block} yet, which was handled before"
                )
            if from_hex(found["hash"], 32) != self._cursor.hash:
                raise ForeignChain(
                    f"block {self._cursor.block} was final as {to_hex(self._cursor.hash)} "
                    f"and is now {found['hash']}: this is another chain, or a final block was replaced; "
                    "a node of another swarm needs another state folder"
                )
        self._head_hash = b""
        self._anchored = True

    async def _block(self, which: str) -> tuple[int, Digest]:
        found = await self._rpc("eth_getBlockByNumber", [which, False])
        if not isinstance(found, dict):
            raise ChainFault(f"the chain node does not know block {which}")
        return int(found["number"], 16), Digest(from_hex(found["hash"], 32))


class ForeignChain(ChainFault):
    """The cursor does not lie on this chain."""


@dataclass(frozen=True, slots=True)
class _Batch:
    logs: list[Log]
    last: int
    final: Cursor | None
    more: bool
    head_hash: bytes
