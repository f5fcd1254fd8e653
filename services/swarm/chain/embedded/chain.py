"""Owns the embedded chain's face: opening, the one lock, JSON-RPC entry, heartbeats, listeners and closing.

Callable from any thread; every entry takes the chain's lock for the milliseconds it needs. There is no
event loop in here: an asyncio process calls it through ``asyncio.to_thread`` or one worker thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swarm.chain.embedded.block import Block
from swarm.chain.embedded.errors import INTERNAL, RpcError
from swarm.chain.embedded.journal import Journal
from swarm.chain.embedded.ledger import Ledger
from swarm.chain.embedded.rpc import Rpc
from swarm.chain.embedded.views import block_logs, head_view
from swarm.core.errors import LocalFault, SwarmFault
from swarm.core.ids import Address

__all__ = ["LISTENERS_MAX", "EmbeddedChain", "Listener"]

LISTENERS_MAX = 64
Listener = Callable[[dict[str, Any], list[dict[str, Any]]], None]
_log = logging.getLogger(__name__)


class EmbeddedChain:
    """A London chain of one process, in one folder; build it with :meth:`open`, end it with :meth:`close`."""

    def __init__(self, journal: Journal, ledger: Ledger, genesis_hash: bytes) -> None:
        self.chain_id = ledger.chain_id
        self.genesis_hash = genesis_hash
        self._journal = journal
        self._ledger = ledger
        self._rpc = Rpc(ledger, self._announce)
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._closed = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        chain_id: int | None = None,
        alloc: Mapping[Address, int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> EmbeddedChain:
        """Continue the chain in ``folder``, or begin one there.

        Args:
            folder: created with mode 0700 if need be; one process at a time holds it.
            chain_id: of a new chain (None: random); an existing chain must have this one (None: any).
            alloc: wei by address at genesis; an existing chain must have begun with it (None: any).
            clock: seconds since 1970, for block times.

        Raises:
            OperatorFault: the folder is in use or unusable, or holds another chain.
            LocalFault: the journal was damaged or changed.
        """
        journal = Journal.open(folder)
        try:
            funded = None if alloc is None else {bytes(address): wei for address, wei in alloc.items()}
            ledger = Ledger.open(journal, clock, chain_id, funded)
            genesis = journal.block(0)
            if genesis is None:
                raise journal.broken("genesis is missing")
            return cls(journal, ledger, genesis.hash)
        except BaseException:
            journal.close()
            raise

    def handle(self, method: str, params: list[Any]) -> Any:
        """Answer one JSON-RPC call with the ``result`` that geth would give.

        A transaction's block is durable, and all listeners have been called, when this returns.

        Raises:
            RpcError: what the client gets as ``error``.
        """
        with self._lock:
            try:
                self._require_open()
                return self._rpc.dispatch(method, params)
            except RpcError:
                raise
            except SwarmFault as exc:
                raise RpcError(INTERNAL, str(exc)) from exc

    def heartbeat(self) -> None:
        """Seal an empty block, so that block time moves on an idle chain.

        Raises:
            OperatorFault: the journal could not be written; nothing changed.
        """
        with self._lock:
            self._require_open()
            self._announce(self._ledger.seal_empty())

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have ``listener(head, logs)`` called after each new block is durable, in block order.

        It runs in the sealing thread under the chain's lock, so it must return at once (hand the news to a
        queue or an event loop). An exception in it is logged and hurts nobody else.

        Returns:
            A function that ends the subscription; calling it twice is harmless.
        """
        with self._lock:
            self._require_open()
            if len(self._listeners) >= LISTENERS_MAX:
                raise LocalFault(f"the embedded chain already has {LISTENERS_MAX} listeners; end some")
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return end

    def verify_all(self) -> int:
        """Replay the whole journal as an audit and return the number of blocks checked.

        Raises:
            LocalFault: names the first block that does not replay.
        """
        with self._lock:
            self._require_open()
            return self._ledger.verify_all()

    def close(self) -> None:
        """Release the folder; harmless if already closed."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._listeners.clear()
                self._journal.close()

    def _require_open(self) -> None:
        if self._closed:
            raise LocalFault("the embedded chain was closed; open it again")

    def _announce(self, block: Block) -> None:
        if not self._listeners:
            return
        head, logs = head_view(block), block_logs(block)
        for listener in tuple(self._listeners):
            try:
                listener(head, logs)
            except Exception:
                _log.exception("a listener of the embedded chain failed on block %d", block.number)
