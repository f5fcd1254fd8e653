"""Commands about task runners and what they run."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from functools import partial

from swarm.chain.names import RunnerError
from swarm.chain.taskrunners import Taskrunners
from swarm.core.errors import OperatorFault, Reverted, SwarmFault
from swarm.core.ids import Digest, to_hex
from swarm.core.limits import TASK_TEXT_BYTES_MAX, TASK_TEXT_CHARS_MAX
from swarm.core.taskview import PairState, Peer, PeerState, TaskType
from swarm.inspect.operator import Member
from swarm.swci.freeing import Runner, busy, free, runners_of, task_name
from swarm.swci.grammar import Typed
from swarm.swci.picking import pick
from swarm.swci.running import Wanted, assign, prepare, runner_named, taken_up
from swarm.swci.say import Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind
from swarm.swci.waiting import described, wait, why

BEGUN = "swci/run/"
ASSIGNED = "Task assigned to TaskRunner"
SL_STATES = {
    PairState.ALLOTTED: "READY",
    PairState.STARTED: "TRAINING",
    PairState.SUCCEEDED: "DONE",
    PairState.FAILED: "FAILED",
    PairState.LOST: "LOST",
    PairState.STOPPED: "STOPPED",
}
"""What the shell calls a pair's state (row D12)."""


async def create(session: Session, typed: Typed, say: Say) -> None:
    name = typed.values["runner"]
    if len(name) > TASK_TEXT_CHARS_MAX or len(name.encode("utf-8", "replace")) > TASK_TEXT_BYTES_MAX or "," in name:
        raise OperatorFault(
            f"{name!r:.200} cannot be a task runner's name: 1 to {TASK_TEXT_CHARS_MAX} characters, no comma"
        )
    member = await session.member()
    async with session.access.writing(member) as (client, _):
        try:
            await runners_of(client, member).create_runner(name)
        except Reverted as error:
            if error.name == RunnerError.EXISTS:
                raise OperatorFault(f"there is a task runner {name} already; it can be used as it is") from error
            raise
    say.line(f"TaskRunner Created : {name}")


