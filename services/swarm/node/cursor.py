"""The event feed's cursor in this node's journal."""

from __future__ import annotations

import json

from swarm.chain.feed import Cursor
from swarm.core.ids import Digest
from swarm.store.journal import Journal

KEY = "feed/cursor"


class JournalCursor:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def load(self) -> Cursor | None:
        raw = self._journal.get(KEY)
        if raw is None:
            return None
        kept = json.loads(raw)
        return Cursor(int(kept["block"]), Digest(bytes.fromhex(kept["hash"])))

    def save(self, cursor: Cursor) -> None:
        self._journal.put(KEY, json.dumps({"block": cursor.block, "hash": cursor.hash.hex()}).encode())
