"""What an SL says of itself in its sign of life: from its status page, nothing that is only the site's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.core.alive import Alive, plain, waits_told


def alive_of(status: Mapping[str, Any], waits: Sequence[Mapping[str, Any]], height: int) -> Alive:
    """What an SL's status page says, without anything that is only the site's business.

    Args:
        waits: rows with ``since_seconds`` and ``until_seconds``.
        height: number of the newest block seen.
    """
    leading = str(status.get("role", "-"))
    return Alive(
        state=plain(str(status["state"])),
        job=plain(str(status.get("job", ""))),
        run=int(status.get("run", 0)),
        round=int(status.get("round", 0)),
        leading=leading if leading in ("leader", "follower") else "-",
        epochs_done=int(status.get("epochs_done", 0)),
        epochs_total=int(status.get("epochs_total", 0)),
        loss=status.get("loss"),
        metric=status.get("metric"),
        bytes_in=int(status["bytes_in"]),
        bytes_out=int(status["bytes_out"]),
        disk_bytes=int(status["store"]["bytes"]),
        height=height,
        behind=int(status.get("behind", 0)),
        waits=waits_told(waits),
    )
