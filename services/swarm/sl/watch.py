"""Watches the chain for the engine: joins' addresses from events, and one consistent view of the job a block.

Owns reading; the engine decides what a view means. Wake-ups make it prompt, a slow poll makes it certain.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from swarm.chain.calldata import decode_commit
from swarm.chain.events import (
    Announced,
    Contributed,
    Joined,
    Left,
    MemberAdmitted,
    MemberExtended,
    MemberRebound,
    MemberResumed,
    MemberRevoked,
    MemberSuspended,
    Reformed,
    RoundMerged,
    RunReset,
)
from swarm.chain.feed import EventFeed, Happened, Removed
from swarm.chain.joboptions import JobOptions as OptionsContract
from swarm.chain.training import Training
from swarm.chain.wake import Waker
from swarm.core.bundle import Bundle
from swarm.core.chain_view import JobState, Joiner, Phase, Role
from swarm.core.control.joboptions import JobOptions, weighing_of
from swarm.core.control.weights import Weighing
from swarm.core.engine.events import ChainView, Origin
from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.ids import Address, Digest, from_hex, to_hex
from swarm.core.limits import JOIN_DEPTH_BLOCKS
from swarm.core.roster import Roster
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList

from .directory import AGAIN_SECONDS, Members
from .origin import find_origin
from .records import Records

log = logging.getLogger("swarm.sl.watch")

SLOW_POLL_SECONDS = 2.0
RETRY_SECONDS = 0.5
STILL_SECONDS = 30.0
"""A chain that has not moved for so long makes this node ask the other SNs how far they are, as often."""
TORN_READS_MAX = 5
"""Reads that straddle a block which changed the run or its members are repeated at once, this often."""

MEMBER_EVENTS = (MemberAdmitted, MemberExtended, MemberRebound, MemberResumed, MemberRevoked, MemberSuspended)
JOINER_EVENTS = (Joined, Left, Reformed, RunReset)


class ChainWatch:
    """One job's view of the chain."""

    def __init__(
        self,
        link: SnLink,
        sns: SnList,
        training: Training,
        feed: EventFeed,
        members: Members,
        records: Records,
        options: OptionsContract | None,
        waker: Waker,
        job: Digest,
        deliver: Callable[[ChainView], Awaitable[None]],
    ) -> None:
        self._link, self._sns, self._rpc = link, sns, link.rpc
        self._training = training
        self._feed, self._members, self._waker = feed, members, waker
        self._job, self._deliver = job, deliver
        self._records = records
        self._heirs: dict[Address, tuple[int, int]] = {}
        """Of joiners of the open round: the block of their admission, and which round must be opened after it."""
        self._options, self._options_run, self._options_text = options, -1, ""
        self._weighed: tuple[int, Weighing] = (-1, Weighing())
        """Of which run the options said how weights count, and how."""
        self._origin: Origin | None = None
        self._origin_text = ""
        """What the chain says of the model to begin from, and the options it was read for."""
        self._joiners: tuple[int, tuple[Joiner, ...]] | None = None
        """Of which run, and who; None once an event told of a change."""
        self._joiners_at = 0.0
        self._told_block = 0
        """Of the newest event: an SN that does not have it yet would give records of before it."""
        self.block_time = 0
        self.head = 0
        self.reorgs = 0
        """How often events were taken back since this process started."""
        self.head_at = time.monotonic()
        self._doubted_at = time.monotonic()
        self._troubled_at = 0.0
        self.trouble = ""
        link.on_turn += [feed.reanchor, self._turned]

    async def run(self) -> None:
        """Deliver a view after each change, for ever."""
        while True:
            ticket = self._waker.ticket()
            try:
                await self.look()
                self.trouble = ""
            except ChainFault as error:
                if self.trouble != str(error):
                    log.warning("the chain cannot be read: %s", error)
                self._troubled_at = self._troubled_at if self.trouble else time.monotonic()
                self.trouble = str(error)
                await self._doubt()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._doubt()
            await ticket.wait(SLOW_POLL_SECONDS)

    async def _doubt(self) -> None:
        now = time.monotonic()
        if now - max(self.head_at, self._doubted_at) >= STILL_SECONDS:
            self._doubted_at = now
            await self._link.doubt()

    def told(self) -> list[dict[str, Any]]:
        """The wait for a readable chain as a row of the table of waits."""
        if not self.trouble:
            return []
        since = time.monotonic() - self._troubled_at
        row = {"what": "the chain", "whom": self._link.url, "then": f"it is read again ({self.trouble})"}
        return [{**row, "since_seconds": since, "until_seconds": None}]

    def wake(self) -> None:
        """Look again now."""
        self._waker.wake()

    async def look(self) -> None:
        await self._feed.catch_up(self._event)
        await self._deliver(await self._view())

    def _turned(self) -> None:
        """Another SN answers: what was read from the one before may be of a block that this one does not have."""
        self._joiners = None
        self._members.all_changed()

    async def _event(self, notice: Happened | Removed) -> None:
        event, block = notice.event, notice.log.block
        self._told_block = block - 1 if isinstance(notice, Removed) else max(self._told_block, block)
        if isinstance(event, MEMBER_EVENTS):
            self._members.changed(event.node)
        elif isinstance(event, JOINER_EVENTS) and event.job == self._job:
            self._joiners = None
        if isinstance(notice, Removed):
            self.reorgs += 1
            if isinstance(event, RoundMerged) and event.job == self._job:
                self._records.withdrawn(event)
            return
        if isinstance(event, Joined) and event.job == self._job:
            try:
                self._members.learn_uri(event.node, event.uri)
            except PeerFault as fault:
                log.warning("member %s joined with an address that cannot be used: %s", to_hex(event.node), fault)
        elif isinstance(event, Announced):
            try:
                self._sns.learn(event.node, event.uri)
            except PeerFault as fault:
                log.warning("SN %s announced an address that cannot be used: %s", to_hex(event.node), fault)
        elif isinstance(event, RoundMerged) and event.job == self._job:
            self._records.merged(event, notice.log.transaction, await self._weighing(event.run))
        elif isinstance(event, Contributed) and event.job == self._job:
            self._records.contributed(event)

    async def _view(self) -> ChainView:
        for _ in range(TORN_READS_MAX):
            state, roster, block = await asyncio.gather(
                self._training.state(self._job),
                self._training.roster_of(self._job),
                self._rpc("eth_getBlockByNumber", ["latest", False]),
            )
            number, timestamp = _head_of(block)
            if number < max(self.head, self._told_block):
                # A replaced block comes back within moments; an SN that lags must not look like lost rounds.
                raise ChainFault(
                    f"the SN is behind: it is at block {number}, this node has seen {max(self.head, self._told_block)}"
                )
            joiners = await self._read_joiners(state)
            await self._members.refresh({*(j.node for j in joiners), *roster.addresses, *self._sns.announced})
            if not _torn(state, roster, joiners):
                break
            self._joiners = None
        else:
            raise ChainFault(
                "state, roster and joiners of the job do not fit each other; the SN answers inconsistently"
            )
        if number != self.head:
            self.head_at = time.monotonic()
        self.head, self.block_time = number, timestamp
        self._link.seen(number)
        self._sns.only(lambda node: self._members.active_as(node, Role.SN, self.block_time))
        await self._read_options(state)
        await self._read_origin()
        by_node = {j.node: j for j in joiners}
        everybody = set(by_node) | set(roster.addresses)
        barred = await self._barred(state, roster, joiners)
        return ChainView(
            state=state,
            roster=roster if state.started else Roster(()),
            joiners=by_node,
            active=frozenset(n for n in everybody if self._members.active(n, self.block_time)),
            head=self.head,
            block_time=self.block_time,
            reorgs=self.reorgs,
            history=self._records.history(state.run),
            options=self._options_text,
            origin=self._origin,
            barred=barred,
            join_depth_blocks=JOIN_DEPTH_BLOCKS if self._sns.several else 0,
        )

    async def _read_joiners(self, state: JobState) -> tuple[Joiner, ...]:
        """Read once, and again after an event that changed them: a run has up to 1,000, and blocks are many."""
        kept = self._joiners
        old = time.monotonic() - self._joiners_at >= AGAIN_SECONDS
        if kept is None or old or kept[0] != state.run or sum(j.joined for j in kept[1]) != state.joined_count:
            kept = self._joiners = (state.run, await self._training.joiners_of(self._job))
            self._joiners_at = time.monotonic()
        return kept[1]

    async def _barred(self, state: JobState, roster: Roster, joiners: tuple[Joiner, ...]) -> frozenset[Address]:
        """Heirs admitted since the open round's opening. Who was admitted before it needs no question."""
        found, known = set(), self._heirs
        self._heirs = {}
        for node in (j.node for j in joiners if j.joined and j.node not in roster):
            since = self._members.since(node)
            if not state.started or since < state.opened_block:
                continue
            kept = known.get(node)
            after = kept[1] if kept is not None and kept[0] == since else await self._members.counts_after(node)
            self._heirs[node] = since, after
            if after and after >= state.opened_block:
                found.add(node)
        return frozenset(found)

    async def _read_options(self, state: JobState) -> None:
        """The job's options cannot change while a run is open: then they are read once."""
        if self._options is None or (state.phase is Phase.OPEN and self._options_run == state.run):
            return
        self._options_text, _ = await self._options.get(self._job)
        self._options_run = state.run if state.phase is Phase.OPEN else -1

    async def _weighing(self, run: int) -> Weighing:
        """How the weights of a run's rounds count: read at its first round, by when its options are fixed."""
        if self._options is not None and self._weighed[0] != run:
            text, _ = await self._options.get(self._job)
            self._weighed = run, weighing_of(text)  # of options that cannot be read the engine tells the program
        return self._weighed[1]

    async def _read_origin(self) -> None:
        """A complete run's final model does not change: it is read once for each text of the options."""
        if self._options_text == self._origin_text:
            return
        try:
            run = JobOptions.from_text(self._options_text).warm_start
        except OperatorFault:  # the engine says so to the program
            run = None
        self._origin = None if run is None else await find_origin(self._training, self._job, run)
        if self._origin is None or not self._origin.fault:
            self._origin_text = self._options_text

    def own_rounds(self, run: int) -> list[int]:
        """Rounds of a run into which a model of this node was merged, ascending, as far as they are known."""
        return self._records.own_rounds(run)

    async def bundle(self, run: int, round_: int) -> Bundle:
        """The bundle of a committed round, from the transaction that recorded it.

        Raises:
            ChainFault: it is not known here yet, or the SN's answer is not it.
        """
        transaction = self._records.commit_of(run, round_)
        if transaction is None:
            raise ChainFault(f"the commit of run {run} round {round_} has not been seen yet")
        raw: Any = await self._rpc("eth_getTransactionByHash", [to_hex(transaction)])
        if not isinstance(raw, dict) or not isinstance(raw.get("input"), str):
            raise ChainFault(f"the SN does not know transaction {to_hex(transaction)}")
        try:
            data = from_hex(raw["input"], (len(raw["input"]) - 2) // 2)
        except ValueError as error:
            raise ChainFault(f"the SN's transaction {to_hex(transaction)} is none: {error}") from error
        for bundle in decode_commit(data):
            if (bundle.name.job, bundle.name.run, bundle.name.round) == (self._job, run, round_):
                return bundle
        raise ChainFault(f"transaction {to_hex(transaction)} holds no bundle of run {run} round {round_}")


def _torn(state: JobState, roster: Roster, joiners: tuple[Joiner, ...]) -> bool:
    """A join, a reform or a reset came between the reads, which are three calls.

    A torn reset would show an old run without its members. Any other block leaves these three as they are.
    """
    if state.started and roster.hash() != state.roster:
        return True
    return sum(j.joined for j in joiners) != state.joined_count


def _head_of(block: Any) -> tuple[int, int]:
    """Number and time of a block as an SN told it; a wrong answer must not end this node."""
    try:
        return int(block["number"], 16), int(block["timestamp"], 16)
    except (KeyError, TypeError, ValueError) as error:
        raise ChainFault(f"the SN's newest block is none: {block!r:.100}") from error
