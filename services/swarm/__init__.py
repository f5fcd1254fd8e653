"""The nodes of a swarm. Training programs import ``swarmlearning``; here they are only told so."""

from __future__ import annotations

from typing import Any

_FORMER = ("CheckinModel", "SLMergeMethod", "SLPlatforms", "SwarmCallback", "SwarmCallbackBase", "SwarmError")
"""What programs of the original's first versions import from a package of this name."""


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        raise ImportError(
            f"{name} is not in swarm: write from swarmlearning.tf import SwarmCallback (Keras), or from"
            " swarmlearning.pyt (PyTorch), .hf_transformers, .lightning, .sklearn or .plain."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
