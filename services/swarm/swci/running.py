"""Giving tasks to task runners: which task is meant, who listens, the signed order. Asks and sends.

An order is signed for a task that its creator vouches for, whatever an SN answers (:mod:`swarm.chain.tasksigned`).
Freeing a runner is :mod:`.freeing`'s, watching an assignment :mod:`.waiting`'s.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks
from swarm.chain.tasksigned import signed_task
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.ids import ROOT_TASK, Address, Digest, to_hex
from swarm.core.limits import RUNNER_PAIRS_MAX, RUNNER_SWOPS_MAX
from swarm.core.picking import NAMED_MAX, named, pick
from swarm.core.shown import shown
from swarm.core.taskstatements import OrderStatement, assignment_id, runner_id, sign
from swarm.core.taskview import Assignment, Follower, Order, PeerState, TaskInfo, TaskType
from swarm.inspect.answers import check_signs
from swarm.inspect.assignments import why
from swarm.inspect.operator import Member
from swarm.store.journal import Journal

from . import tasking
from .freeing import LOOK_SECONDS, Runner, free, runners_of, task_name
from .say import Say
from .session import Given, Session
from .table import Kind

FOLLOWERS_SECONDS = 60.0
"""How long ASSIGN waits for enough SWOPs to listen."""
PENDING = "swci/assign/"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an ASSIGN asks for. Args: n: peers, 0 for all or one; swop: one, by whatever of its UUID was typed."""

    n: int = 0
    swop: str = ""

    @property
    def told(self) -> str:
        return f"TARGET {self.swop}" if self.swop else f"WITH {self.n} PEERS" if self.n else "WITH ALL PEERS"


async def runner_named(session: Session, runners: Taskrunners, name: str, *, whole: bool = True) -> Runner:
    """Args: whole: False for a command that only looks: a beginning of the name will do.

    Raises:
        OperatorFault: there is none; names the nearest.
    """
    found = runner_id(name)
    if await runners.name_of(found):
        return Runner(found, name)
    there = await runners.runners()
    session.learn(Kind.RUNNER, sorted(there.values()))
    name = pick("task runner", name, sorted(there.values()), whole=whole)
    return Runner(runner_id(name), name)


@dataclass(frozen=True, slots=True)
class Version:
    """A final task that its creator vouches for."""

    id: Digest
    info: TaskInfo

    @property
    def told(self) -> str:
        """Name, version and whose it is: what an operator compares with what it meant."""
        header = self.info.header
        by = "" if header.name == ROOT_TASK else f", by {shown(header.author)} ({to_hex(self.info.creator)})"
        return f"{shown(header.name)}, version {self.info.version}{by}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an order is made of, found without the operator's key. Args: living: SWOPs that are meant."""

    task: Version
    prereq: Version
    living: tuple[Address, ...]

    def tell(self, say: Say) -> None:
        """What the task's name came to."""
        say.fact("TASK", self.task.told)
        say.fact("PREREQ", self.prereq.told)


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
        pinned: the final task that is meant, which this operator made; None: the newest one of the name.

    Raises:
        OperatorFault: no such task, a draft, too few SWOPs; says which.
        ChainFault: the SN shows a task that its creator did not sign so.
    """
    tasks = tasking.tasks_of(member.reader, member)
    own = Address(bytes.fromhex(member.who.account.address[2:]))
    if pinned is None:
        task = (await tasking.find(tasks, own, task, whole=True)).name
    meant = await _version(tasks, task, pinned)
    if pinned is not None and meant.info.creator != own:
        raise ChainFault(
            f"the SN shows task {shown(task)} as one of {to_hex(meant.info.creator)}, and it was made here: do not "
            "trust this SN; nothing was signed"
        )
    prereq = await _version(tasks, meant.info.header.prereq)
    kind = meant.info.header.task_type
    living = await _followers(session, member, runners_of(member.reader, member), runner, kind, wanted, say)
    return Prepared(meant, prereq, tuple(living))


async def _version(tasks: Tasks, name: str, pinned: Digest | None = None) -> Version:
    """The final task that a name means, which is its newest unless it is pinned.

    Raises:
        OperatorFault: only a draft has that name.
        ChainFault: what the SN shows is none of that name, or not as its creator signed it.
    """
    if pinned is None:
        latest = await tasks.latest(name)
        if latest is None:
            raise OperatorFault(f"task {shown(name)} is a draft: FINALIZE TASK {shown(name)} first")
        pinned = latest[0]
    info = await signed_task(tasks, pinned, SignatureVerifier())
    if info.header.name != name:
        raise ChainFault(
            f"the SN names {to_hex(pinned)} as task {shown(name)}, and its creator signed it as "
            f"{shown(info.header.name)}: do not trust this SN; nothing was signed"
        )
    return Version(pinned, info)


async def assign(
    session: Session,
    member: Member,
    runner: Runner,
    ready: Prepared,
    wanted: Wanted,
    say: Say,
    *,
    begun: str = "",
    clear: Callable[[], Awaitable[None]] | None = None,
) -> Digest:
    """Give a final task to a runner; the assignment's id. Begun again after a crash it is the same assignment.

    Args:
        begun: under which the journal keeps the assignment's id.
        clear: what makes way for a new one; None: freeing the runner of what is silent on it.

    Raises:
        OperatorFault: the runner is busy; says with what.
    """
    aid = await _give(session, member, runner, ready, wanted, say, begun, send=False)
    if aid is None:
        await (free(session, member, runner, say) if clear is None else clear())
        aid = await _give(session, member, runner, ready, wanted, say, begun, send=True)
        assert aid is not None  # it was sent
    return aid


async def _give(
    session: Session,
    member: Member,
    runner: Runner,
    ready: Prepared,
    wanted: Wanted,
    say: Say,
    begun: str,
    *,
    send: bool,
) -> Digest | None:
    """With the operator's key: what the runner has of this command already, else a new assignment; None: not sent."""
    async with session.access.writing(member) as (client, journal):
        runners = runners_of(client, member)
        view = await runners.state(runner.id)
        current, entry = view.current, f"{PENDING}{runner.name}"
        if wanted.swop and view.busy and current is not None and current.task == ready.task.id:
            aid = await _invite(member, runners, runner, current, ready.living[0])
        else:
            key = _pending(journal, entry, ready.task.id, wanted)
            aid = assignment_id(runner.id, client.address, key)
            if current is not None and current.aid == aid:
                taken_up(current, say)
            else:
                if await runners.assignment(aid) is not None:  # confirmed after all, and past: this is another one
                    journal.delete(entry)
                    key = _pending(journal, entry, ready.task.id, wanted)
                    aid = assignment_id(runner.id, client.address, key)
                if not send:
                    return None
                named_ = () if wanted.n else tuple(sorted(ready.living)[:RUNNER_SWOPS_MAX])
                order = Order(key, ready.task.id, ready.prereq.id, wanted.n, named_, len(ready.living))
                signature = sign(OrderStatement(runner.id, order), runners.domain, _signer(member))
                await runners.assign(runner.id, order, signature)
                session.given[runner.id] = Given(aid, order, signature)
        # In one step: a RUN that dies here finds either the one or the other.
        journal.batch({begun: json.dumps(aid.hex()).encode()} if begun else {}, [entry])
    session.assigned[runner.id] = aid
    return aid


def taken_up(found: Assignment, say: Say) -> None:
    """Say that a command goes on with what it began before."""
    stands = "goes on" if found.busy else "ended"
    say.line(f"this was begun before as assignment {found.op}, which {stands}: {why(found)}")


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
    until = session.steady() + FOLLOWERS_SECONDS
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
        if session.steady() >= until:
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
