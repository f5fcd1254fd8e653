"""From "the chain answers" to "ready": equal heads with another SN, own membership, a test transaction that is mined.

Owns the order of these steps and their bounds. Each can be repeated after a crash; none leaves anything half done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from swarm.chain.client import ChainClient
from swarm.chain.deploy import Deployed
from swarm.chain.names import MembershipError
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import ChainFault, OperatorFault, PeerFault, Reverted
from swarm.core.ids import to_hex
from swarm.net.client import JsonClient
from swarm.net.faults import Unreachable
from swarm.net.identity import PeerIdentity
from swarm.node.joining import name_and_site
from swarm.obs.waits import Waits

from .fleet import Fleet, Sn, block_of
from .gethhost import GethHost
from .join import EXTEND_SLACK_SECONDS
from .sealing import NOBODY

log = logging.getLogger(__name__)

ALONE_SECONDS = 10.0
"""A node that was in the swarm before goes on by itself when no other SN answers for so long."""
LOOK_SECONDS = 0.25
SLOW_SECONDS = 10.0
"""After so long of unequal newest blocks, equal ones a little below will do: it can be a fork of one block."""
FORK_BLOCKS = 2
DOUBT_SECONDS = 60.0
"""After so long the highest head is not believed by itself any more: the chain of half of those that answer will do.
One SN with a wrong head, or none that anybody has, must not keep all others from starting."""
OVERLAP_SECONDS = 3600
"""How long the sentinel's old certificate key stays bound after a new one."""
ANNOUNCE_RETRY_SECONDS = 1.0


async def sync_first(geth: GethHost, first: JsonClient, waits: Waits) -> None:
    """The first time: until our head is that of the SN we came in by, or further, with the same block at its height."""
    if geth.synced:
        return
    began = time.monotonic()
    with waits.row(what="the whole chain", whom=first.url, then="this node sends its test transaction") as row:
        while True:
            try:
                theirs, ours = await block_of(first), await geth.admin.block()
                if theirs is not None and ours is not None:
                    row.what = f"the whole chain: block {ours[0]} of {theirs[0]}"
                    if ours[0] >= theirs[0] and await geth.admin.block(theirs[0]) == theirs:
                        break
            except (Unreachable, PeerFault, ChainFault) as error:
                log.debug("heads cannot be compared now: %s", error)
            await asyncio.sleep(LOOK_SECONDS)
        log.info("the chain is here up to block %d after %.1f s", theirs[0], time.monotonic() - began)
        await geth.has_synced()


