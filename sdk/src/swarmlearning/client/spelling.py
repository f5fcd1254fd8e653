"""Which of a callback's arguments are spelt in another way than today, and what they are called.

Owns the comparison of names. The original ignores what it does not know (row K02), which is right for names that mean
nothing to it; a weight that is lost because of an underscore is another matter.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["FORMER", "judged", "todays_name"]

FORMER = {
    "batchsize": "adsValBatchSize",
    "contract": "trainingContract",
    "epochs": "totalEpochs",
    "frequency": "syncFrequency",
    "numepochs": "totalEpochs",
    "syncinterval": "syncFrequency",
    "valbatchsize": "adsValBatchSize",
    "valdata": "adsValData",
    "validationdata": "adsValData",
    "weight": "nodeWeightage",
    "weightage": "nodeWeightage",
}
"""Bare names (see ``_bare``) that earlier versions had, or that programs use for the same thing."""
DEFAULTS: dict[str, Any] = {
    "checkinModelOnTrainEnd": "snapshot",
    "fits": 1,
    "maxPeers": 0,
    "mergeMethod": "mean",
    "nodeWeightage": 1,
    "strict": False,
    "trainingContract": "defaultbb.cqdb.sml.hpe",
    "useAdaptiveSync": False,
}
"""A misspelt argument with this value is not missed."""
NEAR = 0.85
"""Share of letters that two names have in common, from which on one is taken for the other misspelt."""
SHORT = 4
"""Names of so many letters are compared as a whole only: too much is near them."""


def _bare(name: str) -> str:
    return "".join(one for one in name.lower() if one.isalnum())


def todays_name(name: str, known: Iterable[str]) -> str:
    """The argument among ``known`` that is meant by ``name``, or "" if none is near."""
    bare = {_bare(one): one for one in sorted(known)}
    asked = _bare(name)
    found = bare.get(asked) or (FORMER[asked] if FORMER.get(asked) in bare.values() else "")
    if found or len(asked) <= SHORT:
        return found
    near = difflib.get_close_matches(asked, [one for one in bare if len(one) > SHORT], n=1, cutoff=NEAR)
    return bare[near[0]] if near else ""


def judged(unknown: Mapping[str, Any], known: Iterable[str], given: Mapping[str, Any]) -> tuple[list[str], str, str]:
    """What to do with arguments that no callback has.

    Args:
        unknown: they and their values.
        known: today's names.
        given: what was given under today's names.

    Returns:
        Names that mean nothing and are ignored; a sentence on misspelt ones whose values make no difference; a
        sentence on those whose values would be lost. Sentences are "" where there is nothing to say.
    """
    ignored, harmless, lost = [], [], []
    names = sorted(known)
    for name, value in sorted(unknown.items()):
        today = todays_name(name, names)
        if not today:
            ignored.append(name)
        elif value is None or _same(value, given.get(today, DEFAULTS.get(today))):
            harmless.append(f"{name} is called {today} today")
        else:
            lost.append(f"{name} is called {today} today")
    warning = f"{', '.join(harmless)}: nothing is lost, for the value makes no difference." if harmless else ""
    error = f"{', '.join(lost)}: write it so, its value would be lost otherwise." if lost else ""
    return ignored, warning, error


def _same(value: Any, other: Any) -> bool:
    plain = (str, int, float, bool)
    return value is other or (
        isinstance(value, plain) and isinstance(other, plain) and str(value).lower() == str(other).lower()
    )
