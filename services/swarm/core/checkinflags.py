"""The flags of a check-in, bit by bit: what they say, and which there are. The engine says who may set which."""

from __future__ import annotations

FLAG_DONE = 1
FLAG_OBSERVER = 2
FLAG_OWN_FIGURE = 4
"""The loss is an original client's own figure, maybe another quantity than a mean over the samples."""
BEHIND_SHIFT, BEHIND_MAX = 8, 255
"""Bits 8 to 15 of the flags: by how many rounds the model is behind; 255 says so many or more."""
FLAGS_ALL = FLAG_DONE | FLAG_OBSERVER | FLAG_OWN_FIGURE | BEHIND_MAX << BEHIND_SHIFT


def behind_of(flags: int) -> int:
    """Rounds that a check-in's flags say its model is behind."""
    return flags >> BEHIND_SHIFT & BEHIND_MAX


def behind_flags(rounds: int) -> int:
    """The flags' bits that say it; none for a model that is not behind."""
    return min(max(0, rounds), BEHIND_MAX) << BEHIND_SHIFT
