"""Answers made wrong at random: one part, at any depth, becomes nonsense or is left out."""

from __future__ import annotations

import random
from typing import Any

NONSENSE: tuple[Any, ...] = (
    None, True, 7, -1.5, float("nan"), float("inf"), "", "0x", "0xzz", "0x1", "0x" + "f" * 70, "1e9", "0x1_0", "0x 1",
    [], [None], [[]], {}, {"number": "0xzz"}, "\ud800", "0x" + "1" * 100_000,
)  # fmt: skip


def spoiled(value: Any, chance: random.Random) -> Any:
    """The value with one part, at any depth, made nonsense or left out."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: spoiled(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [spoiled(value[0], chance), *value[1:]]
    return chance.choice(NONSENSE)
