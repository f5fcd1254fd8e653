"""Answers as JSON: a contract's record as plain values, and the text that every reader of JSON takes.

In a record bytes become hex, enums their names, and whole numbers that most readers would round texts.
"""

from __future__ import annotations

import dataclasses
import json
import math
from enum import Enum
from typing import Any

from swarm.core.errors import PeerFault
from swarm.core.ids import to_hex

EXACT_BELOW = 2**53
"""JSON's numbers are so exact for most readers."""


def plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, int) and abs(value) >= EXACT_BELOW else value


def as_json(told: Any, indent: int | None = None) -> str:
    """The text, which every reader of JSON takes.

    Raises:
        PeerFault: it holds a number that JSON has not; names the field.
    """
    try:
        return json.dumps(told, indent=indent, allow_nan=False)
    except ValueError as error:
        where = _no_number(told) or f"({error})"
        raise PeerFault(f"what the swarm answered cannot be told as JSON, which has no such number: {where}") from None


def _no_number(told: Any, field: str = "") -> str | None:
    """The first one and where it stands."""
    if isinstance(told, float):
        return None if math.isfinite(told) else f"{field or 'the answer'} is {told}"
    items = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list | tuple) else ()
    found = (_no_number(one, f"{field}.{name}".lstrip(".")) for name, one in items)
    return next((one for one in found if one), None)
