"""A SWOP's memory in its journal: which attempts were started, what came of them, what is over, how far it saw.

Owns the form; what must be remembered when is :mod:`swarm.core.taskrun`'s. One entry, so that it is whole or as before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from swarm.core.errors import LocalFault
from swarm.core.ids import Address, Digest, from_hex, to_hex
from swarm.core.taskrun.work import Key, Memory, Result, Why
from swarm.store.journal import Journal

ENTRY = "swop/memory"
KEPT = "swop/kept"
MADE = "swop/made"
MADE_MAX = 1000
"""Tasks whose images are remembered: the newest."""
KEPT_MAX = 256
"""Attempts whose containers stay after their end; further ones go."""


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

    def add(self, key: Key) -> bool:
        """Whether its containers stay: there is a bound of such attempts."""
        if key not in self._keys:
            if len(self._keys) >= KEPT_MAX:
                return False
            self._keys = [*self._keys, key]
            self._journal.put(KEPT, json.dumps([_key(one) for one in self._keys]).encode())
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._keys


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image that a task made here, and by which attempt."""

    id: str
    name: str
    key: Key


class Made:
    """Which image each task made on this host: a name alone may be anybody's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        raw = journal.get(MADE)
        told = {} if raw is None else json.loads(raw)
        self._images = {
            Digest(from_hex(task, 32)): MadeImage(one[0], one[1], _key_of(one[2])) for task, one in told.items()
        }

    def note(self, task: Digest, image: MadeImage) -> None:
        """Durable when this returns; the oldest give way."""
        self._images.pop(task, None)
        self._images[task] = image
        for old in list(self._images)[:-MADE_MAX]:
            del self._images[old]
        told = {to_hex(task): [one.id, one.name, _key(one.key)] for task, one in self._images.items()}
        self._journal.put(MADE, json.dumps(told).encode())

    def of(self, task: Digest) -> MadeImage | None:
        return self._images.get(task)

    def names(self) -> frozenset[str]:
        """Names that tasks gave images here."""
        return frozenset(one.name for one in self._images.values())


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
