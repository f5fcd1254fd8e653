"""Who is alive: the last message of each member, and when this SN or another one heard it (row D16).

Owns the table and its bounds: one row a member, silent ones stay in it as history. How members are told apart is
the TLS layer's business; what a message may hold is :mod:`swarm.core.alive`'s.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.alive import CLOSEST_SECONDS, GONE_SECONDS, Alive
from swarm.core.errors import LocalFault, PeerFault
from swarm.core.ids import Address, address, to_hex
from swarm.store.journal import Journal

log = logging.getLogger(__name__)

KEY_PREFIX = "alive/"
KEEP_EVERY_SECONDS = 60.0
"""How often a member's last sign of life is written down, so that history survives a restart."""
ROWS_MAX = 4096
AHEAD_SECONDS = 5.0
"""How far in the future another SN's clock may place a message."""
AT_SECONDS_MAX = 1e11
"""Times of other SNs up to the year 5138: what status pages can show."""
HEARD_HERE_SECONDS = 15.0
"""Who told this SN something within this time needs no other SN to speak for it: nobody shadows its own words."""


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of life of a member. ``at``: wall clock of the SN that heard it, seconds; ``name``: its
    certificate's; ``said`` None: it was heard (a request), or is known from before a restart, but told nothing."""

    at: float
    role: str
    name: str
    sn: str
    said: Alive | None


class LifeSigns:
    """The table.

    Args:
        here: how this SN calls itself in the rows it heard.
    """

    def __init__(self, journal: Journal, here: str, clock: Callable[[], float] = time.time) -> None:
        self._journal, self._here, self._clock = journal, here, clock
        self._began = clock()
        self._signs: dict[Address, Sign] = {}
        self._kept: dict[Address, float] = {}
        self._heard: dict[Address, float] = {}
        """When a member last spoke to this very SN, since its start."""
        for key, raw in journal.items(KEY_PREFIX):
            kept = json.loads(raw)
            node = address(key.removeprefix(KEY_PREFIX))
            self._signs[node] = Sign(kept["at"], kept["role"], kept["name"], kept["sn"], None)
            self._kept[node] = kept["at"]

    def heard(self, node: Address, role: str, name: str, data: Any) -> None:
        """A member's message came.

        Raises:
            PeerFault: it is none; names the field.
        """
        now, last = self._clock(), self._heard.get(node)
        if last is not None and abs(now - last) < CLOSEST_SECONDS:  # abs: a clock that was set back silences nobody
            return
        said = Alive.from_json(data)
        self._heard[node] = now
        self._keep(self._file(node, Sign(now, role, name, self._here, said)))

    def merge(self, rows: Any, members: Container[Address]) -> int:
        """Take in the newer rows of another SN's table; returns how many were newer.

        Args:
            members: whose rows count; an SN that has gone bad can invent any number of addresses.

        Raises:
            PeerFault: they are not such rows.
        """
        if not isinstance(rows, list) or len(rows) > ROWS_MAX:
            raise PeerFault(f"expected at most {ROWS_MAX} rows")
        newer, now = 0, self._clock()
        changes: dict[str, bytes | None] = {}
        for row in rows:
            node, sign = _sign_of(row)
            known, heard = self._signs.get(node), self._heard.get(node)
            own = heard is not None and 0 <= now - heard < HEARD_HERE_SECONDS
            if node in members and not own and sign.at <= now + AHEAD_SECONDS and (known is None or sign.at > known.at):
                newer += 1
                changes |= self._file(node, sign)
        self._keep(changes)
        return newer

    def rows(self) -> list[dict[str, Any]]:
        """All members ever heard of, those heard last first."""
        now = self._clock()
        signs = sorted(self._signs.items(), key=lambda s: -s[1].at)[:ROWS_MAX]
        return [
            {
                "node": to_hex(node),
                "role": sign.role,
                "name": sign.name,
                "sn": sign.sn,
                "at": sign.at,
                "age_seconds": round(max(0.0, now - sign.at), 1),
                "alive": _alive(sign, now),
                "said": None if sign.said is None else sign.said.to_json(),
            }
            for node, sign in signs
        ]

    def last_seen(self) -> Mapping[Address, float]:
        return {node: sign.at for node, sign in self._signs.items()}

    def alive_at(self, node: Address) -> float:
        """When a member may have been alive last, wall clock in seconds: its last sign, or the begin of this table,
        which may have missed one. Also if that sign says that its part is over: a copied certificate can say that."""
        sign = self._signs.get(node)
        return self._began if sign is None else max(sign.at, self._began)

    def living(self) -> int:
        """How many members are alive."""
        now = self._clock()
        return sum(1 for sign in self._signs.values() if _alive(sign, now))

    def _file(self, node: Address, sign: Sign) -> dict[str, bytes | None]:
        """Put a row into the table; what of that the journal must hear (None: no longer)."""
        changes: dict[str, bytes | None] = {}
        if node not in self._signs and len(self._signs) >= ROWS_MAX:
            oldest = min(self._signs, key=lambda n: self._signs[n].at)
            del self._signs[oldest]
            self._kept.pop(oldest, None)
            changes[KEY_PREFIX + to_hex(oldest)] = None
        self._signs[node] = sign
        if abs(sign.at - self._kept.get(node, 0.0)) >= KEEP_EVERY_SECONDS:
            self._kept[node] = sign.at
            kept = {"at": sign.at, "role": sign.role, "name": sign.name, "sn": sign.sn}
            changes[KEY_PREFIX + to_hex(node)] = json.dumps(kept).encode()
        return changes

    def _keep(self, changes: Mapping[str, bytes | None]) -> None:
        """One transaction for all: each costs the event loop a sync of the disk."""
        if changes:
            puts = {key: value for key, value in changes.items() if value is not None}
            try:
                self._journal.batch(puts, [key for key, value in changes.items() if value is None])
            except LocalFault as fault:  # only the history of a next start is lost; nobody depends on it
                log.warning("signs of life are not kept now: %s", fault)


def _alive(sign: Sign, now: float) -> bool:
    return -AHEAD_SECONDS <= now - sign.at < GONE_SECONDS


def _sign_of(row: Any) -> tuple[Address, Sign]:
    """One row of another SN's table.

    Raises:
        PeerFault: it is none; no other exception, or a liar would end this process.
    """
    try:
        node, at = address(row["node"]), row["at"]
        texts = [row[name] for name in ("role", "name", "sn")]
        said = None if row["said"] is None else Alive.from_json(row["said"])
    except (KeyError, TypeError, ValueError) as error:
        raise PeerFault(f"not a row of life signs: {error}") from error
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= AT_SECONDS_MAX:  # also NaN
        raise PeerFault(f"at: expected seconds from 0 to {AT_SECONDS_MAX:g}")
    if not all(isinstance(t, str) and t.isprintable() and len(t) <= 300 for t in texts):
        raise PeerFault("role, name and sn: expected at most 300 printable characters")
    return node, Sign(float(at), texts[0], texts[1], texts[2], said)
