"""The "i am alive" message of a node to its SN: what it does and whom it waits for, with nothing private in it.

Owns its fields, its bounds, and reading it from a stranger's JSON. There is no place for a path, a text of the ML
program or a data set's name: only words of this platform, addresses and figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import PeerFault

ALIVE_SECONDS = 10.0
"""A node tells its SN at least this often (row D16)."""
ALIVE_SOONER_SECONDS = 3.0
"""... and when its state or its waits have changed, but not more often than this."""
SILENT_SECONDS = 3 * ALIVE_SECONDS
"""A node not heard of for this long is shown as silent: what it said last is no news of now."""
ENDED = ("done", "failed", "stopped")
"""States of a node whose part is over: it says nothing more."""
CLOSEST_SECONDS = 0.5
"""Messages of one member that come faster than this are not looked at."""
GONE_SECONDS = 300.0
"""A node not heard of for this long is no longer shown as alive; it stays in the list (row D16)."""
WAITS_MAX = 3
"""Waits in one message: the longest ones."""
TEXT_CHARS_MAX = 200
JOB_CHARS_MAX = 160
INTEGER_MAX = 2**63 - 1
LONGEST_SECONDS = 10 * 365 * 86_400.0
_PLAIN = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class WaitTold:
    """One wait, its times in seconds relative to the message: it began ``since`` ago and ends in ``until``."""

    what: str
    whom: str
    since: float
    until: float | None
    then: str


@dataclass(frozen=True, slots=True)
class Alive:
    """What one node says of itself.

    Args:
        state: one of the states of docs/engine.md, or the step of its start.
        leading: "leader", "follower" or "-" in the open round.
        loss, metric: of the last merged model at this site, None if unknown.
        bytes_in, bytes_out: model bytes since the start of the process.
        disk_bytes: what its model files take on disk.
        height: number of the newest block it has seen.
        behind: rounds committed since the merged model that its program trains from.
        logs: of a SWOP, where operators read what it shares, ``https://host:port``; empty: nowhere.
    """

    state: str
    job: str = ""
    run: int = 0
    round: int = 0
    leading: str = "-"
    epochs_done: int = 0
    epochs_total: int = 0
    loss: float | None = None
    metric: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    height: int = 0
    waits: tuple[WaitTold, ...] = field(default=())
    disk_bytes: int = 0
    behind: int = 0
    logs: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "waits": [asdict(w) for w in self.waits]}

    @classmethod
    def from_json(cls, data: Any) -> Alive:
        """Read another node's message.

        Raises:
            PeerFault: it is not one, or a value is beyond its bound; names the field.
        """
        fields = _mapping(data, "the message", cls.__dataclass_fields__)
        waits = fields.get("waits", [])
        if not isinstance(waits, Sequence) or isinstance(waits, str) or len(waits) > WAITS_MAX:
            raise PeerFault(f"waits: expected a list of at most {WAITS_MAX}")
        whole = (
            "run",
            "round",
            "epochs_done",
            "epochs_total",
            "bytes_in",
            "bytes_out",
            "disk_bytes",
            "height",
            "behind",
        )
        return cls(
            state=_text(fields, "state", TEXT_CHARS_MAX),
            job=_text(fields, "job", JOB_CHARS_MAX, ""),
            leading=_text(fields, "leading", TEXT_CHARS_MAX, "-"),
            logs=_text(fields, "logs", TEXT_CHARS_MAX, ""),
            loss=_number(fields, "loss", INTEGER_MAX),
            metric=_number(fields, "metric", INTEGER_MAX),
            waits=tuple(_wait(w) for w in waits),
            **{name: _whole(fields, name) for name in whole},
        )


def waits_told(rows: Sequence[Mapping[str, Any]]) -> tuple[WaitTold, ...]:
    """The longest waits of a table (``what``, ``whom``, ``since_seconds``, ``until_seconds``, ``then``), made fit."""
    longest = sorted(rows, key=lambda r: -float(r["since_seconds"]))[:WAITS_MAX]
    return tuple(
        WaitTold(
            plain(r["what"]), plain(r["whom"]), float(r["since_seconds"]), _until(r["until_seconds"]), plain(r["then"])
        )
        for r in longest
    )


def plain(text: str) -> str:
    """Printable ASCII, cut to the bound."""
    shown = "".join(c if _PLAIN.fullmatch(c) else "?" for c in text)
    return shown if len(shown) <= TEXT_CHARS_MAX else shown[: TEXT_CHARS_MAX - 3] + "..."


def _until(value: Any) -> float | None:
    return None if value is None or value <= 0 else float(value)  # an end that has passed is none


def _wait(data: Any) -> WaitTold:
    fields = _mapping(data, "a wait", WaitTold.__dataclass_fields__)
    since = _number(fields, "since", LONGEST_SECONDS)
    if since is None or since < 0:
        raise PeerFault("since: expected seconds, 0 or more")
    texts = [_text(fields, name, TEXT_CHARS_MAX) for name in ("what", "whom", "then")]
    return WaitTold(texts[0], texts[1], since, _number(fields, "until", LONGEST_SECONDS), texts[2])


def _mapping(data: Any, what: str, allowed: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise PeerFault(f"{what}: expected an object")
    for name in data:
        if name not in allowed:
            raise PeerFault(f"{what}: unknown field {str(name)[:40]!r}")
    return data


def _text(fields: Mapping[str, Any], name: str, most: int, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > most or not _PLAIN.fullmatch(value):
        raise PeerFault(f"{name}: expected at most {most} printable ASCII characters")
    return value


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INTEGER_MAX:
        raise PeerFault(f"{name}: expected a whole number from 0 to 2^63-1")
    return value


def _number(fields: Mapping[str, Any], name: str, most: float) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise PeerFault(f"{name}: expected a number or null")
    if not -most <= value <= most:  # also NaN
        raise PeerFault(f"{name}: expected a finite number up to {most:g}, or null")
    return float(value)
