"""The Training contract: jobs, runs and rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from swarm.core.bundle import Bundle, Contribution
from swarm.core.chain_view import JobState, Joiner, Merged, Phase
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.limits import MEMBERS_JOINED_MAX
from swarm.core.roster import Roster
from swarm.core.statements import TRAINING_DOMAIN, coefficient_bits, domain_separator

from .client import GAS_MAX, Receipt
from .facade import Facade
from .names import snake

GAS_CREATE_JOB = 500_000
GAS_JOIN = 1_000_000
GAS_PER_MEMBER = 60_000
"""What opening or re-forming a round may cost for each member joined; generous, unused gas is not paid."""
GAS_COMMIT = 500_000
GAS_PER_ITEM = 60_000
GAS_PER_ACK = 20_000
GAS_PER_CARRIED_ROUND = 60_000
GAS_PER_CARRIED_MEMBER = 2_000
CARRIED_ROUNDS = 200
"""Rounds of an earlier chain that one transaction enters."""
PAGE = 100
"""Jobs or joiners in one answer of the contract."""
_STATE = tuple(f.name for f in fields(JobState))


class Training(Facade):
    CONTRACT = "Training"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {
        "createJob": "create_job",
        "carryJob": "carry_job",
        "carryRounds": "carry_rounds",
        "carryRun": "carry_run",
        "join": "join",
        "leave": "leave",
        "commit": "commit",
        "call": "call",
        "here": "here",
        "settle": "settle",
        "reset": "reset",
        "close": "close",
        "state": "state",
        "rosterOf": "roster_of",
        "joinersOf": "joiners_of",
        "mergedOf": "merged_of",
        "leaderOf": "leader_of",
        "jobs": "jobs",
        "nameOf": "name_of",
        "originOf": "origin_of",
        "openCalls": "open_calls",
        "phaseOf": "phase_of",
        "membership": "membership",
        "rescueAfter": "rescue_after",
    }

    @property
    def domain(self) -> Digest:
        """EIP-712 domain separator of all statements about rounds."""
        return domain_separator(TRAINING_DOMAIN, self.client.chain_id, self.address)

    async def create_job(self, name: str) -> Receipt:
        """Register a job (1 to 160 bytes of UTF-8). Roles SN, SWCI, SWOP."""
        return await self._send("createJob", name, gas=GAS_CREATE_JOB)

    async def carry_job(self, name: str, origin: Digest, run: int) -> Receipt:
        """Go on with a job of the chain with genesis ``origin``: ``run`` is its next one here. Admitters only."""
        return await self._send("carryJob", name, origin, run, gas=GAS_CREATE_JOB)

    async def carry_rounds(self, job: Digest, run: int, first: int, rounds: Sequence[Merged]) -> Receipt:
        """Enter rounds of a carried run, at most CARRIED_ROUNDS at once. Admitters only."""
        words = [word for one in rounds for word in (int.from_bytes(one.blob, "big"), one.size)]
        gas = GAS_CREATE_JOB + GAS_PER_CARRIED_ROUND * len(rounds)
        return await self._send("carryRounds", job, run, first, words, gas=gas)

    async def carry_run(
        self, job: Digest, run: int, origin: Digest, phase: Phase, began: int, ended: int, members: Sequence[int]
    ) -> Receipt:
        """End the entering of a carried run: how it stood on the chain with genesis ``origin``. Admitters only.

        Args:
            members: who joined it, as words: the address, and bit 160 if a model of it was merged.
        """
        gas = GAS_CREATE_JOB + GAS_PER_CARRIED_MEMBER * len(members)
        return await self._send("carryRun", job, run, origin, int(phase), began, ended, list(members), gas=gas)

    async def join(self, job: Digest, uri: str, min_peers: int, *, eligible: bool = True) -> Receipt:
        """Join the job's current run. Role SL."""
        return await self._send("join", job, uri, min_peers, eligible, gas=_whole_roster(GAS_JOIN))

    async def leave(self, job: Digest) -> Receipt:
        return await self._send("leave", job, gas=_whole_roster(GAS_JOIN))

    async def commit(self, bundles: Sequence[Bundle]) -> Receipt:
        """Record certified rounds, in order. Anyone may."""
        gas = sum(
            GAS_COMMIT
            + GAS_PER_ITEM * len(b.items)
            + GAS_PER_ACK * len(b.acks)
            + GAS_PER_MEMBER * max(len(b.roster), len(b.items))
            for b in bundles
        )
        return await self._send("commit", [encode_bundle(b) for b in bundles], gas=min(gas, GAS_MAX))

    async def call(self, job: Digest, run: int, round_: int, epoch: int) -> Receipt:
        """Ask who is still there."""
        return await self._send("call", job, run, round_, epoch)

    async def here(self, job: Digest, call_id: int, done: bool) -> Receipt:
        """Answer an open call."""
        return await self._send("here", job, call_id, done)

    async def settle(self, job: Digest, call_id: int) -> Receipt:
        """Settle an open call that is due."""
        return await self._send("settle", job, call_id, gas=_whole_roster(GAS_JOIN))

    async def reset(self, job: Digest, force: bool) -> Receipt:
        """Open the next run. Roles SN, SWCI, SWOP."""
        return await self._send("reset", job, force, gas=_whole_roster(GAS_JOIN))

    async def close(self, job: Digest, run: int, loss: int, metric: int) -> Receipt:
        """Closing report, once a node and run; loss and metric in multiples of 1e-6."""
        return await self._send("close", job, run, loss, metric)

    async def state(self, job: Digest, *, block: int | str = "latest") -> JobState:
        return await self._read(_state, "state", job, block=block)

    async def roster_of(self, job: Digest, *, block: int | str = "latest") -> Roster:
        """The open round's."""
        return await self._read(Roster.from_words, "rosterOf", job, block=block)

    async def joiners_of(self, job: Digest, *, block: int | str = "latest") -> tuple[Joiner, ...]:
        """Everybody who joined the current run, ascending by address, those who left included."""
        return tuple((await self._list(_joiners, PAGE, "joinersOf", job, block=block)).values())

    async def merged_of(self, job: Digest, run: int, round_: int) -> Merged | None:
        """The outcome of a committed round of this or an earlier run."""
        merged, size = await self._ask("mergedOf", job, run, round_)
        return Merged(BlobId(merged), size) if any(merged) else None

    async def last_round(self, job: Digest, run: int) -> tuple[int, Merged] | None:
        """Number and outcome of a run's last committed round: they have no gaps, so doubling, then halving."""
        found, low, step = await self.merged_of(job, run, 0), 0, 1
        if found is None:
            return None
        while (further := await self.merged_of(job, run, low + step)) is not None:
            found, low, step = further, low + step, 2 * step
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            between = await self.merged_of(job, run, middle)
            if between is None:
                high = middle
            else:
                found, low = between, middle
        return low, found

    async def leader_of(self, job: Digest, attempt: int) -> Address | None:
        found: Address = await self._ask("leaderOf", job, attempt)
        return found if any(found) else None

    async def jobs(self) -> dict[Digest, str]:
        """Names of all jobs by id, page by page: for operators' lists, not for what a node does all the time."""
        return await self._list(lambda page: dict(zip(map(Digest, page[0]), page[1], strict=True)), PAGE, "jobs")

    async def name_of(self, job: Digest) -> str:
        """The job's name; empty if there is no such job."""
        return str(await self._ask("nameOf", job))

    async def origin_of(self, job: Digest) -> Digest | None:
        """Genesis of the chain that the job was carried over from; None if it began here."""
        found = Digest(await self._ask("originOf", job))
        return found if any(found) else None

    async def open_calls(self) -> int:
        """How many calls are open in all jobs, lapsed ones that nobody settled included."""
        return int(await self._ask("openCalls"))

    async def phase_of(self, job: Digest, run: int) -> Phase:
        """Where this or an earlier run stands."""
        return await self._read(Phase, "phaseOf", job, run)

    async def membership(self) -> Address:
        """The Membership contract that it asks."""
        return Address(await self._ask("membership"))

    async def rescue_after(self) -> int:
        """Seconds of block time after which a call is due; fixed when the contract was deployed."""
        return int(await self._ask("rescueAfter"))


