"""A SWOP's memory in its journal: which attempts were started, what came of them, what is over, how far it saw.

Owns the form; what must be remembered when is :mod:`swarm.core.taskrun`'s. One entry, so that it is whole or as before.
"""

from __future__ import annotations

import json
from typing import Any

from swarm.core.errors import LocalFault
from swarm.core.ids import Address, Digest, from_hex, to_hex
from swarm.core.taskrun.work import Key, Memory, Result, Why
from swarm.store.journal import Journal

ENTRY = "swop/memory"
KEPT = "swop/kept"
KEPT_MAX = 256
"""Attempts whose containers stay after their end: the newest."""


class Keeping:
    """The memory of one journal; ``memory`` is what was kept last."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.memory = _read(journal.get(ENTRY))

    def keep(self, memory: Memory) -> None:
        """Durable when this returns; nothing is written if nothing changed."""
        if memory != self.memory:
            self._journal.put(ENTRY, _written(memory))
            self.memory = memory


class Kept:
    """Attempts that are over, and whose containers are left for a look by hand (``SWOP_KEEP_CONTAINERS``)."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        raw = journal.get(KEPT)
        self._keys = [] if raw is None else [_key_of(one) for one in json.loads(raw)]

    def add(self, key: Key) -> None:
        if key not in self._keys:
            self._keys = [*self._keys, key][-KEPT_MAX:]
            self._journal.put(KEPT, json.dumps([_key(one) for one in self._keys]).encode())

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def _written(memory: Memory) -> bytes:
    told = {
        "started": [_key(key) for key in sorted(memory.started)],
        "results": [[*_key(key), _result(result)] for key, result in sorted(memory.results.items())],
        "over": [to_hex(aid) for aid in memory.over],
        "highest": memory.highest,
    }
    return json.dumps(told).encode()


def _read(raw: bytes | None) -> Memory:
    if raw is None:
        return Memory()
    try:
        told = json.loads(raw)
        return Memory(
            frozenset(_key_of(one) for one in told["started"]),
            {_key_of(one): _result_of(one[3]) for one in told["results"]},
            tuple(Digest(from_hex(aid, 32)) for aid in told["over"]),
            int(told["highest"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LocalFault(f"the journal's entry {ENTRY} is not what a SWOP writes: {error}") from error


def _key(key: Key) -> list[Any]:
    return [to_hex(key.aid), key.pair, key.attempt]


def _key_of(told: list[Any]) -> Key:
    return Key(Digest(from_hex(told[0], 32)), int(told[1]), int(told[2]))


def _result(one: Result) -> list[Any]:
    sl = None if one.sl is None else to_hex(one.sl)
    return [one.ok, one.why.value, one.exit_code, one.fault, to_hex(one.text_hash), sl, to_hex(one.job), one.run]


def _result_of(told: list[Any]) -> Result:
    ok, why, code, fault, text, sl, job, run = told
    address = None if sl is None else Address(from_hex(sl, 20))
    return Result(ok, Why(why), code, fault, Digest(from_hex(text, 32)), address, Digest(from_hex(job, 32)), run)
