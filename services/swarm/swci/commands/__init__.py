"""What each command of the table does: one module a group, one function a command."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.swci.session import Handler

from . import contexts, contracts, runners, shell, swarm, tasks

HANDLERS: Mapping[str, Handler] = {
    **shell.HANDLERS,
    **contexts.HANDLERS,
    **swarm.HANDLERS,
    **contracts.HANDLERS,
    **tasks.HANDLERS,
    **runners.HANDLERS,
}
