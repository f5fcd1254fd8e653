"""Joins that wait for an operator, as files in the SN's private state folder; ``swarm approve`` writes there too.

A folder that only the SN's user may write to is the proof of who approves: no port, no password. File names
are the node's address; the content tells the operator what is asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, address, to_hex
from swarm.store.files import private_folder, write_private

WAITING_MAX = 1000
WAITING_PER_KEY_MAX = 4
"""Of one certificate key: it may have lost its state folder and chain key a few times. The oldest gives way, so that no
holder of one certificate fills the operator's list."""
WAITING_SECONDS_MAX = 7 * 86_400
"""An unanswered request is forgotten after a week; a node that still wants in asks again and again."""


class Approvals:
    """Args: clock: wall clock in seconds. Raises OperatorFault if the folder cannot be used."""

    def __init__(self, state: Path, clock: Callable[[], float] = time.time) -> None:
        self._waiting = private_folder(state / "approvals" / "waiting")
        self._approved = private_folder(state / "approvals" / "approved")
        self._clock = clock

    def is_approved(self, node: Address, told: dict[str, Any]) -> bool:
        """Whether an operator let it in: with what was shown then; with anything, if it was not heard of yet."""
        try:
            given = (self._approved / to_hex(node)).read_bytes()
        except FileNotFoundError:
            return False
        return not given or json.loads(given) == told

    def wait(self, node: Address, told: dict[str, Any]) -> bool:
        """Note that a node waits; False when too many do. ``told["key"]`` is its certificate's key."""
        name = self._waiting / to_hex(node)
        if _told(name) != told:
            name.unlink(missing_ok=True)
            self._forget_old()
            rows = self.waiting()
            same = [row for row in rows if rows[row].get("key") == told["key"]]
            same.sort(key=lambda row: (self._waiting / row).stat().st_mtime_ns)
            for row in same[: max(0, len(same) - WAITING_PER_KEY_MAX + 1)]:
                (self._waiting / row).unlink(missing_ok=True)
            if sum(1 for _ in self._waiting.iterdir()) >= WAITING_MAX:
                return False
            write_private(name, json.dumps({"since": int(self._clock()), **told}, indent=1).encode())
        return True

    def done(self, node: Address) -> None:
        """The node was admitted: an approval is good for one admission."""
        for folder in (self._waiting, self._approved):
            (folder / to_hex(node)).unlink(missing_ok=True)

    def waiting(self) -> dict[str, dict[str, Any]]:
        """What waits, by address."""
        return {p.name: json.loads(p.read_text()) for p in sorted(self._waiting.iterdir()) if p.name[0] != "."}

    def approve(self, text: str) -> None:
        """Let the node of this address in when it next asks (within seconds, as a rule) for what it asked for.

        Raises:
            OperatorFault: not an address.
        """
        try:
            node = address(text.lower())
        except ValueError as error:
            raise OperatorFault(f"{text} is not a node's address: {error}") from None
        told = _told(self._waiting / to_hex(node))
        write_private(self._approved / to_hex(node), b"" if told is None else json.dumps(told).encode())

    def _forget_old(self) -> None:
        oldest = self._clock() - WAITING_SECONDS_MAX
        for path in list(self._waiting.iterdir()):
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _told(waiting: Path) -> dict[str, Any] | None:
    """What a node that waits has asked for."""
    try:
        found: dict[str, Any] = json.loads(waiting.read_bytes())
    except FileNotFoundError:
        return None
    del found["since"]
    return found
