"""What the shell tells of its host, in variables: this module may run in a container that sees nothing of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from .engine import BUILT_IN, Options, options_of

IMAGES = "swarm-learning"


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Args:
        folder: where the script was called.
        user: uid:gid of the caller.
        terminal: is its input one?
        options: what the engine takes.
        command: how the engine is called.
        registry: before the images' names.
        tag: of the images.
    """

    folder: str = "/"
    user: str = "0:0"
    terminal: bool = False
    options: Options = BUILT_IN
    command: str = "docker"
    registry: str = ""
    tag: str = "dev"

    @classmethod
    def told(cls, environ: Mapping[str, str]) -> Facts:
        return cls(
            folder=environ.get("SCRIPT_FOLDER") or "/",
            user=f"{environ.get('SCRIPT_UID') or 0}:{environ.get('SCRIPT_GID') or 0}",
            terminal=environ.get("SCRIPT_TERMINAL") == "yes",
            options=options_of(environ.get("SCRIPT_DOCKER_HELP", "")),
            command=environ.get("SCRIPT_ENGINE") or "docker",
            registry=environ.get("SWARM_REGISTRY", ""),
            tag=environ.get("SWARM_IMAGE_TAG") or "dev",
        )

    def image(self, role: str, registry: str | None = None, tag: str | None = None) -> str:
        """Name of one of the platform's images (row O12)."""
        before = self.registry if registry is None else registry
        return f"{before.rstrip('/') + '/' if before else ''}{IMAGES}/{role}:{tag or self.tag}"

    def path(self, typed: str) -> str:
        """As an absolute one."""
        return posixpath.normpath(posixpath.join(self.folder, typed))
