"""What a site's data look like (columns, labels, shapes; never a sample), read with bounds and compared.

The text comes from this site's program, or from another site: whatever it holds is refused in one sentence, or fits
the bounds below. Who asks whom, and what follows, is the SL's business (sl/schemas).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TEXT_BYTES_MAX = 48 * 1024
COLUMNS_MAX, LABELS_MAX, PARTS_MAX, DIMENSIONS_MAX = 2000, 1000, 64, 16
NAME_CHARS_MAX, DTYPE_CHARS_MAX = 200, 40
INTEGER_MAX = 2**63
DIFFERENCES_MAX = 8
"""Of one pair of sites, that are named; the rest is counted."""
SHOWN_CHARS_MAX = 60

Label = int | str | bool
Part = tuple[str, tuple[int, ...]]
"""dtype and shape (without the batch) of one input or output."""


@dataclass(frozen=True, slots=True)
class DataSchema:
    """A description; what is None was not told, and is not compared.

    Attributes:
        columns: names and dtypes, in their order.
        labels: every label that any site may have.
        image: height, width, channels.
        inputs, outputs: arrays as the model gets them.
    """

    columns: tuple[tuple[str, str], ...] | None = None
    labels: tuple[Label, ...] | None = None
    image: tuple[int, ...] | None = None
    inputs: tuple[Part, ...] | None = None
    outputs: tuple[Part, ...] | None = None

    @staticmethod
    def from_text(text: str) -> DataSchema:
        """Raises ValueError: not JSON, too long, or not a description; names the field."""
        if len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
            raise ValueError(f"data schema: more than {TEXT_BYTES_MAX} bytes")
        try:
            return DataSchema.from_json(json.loads(text))
        except RecursionError:
            raise ValueError("data schema: nested too deep") from None

    @staticmethod
    def from_json(data: Any) -> DataSchema:
        """Raises ValueError: not a description; names the field."""
        if not isinstance(data, Mapping):
            raise ValueError("data schema: expected an object")
        unknown = [name for name in data if name not in _READERS]
        if unknown:
            raise ValueError(f"data schema: {_shown(unknown[0])} is not known; known are {', '.join(_READERS)}")
        return DataSchema(**{name: _READERS[name](name, data[name]) for name in data})

    def to_json(self) -> dict[str, Any]:
        """The form that ``from_json`` reads."""
        found: dict[str, Any] = {}
        if self.columns is not None:
            found["columns"] = dict(self.columns)
        for name in ("labels", "image"):
            if getattr(self, name) is not None:
                found[name] = list(getattr(self, name))
        for name in ("inputs", "outputs"):
            parts: tuple[Part, ...] | None = getattr(self, name)
            if parts is not None:
                found[name] = [{"dtype": dtype, "shape": list(shape)} for dtype, shape in parts]
        return found


def differences(own: DataSchema, other: DataSchema) -> list[str]:
    """What differs, one phrase each, seen from the owner of ``own``; only what both have told."""
    found: list[str] = []
    if own.columns is not None and other.columns is not None:
        found += _columns(own.columns, other.columns)
    if own.labels is not None and other.labels is not None:
        here, there = ({(type(one), one) for one in labels} for labels in (own.labels, other.labels))
        found += [f"label {_shown(one)} is only here" for one in own.labels if (type(one), one) not in there]
        found += [f"label {_shown(one)} is only there" for one in other.labels if (type(one), one) not in here]
    if own.image is not None and other.image is not None and own.image != other.image:
        found.append(f"images are {list(own.image)} here, {list(other.image)} there")
    for name in ("inputs", "outputs"):
        ours, theirs = getattr(own, name), getattr(other, name)
        if ours is not None and theirs is not None and ours != theirs:
            found.append(f"{name} are {_parts(ours)} here, {_parts(theirs)} there")
    more = len(found) - DIFFERENCES_MAX
    return found[:DIFFERENCES_MAX] + ([f"and {more} more"] if more > 0 else [])


def _columns(own: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...]) -> list[str]:
    here, there = dict(own), dict(other)
    found = [
        f"column {_shown(name)} is {_shown(here[name])} here, {_shown(there[name])} there"
        for name in here
        if name in there and here[name] != there[name]
    ]
    found += [f"column {_shown(name)} is only here" for name in here if name not in there]
    found += [f"column {_shown(name)} is only there" for name in there if name not in here]
    if here.keys() == there.keys() and list(here) != list(there):
        place = next(i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)
        found.append(f"columns come in another order, from column {place + 1} on")
    return found


def _parts(parts: tuple[Part, ...]) -> str:
    shown = [f"{_shown(dtype)}{list(shape)}" for dtype, shape in parts[:4]]
    return ", ".join(shown) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")


def _shown(value: object) -> str:
    """For a log: no control characters, not long."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."


def _list(name: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"data schema: {name}: expected a list of at most {most}")
    return value


def _text(name: str, value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"data schema: {name}: expected texts of at most {most} characters")
    return value


def _read_columns(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or len(value) > COLUMNS_MAX:
        raise ValueError(f"data schema: {name}: expected an object of at most {COLUMNS_MAX} names and dtypes")
    return tuple((_text(name, key, NAME_CHARS_MAX), _text(name, one, DTYPE_CHARS_MAX)) for key, one in value.items())


def _read_labels(name: str, value: Any) -> tuple[Label, ...]:
    for one in _list(name, value, LABELS_MAX):
        if not (isinstance(one, bool) or (type(one) is int and abs(one) <= INTEGER_MAX)):
            _text(name, one, NAME_CHARS_MAX)
    return tuple(value)


def _read_shape(name: str, value: Any) -> tuple[int, ...]:
    for one in _list(name, value, DIMENSIONS_MAX):
        if type(one) is not int or not 0 <= one <= INTEGER_MAX:
            raise ValueError(f"data schema: {name}: expected sizes, integers from 0 on")
    return tuple(value)


def _read_parts(name: str, value: Any) -> tuple[Part, ...]:
    found = []
    for one in _list(name, value, PARTS_MAX):
        if not isinstance(one, Mapping) or set(one) != {"dtype", "shape"}:
            raise ValueError(f"data schema: {name}: expected objects with dtype and shape")
        found.append((_text(name, one["dtype"], DTYPE_CHARS_MAX), _read_shape(name, one["shape"])))
    return tuple(found)


_READERS: dict[str, Any] = {
    "columns": _read_columns,
    "labels": _read_labels,
    "image": _read_shape,
    "inputs": _read_parts,
    "outputs": _read_parts,
}
