"""The version of a wheel: what SWARM_VER or SWARMVER says where it is built, as at the original's (row E15)."""

from __future__ import annotations

import os

__version__ = os.environ.get("SWARM_VER") or os.environ.get("SWARMVER") or "0.1.0"
