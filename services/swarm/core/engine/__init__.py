"""The round engine: pure decisions of one node, from events to actions."""

from .machine import Engine
from .state import Config

__all__ = ["Config", "Engine"]
