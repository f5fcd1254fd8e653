"""Words and lines of bash: text is always quoted, what the shell must find out itself is marked as such."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A word that the shell makes when it runs: ``before`` is text, ``code`` is ours and never a user's."""

    code: str
    before: str = ""

    def __str__(self) -> str:
        return (shlex.quote(self.before) if self.before else "") + self.code


Word = str | Found


def line(words: Sequence[Word]) -> str:
    """One simple command."""
    return " ".join(shlex.quote(word) if isinstance(word, str) else str(word) for word in words)
