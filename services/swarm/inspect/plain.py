"""A contract's record as JSON: bytes as hex, enums by name, whole numbers that most readers would round as texts."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

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
