"""What is found in a text: where, how bad, and how to mend it; and the fault that a refused text ends with."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import OperatorFault
from ..shown import printable

T = TypeVar("T")
FINDINGS_MAX = 50
"""Of one text that are kept; the rest is counted."""
QUOTED_CHARS_MAX = 60
ALIKE_RATIO = 0.6


class Weight(enum.StrEnum):
    """How bad: ``ERROR`` refuses the text; a ``DEFECT`` is taken, as the original takes it, but cannot work; a
    ``WARNING`` is taken and works, perhaps not as meant."""

    ERROR = "error"
    DEFECT = "defect"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """Args:
    line, column: from 1 on; 0 where the text as a whole is meant. Of a body typed line by line, ``line`` is the index
        that GET TASK BODY prints.
    """

    weight: Weight
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class TaskTextFault(OperatorFault):
    """A text that is refused: one sentence with every reason, and the findings themselves."""

    def __init__(self, what: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(f"{what}: " + "; ".join(str(one) for one in findings if one.weight is Weight.ERROR))


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What came out of a text.

    Args:
        value: None if there is an error among the findings.
        content: the exact bytes that were read, with placeholders replaced if any were given values.
    """

    value: T | None
    findings: tuple[Finding, ...]
    content: bytes = b""

    def taken(self, what: str = "the text") -> T:
        """The value, or TaskTextFault."""
        if self.value is None:
            raise TaskTextFault(what, self.findings)
        return self.value

    @property
    def sound(self) -> bool:
        """Nothing worse than warnings."""
        return all(one.weight is Weight.WARNING for one in self.findings)


@dataclass(slots=True)
class Findings:
    """Collects; beyond the bound it only counts, so that a hostile text cannot make a long answer."""

    kept: list[Finding] = field(default_factory=list)
    left_out: int = 0
    refused: bool = False

    def add(self, weight: Weight, line: int, column: int, text: str) -> None:
        self.refused |= weight is Weight.ERROR
        found = Finding(weight, line, column, printable(text))
        if found in self.kept:
            return
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(found)
        else:
            self.left_out += 1
            # An error must not be hidden behind warnings: without one in the list nobody sees why it is refused.
            if weight is Weight.ERROR and all(one.weight is not Weight.ERROR for one in self.kept):
                self.kept[-1] = found

    def sorted(self) -> tuple[Finding, ...]:
        ordered = sorted(self.kept, key=lambda one: (one.line, one.column))
        if self.left_out:
            ordered.append(Finding(Weight.WARNING, 0, 0, f"and {self.left_out} more findings"))
        return tuple(ordered)


def quoted(value: object) -> str:
    """A value inside a sentence: never long, never able to steer a terminal."""
    text = printable(str(value))
    return text if len(text) <= QUOTED_CHARS_MAX else text[:QUOTED_CHARS_MAX] + "..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    by_fold = {one.casefold(): one for one in known}
    alike = difflib.get_close_matches(name.strip().casefold(), by_fold, n=1, cutoff=ALIKE_RATIO)
    return by_fold[alike[0]] if alike else None


def meant(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, or the known names, or nothing if there are none."""
    names = list(known)
    one = nearest(name, names)
    if one is not None:
        return f"; did you mean {one}?"
    return f"; known are {', '.join(names)}" if names else ""
