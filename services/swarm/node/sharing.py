"""Who may read a node's last log lines: operators of its swarm, if its site shares them (``--share-logs``).

Owns the rule and the rate; the lines are :mod:`swarm.obs.recent`'s, who a peer is on chain the node's.
"""

from __future__ import annotations

import time
from collections import OrderedDict
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
"""Of all together that are not known as operators: each may cost a question to the chain."""
OPERATORS_MAX = 256
NOT_SHARED = "logs_not_shared"


def no_operator() -> ApiError:
    return ApiError(403, "not_an_operator", "log lines are for operators of this swarm: members of role swci")


class SharedLogs:
    """The answer of ``GET /v1/logs``.

    Args:
        recent: the lines; None: this site does not share them.
        record: the chain's record of the member that holds a certificate key.
        refusal: makes the answer to whoever is no operator.
        clock: wall clock in seconds.
    """

    def __init__(
        self,
        recent: Recent | None,
        record: Callable[[bytes], Awaitable[Member | None]],
        refusal: Callable[[], ApiError],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recent, self._record, self._refusal, self._clock = recent, record, refusal, clock
        self._looks, self._all = Buckets(LOOKS_PER_SECOND, LOOKS_BURST), Buckets(ALL_PER_SECOND, ALL_BURST)
        self._operators: OrderedDict[bytes, None] = OrderedDict()
        """Certificate keys that were operators' the last time: others cannot use up what these may ask."""

    async def answer(self, peer: PeerIdentity) -> dict[str, Any]:
        """The last lines.

        Raises:
            ApiError: the site does not share them; or as :meth:`admit`.
        """
        await self.admit(peer)
        if self._recent is None:
            raise ApiError(403, NOT_SHARED, "this site does not share its log lines (--share-logs, SWARM_SHARE_LOGS)")
        return self._recent.told()

    async def admit(self, peer: PeerIdentity) -> None:
        """An operator, not too often.

        Raises:
            ApiError: too often; no operator; or the chain does not answer.
        """
        wait = self._looks.take(peer.spki) or (0.0 if peer.spki in self._operators else self._all.take(b""))
        if wait:
            raise ApiError(429, "too_many_requests", f"log lines are told less often; wait {wait:.1f} s", wait=wait)
        try:
            record = await self._record(peer.spki)
        except ChainFault as fault:
            raise ApiError(503, "chain_fault", f"who asks cannot be looked up: {fault}") from fault
        if record is None or record.role is not Role.SWCI or not record.active_at(int(self._clock())):
            self._operators.pop(peer.spki, None)
            raise self._refusal()
        self._operators[peer.spki] = None
        self._operators.move_to_end(peer.spki)
        if len(self._operators) > OPERATORS_MAX:
            self._operators.popitem(last=False)
