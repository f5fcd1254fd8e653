"""What goes wrong between a program and its SWCI."""

from __future__ import annotations


class SwciError(RuntimeError):
    """A command that was refused, or a SWCI that cannot be reached; its text says whose fault it is."""
