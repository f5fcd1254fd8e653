"""Owns what calls at the head were answered: members ask the same at every new block, and running code is dear.

Nothing is kept beyond its head. For whom an answer holds the engine finds out while the code runs (``Result.own``
and ``named``); this module trusts it.
"""

from __future__ import annotations

from dataclasses import replace

from swarm.chain.embedded.evm import Call, Result

ANSWERS_MAX = 256
"""Calls whose answers are kept; the one that was asked for longest ago goes first."""
ANSWER_BYTES_MAX = 64 * 1024
"""Bytes of a call and its answer together; larger ones are worked out each time."""


class Answers:
    """Answers at one head: the hash of its block."""

    def __init__(self) -> None:
        self._head = b""
        self._kept: dict[Call, Result] = {}

    def find(self, head: bytes, call: Call) -> Result | None:
        if head != self._head:
            self._head = head
            self._kept.clear()
            return None
        shared = _for_others(call)
        for key in (call, shared):
            found = self._kept.get(key)
            if found is not None and (key is call or not _matters(call, found)):
                self._kept[key] = self._kept.pop(key)
                return found
        return None

    def keep(self, head: bytes, call: Call, result: Result) -> None:
        if head != self._head or len(call.data) + len(result.output) > ANSWER_BYTES_MAX:
            return
        self._kept[call if _matters(call, result) else _for_others(call)] = result
        while len(self._kept) > ANSWERS_MAX:
            del self._kept[next(iter(self._kept))]

    def __len__(self) -> int:
        return len(self._kept)


def _matters(call: Call, result: Result) -> bool:
    """Whether it is for this asker alone that the answer is, or would be, this one."""
    return result.own or call.sender == call.to or call.sender in result.named


def _for_others(call: Call) -> Call:
    return replace(call, sender=b"")
