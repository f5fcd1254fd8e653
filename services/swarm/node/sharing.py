"""Who may read a node's last log lines: operators of its swarm, if its site shares them (``--share-logs``).

Owns the rule and the rate; the lines are :mod:`swarm.obs.recent`'s, who a peer is on chain the node's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from swarm.core.chain_view import Member, Role
from swarm.core.errors import ChainFault
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity
from swarm.obs.recent import Recent

from .rates import Buckets

PATH = "/v1/logs"
LOOKS_PER_SECOND, LOOKS_BURST = 1.0, 5.0
"""Of one certificate."""
ALL_PER_SECOND, ALL_BURST = 5.0, 20.0
"""Of all together: each may cost a question to the chain."""
NOT_SHARED = "logs_not_shared"


class SharedLogs:
    """The answer of ``GET /v1/logs``.

    Args:
        recent: the lines; None: this site does not share them.
        record: the chain's record of the member that holds a certificate key.
        refusal: the answer to whoever is no operator.
        clock: wall clock in seconds.
    """

    def __init__(
        self,
        recent: Recent | None,
        record: Callable[[bytes], Awaitable[Member | None]],
        refusal: ApiError,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recent, self._record, self._refusal, self._clock = recent, record, refusal, clock
        self._looks, self._all = Buckets(LOOKS_PER_SECOND, LOOKS_BURST), Buckets(ALL_PER_SECOND, ALL_BURST)

    async def answer(self, peer: PeerIdentity) -> dict[str, Any]:
        """The last lines.

        Raises:
            ApiError: too often; no operator; the site does not share them; or the chain does not answer.
        """
        wait = self._looks.take(peer.spki) or self._all.take(b"")
        if wait:
            raise ApiError(429, "too_many_requests", f"log lines are told less often; wait {wait:.1f} s")
        try:
            record = await self._record(peer.spki)
        except ChainFault as fault:
            raise ApiError(503, "chain_fault", f"who asks cannot be looked up: {fault}") from fault
        if record is None or record.role is not Role.SWCI or not record.active_at(int(self._clock())):
            raise self._refusal
        if self._recent is None:
            raise ApiError(403, NOT_SHARED, "this site does not share its log lines (--share-logs, SWARM_SHARE_LOGS)")
        return self._recent.told()
