"""What goes wrong between a program and its SWCI."""

from __future__ import annotations


class SwciError(RuntimeError):
    """A command that was refused, or a SWCI that cannot be reached; its text says whose fault it is.

    Args:
        lasting: asking again will not help.
    """

    def __init__(self, text: str, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting
