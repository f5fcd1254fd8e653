"""Where signed bytes wait for their receipt: the Protocol that a store fulfils, and a forgetful one for tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from swarm.core.ids import Digest


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Signed bytes that may have been sent."""

    nonce: int
    raw: bytes
    hash: Digest
    label: str


class Outbox(Protocol):
    """Where signed bytes wait for their receipt. ``put`` returns when they are durable."""

    def put(self, entry: OutboxEntry) -> None: ...

    def remove(self, nonce: int) -> None: ...

    def entries(self) -> Sequence[OutboxEntry]: ...


class MemoryOutbox:
    """An outbox for short-lived tools: it forgets everything with its process."""

    def __init__(self) -> None:
        self._entries: dict[int, OutboxEntry] = {}

    def put(self, entry: OutboxEntry) -> None:
        self._entries[entry.nonce] = entry

    def remove(self, nonce: int) -> None:
        self._entries.pop(nonce, None)

    def entries(self) -> Sequence[OutboxEntry]:
        return sorted(self._entries.values(), key=lambda e: e.nonce)
