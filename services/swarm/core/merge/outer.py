"""The outer optimiser: a step of momentum on top of a round's merge, from committed models alone.

With m_r the model that the merge method makes of round r's contributions and x_r the model committed for it:

momentum (FedAvgM: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", 2019): nodes train from x_{r-1};
    x_r = x_{r-1} + mu (x_{r-1} - x_{r-2}) + eta (m_r - x_{r-1})
nesterov (the outer step of DiLoCo: Douillard et al., 2023): nodes train from y_{r-1}, which each makes itself;
    y_{r-1} = x_{r-1} + mu (x_{r-1} - x_{r-2}),    x_r = y_{r-1} + eta (m_r - y_{r-1})

The velocity is the difference of two committed models, so nothing more travels and anybody recomputes a round. (y_r
in place of x_r would not do: its velocity depends on all rounds before, and no bounded number of them gives it back.)
Round 0 has no step: x_0 = m_0, and x_{-1} = x_0. Written from m_r on, x_r = m_r + c, so that a parameter with c = 0
keeps m_r bit for bit. Computed in float64, rounded once to the dtype; an element that would leave its range takes m_r.
Integers, booleans and running statistics (:mod:`.statistics`) take no step: a variance must not become negative.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swarm.core.errors import OperatorFault

from .method import Block
from .values import as_float, from_float

WORD_BYTES_MAX = 32
"""A method with its outer step stands in one word on chain."""
MU_MAX, ETA_MAX = 99, 999
"""Hundredths."""

_WORD = re.compile(r"(.+)\+(momentum|nesterov):(0(?:\.\d{1,2})?):(\d(?:\.\d{1,2})?)")


@dataclass(frozen=True, slots=True)
class Outer:
    """Args:
    kind: which of the two steps.
    mu: hundredths, 0 to 99: how much of the last velocity stays.
    eta: hundredths, 1 to 999: how much of the merge's own movement counts; 100: all.
    """

    kind: Literal["momentum", "nesterov"]
    mu: int
    eta: int

    @property
    def at_rest(self) -> Outer:
        """The same without memory: what is left where the model before the last is lost."""
        return replace(self, mu=0)

    def word(self, method: str) -> str:
        """The method's name with this step, as it stands on chain.

        Raises:
            OperatorFault: it is longer than the chain's word.
        """
        word = f"{method}+{self.kind}:{self.mu / 100:g}:{self.eta / 100:g}"
        if len(word) > WORD_BYTES_MAX:
            raise OperatorFault(
                f"the merge method {method!r} with the job's outer optimiser makes {word!r}, {len(word)} characters of "
                f"at most {WORD_BYTES_MAX} that a round's record holds: a shorter name is needed"
            )
        return word

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Outer:
        """The step in the fields ``method``, ``mu``, ``eta`` (defaults 0.5 and 1).

        Raises:
            OperatorFault: a value that cannot be; names the field.
        """
        unknown = set(fields) - {"method", "mu", "eta"}
        if unknown:
            raise OperatorFault(f"outer: unknown field {sorted(unknown)[0]:.40}; known are method, mu, eta")
        kind = fields.get("method")
        if kind not in ("momentum", "nesterov"):
            raise OperatorFault(f"outer: method={kind!r}: expected momentum or nesterov")
        return cls(kind, _hundredths(fields, "mu", 0.5, 0, MU_MAX), _hundredths(fields, "eta", 1.0, 1, ETA_MAX))


def _hundredths(fields: Mapping[str, Any], name: str, default: float, low: int, high: int) -> int:
    value = fields.get(name, default)
    known = isinstance(value, int | float) and not isinstance(value, bool) and low <= 100 * value <= high
    if not known or abs(round(100 * value) - 100 * value) > 1e-9:
        raise OperatorFault(
            f"outer: {name}={value!r}: expected a number from {low / 100:g} to {high / 100:g} with two decimals at most"
        )
    return round(float(100 * value))


def split(word: str) -> tuple[str, Outer | None]:
    """A recorded method's own name, and the step on top of it."""
    found = _WORD.fullmatch(word)
    if found is None:
        return word, None
    method, kind, mu, eta = found.groups()
    outer = Outer("momentum" if kind == "momentum" else "nesterov", round(100 * float(mu)), round(100 * float(eta)))
    if not 1 <= outer.eta <= ETA_MAX or f"{method}+{kind}:{outer.mu / 100:g}:{outer.eta / 100:g}" != word:
        return word, None  # only one spelling of a step counts
    return method, outer


def stepped(outer: Outer, dtype: str, merged: Block, last: Block, before: Block | None) -> Block:
    """x_r of equally long blocks of one floating-point dtype.

    Args:
        merged, last, before: m_r, x_{r-1}, x_{r-2} (None: there is none, the velocity is 0).
    """
    start = ahead(outer, dtype, last, before) if outer.kind == "nesterov" else last
    wide = _wide(merged, dtype)
    with np.errstate(all="ignore"):
        change = np.zeros(merged.shape, np.float64)
        if outer.kind == "momentum" and before is not None:
            change += (_wide(last, dtype) - _wide(before, dtype)) * (outer.mu / 100)
        if outer.eta != 100:
            change += (wide - _wide(start, dtype)) * (outer.eta / 100 - 1)
        return _sum(wide, change, merged, dtype)


def ahead(outer: Outer, dtype: str, last: Block, before: Block | None) -> Block:
    """y of equally long blocks: where nodes train from after the round of ``last``, with a Nesterov step."""
    if before is None:
        return last
    wide = _wide(last, dtype)
    with np.errstate(all="ignore"):
        return _sum(wide, (wide - _wide(before, dtype)) * (outer.mu / 100), last, dtype)


def _wide(block: Block, dtype: str) -> npt.NDArray[np.float64]:
    return as_float(block, dtype).astype(np.float64)


def _sum(wide: npt.NDArray[np.float64], change: npt.NDArray[np.float64], unchanged: Block, dtype: str) -> Block:
    """wide + change in the dtype; ``unchanged`` (wide's own bits) where that is nothing, or leaves the range."""
    total = wide + change
    limit = float(np.finfo(np.float16 if dtype == "F16" else np.float64 if dtype == "F64" else np.float32).max)
    keep = (change == 0) | ~(np.abs(total) <= limit)
    rounded = from_float(np.where(keep, 0.0, total), dtype)
    return np.where(keep, unchanged, rounded)