async def list_(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    found = list((await runners_of(member.reader, member).runners()).values())
    session.known[Kind.RUNNER] = found
    say.lines(found)


async def list_peers(session: Session, typed: Typed, say: Say) -> None:
    _, runners, runner = await _here(session, typed)
    current = (await runners.state(runner.id)).current
    rows = (
        []
        if current is None
        else [
            f"{index}, {to_hex(p.swop)}, {p.state.name}, {p.offer}, {p.allotted}, {stamp(p.heard) if p.heard else '-'}"
            for index, p in enumerate(await runners.peers(current.aid))
        ]
    )
    if rows:
        say.line("INDEX, SWOP UID, STATE, OFFERED, ALLOTTED, LAST HEARD")
    say.lines(rows)


async def give(session: Session, typed: Typed, say: Say) -> None:
    wanted = _wanted(typed)
    member, _, runner = await _here(session, typed)
    ready = await prepare(session, member, runner, typed.values["task"], wanted, say)
    await assign(session, member, runner, ready, wanted, say)
    say.line(ASSIGNED)
    ready.tell(say)


def _wanted(typed: Typed) -> Wanted:
    if "n" in typed.values and typed.number("n", 0) < 1:
        raise OperatorFault("WITH 0 PEERS: a task needs at least one")
    return Wanted(typed.number("n", 0), typed.values.get("swop", ""))


async def watch(session: Session, typed: Typed, say: Say) -> None:
    member, _, runner = await _here(session, typed)
    await wait(session, member, runner, session.assigned.get(runner.id), say)


async def reset(session: Session, typed: Typed, say: Say) -> None:
    member, _, runner = await _here(session, typed)
    await reset_runner(session, member, runner, "force" in typed.values, say)
    say.line("TaskRunner Reset")


async def reset_runner(session: Session, member: Member, runner: Runner, force: bool, say: Say) -> None:
    """Make a runner IDLE; one that is busy only by force, or once its peers are silent for good."""
    if not force:
        await free(session, member, runner, say)
    async with session.access.writing(member) as (client, _):
        runners = runners_of(client, member)
        current = (await runners.state(runner.id)).current
        if current is not None:
            try:
                await runners.reset(runner.id, current.aid, force)
            except Reverted as error:
                if error.name == RunnerError.BUSY:
                    raise OperatorFault(await busy(member, runner, current)) from error
                raise
    session.assigned.pop(runner.id, None)


async def abort(session: Session, typed: Typed, say: Say) -> None:
    text = typed.values.get("why", "").strip()
    if len(text.encode("utf-8", "replace")) > TASK_TEXT_CHARS_MAX:
        raise OperatorFault(f"the reason is above {TASK_TEXT_CHARS_MAX} bytes: say it in fewer")
    member = await session.member()
    async with session.access.writing(member) as (client, _):
        runners = runners_of(client, member)
        runner = await runner_named(session, runners, typed.values["runner"])
        view = await runners.state(runner.id)
        if view.current is None or not view.busy:
            raise OperatorFault(f"task runner {runner.name} has no task at work: nothing to abort")
        await runners.abort(runner.id, view.current.aid, text)
    say.line("TaskRunner Aborted")


async def status(session: Session, typed: Typed, say: Say) -> None:
    member, runners, runner = await _here(session, typed)
    view = await runners.state(runner.id)
    current = view.current
    say.fact("TASK NAME", "Empty" if current is None else await task_name(member, current.task))
    say.fact("PEER TYPE", "SL" if current is not None and current.task_type is TaskType.RUN_SWARM else "SWOP")
    say.fact("TASK_STATE", view.shown.name)
    if current is None:
        return
    say.fact("TOLD", why(current) if not current.busy else "busy")
    say.fact("PEERS NEEDED", current.n or current.named)
    say.fact("ENROLLED", f"{current.enrolled} SWOPs, {current.offered} offered, {current.declined} declined")
    say.fact("ACTIVE", current.open)
    say.fact("COMPLETED", current.succeeded)
    say.fact("FAILED", current.failed)
    for key, at in (
        ("ASSIGNED", current.assigned_time),
        ("STARTED", current.started_time),
        ("LAST HEARD", current.heard),
        ("ENDED", current.ended_time),
    ):
        say.fact(key, stamp(at) if at else "-")


async def info(session: Session, typed: Typed, say: Say) -> None:
    member, runners, runner = await _here(session, typed)
    ops, followers = await runners.counts(runner.id)
    current = (await runners.state(runner.id)).current
    say.fact("NAME", runner.name)
    say.fact("ID", to_hex(runner.id))
    say.fact("FOLLOWERS", f"{followers} SWOPs listen")
    say.fact("ASSIGNMENTS", ops)
    say.fact("LEASE", f"{await runners.lease_seconds()} s")
    say.fact("TASK", "Empty" if current is None else await task_name(member, current.task))
    if current is not None:
        say.fact("TASK ID", to_hex(current.task))
        say.fact("ASSIGNMENT", f"{current.op}, {to_hex(current.aid)}")
        say.fact("ASSIGNED BY", to_hex(current.by))
        say.fact("PEERS", current.peers)


async def peer_status(session: Session, typed: Typed, say: Say) -> None:
    member, runners, runner = await _here(session, typed)
    current = (await runners.state(runner.id)).current
    peers: tuple[Peer, ...] = () if current is None else await runners.peers(current.aid)
    if current is None or not peers:
        raise OperatorFault(f"task runner {runner.name} has no peers: nobody has enrolled")
    peer = _peer(typed.values["peer"], peers)
    pairs = await runners.pairs(current.aid, peer.swop) if peer.allotted else ()
    if current.task_type is not TaskType.RUN_SWARM:
        say.fact("UID", to_hex(peer.swop))
        say.fact("STATUS", SL_STATES[pairs[0].state] if pairs else peer.state.name)
        say.fact("DESCRIPTION", await described(member, pairs[0]) if pairs else _declined(peer))
        return
    say.fact("SWOP UID", to_hex(peer.swop))
    say.fact("NUMBER OF SL", len(pairs))
    for number, pair in enumerate(pairs):
        say.fact("UID", to_hex(pair.sl) if any(pair.sl) else f"{to_hex(peer.swop)}/{number}")
        say.fact("STATUS", SL_STATES[pair.state])
        say.fact("DESCRIPTION", f"attempt {pair.attempt}, {await described(member, pair)}")
    if not pairs:
        say.fact("STATUS", peer.state.name)
        say.fact("DESCRIPTION", _declined(peer))


def _declined(peer: Peer) -> str:
    return f"declined, {peer.fault}" if peer.state is PeerState.DECLINED and peer.fault else peer.state.name.lower()


def _peer(typed: str, peers: tuple[Peer, ...]) -> Peer:
    """By its index from 0, or by its UUID."""
    if typed.isascii() and typed.isdigit() and len(typed) <= 3:
        if int(typed) >= len(peers):
            raise OperatorFault(f"peer {typed}: there are {len(peers)}, numbered from 0")
        return peers[int(typed)]
    uid = pick("peer", typed, [to_hex(one.swop) for one in peers])
    return next(one for one in peers if to_hex(one.swop) == uid)


async def run(session: Session, typed: Typed, say: Say) -> None:
    """Everything that a script spells out; begun again before its end, it goes on with what it began."""
    from .tasks import create_from_file, finalize_named

    wanted = _wanted(typed)
    name = await create_from_file(session, typed.values["file"], say)
    task = await finalize_named(session, name)
    say.line("Task Finalized")
    member, runners, runner = await _here(session, typed)
    # By the task, not by the file: that may change meanwhile, and a variable may stand for a part of it.
    entry = f"{BEGUN}{hashlib.sha256(f'{runner.name}/{task.hex()}/{wanted.told}'.encode()).hexdigest()}"
    async with session.access.writing(member) as (_, journal):
        kept = journal.get(entry)
    aid = Digest(bytes.fromhex(json.loads(kept))) if kept is not None else None
    before = None if aid is None else await runners.assignment(aid)
    if aid is None or before is None:
        # This very text, whatever an SN calls the newest of its name by now.
        ready = await prepare(session, member, runner, name, wanted, say, task)
        clear = partial(reset_runner, session, member, runner, False, say)
        aid = await assign(session, member, runner, ready, wanted, say, begun=entry, clear=clear)
        say.line(ASSIGNED)
        ready.tell(say)
    else:
        taken_up(before, say)
        say.line(ASSIGNED)
    session.looking.set()
    try:
        await wait(session, member, runner, aid, say)
    except SwarmFault:
        with contextlib.suppress(SwarmFault):  # the first one is what is told
            await _forget(session, member, aid, entry)
        raise
    await _forget(session, member, aid, entry)


async def _forget(session: Session, member: Member, aid: Digest, entry: str) -> None:
    """Once an assignment is over the same RUN is another one."""
    found = await runners_of(member.reader, member).assignment(aid)
    if found is not None and not found.busy:
        async with session.access.writing(member) as (_, journal):
            journal.delete(entry)


async def _here(session: Session, typed: Typed) -> tuple[Member, Taskrunners, Runner]:
    member = await session.member()
    runners = runners_of(member.reader, member)
    return member, runners, await runner_named(session, runners, typed.values["runner"])


HANDLERS: Mapping[str, Handler] = {
    "CREATE TASKRUNNER": create,
    "LIST TASKRUNNERS": list_,
    "LIST TASKRUNNER PEERS": list_peers,
    "ASSIGN TASK": give,
    "WAIT FOR TASKRUNNER": watch,
    "RESET TASKRUNNER": reset,
    "ABORT TASKRUNNER": abort,
    "GET TASKRUNNER STATUS": status,
    "GET TASKRUNNER INFO": info,
    "GET TASKRUNNER PEER STATUS": peer_status,
    "RUN": run,
}
