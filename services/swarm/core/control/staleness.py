"""What a model that was trained from an older merged model counts for: the job's option ``staleness``, off by default.

A model is *n rounds behind* when n rounds were committed between the merged model that it was trained from and the
round that it is merged into. The two discounts are those of asynchronous federated optimisation (Xie, Koyejo, Gupta,
"Asynchronous Federated Optimization", 2019: the functions s(t - tau)), 1 for a model that is not behind:

- polynomial: s(n) = (1 + n) ** -alpha
- hinge: s(n) = 1 for n <= b, else 1 / (a (n - b) + 1)

There the discount shrinks the step that the server takes; here it shrinks a contribution's weight beside the others
of its round. Numbers have two decimals and the result is a whole number of 2**-48, found without floating point:
leader and acknowledgers compare shares to the bit, and a power function's last bit depends on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from ..errors import OperatorFault

ONE = 2**48
"""A discount of 1: nothing is taken off."""
HUNDREDTHS = 100
ALPHA_MIN, ALPHA_MAX = 0.01, 4.0
"""A model one round behind counts for 2 ** -alpha; with 4, one sixteenth."""
SLOPE_MIN, SLOPE_MAX = 0.01, 100.0
GRACE_MAX = 254
"""Rounds; a check-in says 255 for this many or more."""
DISCOUNTS_KEPT = 4096

Form = Literal["polynomial", "hinge"]
FIELDS: dict[Form, tuple[str, ...]] = {"polynomial": ("alpha",), "hinge": ("a", "b")}
HINGE_A, HINGE_B = 10.0, 4
"""The values of the paper's own experiments, with alpha 0.5."""
ALPHA = 0.5


@dataclass(frozen=True, slots=True)
class Staleness:
    """Args:
    form: which of the two discounts.
    hundredths: ``alpha`` or ``a``, in hundredths.
    grace: ``b``, rounds that a hinge lets pass; 0 for a polynomial.
    """

    form: Form
    hundredths: int
    grace: int = 0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Staleness:
        """Read the option's object.

        Raises:
            OperatorFault: names the field and what may stand there.
        """
        form = data.get("method", "polynomial")
        if not isinstance(form, str) or form not in FIELDS:
            raise OperatorFault(
                f"options of the job: staleness: method={form!r:.80}: expected one of {', '.join(FIELDS)}"
            )
        known = FIELDS[form]
        for name in data:
            if name not in ("method", *known):
                raise OperatorFault(
                    f"options of the job: staleness: {str(name)[:40]!r} is not a field of {form}; "
                    f"its fields are {', '.join(known)}"
                )
        if form == "polynomial":
            return cls(form, _hundredths(data, "alpha", ALPHA, ALPHA_MIN, ALPHA_MAX))
        grace = data.get("b", HINGE_B)
        if isinstance(grace, bool) or not isinstance(grace, int) or not 0 <= grace <= GRACE_MAX:
            raise OperatorFault(
                f"options of the job: staleness: b={grace!r:.80}: expected a whole number of rounds, 0 to {GRACE_MAX}"
            )
        return cls(cast(Form, form), _hundredths(data, "a", HINGE_A, SLOPE_MIN, SLOPE_MAX), grace)

    def discount(self, behind: int) -> int:
        """What a model so many rounds behind counts for, in units of 1 / ONE; at least one of them."""
        if self.form == "polynomial":
            return _power(behind, self.hundredths)
        late = max(0, behind - self.grace)
        return ONE * HUNDREDTHS // (self.hundredths * late + HUNDREDTHS)

    @property
    def shown(self) -> str:
        """As an operator wrote it."""
        number = f"{self.hundredths / HUNDREDTHS:g}"
        return f"alpha {number}" if self.form == "polynomial" else f"hinge, a {number}, b {self.grace}"


@lru_cache(DISCOUNTS_KEPT)
def _power(behind: int, hundredths: int) -> int:
    """The polynomial discount, rounded down: the largest d with d ** 100 * (1 + behind) ** hundredths <= ONE ** 100."""
    limit, factor = ONE**HUNDREDTHS, (1 + behind) ** hundredths
    low, high = 1, ONE
    while low < high:
        middle = (low + high + 1) // 2
        if middle**HUNDREDTHS * factor <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _hundredths(data: Mapping[str, Any], name: str, default: float, least: float, most: float) -> int:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise OperatorFault(
            f"options of the job: staleness: {name}={value!r:.80}: expected a number from {least:g} to {most:g}"
        )
    hundredths = round(value * HUNDREDTHS)
    if abs(hundredths - value * HUNDREDTHS) > 1e-6:
        raise OperatorFault(f"options of the job: staleness: {name}={value!r:.80}: at most two decimals")
    return hundredths
