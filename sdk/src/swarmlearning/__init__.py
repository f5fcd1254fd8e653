"""What a training program imports to take part in a swarm."""

from __future__ import annotations

from typing import Any

FORMER = frozenset({"CheckinModel", "SLMergeMethod", "SLPlatforms", "SwarmCallback", "SwarmCallbackBase", "SwarmError"})
"""What programs of earlier versions import from the package itself, or from one called ``swarm``."""
TODAY = (
    "from swarmlearning.tf import SwarmCallback (Keras), or from swarmlearning.pyt (PyTorch), .hf_transformers,"
    " .lightning, .sklearn or .plain"
)


def __getattr__(name: str) -> Any:
    if name in FORMER:
        raise ImportError(f"{name} does not stand in swarmlearning itself: write {TODAY}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