def encode_bundle(bundle: Bundle) -> tuple[Any, ...]:
    """A bundle as the contract's calldata struct."""
    name, result = bundle.name, bundle.result
    return (
        (name.job, name.run, name.round, name.epoch, name.prev, name.roster),
        bundle.attempt,
        bundle.leader,
        (result.merged, result.size, result.method, result.inputs, result.interval, result.manifest),
        bundle.roster.words(),
        [_item(item) for item in bundle.items],
        [(ack.node, signature.r, signature.vs) for ack, signature in bundle.acks],
    )


def _state(answer: Mapping[str, Any]) -> JobState:
    found = {snake(k): v for k, v in answer.items()}
    found["phase"] = Phase(found["phase"])
    return JobState(**{name: found[name] for name in _STATE})


def _joiners(page: Sequence[Mapping[str, Any]]) -> dict[Address, Joiner]:
    return {j["node"]: Joiner(j["node"], j["eligible"], j["joined"], j["joinedBlock"], j["leftBlock"]) for j in page}


def _item(item: Contribution) -> tuple[Any, ...]:
    c = item.check_in
    stats = (c.weight, c.loss, c.metric, c.epochs_done, c.epochs_total, c.flags)
    bits = coefficient_bits(item.coefficient)
    return (c.node, c.version, c.blob, c.size, stats, bits, item.signature.r, item.signature.vs)


def _whole_roster(base: int) -> int:
    return base + GAS_PER_MEMBER * MEMBERS_JOINED_MAX
