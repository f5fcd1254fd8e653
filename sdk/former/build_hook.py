"""Puts swarm.py into the wheel, but not beside an editable install, where it would hide the nodes' package."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FormerNames(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """``version`` is "standard" or "editable"."""
        if version == "standard":
            build_data["force_include"]["former/swarm.py"] = "swarm.py"
