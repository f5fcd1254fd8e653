"""Text that somebody else wrote, fit for a terminal: it can neither steer it nor forge a line of its own. And times."""

from __future__ import annotations

from datetime import UTC, datetime

SHOWN_CHARS_MAX = 200


def printable(text: str) -> str:
    """Without control characters, whatever its length."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown(text: str) -> str:
    """As a part of a sentence: no control characters, no more than 200 characters of it."""
    return printable(text[:SHOWN_CHARS_MAX])


def stamp(seconds: float) -> str:
    """A time as the original prints it, in UTC: ``YYYY-MM-DD HH:MM:SS``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
