"""What a text may hold, as data: the kinds of values that the tables are made of.

A reader (``walk``) and a JSON Schema (``schema``) are both made from these, so that they cannot say different things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .bounds import FREE_CHARS_MAX
from .findings import Weight

CONTROL = "\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ufffe\\uffff"
"""Inside a class of a regular expression: what ends a line, steers a terminal or is no character. A tab may stand."""
_HIDDEN = "\\u00a0\\u00ad\\u1680\\u2000-\\u200f\\u202f\\u205f\\u3000\\u202a-\\u202e\\u2060-\\u206f\\ufeff"


@dataclass(frozen=True, slots=True)
class Without:
    """Characters that a text may not hold.

    Args:
        pattern: matches one of them; a regular expression that Python and ECMAScript read alike.
        words: what they are, for people.
    """

    pattern: str
    words: str

    def found_in(self, text: str) -> str | None:
        match = re.search(self.pattern, text)
        return match.group() if match else None


PLAIN = Without(f"[{CONTROL}]", "line breaks or control characters")
NAME = Without(f"[,/\\\\\\t{CONTROL}{_HIDDEN}]", "commas, slashes, control or hidden characters")
VARIABLE = Without(f"[=:{CONTROL}{_HIDDEN}]|^[ \\t]|[ \\t]$", "=, colons, control characters or blanks around the name")
OUTCOME = Without(f"[,\\t{CONTROL}{_HIDDEN}]", "commas, control or hidden characters")

Advice = Callable[[str], str | None]
"""Why a value that is taken cannot work, and the fix; None if it can."""


@dataclass(frozen=True, slots=True)
class Text:
    """Args:
    reserved: texts that only the platform may use.
    secret: only a reference ``secret:<name>`` may stand in a text that others read.
    empty_is_text: nothing written is the empty text (a step of a Dockerfile).
    """

    least: int = 1
    most: int = FREE_CHARS_MAX
    without: Without = PLAIN
    reserved: tuple[str, ...] = ()
    secret: bool = False
    empty_is_text: bool = False
    advice: Advice | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    values: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    least: int
    most: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value, taken as the text that a container's program gets; None when nothing is written."""

    most: int = FREE_CHARS_MAX
    about: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A container option: a truth value, a number, a text, or a list of texts."""

    most: int = 240
    about: str = ""


@dataclass(frozen=True, slots=True)
class Maybe:
    """Nothing, or the other."""

    of: Spec
    about: str = ""


@dataclass(frozen=True, slots=True)
class Many:
    item: Spec
    least: int
    most: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """A list of maps of one pair each.

    Args:
        known: the names that have a meaning; any other one is warned about. Empty: all names may be.
    """

    value: Spec
    most: int
    known: tuple[str, ...] = ()
    least: int = 0
    about: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """A map of names and values, or a list of names with empty values."""

    most: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A map with these keys.

    Args:
        what: its name in sentences.
        extra: what a key beside these is.
    """

    what: str
    fields: Mapping[str, Spec]
    required: tuple[str, ...]
    extra: Weight = Weight.ERROR
    about: str = ""


@dataclass(frozen=True, slots=True)
class TextOr:
    """A text, or a map."""

    text: Text
    record: Record
    about: str = ""


Spec = Text | Choice | Whole | Anything | Option | Maybe | Many | Pairs | Labels | Record | TextOr
Plain = dict[str, Any]


def absolute_advice(text: str) -> str | None:
    """Why this is no path in a container; a placeholder may become one."""
    return None if text.startswith(("/", "<")) else "a container needs a path that begins with /"
