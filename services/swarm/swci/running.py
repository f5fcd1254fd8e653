"""Giving tasks to task runners: who listens, the signed order, freeing a runner that is silent. Asks and sends.

When to suspect and expire is :mod:`swarm.core.taskrun.asking`'s; watching an assignment is :mod:`.waiting`'s. Only who
wants a runner ends what is silent on it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from swarm.chain.client import ChainClient
from swarm.chain.keys import LocalSigner
from swarm.chain.names import RunnerError
from swarm.chain.taskrunners import Taskrunners
from swarm.core.errors import ChainFault, OperatorFault, Reverted
from swarm.core.ids import NO_DIGEST, Address, Digest, to_hex
from swarm.core.limits import RUNNER_PAIRS_MAX, RUNNER_SWOPS_MAX
from swarm.core.shown import shown
from swarm.core.taskrun.asking import Lease, Step, lapse
from swarm.core.taskstatements import OrderStatement, assignment_id, runner_id, sign
from swarm.core.taskview import Assignment, Follower, Order, PeerState, RunnerState, TaskType
from swarm.inspect.answers import check_signs
from swarm.inspect.operator import Member
from swarm.store.journal import Journal

from . import tasking
from .picking import NAMED_MAX, named, pick
from .say import Say, stamp
from .session import Session
from .table import Kind

FOLLOWERS_SECONDS = 60.0
"""How long ASSIGN waits for enough SWOPs to listen."""
LOOK_SECONDS = 2.0
FREEING_SECONDS = 600.0
"""How long a silent assignment is waited for to be ended; a lease of two minutes needs 150 s."""
PENDING = "swci/assign/"


@dataclass(frozen=True, slots=True)
class Runner:
    id: Digest
    name: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an ASSIGN asks for. Args: n: peers, 0 for all or one; swop: one, by whatever of its UUID was typed."""

    n: int = 0
    swop: str = ""

    @property
    def told(self) -> str:
        return f"TARGET {self.swop}" if self.swop else f"WITH {self.n} PEERS" if self.n else "WITH ALL PEERS"


def runners_of(client: ChainClient, member: Member) -> Taskrunners:
    return Taskrunners(client, member.swarm.contracts["Taskrunners"])


async def runner_named(session: Session, runners: Taskrunners, name: str) -> Runner:
    """Raises OperatorFault: there is none; names the nearest."""
    found = runner_id(name)
    if await runners.name_of(found):
        return Runner(found, name)
    there = await runners.runners()
    session.known[Kind.RUNNER] = sorted(there.values())
    name = pick("task runner", name, sorted(there.values()))
    return Runner(runner_id(name), name)


async def task_name(member: Member, task: Digest) -> str:
    """Of a task that was assigned."""
    info = await tasking.tasks_of(member.reader, member).info(task)
    return shown(info.header.name) if info is not None else to_hex(task)


async def now_of(client: ChainClient) -> tuple[int, int]:
    """Number and time of the newest block."""
    block = await client.rpc("eth_getBlockByNumber", ["latest", False])
    if block is None:
        raise ChainFault("the SN has no newest block: its chain is starting")
    return int(block["number"], 16), int(block["timestamp"], 16)


async def free(session: Session, member: Member, runners: Taskrunners, runner: Runner, say: Say) -> None:
    """Return once the runner is not busy: at once, or after what is silent on it has been ended.

    Raises:
        OperatorFault: its peers are there; says who and what.
    """
    lease = Lease(await runners.lease_seconds(), await runners.grace_blocks())
    until = session.clock() + FREEING_SECONDS
    while True:
        view = await runners.state(runner.id)
        current = view.current
        if current is None or not view.busy:
            return
        block, now = await now_of(runners.client)
        # An idle chain's newest block is old; the next one, which this very transaction makes, has the time of now.
        step = lapse(current, lease, max(now, int(session.clock())), block)
        try:
            if step is Step.SUSPECT:
                say.line(f"no peer of {runner.name} was heard since {stamp(current.heard)}: ending its task")
                await runners.suspect(runner.id, current.aid)
            elif step is Step.EXPIRE:
                await runners.expire(runner.id, current.aid)
                return
        except Reverted as error:  # somebody else was quicker, or a peer is back: look again
            if error.name not in (RunnerError.NOT_DUE, RunnerError.NOT_CURRENT, RunnerError.NOTHING_OPEN):
                raise
            if error.name == RunnerError.NOT_DUE and step is Step.SUSPECT:  # this host's clock is ahead
                raise OperatorFault(await busy(member, runner, current)) from error
        if step is Step.WAIT and (not current.suspected or session.clock() > until):
            raise OperatorFault(await busy(member, runner, current))
        say.mark()
        await session.sleep(LOOK_SECONDS)


