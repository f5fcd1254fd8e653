"""New heads of the chain, handed to whoever listens: wake-ups, never the truth.

Owns the queues (bounded: a slow listener is dropped and told so) and the newest head. Where heads come from
is the chain's business; a WebSocket is the application's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

QUEUE_HEADS_MAX = 64
LISTENERS_MAX = 256
LISTENERS_PEER_MAX = 8
"""Of one peer (a node needs one; its old ones linger for a moment after a reconnect): nobody takes all places."""


@dataclass(frozen=True, slots=True)
class Head:
    """Args: logs: how many log entries the block holds, -1 where that is not known; time: its block time."""

    number: int
    hash: str
    time: int
    logs: int

    def to_json(self) -> dict[str, Any]:
        return {"head": {"number": self.number, "hash": self.hash}, "logs": self.logs}


class TooManyListeners(Exception):
    """No place for one more listener."""


class Listener:
    """One listener's queue. ``dropped`` is set when it was too slow: then nothing more comes."""

    def __init__(self, peer: bytes) -> None:
        self.peer = peer
        self.queue: asyncio.Queue[Head] = asyncio.Queue(QUEUE_HEADS_MAX)
        self.dropped = asyncio.Event()


class Heads:
    """Fan-out of heads. All methods belong to the event loop's thread."""

    def __init__(self) -> None:
        self.latest: Head | None = None
        self.on_head: list[Callable[[Head], None]] = []
        """Called at once for every head; must not block."""
        self._listeners: set[Listener] = set()

    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def publish(self, head: Head) -> None:
        self.latest = head
        for act in self.on_head:
            act(head)
        for listener in tuple(self._listeners):
            try:
                listener.queue.put_nowait(head)
            except asyncio.QueueFull:
                listener.dropped.set()
                self._listeners.discard(listener)

    @contextmanager
    def listen(self, peer: bytes) -> Iterator[Listener]:
        """Args: peer: the listener's certificate key. Raises TooManyListeners."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise TooManyListeners(f"{LISTENERS_MAX} listeners are served already")
        if sum(1 for one in self._listeners if one.peer == peer) >= LISTENERS_PEER_MAX:
            raise TooManyListeners(f"{LISTENERS_PEER_MAX} listeners of this node are served already")
        listener = Listener(peer)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
