"""The framework-free names in one place, for callbacks of one's own."""

from __future__ import annotations

from .client.swarm import (
    DEFAULT_TRAINING_CONTRACT,
    CheckinModel,
    SLMergeMethod,
    SLPlatforms,
    SwarmCallbackBase,
    SwarmError,
)

__all__ = [
    "DEFAULT_TRAINING_CONTRACT",
    "CheckinModel",
    "SLMergeMethod",
    "SLPlatforms",
    "SwarmCallbackBase",
    "SwarmError",
]