async def busy(member: Member, runner: Runner, current: Assignment) -> str:
    """Why a runner is not free, with names and what can be done."""
    where = "waits for SWOPs to enrol" if current.shown is RunnerState.ASSIGNED else f"has {current.open} open pairs"
    return (
        f"task runner {runner.name} is busy: task {await task_name(member, current.task)} (assignment {current.op} by "
        f"{to_hex(current.by)}) {where}, last heard of {stamp(current.heard or current.assigned_time)}; "
        f"WAIT FOR TASKRUNNER, or RESET TASKRUNNER {runner.name} FORCE ends it"
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an order is made of, found without the operator's key. Args: living: SWOPs that are meant."""

    name: str
    task: Digest
    prereq: str
    living: tuple[Address, ...]


async def prepare(
    session: Session,
    member: Member,
    runner: Runner,
    task: str,
    wanted: Wanted,
    say: Say,
    pinned: Digest | None = None,
) -> Prepared:
    """Find the task, and wait until enough SWOPs listen.

    Args:
        pinned: the final task that is meant; None: the newest one of the name.

    Raises:
        OperatorFault: no such task, a draft, too few SWOPs; says which.
    """
    tasks = tasking.tasks_of(member.reader, member)
    own = Address(bytes.fromhex(member.who.account.address[2:]))
    if pinned is None:
        task = (await tasking.find(tasks, own, task)).name
        latest = await tasks.latest(task)
        if latest is None:
            raise OperatorFault(f"task {shown(task)} is a draft: FINALIZE TASK {shown(task)} first")
        pinned = latest[0]
    info = await tasks.info(pinned)
    if info is None or not info.final:
        raise OperatorFault(f"the SN does not know task {shown(task)} as final: ask again, or ask another SN")
    kind = info.header.task_type
    living = await _followers(session, member, runners_of(member.reader, member), runner, kind, wanted, say)
    return Prepared(task, pinned, info.header.prereq, tuple(living))


async def assign(
    session: Session,
    member: Member,
    client: ChainClient,
    journal: Journal,
    runner: Runner,
    ready: Prepared,
    wanted: Wanted,
    say: Say,
) -> Digest:
    """Give a final task to a runner; the assignment's id. Begun again after a crash it is the same assignment.

    Raises:
        OperatorFault: the runner is busy; says with what.
    """
    tasks, runners = tasking.tasks_of(client, member), runners_of(client, member)
    view = await runners.state(runner.id)
    if wanted.swop and view.busy and view.current is not None and view.current.task == ready.task:
        return await _invite(member, runners, runner, view.current, ready.living[0])
    entry = f"{PENDING}{runner.name}"
    key = _pending(journal, entry, ready.task, wanted)
    aid = assignment_id(runner.id, client.address, key)
    if view.current is None or view.current.aid != aid:
        if await runners.assignment(aid) is not None:  # confirmed after all, and past: this is another one
            journal.delete(entry)
            key = _pending(journal, entry, ready.task, wanted)
            aid = assignment_id(runner.id, client.address, key)
        await free(session, member, runners, runner, say)
        named_ = () if wanted.n else tuple(sorted(ready.living)[:RUNNER_SWOPS_MAX])
        prereq = await tasks.latest(ready.prereq)
        order = Order(key, ready.task, prereq[0] if prereq else NO_DIGEST, wanted.n, named_, len(ready.living))
        await runners.assign(runner.id, order, sign(OrderStatement(runner.id, order), runners.domain, _signer(member)))
    journal.delete(entry)
    session.assigned[runner.id] = aid
    return aid


def _pending(journal: Journal, entry: str, task: Digest, wanted: Wanted) -> Digest:
    """The key of this assignment, kept before it is sent: the one that was begun, if it was the same."""
    told = {"task": task.hex(), "wanted": wanted.told}
    raw = journal.get(entry)
    kept = json.loads(raw) if raw is not None else {}
    if {name: kept.get(name) for name in told} == told:
        return Digest(bytes.fromhex(kept["key"]))
    key = Digest(secrets.token_bytes(32))
    journal.put(entry, json.dumps({**told, "key": key.hex()}).encode())
    return key


async def _followers(
    session: Session, member: Member, runners: Taskrunners, runner: Runner, kind: TaskType, wanted: Wanted, say: Say
) -> list[Address]:
    """The SWOPs that listen to a runner and live, once they are enough; of a target only that one.

    Raises:
        OperatorFault: they do not become enough in time; tells the numbers.
    """
    if wanted.n > RUNNER_PAIRS_MAX:
        raise OperatorFault(f"WITH {wanted.n} PEERS: an assignment has at most {RUNNER_PAIRS_MAX}")
    until = session.clock() + FOLLOWERS_SECONDS
    while True:
        living = await _living(member, runners, runner)
        if wanted.swop:
            there = [to_hex(one.swop) for one in living]
            if there:
                uid = pick(f"SWOP that listens to {runner.name}:", wanted.swop, there)
                return [one.swop for one in living if to_hex(one.swop) == uid]
        offered = sum(one.pairs for one in living) if kind is TaskType.RUN_SWARM else len(living)
        if living and not wanted.swop and offered >= max(1, wanted.n):
            return [one.swop for one in living]
        if session.clock() >= until:
            what = "pairs" if kind is TaskType.RUN_SWARM else "SWOPs"
            who = named([to_hex(one.swop) for one in living][:NAMED_MAX])
            raise OperatorFault(
                f"{wanted.told}: {offered} {what} listen to {runner.name} (SWOPs: {who}); start more, or ask for fewer"
            )
        say.mark()
        await session.sleep(LOOK_SECONDS)


async def _living(member: Member, runners: Taskrunners, runner: Runner) -> list[Follower]:
    signs = {sign["node"]: sign["alive"] for sign in check_signs(await member.link.get("/v1/alive"))}
    found = await runners.followers(runner.id)
    return [one for one in found if one.active and signs.get(to_hex(one.swop), True)]


async def _invite(member: Member, runners: Taskrunners, runner: Runner, current: Assignment, swop: Address) -> Digest:
    """One SWOP joins a task that runs, or runs its failed pairs again."""
    peer = next((one for one in await runners.peers(current.aid) if one.swop == swop), None)
    if peer is not None and peer.state is PeerState.IN and (peer.open or not peer.failed):
        raise OperatorFault(
            f"{to_hex(swop)} takes part in {await task_name(member, current.task)} already, with {peer.open} open "
            "pairs and none to run again"
        )
    await runners.invite(runner.id, current.aid, swop, 1 if peer is None else peer.attempt + 1)
    return current.aid


def _signer(member: Member) -> LocalSigner:
    return LocalSigner(bytes(member.who.account.key))
