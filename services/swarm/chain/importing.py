"""Carries what an export holds into a new chain: members, jobs with their options, earlier runs with their rounds.

Owns the order of the writes and what is refused. Everything is checked before anything is written; the contracts take
each write once, so that an import that was interrupted goes on and a second one changes nothing; at the end it is all
read back and compared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from swarm.core.chain_view import Member, Phase, Status
from swarm.core.control.joboptions import JobOptions
from swarm.core.errors import ChainFault, OperatorFault, Reverted
from swarm.core.exported import Export, PastJob, PastRun
from swarm.core.ids import DEFAULT_JOB, Address, Digest, from_hex, job_id, to_hex
from swarm.core.shown import shown

from .deploy import Deployed
from .exporting import read_jobs, words_of
from .membership import GRANT_WEI
from .names import OptionsError
from .training import CARRIED_ROUNDS

Say = Callable[[str], Awaitable[None]]


async def carry_over(swarm: Deployed, export: Export, say: Say) -> list[str]:
    """Carry ``export`` over, as a member that may admit others.

    Args:
        say: gets a few words about each step before it is taken; what it raises ends the import there.

    Returns:
        A sentence for each thing that is as it is in this chain and not as in the export.

    Raises:
        OperatorFault: it cannot be carried into this chain; nothing was written, or what was says the same.
        ChainFault: the chain failed; try again.
    """
    return await _Import(swarm, export, say).run()


class _Import:
    def __init__(self, swarm: Deployed, export: Export, say: Say) -> None:
        self._swarm, self._export, self._say = swarm, export, say
        self._client = swarm.training.client
        self._notes: list[str] = []

    async def run(self) -> list[str]:
        genesis = Digest(from_hex((await self._client.rpc("eth_getBlockByNumber", ["0x0", False]))["hash"], 32))
        if genesis == self._export.genesis:
            raise OperatorFault("the export is of this very chain: import it into a new one")
        if not await self._swarm.membership.is_admitter(self._client.address):
            raise OperatorFault(
                "this SN may not admit members: import at the sentinel, or at an SN that it gave the right"
            )
        missing = await self._missing_members()
        fresh = {job.name for job in self._export.jobs if await self._is_fresh(job)}
        for count, (node, member) in enumerate(missing.items(), 1):
            await self._say(f"member {count} of {len(missing)}")
            grant = 0 if member.status is Status.REVOKED else GRANT_WEI
            await self._swarm.membership.restore(node, member, grant)
        for count, job in enumerate(self._export.jobs, 1):
            step = f"job {count} of {len(self._export.jobs)}"
            await self._say(step)
            if job.name in fresh:
                await self._swarm.training.carry_job(job.name, self._export.genesis, job.run)
            await self._carry(job, step)
        await self._say("reading back")
        await self._look(missing, genesis)
        return self._notes

    async def _missing_members(self) -> dict[Address, Member]:
        """Whom this chain does not know; notes where it knows better."""
        here = await self._swarm.membership.members()
        holders = {member.spki: node for node, member in here.items() if any(member.spki)}
        missing = {}
        for node, member in self._export.members.items():
            known, holder = here.get(node), holders.get(member.spki)
            stands = f"{to_hex(node)} ({member.role.name.lower()}, {member.status.name.lower()} in the export)"
            if known is not None:
                if known.status is not member.status:
                    self._notes.append(f"{stands} is {known.status.name.lower()} in this chain, and stays so")
            elif holder is not None:
                self._notes.append(f"{stands} is not carried: {to_hex(holder)} came in with the same certificate key")
            else:
                missing[node] = member
        return missing

    async def _is_fresh(self, job: PastJob) -> bool:
        """Whether the job is still to be made; False if it was carried here from the same chain.

        Raises:
            OperatorFault: this chain has another job of that name, or other runs of it.
        """
        training, number = self._swarm.training, job_id(job.name)
        name = shown(job.name)
        state, origin = await training.state(number), await training.origin_of(number)
        if state.phase is Phase.NONE:
            return True
        if origin is None:
            text, changes = await self._swarm.options.get(number)
            unused = state.run == 1 and state.phase is Phase.IDLE and (not changes or text == job.options)
            if job.name == DEFAULT_JOB and unused:
                return True
            raise OperatorFault(
                f"this chain has a job {name} of its own (run {state.run}, {state.phase.name.lower()}), and the export "
                "has one of that name: import into a new chain, before its jobs are made or used"
            )
        if origin != self._export.genesis:
            raise OperatorFault(
                f"job {name} was carried into this chain from another one (genesis {to_hex(origin)}) than that of the "
                f"export ({to_hex(self._export.genesis)})"
            )
        for run in job.runs:
            phase = await training.phase_of(number, run.run)
            if run.run >= state.run or phase not in (Phase.NONE, run.phase):
                raise self._differs(job, run)
        return False

    async def _carry(self, job: PastJob, step: str) -> None:
        """What is still missing of a job that is there: options, then its runs in order."""
        training, number = self._swarm.training, job_id(job.name)
        if job.options:
            await self._set_options(job, number)
        for run in job.runs:
            if await training.phase_of(number, run.run) is not Phase.NONE:
                continue
            await self._say(f"{step}, run {run.run} of {len(job.runs)}")
            last = await training.last_round(number, run.run)
            done = 0 if last is None else last[0] + 1
            for first in range(done, len(run.rounds), CARRIED_ROUNDS):
                await training.carry_rounds(number, run.run, first, run.rounds[first : first + CARRIED_ROUNDS])
            await training.carry_run(number, run.run, run.chain, run.phase, run.began, run.ended, words_of(run))

    async def _set_options(self, job: PastJob, number: Digest) -> None:
        try:
            JobOptions.from_text(job.options)
        except OperatorFault as error:
            self._notes.append(
                f"job {shown(job.name)}: no node of this version trains under its options ({error}): set others by "
                "`swarm job`"
            )
        _, changes = await self._swarm.options.get(number)
        if changes:
            return  # carried before, or changed by an operator since
        try:
            await self._swarm.options.set(number, job.options)
        except Reverted as error:
            if error.name != OptionsError.RUN_OPEN:
                raise
            raise OperatorFault(
                f"a node joined job {shown(job.name)} before its options were carried: stop its SL, `swarm reset` the "
                "job, and import again"
            ) from error

    async def _look(self, written: dict[Address, Member], genesis: Digest) -> None:
        """Raises OperatorFault or ChainFault unless the chain holds what the export says."""
        here = await self._swarm.membership.members()
        for node, member in written.items():
            found = here.get(node)
            if found is None or replace(found, since=0, changed_block=0) != member:
                raise ChainFault(f"member {to_hex(node)} was written and reads otherwise: {found}")
        head = int(await self._client.rpc("eth_blockNumber", []), 16)
        jobs = await read_jobs(self._client.rpc, self._swarm.addresses, head, genesis)
        for job in self._export.jobs:
            _, options, runs = jobs.get(job_id(job.name), ("", "", []))
            there = {run.run: run for run in runs}
            for run in job.runs:
                if there.get(run.run) != run:
                    raise self._differs(job, run)
            if options != job.options:
                now = f"{shown(options)} in this chain" if options else "none in this chain"
                self._notes.append(f"the options of job {shown(job.name)} are {now}, and stay so")

    def _differs(self, job: PastJob, run: PastRun) -> OperatorFault:
        return OperatorFault(
            f"run {run.run} of job {shown(job.name)} stands in this chain otherwise than in the export "
            f"({run.phase.name.lower()}, {len(run.rounds)} rounds there): it was carried from another export of that "
            "chain, and what was carried does not change"
        )
