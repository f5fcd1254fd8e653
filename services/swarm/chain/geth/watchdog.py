"""Notices a sealer that stands still while transactions wait, and starts its sealing anew."""

from __future__ import annotations

import logging
from collections.abc import Callable

from swarm.core.errors import ChainFault

from .admin import GethAdmin

FROZEN_SECONDS = 15.0

_log = logging.getLogger(__name__)


class Watchdog:
    """Looks at one sealer now and then; ``clock`` in seconds."""

    def __init__(self, admin: GethAdmin, clock: Callable[[], float]) -> None:
        self._admin = admin
        self._clock = clock
        self._height = -1
        self._since = clock()
        self.restarts = 0

    async def look(self) -> None:
        """One look. A node that cannot be asked is the health check's business, not ours."""
        try:
            height, waiting = await self._admin.height(), await self._admin.pool_pending()
            if height != self._height or waiting == 0:
                self._height, self._since = height, self._clock()
            elif self._clock() - self._since >= FROZEN_SECONDS and await self._admin.sealing():
                _log.error("height %d for %s s while %d transactions wait", height, FROZEN_SECONDS, waiting)
                self.restarts += 1
                self._since = self._clock()
                await self._admin.stop_sealing()
                await self._admin.start_sealing()
        except ChainFault as error:
            _log.warning("watchdog: %s", error)
