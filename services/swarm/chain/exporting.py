"""Reads a swarm off its chain, of this or an earlier version of the contracts, into one document.

Owns what is read and how runs are put together from events; only views and events that every version has are used. The
form of the document is :mod:`swarm.core.exported`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from swarm.core.chain_view import Merged, Phase
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.exported import OPTIONS_BYTES_MAX, RUN_MEMBERS_MAX, Export, PastJob, PastRun, refusal_of
from swarm.core.ids import Address, BlobId, Digest, from_hex, job_id, to_hex
from swarm.core.shown import shown

from . import events as ev
from .client import ChainClient, MemoryOutbox, Onlooker
from .deploy import version_of
from .directory import Directory
from .events import EventDecoder
from .membership import Membership
from .paging import logs_up_to
from .rpc import Rpc
from .suite import require_readable
from .taskrunners import Taskrunners
from .tasks import Tasks
from .training import Training

READ: tuple[str, ...] = ("Membership", "Training", "JobOptions")
NODE_BITS = 160
"""A word of RunCarried.members: the node's address, and above it whether a model of it was merged."""


@dataclass(slots=True)
class _Run:
    """What the events of one run told so far; ``past`` once it is one that was carried over."""

    phase: Phase = Phase.OPEN
    members: set[Address] = field(default_factory=set)
    contributors: set[Address] = field(default_factory=set)
    rounds: dict[int, Merged] = field(default_factory=dict)
    first_block: int = -1
    last_block: int = -1
    past: PastRun | None = None


@dataclass(slots=True)
class _Job:
    name: str = ""
    options: str = ""
    runs: dict[int, _Run] = field(default_factory=dict)


async def read_swarm(rpc: Rpc, directory: Address, notes: list[str], without: Collection[str] = ()) -> Export:
    """Everything that an import can carry on.

    Args:
        notes: gets a sentence for each thing that is left out.
        without: names of jobs to leave out.

    Raises:
        OperatorFault: the contracts are newer than this program, or ``without`` names a job that is not there.
        ChainFault: the chain failed, went on meanwhile, or there are no contracts of ours.
    """
    chain_id = int(await rpc("eth_chainId", []), 16)
    client = ChainClient(rpc, Onlooker(), MemoryOutbox(), chain_id=chain_id)
    found = Directory(client, directory)
    version = await version_of(found)
    require_readable(version, f"the chain of Directory {to_hex(directory)}")
    there = await found.names()
    contracts = {name: (await found.get(name)).target for name in READ if name in there}
    head = int(await rpc("eth_blockNumber", []), 16)
    genesis = await _block(rpc, 0)
    training = Training(client, contracts["Training"])
    unwanted = [await _named(training, name) for name in without]
    jobs = await read_jobs(rpc, contracts, head, Digest(from_hex(genesis["hash"], 32)), unwanted)
    everybody = await Membership(client, contracts["Membership"]).members()
    export = Export(
        chain_id=chain_id,
        genesis=Digest(from_hex(genesis["hash"], 32)),
        directory=directory,
        contracts=version,
        block=head,
        members={node: replace(member, since=0, changed_block=0) for node, member in everybody.items()},
    )
    notes += [f"job {shown(name)} is left out, as --without says" for name in without]
    if "Tasks" in there:
        notes += await _tasks_left(client, found)
    kept = []
    for job, (name, options, runs) in jobs.items():
        if _other_name(name, job):
            notes.append(f"job {to_hex(job)} is left out: its name is no UTF-8, so nobody can ask for it by name")
            continue
        state = await training.state(job)
        run = state.run if state.phase is Phase.IDLE else state.run + 1
        committed = len(runs[-1].rounds) if runs else 0
        if len(runs) != run - 1 or (state.phase is not Phase.IDLE and state.round != committed):
            raise ChainFault(
                f"the chain went on while job {name!r:.80} was read: export again, best with no run going on, or "
                "leave that job out (--without)"
            )
        if len(options.encode()) > OPTIONS_BYTES_MAX:
            notes.append(f"the options of job {shown(name)} are left out: they are no UTF-8")
            options = ""
        found_job = PastJob(name, run, options, tuple(runs))
        refused = refusal_of(found_job, f"job {shown(name)} is left out since no import takes it")
        if refused is not None:
            notes.append(refused)
            continue
        if state.phase is Phase.OPEN:
            notes.append(
                f"run {state.run} of job {shown(name)} goes on at block {head}: here it ends, and is carried as far"
            )
        kept.append(found_job)
    return replace(export, jobs=tuple(kept))


