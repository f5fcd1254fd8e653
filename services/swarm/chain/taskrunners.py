"""The Taskrunners contract: runners, followers, assignments and how they end (docs/tasks.md, section 3).

Owns the calls and the checks of the answers; when to enrol, renew, report or expire is the callers' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from swarm.core.ids import Address, Digest
from swarm.core.limits import RUNNER_FOLLOWERS_MAX, RUNNER_PAIRS_MAX, RUNNER_REPORTS_MAX
from swarm.core.statements import Signature, domain_separator
from swarm.core.taskstatements import TASKRUNNERS_DOMAIN
from swarm.core.taskview import Assignment, Follower, Mine, Order, Pair, Peer, Report, RunnerState, RunnerView

from .client import Receipt
from .facade import GAS_SIMPLE, Facade
from .taskcodec import (
    fault_word,
    none_if_zero,
    order_values,
    read_assignment,
    read_follower,
    read_pair,
    read_peer,
    report_values,
)

GAS_CREATE_RUNNER = 1_000_000
GAS_FOLLOW = 4_000_000
"""A full list is searched for somebody whose membership has ended."""
GAS_ASSIGN, GAS_PER_NAMED = 1_000_000, 150_000
GAS_START, GAS_PER_ROW = 500_000, 60_000
GAS_REPORT, GAS_PER_REPORT = 500_000, 200_000
GAS_INVITE, GAS_PER_PAIR = 500_000, 30_000
PAGE = 64
_ROWS_MAX = RUNNER_FOLLOWERS_MAX


class Taskrunners(Facade):
    CONTRACT = "Taskrunners"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {
        "createRunner": "create_runner",
        "follow": "follow",
        "unfollow": "unfollow",
        "assign": "assign",
        "invite": "invite",
        "abort": "abort",
        "reset": "reset",
        "enrol": "enrol",
        "decline": "decline",
        "start": "start",
        "renew": "renew",
        "report": "report",
        "suspect": "suspect",
        "expire": "expire",
        "state": "state",
        "assignment": "assignment",
        "mine": "mine",
        "peers": "peers",
        "pairs": "pairs",
        "history": "history",
        "runners": "runners",
        "followers": "followers",
        "counts": "counts",
        "nameOf": "name_of",
        "waiting": "waiting",
        "leaseSeconds": "lease_seconds",
        "graceBlocks": "grace_blocks",
        "tasks": "tasks",
        "membership": "membership",
    }

    @property
    def domain(self) -> Digest:
        """EIP-712 domain separator of what assigners sign."""
        return domain_separator(TASKRUNNERS_DOMAIN, self.client.chain_id, self.address)

    # ---- operators: members of role SN or SWCI --------------------------------------------------------------

    async def create_runner(self, name: str) -> Receipt:
        """Register a runner; its id is ``runner_id(name)``."""
        return await self._send("createRunner", name, gas=GAS_CREATE_RUNNER)

    async def assign(self, runner: Digest, order: Order, signature: Signature) -> Receipt:
        """Give a final task to a runner that is not busy; its aid is ``assignment_id(runner, by, order.key)``.

        The same order under the same key again is the same assignment: the receipt has the event AssignedBefore.

        Args:
            signature: of the :class:`~swarm.core.taskstatements.OrderStatement`.
        """
        gas = GAS_ASSIGN + GAS_PER_NAMED * len(order.named)
        return await self._send("assign", runner, order_values(order), signature.r, signature.vs, gas=gas)

    async def invite(self, runner: Digest, aid: Digest, swop: Address, attempt: int) -> Receipt:
        """Let a follower join (attempt 1), or a peer run its failed pairs again (attempt = its last + 1)."""
        gas = GAS_INVITE + GAS_PER_PAIR * RUNNER_PAIRS_MAX
        return await self._send("invite", runner, aid, swop, attempt, gas=gas)

    async def abort(self, runner: Digest, aid: Digest, why: str) -> Receipt:
        """End a busy assignment as an error; ``why`` has at most 160 bytes."""
        return await self._send("abort", runner, aid, why, gas=2 * GAS_SIMPLE)

    async def reset(self, runner: Digest, aid: Digest, force: bool) -> Receipt:
        """Make the runner IDLE; a busy assignment is ended by force only."""
        return await self._send("reset", runner, aid, force)

    # ---- peers: members of role SWOP, for themselves --------------------------------------------------------

    async def follow(self, runner: Digest, pairs: int) -> Receipt:
        """Listen to a runner with so many pairs."""
        return await self._send("follow", runner, pairs, gas=GAS_FOLLOW)

    async def unfollow(self, runner: Digest) -> Receipt:
        return await self._send("unfollow", runner)

    async def enrol(self, runner: Digest, aid: Digest, offer: int) -> Receipt:
        """Offer so many pairs; 1 if the task is no RUN_SWARM."""
        return await self._send("enrol", runner, aid, offer, gas=2 * GAS_SIMPLE)

    async def decline(self, runner: Digest, aid: Digest, fault: str, text_hash: Digest) -> Receipt:
        """ "Not here, because": a short name of the reason (31 bytes kept), and the hash of the text that stays."""
        return await self._send("decline", runner, aid, fault_word(fault), text_hash, gas=2 * GAS_SIMPLE)

    async def start(self, runner: Digest, aid: Digest) -> Receipt:
        """Fix the allotment, once all that is wanted is offered."""
        return await self._send("start", runner, aid, gas=GAS_START + GAS_PER_ROW * _ROWS_MAX)

    async def renew(self, runner: Digest, aid: Digest, started: int) -> Receipt:
        """ "I am here"; ``started`` is the bit map of the pairs that were started."""
        return await self._send("renew", runner, aid, started)

    async def report(self, runner: Digest, aid: Digest, attempt: int, reports: Sequence[Report]) -> Receipt:
        """Results of 1 to 16 pairs of the current attempt; the same again changes nothing."""
        if not 1 <= len(reports) <= RUNNER_REPORTS_MAX:
            raise ValueError(f"a report has 1 to {RUNNER_REPORTS_MAX} results, not {len(reports)}")
        gas = GAS_REPORT + GAS_PER_REPORT * len(reports)
        return await self._send("report", runner, aid, attempt, [report_values(r) for r in reports], gas=gas)

    # ---- any active member ----------------------------------------------------------------------------------

    async def suspect(self, runner: Digest, aid: Digest) -> Receipt:
        """Note that no peer with an open pair was heard for a lease."""
        return await self._send("suspect", runner, aid)

    async def expire(self, runner: Digest, aid: Digest) -> Receipt:
        """End what was suspected long enough ago, or did not start in its time."""
        return await self._send("expire", runner, aid)

    # ---- views ----------------------------------------------------------------------------------------------

    async def state(self, runner: Digest, *, block: int | str = "latest") -> RunnerView:
        """What is shown of a runner; IDLE also for one that does not exist."""
        return await self._read(_view, "state", runner, block=block)

    async def assignment(self, aid: Digest, *, block: int | str = "latest") -> Assignment | None:
        """The record of an assignment of any runner; it outlives resets."""
        return none_if_zero(await self._read(read_assignment, "assignment", aid, block=block))

    async def mine(self, runner: Digest, swop: Address, *, block: int | str = "latest") -> Mine:
        """All that a SWOP polls, in one call."""
        return await self._read(lambda answer: _mine(answer, swop), "mine", runner, swop, block=block)

    async def peers(self, aid: Digest, *, block: int | str = "latest") -> tuple[Peer, ...]:
        """Who was named, enrolled, declined or was invited, in order of the first word."""
        return tuple(await self._rows(_peers, PAGE, _ROWS_MAX, "peers", aid, block=block))

    async def pairs(self, aid: Digest, swop: Address, *, block: int | str = "latest") -> tuple[Pair, ...]:
        """The pairs of one peer, by number."""
        return tuple(await self._rows(_pairs, PAGE, RUNNER_PAIRS_MAX, "pairs", aid, swop, block=block))

    async def history(self, runner: Digest, first: int, count: int = PAGE) -> tuple[Assignment, ...]:
        """Assignments of a runner from op ``first`` (1 is the oldest) on, at most 64 of them."""
        return await self._read(lambda page: tuple(map(read_assignment, page)), "history", runner, first, count)

    async def newest(self, runner: Digest, count: int = PAGE) -> tuple[Assignment, ...]:
        """The last assignments of a runner, newest first, at most 64 of them."""
        ops, _ = await self.counts(runner)
        found = await self.history(runner, max(1, ops - count + 1), count)
        return found[::-1]

    async def runners(self) -> dict[Digest, str]:
        """Names of all runners by id, the default one first."""
        return await self._list(lambda page: dict(zip(map(Digest, page[0]), page[1], strict=True)), PAGE, "runners")

    async def followers(self, runner: Digest, *, block: int | str = "latest") -> tuple[Follower, ...]:
        """Who listens to a runner."""
        return tuple(await self._rows(_followers, PAGE, RUNNER_FOLLOWERS_MAX, "followers", runner, block=block))

    async def counts(self, runner: Digest) -> tuple[int, int]:
        """How many assignments were given to a runner, and how many SWOPs follow it."""
        ops, followers = await self._ask("counts", runner)
        return int(ops), int(followers)

    async def name_of(self, runner: Digest) -> str:
        """The name of a runner; empty if there is no such runner."""
        return str(await self._ask("nameOf", runner))

    async def waiting(self) -> int:
        """How many assignments wait for a start or are suspected: for those block time must go on."""
        return int(await self._ask("waiting"))

    async def lease_seconds(self) -> int:
        """Block time after which a silent peer may be suspected; fixed when the contract was deployed."""
        return int(await self._ask("leaseSeconds"))

    async def grace_blocks(self) -> int:
        """Blocks that must pass as well before an assignment expires."""
        return int(await self._ask("graceBlocks"))

    async def tasks(self) -> Address:
        """The Tasks contract whose tasks it assigns."""
        return Address(await self._ask("tasks"))

    async def membership(self) -> Address:
        """The Membership contract that it asks."""
        return Address(await self._ask("membership"))


def _view(answer: Sequence[Any]) -> RunnerView:
    shown, busy, current = RunnerState(answer[0]), bool(answer[1]), none_if_zero(read_assignment(answer[2]))
    if shown is not (current.shown if current else RunnerState.IDLE) or busy is not bool(current and current.busy):
        raise ValueError(f"the state {shown.name} is not that of the assignment beside it")
    return RunnerView(shown, busy, current)


def _mine(answer: Sequence[Any], swop: Address) -> Mine:
    current, peer, pairs = none_if_zero(read_assignment(answer[0])), read_peer(answer[1]), _pairs(answer[2])
    if not any(peer.swop):
        if pairs:
            raise ValueError("pairs of a SWOP that is not in the assignment")
        return Mine(current, None, ())
    if peer.swop != swop or current is None or len(pairs) != peer.allotted:
        raise ValueError("the row, its pairs and the assignment beside them do not belong together")
    return Mine(current, peer, pairs)


def _peers(page: Sequence[Mapping[str, Any]]) -> list[Peer]:
    return list(map(read_peer, page))


def _pairs(page: Sequence[Mapping[str, Any]]) -> tuple[Pair, ...]:
    return tuple(map(read_pair, page))


def _followers(page: Sequence[Mapping[str, Any]]) -> list[Follower]:
    return list(map(read_follower, page))
