"""What a task would do on a host, as a site's policy is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

from ..ids import NO_DIGEST, Address, Digest
from ..tasktext.model import PullBody, Task
from .containers import Devices, Mount


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task would do here.

    Args:
        author: the creator, by its signature.
        bases: images that a build begins from, or that a run uses and no task made here, by their names.
        mounts: of all pairs, or a build's context, or what a task's content goes into; devices: of all pairs.
        own_paths: the site's own secrets and state on this host, which nothing may mount.
        urls: what a build's ADD fetches; secrets: names of the site's that the task asks for.
        text: root of the task's text, as its author signed it; another version under the same name has another one.
    """

    task: Task
    author: Address
    bases: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Devices, ...] = ()
    own_paths: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    text: Digest = NO_DIGEST


def pulled_name(body: PullBody) -> str:
    """The image that a PULL_IMAGE task names."""
    return f"{body.registry.rstrip('/')}/{body.repository}:{body.tag}"