async def read_jobs(
    rpc: Rpc, contracts: Mapping[str, Address], head: int, genesis: Digest, without: Collection[Digest] = ()
) -> dict[Digest, tuple[str, str, list[PastRun]]]:
    """Name, options and runs of each job but those ``without``, as the events up to block ``head`` tell them.

    Raises:
        ChainFault: the chain failed, or events are missing.
    """
    wanted = {name: contracts[name] for name in ("Training", "JobOptions") if name in contracts}
    decode = EventDecoder(wanted)
    jobs: dict[Digest, _Job] = {}
    async for log in logs_up_to(rpc, head, list(wanted.values())):
        event = decode(log)
        if event is not None and event.job not in without:
            _add(jobs.setdefault(event.job, _Job()), log.block, event)
    times: dict[int, int] = {}
    out = {}
    for job, found in jobs.items():
        runs = [await _past(rpc, times, number, run, genesis) for number, run in sorted(found.runs.items())]
        out[job] = (found.name, found.options, runs)
    return out


def _add(job: _Job, block: int, event: object) -> None:
    match event:
        case ev.JobCreated():
            job.name = event.name
            return
        case ev.OptionsSet():
            job.options = event.options
            return
        case ev.RunReset() | ev.JobCarried():
            return  # the run that it opens is there once somebody joins it
    number: int = event.run  # type: ignore[attr-defined]  # all others are of a run
    run = job.runs.setdefault(number, _Run())
    if not isinstance(event, ev.Closed):  # reports may come for as long as the chain lives
        run.first_block = block if run.first_block < 0 else run.first_block
        run.last_block = block
    match event:
        case ev.Joined():
            run.members.add(event.node)
        case ev.Contributed() if event.stats.weight:
            run.contributors.add(event.node)
        case ev.RoundMerged():
            run.rounds[event.round] = Merged(BlobId(event.result.merged), event.result.size)
        case ev.RunCompleted():
            run.phase = Phase.COMPLETE
        case ev.RunFailed():
            run.phase = Phase.FAILED
        case ev.RoundsCarried():
            pairs = zip(event.words[::2], event.words[1::2], strict=False)
            for place, (blob, size) in enumerate(pairs, event.first):
                run.rounds[place] = Merged(BlobId(blob.to_bytes(32, "big")), size)
        case ev.RunCarried():
            run.past = past_of(event)


def past_of(event: ev.RunCarried) -> PastRun:
    """The record of a run that was carried over, without its rounds."""
    nodes = {Address((word & (1 << NODE_BITS) - 1).to_bytes(20, "big")): word >> NODE_BITS for word in event.members}
    return PastRun(
        run=event.run,
        chain=event.origin,
        phase=event.phase,
        began=event.began,
        ended=event.ended,
        members=tuple(sorted(nodes)),
        contributors=frozenset(node for node, merged in nodes.items() if merged),
        rounds=(),
    )


def words_of(run: PastRun) -> list[int]:
    """The members of a run as RunCarried has them."""
    return [int.from_bytes(node, "big") | (node in run.contributors) << NODE_BITS for node in run.members]


async def _past(rpc: Rpc, times: dict[int, int], number: int, run: _Run, genesis: Digest) -> PastRun:
    rounds = tuple(run.rounds[place] for place in sorted(run.rounds))
    if sorted(run.rounds) != list(range(len(rounds))):
        raise ChainFault(f"rounds of run {number} are missing among the events that the node gave")
    if run.past is not None:
        return replace(run.past, rounds=rounds)
    for block in (run.first_block, run.last_block):
        if block not in times:
            times[block] = int((await _block(rpc, block))["timestamp"], 16)
    members = sorted(run.members, key=lambda node: (node not in run.contributors, node))[:RUN_MEMBERS_MAX]
    return PastRun(
        run=number,
        chain=genesis,
        phase=run.phase,
        began=times[run.first_block],
        ended=times[run.last_block],
        members=tuple(sorted(members)),
        contributors=frozenset(run.contributors & set(members)),
        rounds=rounds,
    )


async def _tasks_left(client: ChainClient, directory: Directory) -> list[str]:
    """What there is of tasks: none of it is carried."""
    names = await Tasks(client, (await directory.get("Tasks")).target).names()
    runners = await Taskrunners(client, (await directory.get("Taskrunners")).target).runners()
    counts = {"task": len(names) - 1, "task runner": len(runners) - 1}  # but those that every chain has
    made = [f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items() if count]
    if not made:
        return []
    return [f"not carried: {' and '.join(made)}, and all assignments: create tasks again from their files"]


async def _named(training: Training, name: str) -> Digest:
    """Raises OperatorFault: no job is called that."""
    try:
        job = job_id(name)
    except ValueError as error:
        raise OperatorFault(f"--without {shown(name)}: {error}") from None
    if (await training.state(job)).phase is Phase.NONE:
        raise OperatorFault(f"--without {shown(name)}: no job is called that; swarm status lists them")
    return job


def _other_name(name: str, job: Digest) -> bool:
    """Whether the text is not what the job was created with: bytes that are no UTF-8 were replaced."""
    try:
        return job_id(name) != job
    except ValueError:
        return True


async def _block(rpc: Rpc, number: int) -> dict[str, str]:
    found = await rpc("eth_getBlockByNumber", [hex(number), False])
    if not isinstance(found, dict):
        raise ChainFault(f"the chain node does not know block {number}")
    return found
