"""The chain client's outbox in this node's journal: signed bytes are durable before anybody sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from swarm.chain.client import OutboxEntry
from swarm.core.ids import Digest
from swarm.store.journal import Journal

PREFIX = "outbox/"


class JournalOutbox:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def put(self, entry: OutboxEntry) -> None:
        kept = {"raw": entry.raw.hex(), "hash": entry.hash.hex(), "label": entry.label}
        self._journal.put(_key(entry.nonce), json.dumps(kept).encode())

    def remove(self, nonce: int) -> None:
        self._journal.delete(_key(nonce))

    def entries(self) -> Sequence[OutboxEntry]:
        found = []
        for key, value in self._journal.items(PREFIX):
            kept = json.loads(value)
            number = int(key.removeprefix(PREFIX))
            found.append(
                OutboxEntry(number, bytes.fromhex(kept["raw"]), Digest(bytes.fromhex(kept["hash"])), kept["label"])
            )
        return found


def _key(nonce: int) -> str:
    """Zero padded, so that the journal's order is the nonces'."""
    return f"{PREFIX}{nonce:020d}"
