"""Entry of ``swarm sn``: settings, logs, the event loop, and faults as one line with an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from swarm.core.errors import SwarmFault
from swarm.obs import log as obs_log

from .settings import load_settings


def main(argv: Sequence[str]) -> int:
    """Run the node until it is told to stop; its exit code: 0 after a clean stop.

    Raises:
        SwarmFault: what the caller prints as one line.
    """
    settings = load_settings(argv)
    obs_log.setup(level=settings.log_level, form=os.environ.get("SWARM_LOG_FORMAT") or "human")
    from .service import run  # heavy: only once the settings are right

    try:
        asyncio.run(run(settings))
    except BaseExceptionGroup as group:
        fault = _first_fault(group)
        if fault is None:
            raise
        raise fault from group
    return 0


def _first_fault(group: BaseExceptionGroup[BaseException]) -> SwarmFault | None:
    for error in group.exceptions:
        found = _first_fault(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, SwarmFault):
            return found
    return None


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SwarmFault as fault:
        sys.stderr.write(f"swarm sn: {fault}\n")
        sys.exit(fault.exit_code)
