"""The body of a SyncRequest, read by hand: one of its fields may hold gigabytes of weights, which are not copied."""

from __future__ import annotations

from . import forms, inline
from .forms import Form

WEIGHTAGE_MAX = 100
WEIGHT_FIELD, WEIGHT_MAX = 16, 2**32 - 1
"""This project's own field: a weight that is a number of samples, a uint32 on chain."""


class SyncBody:
    """A SyncRequest read by hand: its field 5 may be a name or gigabytes of weights."""

    def __init__(self, session: str, numbers: dict[int, int], form: Form, field: slice) -> None:
        self.session, self.form, self.field = session, form, field
        self.number, self.weightage = numbers.get(2, 0), numbers.get(WEIGHT_FIELD) or numbers.get(3, 0)
        self.weightage_max = WEIGHT_MAX if numbers.get(WEIGHT_FIELD) else WEIGHTAGE_MAX

    @classmethod
    def parse(cls, data: memoryview) -> SyncBody:
        session, numbers, payload = "", dict[int, int](), memoryview(b"")
        at = slice(0, 0)
        for number, value, where in inline.fields_at(data):
            if number == 1:
                session = inline.text(value, "a session id", 200)
            elif number in (2, 3, 4, WEIGHT_FIELD) and isinstance(value, int):
                numbers[number] = value
            elif number == 5 and not isinstance(value, int):
                payload, at = value, where
        return cls(session, numbers, forms.recognise(payload), at)
