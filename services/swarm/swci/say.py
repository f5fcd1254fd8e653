"""What a command answers, line by line as it comes: indents, the prompt, errors, and the line of marks of a wait.

Owns the form of an answer (rows C00, R02); where the text goes is the face's business.
"""

from __future__ import annotations

from collections.abc import Callable

from swarm.core.shown import printable, stamp

__all__ = ["Say", "stamp"]

INDENT = "    "
ERROR = "ERROR "
"""At column 0, and nowhere else there: who reads answers by program tells a failure by it."""
KEY_CHARS = 12
MARKS_MAX = 120
"""Marks in one line of progress; the next one begins a new line."""
NONE = "(none)"
"""The line of an empty list: an answer without a line would count as a failure (row R03)."""


class Say:
    """Args: write: takes text as it comes; prompt: what a line on the prompt begins with; indent: of result lines."""

    def __init__(self, write: Callable[[str], object], prompt: str = "", indent: str = INDENT) -> None:
        self._write = write
        self._prompt = prompt
        self._indent = indent
        self._marks = 0

    def line(self, text: str) -> None:
        """A line of the result. Others may have written a part of it: it cannot steer a terminal."""
        shown = self._indent + printable(text)
        # What somebody called "ERROR x" is no failure of ours.
        self._out(" " + shown if shown.startswith(ERROR) else shown)

    def lines(self, texts: list[str]) -> None:
        """A list of names; one that is empty says so."""
        for text in texts or [NONE]:
            self.line(text)

    def fact(self, key: str, value: object) -> None:
        """``KEY          : value``, keys padded to 12 (row C17)."""
        self.line(f"{key:<{KEY_CHARS}} : {value}")

    def on_prompt(self, text: str) -> None:
        self._out(self._prompt + printable(text))

    def error(self, text: str) -> None:
        """One line, whatever the text."""
        self._out(ERROR + printable(" ".join(text.split())))

    def mark(self) -> None:
        """A sign of life of a wait: one more ``#`` at column 0."""
        if self._marks == MARKS_MAX:
            self._end_marks()
        self._marks += 1
        self._write("#")

    def _end_marks(self) -> None:
        if self._marks:
            self._marks = 0
            self._write("\n")

    def _out(self, text: str) -> None:
        self._end_marks()
        self._write(text.rstrip() + "\n")
