"""What a plain word of YAML means, and what text of it a container's program gets.

The words of YAML 1.1, which the original's reader (PyYAML) knows: `yes` is true, `010` is 8. So the same file gives
a program the same text. Two things differ on purpose, neither changes what a program computes: an exponent needs no
dot (`1e-4` is a number), and a date stays as it is written. docs/task-files.md tells this to users.
"""

from __future__ import annotations

import re
from typing import Any

DIGITS_MAX = 100
"""Of a whole number: Python takes quadratic time for long ones, and none is meant."""

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(form for word in ("true", "yes", "on") for form in (word, word.capitalize(), word.upper()))
_FALSE = frozenset(form for word in ("false", "no", "off") for form in (word, word.capitalize(), word.upper()))
_TELLING = frozenset(form for word in ("true", "false") for form in (word, word.capitalize(), word.upper()))
"""Words of which everybody sees that they are no text."""
_INT = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)",
)
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)(?::[0-5]?[0-9])+\.[0-9_]*"
    r"|[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)",
)
_TAGS = {"str", "int", "float", "bool", "null"}
_TAG_PREFIX = "tag:yaml.org,2002:"


def resolved(written: str, *, plain: bool, tag: str | None = None) -> Scalar:
    """The value of one scalar. Quoted ones are text, whatever they look like.

    Raises:
        ValueError: a tag that is not one of the plain ones, or a value that does not fit it; too long a number.
    """
    if tag is not None and tag != "!":
        kind = tag.removeprefix(_TAG_PREFIX)
        if kind not in _TAGS:
            raise ValueError(f"the tag {tag} is not taken: write the value without it")
        value = written if kind == "str" else _meaning(written)
        wanted: dict[str, type | tuple[type, ...]] = {
            "str": str, "int": int, "float": (int, float), "bool": bool, "null": type(None),
        }  # fmt: skip
        if not isinstance(value, wanted[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise ValueError(f"{written!r:.60} is no {kind}")
        return float(value) if kind == "float" and isinstance(value, int) else value
    return written if tag == "!" or not plain else _meaning(written)


def _meaning(written: str) -> Scalar:
    if written in _NULL:
        return None
    if written in _TRUE or written in _FALSE:
        return written in _TRUE
    first = written[0]
    if first not in "+-.0123456789":
        return written
    if _INT.fullmatch(written):
        return _whole(written)
    if _FLOAT.fullmatch(written):
        return _broken(written)
    return written


def _whole(written: str) -> int | str:
    sign = -1 if written.startswith("-") else 1
    digits = written.lstrip("+-").replace("_", "")
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits)} digits, at most {DIGITS_MAX}: put it in quotes if it is a text")
    if ":" in digits:
        total = 0
        for part in digits.split(":"):
            total = total * 60 + int(part)
        return sign * total
    for prefix, base in (("0b", 2), ("0x", 16)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base) if digits[2:] else written
    return sign * int(digits, 8 if digits.startswith("0") and len(digits) > 1 else 10)


def _broken(written: str) -> float | str:
    sign = -1.0 if written.startswith("-") else 1.0
    digits = written.lstrip("+-").replace("_", "").lower()
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits)} digits, at most {DIGITS_MAX}: put it in quotes if it is a text")
    if digits in (".inf", ".nan"):
        return sign * float(digits[1:])
    if ":" in digits:
        total = 0.0
        for part in digits.split(":"):
            total = total * 60 + float(part)
        return sign * total
    try:
        return sign * float(digits)
    except ValueError:
        return written


def container_text(value: Any) -> str | None:
    """As the original's Docker client prints a value after NAME=; None: no value, so as in the image."""
    return None if value is None else str(value)


def surprises(written: str, value: Scalar) -> bool:
    """Whether a program gets another text than what is written, in a way that not everybody knows."""
    return value is not None and written not in _TELLING and container_text(value) != written
