"""This SN among the others, looked after every second: peers, who lives, sealing, and votes about who seals.

Owns observing and carrying out; the rule is :mod:`swarm.sn.sealers`, the list of SNs :mod:`swarm.sn.fleet`'s, and
what geth is run with :mod:`swarm.sn.gethhost`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from swarm.core.errors import ChainFault, LocalFault
from swarm.core.ids import Address, to_hex
from swarm.obs.waits import Waits

from .fleet import Answer, Fleet, Sn
from .forks import Tip, give_way, yields
from .gethhost import GethHost
from .sealers import Life, SealerView, Vote, majority, step

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LOOK_ALONE_SECONDS = 5.0
"""With nobody else listed there is little to see."""
LEAVE_LOOK_SECONDS = 0.2
LEAVE_SECONDS_MAX = 10.0
"""A planned stop waits so long to be voted out."""
STILL_SECONDS = 5.0
"""A chain whose head is older than this stands still: then being "down" says nothing against an SN."""
FORK_SECONDS = 10.0
"""A chain of several sealers that stands still for so long is looked at for a fork."""
PENDING_SECONDS = 600.0
"""An SN that has told its enode, but has not announced itself on the chain, is kept as a peer for so long."""
BLOCKS_LOOKED_AT_MAX = 16
BEHIND_BLOCKS_MAX = 2
"""Heads of sealers are equal within this: blocks travel while we look."""
NOBODY = Address(bytes(20))


class Sealing:
    """The loop.

    Args:
        ready: whether this SN itself serves.
        dead_seconds: without an answer and without a block of it for so long, an SN is dead.
        clock: monotonic, seconds.
    """

    def __init__(
        self,
        geth: GethHost,
        fleet: Fleet,
        me: Address,
        waits: Waits,
        *,
        ready: Callable[[], bool],
        dead_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._geth, self._fleet, self._me, self._waits = geth, fleet, me, waits
        self._ready, self._dead_seconds, self._clock = ready, dead_seconds, clock
        self._pending = {node: (enode, clock() + PENDING_SECONDS) for node, enode in geth.known_peers().items()}
        self._signs: dict[Address, float] = {}
        self._answers: dict[Address, Answer] = {}
        self._head = -1
        self._moved = clock()
        self._wake = asyncio.Event()
        self._gate = contextlib.ExitStack()
        self._trouble = ""
        self._looks = 0
        self._vote: Vote | None = None
        self.signers: list[Address] = []
        self.sealing = False
        self.leaving = False

    async def run(self) -> None:
        """Look again and again, until cancelled. A fault of the chain is said once and looked at again."""
        try:
            while True:
                self._wake.clear()
                try:
                    if self._geth.synced:
                        await self._look()
                    self._trouble = ""
                except (ChainFault, LocalFault) as error:
                    if str(error) != self._trouble:
                        log.warning("the SNs are not looked after now: %s", error)
                    self._trouble = str(error)
                self._looks += 1
                pause = LOOK_SECONDS if self._fleet.others() or self._pending else LOOK_ALONE_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            self._gate.close()

    async def welcome(self, node: Address, enode: str) -> dict[Address, str]:
        """Take in an SN that was just admitted: geth will meet it. Returns the enodes that it should meet.

        Raises:
            ChainFault: geth is busy; the SN asks again.
        """
        self._pending[node] = (enode, self._clock() + PENDING_SECONDS)
        await self._meet()
        self._wake.set()
        found = {sn.node: sn.enode for sn in self._fleet.others() if sn.enode and sn.node != node}
        return {**found, self._me: self._geth.enode or ""}

    async def leave(self) -> None:
        """A planned stop: be voted out while others live, at most LEAVE_SECONDS_MAX."""
        self.leaving = True
        self._wake.set()
        if not self._fleet.others() and not self._pending:
            return
        row = self._waits.row(
            what="to be voted out of the sealers",
            whom="the other SNs",
            deadline_seconds=LEAVE_SECONDS_MAX,
            then="this node stops",
        )
        # What was seen last may be old: an SN can have become ready, or said that it leaves as well, since then.
        look = self._looks + 2
        with row:
            try:
                async with asyncio.timeout(LEAVE_SECONDS_MAX):
                    while self._looks < look or (self._geth.sealer in self.signers and self._staying()):
                        await asyncio.sleep(LEAVE_LOOK_SECONDS)
                        self._wake.set()
            except TimeoutError:
                log.warning(
                    "stopping without having been voted out of the sealers: the other SNs did not do it in %d s; "
                    "they will, once they take this one for dead",
                    LEAVE_SECONDS_MAX,
                )

    def lives(self) -> dict[Address, Life]:
        """What is seen of each listed SN, by node."""
        return {sn.node: self._life(sn) for sn in self._fleet.sns}

    def describe(self) -> dict[str, Any]:
        """For status pages."""
        lives = self.lives()
        return {
            "sealing": self.sealing,
            "signers": [to_hex(s) for s in self.signers],
            "vote": None if self._vote is None else {"sealer": to_hex(self._vote.sealer), "in": self._vote.seal},
            "sns": [
                {
                    "node": to_hex(sn.node),
                    "uri": sn.uri,
                    "sentinel": sn.sentinel,
                    "life": lives[sn.node].name.lower(),
                    "seals": sn.sealer in self.signers,
                }
                for sn in self._fleet.sns
            ],
        }

    async def _look(self) -> None:
        await self._fleet.refresh()
        with contextlib.suppress(ChainFault):  # too soon after a restart: the next look does it
            await self._meet()
        self._answers = await self._fleet.ask_all()
        admin = self._geth.admin
        self.signers = await admin.signers()
        await self._see_blocks()
        for sn in self._fleet.others():
            standing = self._clock() - self._moved > STILL_SECONDS
            answer = self._answers.get(sn.node, Answer.NONE)
            if sn.node not in self._signs or answer is Answer.UP or (standing and answer is Answer.DOWN):
                self._signs[sn.node] = self._clock()
        await self._mend_fork()
        await self._seal()
        await self._cast()

    async def _meet(self) -> None:
        now = self._clock()
        listed = {sn.node: sn.enode for sn in self._fleet.others() if sn.enode}
        self._pending = {n: p for n, p in self._pending.items() if n not in listed and p[1] > now and n != self._me}
        await self._geth.meet({**{n: p[0] for n, p in self._pending.items()}, **listed})

    async def _see_blocks(self) -> None:
        """Who sealed lately: a block is a sign of life."""
        admin, head = self._geth.admin, await self._geth.admin.height()
        if head != self._head:
            self._moved = self._clock()
        nodes = {sn.sealer: sn.node for sn in self._fleet.sns}
        if len(nodes) > 1:
            for number in range(max(self._head + 1, head - BLOCKS_LOOKED_AT_MAX + 1, 1), head + 1):
                block = await admin.block(number)
                node = None if block is None else nodes.get(await admin.sealer_of(block[1]))
                if node is not None:
                    self._signs[node] = self._clock()
        self._head = head

    def _life(self, sn: Sn) -> Life:
        if sn.node == self._me:
            if self.leaving:
                return Life.LEAVING
            return Life.READY if self._ready() else Life.SHAKY
        answer = self._answers.get(sn.node, Answer.NONE)
        if answer is Answer.UP:
            return Life.READY
        if self._clock() - self._signs.get(sn.node, self._clock()) > self._dead_seconds:
            return Life.DEAD
        return Life.LEAVING if answer is Answer.LEAVING else Life.SHAKY

    def _staying(self) -> bool:
        """Whether an SN that can seal goes on when this one stops."""
        lives = self.lives()
        return any(lives[sn.node] is Life.READY and sn.sealer != NOBODY for sn in self._fleet.others())

    async def _seal(self) -> None:
        """Seal exactly while this node is a signer; with others, only from equal heads on."""
        admin = self._geth.admin
        wanted, self.sealing = self._geth.sealer in self.signers, await admin.sealing()
        if wanted and not self.sealing:
            if len(self.signers) > 1 and not await self._heads_are_equal():
                return
            self._gate.close()
            log.info("sealing starts at block %d, signers %d", self._head, len(self.signers))
            await admin.start_sealing()
        elif self.sealing and not wanted:
            log.info("sealing stops at block %d: not a signer any more", self._head)
            await admin.stop_sealing()
        self.sealing = wanted

    async def _mend_fork(self) -> None:
        """Look for sealers on another chain of the same weight once the chain has stood still for FORK_SECONDS."""
        fellows = [sn for sn in self._fleet.others() if sn.sealer in self.signers]
        if not fellows or self._geth.sealer not in self.signers or self._clock() - self._moved < FORK_SECONDS:
            return
        own = Tip(*await self._geth.admin.tip())
        found = await asyncio.gather(*(self._fleet.tip(sn) for sn in fellows))
        tips = [(tip, sn) for tip, sn in zip(found, fellows, strict=True) if tip is not None]
        at = yields(own, [tip for tip, _ in tips])
        if at is not None and await give_way(self._geth.admin, own, lambda n: self._fleet.block(tips[at][1], n)):
            self._moved = self._clock()

    async def _heads_are_equal(self) -> bool:
        """Whether a majority of the signers, this one included, has our chain up to its last blocks.

        Two that begin to seal before they have met would each seal a block of its own at one height.
        """
        own = await self._geth.admin.block()
        fellows = [sn for sn in self._fleet.others() if sn.sealer in self.signers]
        found = await asyncio.gather(*(self._agrees(sn, own) for sn in fellows))
        if 1 + sum(found) >= majority(self.signers):
            return True
        self._gate.close()
        self._gate.enter_context(
            self._waits.row(
                what="equal heads before sealing",
                whom=", ".join(sn.uri for sn, agrees in zip(fellows, found, strict=True) if not agrees),
                then="this node seals",
            )
        )
        return False

    async def _agrees(self, sn: Sn, own: tuple[int, str] | None) -> bool:
        theirs = await self._fleet.block(sn)
        if own is None or theirs is None or abs(theirs[0] - own[0]) > BEHIND_BLOCKS_MAX:
            return False
        common = max(0, min(own[0], theirs[0]) - BEHIND_BLOCKS_MAX)
        return await self._fleet.block(sn, common) == await self._geth.admin.block(common)

    async def _cast(self) -> None:
        """Have exactly the one vote stand that leads on now."""
        admin = self._geth.admin
        views = [SealerView(sn.sealer, self._life(sn), sn.sentinel) for sn in self._fleet.sns if sn.sealer != NOBODY]
        mine = self._geth.sealer in self.signers
        vote = step(self.signers, views) if mine and views else None
        if vote != self._vote:
            self._vote = vote
            if vote is not None:
                log.info("voting %s %s the sealers", to_hex(vote.sealer), "into" if vote.seal else "out of")
        if len(self._fleet.sns) < 2 and len(self.signers) < 2:
            return
        standing = await admin.proposals()
        for sealer, seal in standing.items():
            if vote is None or Vote(sealer, seal) != vote:
                await admin.discard(sealer)
        if vote is not None and standing.get(vote.sealer) is not vote.seal:
            await admin.propose(vote.sealer, vote.seal)
