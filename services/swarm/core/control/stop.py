"""The stop rule of a job: when its run has learnt enough (row D09).

Evaluated by every node on committed history; a node for which it holds sets ``done`` in its next check-in, and the
run ends as it does when all programs are done. A rule only ends a run earlier than its programs would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import OperatorFault
from ..limits import FIXED_POINT
from .combined import Committed

ROUNDS_MAX = 2**32 - 1
PATIENCE_MAX = 100_000
FIELDS = ("metric", "direction", "target", "patience", "max_rounds")


@dataclass(frozen=True, slots=True)
class StopRule:
    """Args:
    figure: which combined figure is looked at.
    direction: whether smaller or greater is better.
    target: 1e-6; reached or passed, the run ends. None: no target.
    patience: the run ends after so many rounds in a row that did not improve on the best. None: never for that.
    max_rounds: the run ends after so many committed rounds. None: no limit.
    """

    figure: Literal["loss", "metric"] = "loss"
    direction: Literal["min", "max"] = "min"
    target: int | None = None
    patience: int | None = None
    max_rounds: int | None = None

    def reached(self, history: Sequence[Committed]) -> str | None:
        """Why the run should end after these committed rounds (all of the run, oldest first), or None."""
        if self.max_rounds is not None and len(history) >= self.max_rounds:
            return f"{self.max_rounds} rounds are done"
        sign = 1 if self.direction == "max" else -1
        best: int | None = None
        waited = 0
        for round_, committed in enumerate(history):
            value = committed.loss if self.figure == "loss" else committed.metric
            if value is None:
                continue
            if self.target is not None and sign * value >= sign * self.target:
                return f"{self.figure} {value / FIXED_POINT:g} of round {round_} reached {self.target / FIXED_POINT:g}"
            if best is None or sign * value > sign * best:
                best, waited = value, 0
            else:
                waited += 1
            if self.patience is not None and waited >= self.patience:
                return f"{self.figure} has not improved on {best / FIXED_POINT:g} for {waited} rounds"
        return None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> StopRule | None:
        """The rule in the fields ``metric``, ``direction``, ``target``, ``patience``, ``max_rounds``; None without any.

        Raises:
            OperatorFault: a value that cannot be; names the field.
        """
        if not fields:
            return None
        unknown = set(fields) - set(FIELDS)
        if unknown:
            raise OperatorFault(f"stop rule: unknown field {sorted(unknown)[0]:.40}; known are {', '.join(FIELDS)}")
        figure = fields.get("metric", "loss")
        if figure not in ("loss", "metric"):
            raise OperatorFault(f"stop rule: metric={figure!r}: expected loss or metric")
        direction = fields.get("direction", "min" if figure == "loss" else "max")
        if direction not in ("min", "max"):
            raise OperatorFault(f"stop rule: direction={direction!r}: expected min or max")
        target = fields.get("target")
        if target is not None and (isinstance(target, bool) or not isinstance(target, int | float)):
            raise OperatorFault(f"stop rule: target={target!r}: expected a number")
        if target is not None and not -1e12 <= target <= 1e12:
            raise OperatorFault(f"stop rule: target={target!r}: expected a number within 1e12 of 0")
        return cls(
            figure,
            direction,
            None if target is None else round(target * FIXED_POINT),
            _count(fields, "patience", PATIENCE_MAX),
            _count(fields, "max_rounds", ROUNDS_MAX),
        )


def _count(fields: Mapping[str, Any], name: str, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise OperatorFault(f"stop rule: {name}={value!r}: expected a whole number from 1 to {most}")
    return value
