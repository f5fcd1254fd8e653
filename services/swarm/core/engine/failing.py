"""The end of a program that cannot take part: it is told why, once, and this node leaves the run."""

from __future__ import annotations

from ..ids import BlobId
from .actions import FailProgram
from .state import EngineState, Out


def fail_program(state: EngineState, text: str, now: float, out: Out, *, unlike: BlobId | None = None) -> None:
    """The program cannot go on: tell it, and let this node leave the run. ``unlike``: as in FailProgram."""
    program = state.program
    if program.failed is None:
        program.failed, program.failed_at = text, now
        if program.pending is not None or program.opened is not None:
            out.append(FailProgram(text, unlike))
        program.pending, program.loading = None, None
