"""The names that programs use beside a callback: its error, and its enumerations (rows K05, K06, K10)."""

from __future__ import annotations

import enum

__all__ = ["DEFAULT_TRAINING_CONTRACT", "PLATFORM_OF", "CheckinModel", "SLMergeMethod", "SLPlatforms", "SwarmError"]

DEFAULT_TRAINING_CONTRACT = "defaultbb.cqdb.sml.hpe"


class SwarmError(Exception):
    """The swarm cannot go on with this program; the text says what happened, whose fault it is, and the fix."""


class CheckinModel(enum.IntEnum):
    """What a program that has finished contributes while others still train (row K06)."""

    inactive = 1
    active = 2
    snapshot = 3


class SLPlatforms(enum.IntEnum):
    """Kinds of training program (row K10)."""

    TF = 1
    KERAS = 2
    PYTORCH = 3
    HF_TRANSFORMER = 4


class SLMergeMethod(enum.IntEnum):
    """How models are merged (row K05)."""

    mean = 1
    coordmedian = 2
    geomedian = 3


PLATFORM_OF = {
    SLPlatforms.TF: "keras",
    SLPlatforms.KERAS: "keras",
    SLPlatforms.PYTORCH: "pytorch",
    SLPlatforms.HF_TRANSFORMER: "pytorch",
}
"""mlPlatform -> the platform named in tensor files; without one it is "numpy"."""