class Starting:
    """One start.

    Args:
        rejoin: asks another SN for admission anew (certificate changed or expired); None for the sentinel.
        clock: wall clock in seconds.
    """

    def __init__(
        self,
        geth: GethHost | None,
        client: ChainClient,
        deployed: Deployed,
        fleet: Fleet,
        own: PeerIdentity,
        waits: Waits,
        *,
        uri: str | None,
        rejoin: Callable[[], Awaitable[object]] | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._geth, self._client, self._deployed, self._fleet = geth, client, deployed, fleet
        self._own, self._waits, self._uri = own, waits, uri
        self._rejoin, self._clock = rejoin, clock
        self.stage: str | None = "the chain catches up"
        """What is being waited for; None once ready."""

    async def run(self) -> None:
        """Raises: OperatorFault, ChainFault, PeerFault: the membership cannot be had."""
        if self._geth is not None:
            await self._catch_up(self._geth)
        self.stage = "membership of this node"
        await self._belong()
        self.stage = "own test transaction"
        await self._announce()
        await self._fleet.refresh()
        self.stage = None

    async def _catch_up(self, geth: GethHost) -> None:
        """Later: until our head is that of another SN, if one answers."""
        await self._fleet.refresh()
        if not self._fleet.others():
            return
        began, heard = time.monotonic(), time.monotonic()
        whom = ", ".join(sn.uri for sn in self._fleet.others())
        with self._waits.row(
            what="equal heads with another SN", whom=whom, then="this node sends its test transaction"
        ):
            while time.monotonic() - heard < ALONE_SECONDS:
                others = self._fleet.others()
                found = await asyncio.gather(*(self._fleet.block(sn) for sn in others))
                answers = [(block, sn) for block, sn in zip(found, others, strict=True) if block is not None]
                if answers:
                    heard, waited = time.monotonic(), time.monotonic() - began
                    depth = FORK_BLOCKS if waited > SLOW_SECONDS else 0
                    highest, ours = max(answers, key=lambda a: a[0]), await geth.admin.block()
                    asked = [highest]
                    if waited > DOUBT_SECONDS and ours is not None:  # one that lags proves nothing
                        asked += [a for a in answers if a != highest and a[0][0] + FORK_BLOCKS >= ours[0]]
                    agree = [await self._agrees(geth, block, sn, depth) for block, sn in asked]
                    if 2 * sum(agree) >= len(asked):
                        return
                await asyncio.sleep(LOOK_SECONDS)
        log.warning("no other SN has answered for %.0f s; going on with the chain that is here", ALONE_SECONDS)

    async def _agrees(self, geth: GethHost, theirs: tuple[int, str], sn: Sn, depth: int) -> bool:
        """Whether we have another SN's head, or the block ``depth`` below it."""
        ours = await geth.admin.block()
        if ours is None or ours[0] + depth < theirs[0]:
            return False
        at = max(0, theirs[0] - depth)
        return await geth.admin.block(at) == (theirs if depth == 0 else await self._fleet.block(sn, at))

    async def _belong(self) -> None:
        """An active member of role SN with this certificate: by itself if it is the sentinel, else through another."""
        membership, me, now = self._deployed.membership, self._client.address, int(self._clock())
        record = await membership.member(me)
        # The sentinel prolongs its own membership with a longer certificate; others are prolonged when they ask.
        lasts = int(self._own.not_after.timestamp()) <= record.expires + EXTEND_SLACK_SECONDS
        current = record.role is Role.SN and record.active_at(now) and record.spki == self._own.spki
        if current and (lasts or self._rejoin is not None):
            return
        if self._rejoin is not None:
            await self._rejoin()
            return
        await self._enrol(record)

    async def _enrol(self, record: Member) -> None:
        membership, me = self._deployed.membership, self._client.address
        expires = int(self._own.not_after.timestamp())
        if record.status in (Status.NONE, Status.REVOKED):
            spiffe, site = name_and_site(self._own)
            try:
                await membership.admit(
                    me, spki=self._own.spki, spiffe=spiffe, site=site, role=Role.SN, expires=expires, grant=0
                )
            except Reverted as error:
                raise OperatorFault(
                    f"this sentinel cannot enter itself as a member: {error}; it needs a certificate of its own"
                ) from error
            return
        if record.expires < expires:
            await membership.extend(me, expires)
        if record.spki != self._own.spki:
            await membership.rebind(me, self._own.spki, OVERLAP_SECONDS)

    async def _announce(self) -> None:
        """Tell on chain where this SN is; that it is mined shows that the chain takes transactions from here."""
        if self._uri is None:
            log.warning("this SN is not announced to others: nobody said its address (--host-ip, THIS_NODE_IP)")
            return
        geth = self._geth
        enode, sealer = ("", NOBODY) if geth is None else (geth.enode or "", geth.sealer)
        row = self._waits.row(what="own test transaction", whom="the chain", then="the API opens")
        with row:
            while True:
                try:
                    receipt = await self._deployed.membership.announce(self._uri, enode, sealer)
                    log.info(
                        "announced as %s in block %d by %s", self._uri, receipt.block, to_hex(self._client.address)
                    )
                    return
                except Reverted as error:
                    if error.name == MembershipError.ANNOUNCED_TOO_OFTEN:
                        raise OperatorFault(
                            "this SN has been started too often of late: the chain takes 100 announcements of an SN at "
                            f"once, then one a minute; start it again in {error.values['waitSeconds']} s"
                        ) from error
                    raise OperatorFault(f"the chain refuses this SN: {error}; was it revoked?") from error
                except ChainFault as error:
                    log.warning("the test transaction is not mined: %s", error)
                while True:
                    await asyncio.sleep(ANNOUNCE_RETRY_SECONDS)
                    if not self._client.pending(mined=False):  # the outbox sends again; one that waits is enough
                        break
