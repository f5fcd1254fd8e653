"""One look at the chain, as a SWOP's pass wants it: the newest state, and one that no usual reorganisation takes back.

Owns which calls that takes; all are of two block numbers, so that a look is of one moment. An embedded chain serves its
head alone, and takes nothing back: there a look may see what came since its number, which a later pass would see too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from swarm.chain.membership import Membership
from swarm.chain.taskrunners import Taskrunners
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, Digest
from swarm.core.taskrun.passes import Sight
from swarm.core.taskview import AssignmentPhase


class Sighting:
    """Args: depth: blocks that a usual reorganisation takes back; 0 on an embedded chain."""

    def __init__(
        self,
        runners: Taskrunners,
        membership: Membership,
        runner: Digest,
        me: Address,
        depth: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runners, self._membership = runners, membership
        self._runner, self._me, self._depth, self._clock = runner, me, depth, clock

    async def look(self, here: Iterable[Digest]) -> Sight:
        """What is to be seen now.

        Args:
            here: assignments of which something runs on this host.

        Raises:
            ChainFault: the SN does not answer, or not so.
        """
        client, runner, me = self._runners.client, self._runner, self._me
        number = await client.block_number()
        at: int | str = number if self._depth else "latest"
        at_deep: int | str = max(0, number - self._depth) if self._depth else "latest"
        block, head, deep, member = await asyncio.gather(
            client.rpc("eth_getBlockByNumber", [hex(number), False]),
            self._runners.mine(runner, me, block=at),
            self._runners.mine(runner, me, block=at_deep),
            self._membership.member(me, block=at_deep),
        )
        if not self._depth:
            deep = head
        try:
            made = int(block["timestamp"], 16)
        except (TypeError, KeyError, ValueError) as error:
            raise ChainFault(f"the SN shows block {number} without a time: ask another SN") from error
        aids = {*here, *(view.current.aid for view in (head, deep) if view.current is not None)}
        ended, ended_deep = await asyncio.gather(self._ended(aids, at), self._ended(aids, at_deep))
        age = max(0.0, self._clock() - made)
        return Sight(head, deep, number, age, float(made), ended, ended_deep, member.active_at(made))

    async def _ended(self, aids: Iterable[Digest], at: int | str) -> frozenset[Digest]:
        known = sorted(aids)
        found = await asyncio.gather(*(self._runners.assignment(aid, block=at) for aid in known))
        return frozenset(
            aid for aid, one in zip(known, found, strict=True) if one is not None and one.phase is AssignmentPhase.ENDED
        )
