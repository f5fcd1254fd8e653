"""Checks of the arguments that all callbacks share: text or number in, value out, one sentence for what is wrong."""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Mapping
from typing import Any, Callable

from .names import SLMergeMethod

__all__ = [
    "COMMON_ARGUMENTS",
    "INT32_MAX",
    "SAMPLES",
    "MergeMethod",
    "choice",
    "is_on",
    "merge_method",
    "strength",
    "truncated",
    "weightage",
    "whole",
]

INT32_MAX = 2**31 - 1
WEIGHTAGE_MAX = 100
METHOD_CHARS_MAX = 32
SAMPLES = "samples"
COMMON_ARGUMENTS = frozenset(
    [
        "adsValBatchSize",
        "adsValData",
        "checkinModelOnTrainEnd",
        "dataSchema",
        "fits",
        "hfMode",
        "logger",
        "maxPeers",
        "mergeMethod",
        "mlPlatform",
        "ml_platform",
        "nodeWeightage",
        "samples",
        "strict",
        "totalEpochs",
        "trainData",
        "useAdaptiveSync",
    ]
)
"""What every callback takes."""
WHOLE_ARGUMENTS = frozenset(
    {"adsValBatchSize", "fits", "maxPeers", "minPeers", "nodeWeightage", "samples", "syncFrequency", "totalEpochs"}
)
"""Those that are whole numbers."""


class MergeMethod(str):
    """The name of a merge method that the original does not have; whether there is one, the SL knows."""

    @property
    def name(self) -> str:
        """The name, as members of SLMergeMethod have theirs."""
        return str(self)


def is_on(text: str) -> bool:
    """Whether an environment variable's text means yes."""
    return text.strip().lower() in ("true", "1")


def truncated(params: Mapping[str, Any], warn: Callable[[str], object]) -> dict[str, Any]:
    """``params``; numbers with a fraction where a whole one belongs are cut, as the original does, with a word."""
    found = dict(params)
    for name in WHOLE_ARGUMENTS & set(found):
        value = found[name]
        if isinstance(value, numbers.Integral) or not isinstance(value, numbers.Real):
            continue
        number = float(value)
        if math.isfinite(number) and number != int(number):
            found[name] = int(number)
            warn(f"{name} is {value}, the fraction is cut off: {found[name]} counts.")
    return found


def whole(name: str, value: Any, low: int, high: int, *, also: str = "") -> int:
    """The number, given as one or as its text.

    Raises:
        ValueError: it is no whole number, or not from ``low`` to ``high``; ``also`` ends the sentence.
    """
    try:
        right = not isinstance(value, bool) and (not isinstance(value, float) or value == int(value))
        found = int(value) if right else None
    except (ValueError, TypeError, OverflowError):
        found = None
    if found is None or not low <= found <= high:
        what = "a positive integer" if high == INT32_MAX and low == 1 else f"an integer from {low} to {high}"
        raise ValueError(f"{name} is {value!r}, it must be {what}{also}.")
    return found


def choice(name: str, value: Any, kind: Any) -> Any:
    """A member of an enumeration, given as one or by its name in any case. Raises ValueError, with the names."""
    found = str(value).lower() if isinstance(value, (str, enum.Enum)) else ""
    if isinstance(value, enum.Enum):
        found = value.name
    if found not in kind.__members__:
        raise ValueError(f"{name} is {value!r}, allowed are {', '.join(kind.__members__)}.")
    return kind[found]


def merge_method(value: Any) -> Any:
    """A member of SLMergeMethod, or the name of another method, in lower case. Raises ValueError: it cannot be one."""
    name = str(getattr(value, "name", value) if isinstance(value, enum.Enum) else value).lower()
    if isinstance(value, (str, enum.Enum)) and name in SLMergeMethod.__members__:
        return SLMergeMethod[name]
    fits = isinstance(value, str) and name.isascii() and name.isprintable() and " " not in name
    if not fits or not 1 <= len(name) <= METHOD_CHARS_MAX:
        raise ValueError(
            f"mergeMethod is {value!r}, it must be one of {', '.join(SLMergeMethod.__members__)}, mean-clipped, or the"
            f" name of a method that is installed at the SL (1 to {METHOD_CHARS_MAX} characters, no blanks)."
        )
    return MergeMethod(name)


def strength(name: str, value: Any) -> float:
    """A finite number, 0 or above; 0 for None. Raises ValueError."""
    try:
        found = 0.0 if value is None else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0.0 <= found < math.inf:
        raise ValueError(f"{name} is {value!r}, it must be a number, 0 (off) or above.")
    return found


def weightage(value: Any) -> Any:
    """1 to 100, or the word "samples". Raises ValueError."""
    if isinstance(value, str) and value.strip().lower() == SAMPLES:
        return SAMPLES
    return whole("nodeWeightage", value, 1, WEIGHTAGE_MAX, also=f", or {SAMPLES!r}")
