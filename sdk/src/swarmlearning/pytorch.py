"""Another name of :mod:`swarmlearning.pyt`."""

from __future__ import annotations

from .pyt import SwarmCallback, SwarmError

__all__ = ["SwarmCallback", "SwarmError"]
