"""How every node process begins and ends: logs, the event loop, and faults as one line with an exit code.

Light to import: a mistake in the settings is told before the heavy packages are loaded.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from swarm.core.errors import SwarmFault
from swarm.obs import log as obs_log
from swarm.obs import logfiles

T = TypeVar("T")


def start_logs(level: str, node: str = "") -> None:
    """Lines for people unless SWARM_LOG_FORMAT says otherwise; those of a ``node`` also in a file, by LOGS_DIR."""
    obs_log.setup(level=level, form=os.environ.get("SWARM_LOG_FORMAT") or "human")
    folder = os.environ.get("LOGS_DIR")
    if node and folder:
        try:
            logfiles.keep(Path(folder), node)
        except OSError as error:
            why = error.strerror or str(error)
            obs_log.get("swarm").warning(f"LOGS_DIR={folder} is not used ({why}): log lines go to standard error alone")


def run_node(work: Coroutine[Any, Any, T]) -> T:
    """Run a node's life in an event loop.

    Raises:
        SwarmFault: the first one of a group that the node's tasks ended with; other errors as they are.
    """
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        fault = _first_fault(group)
        if fault is None:
            raise
        raise fault from group


def exit_with(main: Callable[[Sequence[str]], int], name: str) -> None:
    """End this process with ``main``'s exit code; a fault is one line on standard error."""
    try:
        sys.exit(main(sys.argv[1:]))
    except SwarmFault as fault:
        sys.stderr.write(f"{name}: {fault}\n")
        sys.exit(fault.exit_code)


def _first_fault(group: BaseExceptionGroup[BaseException]) -> SwarmFault | None:
    for error in group.exceptions:
        found = _first_fault(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, SwarmFault):
            return found
    return None
