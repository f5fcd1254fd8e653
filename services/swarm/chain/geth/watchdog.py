"""Notices a sealer that stands still while transactions wait, and starts its sealing anew."""

from __future__ import annotations

import logging
from collections.abc import Callable

from swarm.core.errors import ChainFault

from .admin import GethAdmin

FROZEN_SECONDS = 15.0

_log = logging.getLogger(__name__)


class Watchdog:
    """Looks at one chain node now and then; ``clock`` in seconds.

    Attributes:
        frozen: seconds since the height last moved while transactions wait, once that is FROZEN_SECONDS; else 0.
        restarts: how often sealing was started anew.
    """

    def __init__(self, admin: GethAdmin, clock: Callable[[], float], *, frozen_seconds: float = FROZEN_SECONDS) -> None:
        self._admin = admin
        self._clock = clock
        self._frozen_seconds = frozen_seconds
        self._height = -1
        self._since = self._acted = clock()
        self.frozen = 0.0
        self.restarts = 0

    async def look(self) -> None:
        """One look. A node that cannot be asked is the health check's business, not ours."""
        try:
            height, waiting = await self._admin.height(), await self._admin.pool_pending()
            now = self._clock()
            if height != self._height or waiting == 0:
                self._height, self._since, self._acted, self.frozen = height, now, now, 0.0
                return
            still = now - self._since
            self.frozen = still if still >= self._frozen_seconds else 0.0
            if now - self._acted < self._frozen_seconds:
                return
            _log.error("height %d for %.0f s while %d transactions wait", height, still, waiting)
            self._acted = now
            if await self._admin.sealing():
                self.restarts += 1
                await self._admin.stop_sealing()
                await self._admin.start_sealing()
        except ChainFault as error:
            _log.warning("watchdog: %s", error)
