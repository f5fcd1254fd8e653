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
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.limits import TASK_TEXT_BYTES_MAX, TASK_TEXT_CHARS_MAX
from swarm.core.taskrun.work import Key
from swarm.core.taskview import PairState, PeerState, TaskType
from swarm.inspect import shapes_tasks
from swarm.inspect import tasks as read
from swarm.inspect.operator import Member
from swarm.swci.failuretexts import last_words
from swarm.swci.freeing import Runner, busy, free, runners_of
from swarm.swci.grammar import Typed
from swarm.swci.running import Wanted, assign, prepare, runner_named, taken_up
from swarm.swci.say import Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind
from swarm.swci.waiting import wait

BEGUN = "swci/run/"
ASSIGNED = "Task assigned to TaskRunner"
NOBODY = to_hex(Address(bytes(20)))
SL_STATES = {
    PairState.ALLOTTED.name: "READY",
    PairState.STARTED.name: "TRAINING",
    PairState.SUCCEEDED.name: "DONE",
    PairState.FAILED.name: "FAILED",
    PairState.LOST.name: "LOST",
    PairState.STOPPED.name: "STOPPED",
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
    session.learn(Kind.RUNNER, found)
    say.lines(found)


async def list_peers(session: Session, typed: Typed, say: Say) -> None:
    member, _, runner = await _here(session, typed)
    rows = [
        f"{index}, {p['swop']}, {p['state']}, {p['offer']}, {p['allotted']}, {stamp(p['heard']) if p['heard'] else '-'}"
        for index, p in enumerate(await read.peers(member.on, runner.name))
    ]
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
    member, _, runner = await _here(session, typed)
    found = await read.runner(member.on, runner.name)
    current = found["state"]["current"]
    say.fact("TASK NAME", found["task"] or "Empty")
    say.fact("PEER TYPE", "SL" if current is not None and current["task_type"] == TaskType.RUN_SWARM.name else "SWOP")
    say.fact("TASK_STATE", found["state"]["shown"])
    if current is None:
        return
    say.fact("TOLD", "busy" if found["state"]["busy"] else found["told"])
    say.fact("PEERS NEEDED", current["n"] or current["named"])
    offers = f"{current['offered']} offered, {current['declined']} declined"
    say.fact("ENROLLED", f"{current['enrolled']} SWOPs, {offers}")
    say.fact("ACTIVE", current["open"])
    say.fact("COMPLETED", current["succeeded"])
    say.fact("FAILED", current["failed"])
    for key, at in (
        ("ASSIGNED", current["assigned_time"]),
        ("STARTED", current["started_time"]),
        ("LAST HEARD", current["heard"]),
        ("ENDED", current["ended_time"]),
    ):
        say.fact(key, stamp(at) if at else "-")


async def info(session: Session, typed: Typed, say: Say) -> None:
    member, _, runner = await _here(session, typed)
    found = await read.runner(member.on, runner.name)
    current = found["state"]["current"]
    say.fact("NAME", found["name"])
    say.fact("ID", found["id"])
    say.fact("FOLLOWERS", f"{found['followers']} SWOPs listen")
    say.fact("ASSIGNMENTS", found["assignments"])
    say.fact("LEASE", f"{found['lease_seconds']} s")
    say.fact("TASK", found["task"] or "Empty")
    if current is not None:
        say.fact("TASK ID", current["task"])
        say.fact("ASSIGNMENT", f"{current['op']}, {current['aid']}")
        say.fact("ASSIGNED BY", current["by"])
        say.fact("PEERS", current["peers"])


async def peer_status(session: Session, typed: Typed, say: Say) -> None:
    member, _, runner = await _here(session, typed)
    found = await read.pairs(member.on, runner.name, typed.values["peer"])
    peer, pairs = found["peer"], found["pairs"]
    if found["task_type"] != TaskType.RUN_SWARM.name:
        say.fact("UID", peer["swop"])
        say.fact("STATUS", SL_STATES[pairs[0]["state"]] if pairs else peer["state"])
        say.fact("DESCRIPTION", found["told"][0] if pairs else _declined(peer))
        await _tell_words(session, member, runner, peer["swop"], say)
        return
    say.fact("SWOP UID", peer["swop"])
    say.fact("NUMBER OF SL", len(pairs))
    for number, pair in enumerate(pairs):
        say.fact("UID", pair["sl"] if pair["sl"] != NOBODY else f"{peer['swop']}/{number}")
        say.fact("STATUS", SL_STATES[pair["state"]])
        say.fact("DESCRIPTION", f"attempt {pair['attempt']}, {found['told'][number]}")
    if not pairs:
        say.fact("STATUS", peer["state"])
        say.fact("DESCRIPTION", _declined(peer))
    await _tell_words(session, member, runner, peer["swop"], say)


async def _tell_words(session: Session, member: Member, runner: Runner, swop: str, say: Say) -> None:
    """What the peer's first program that failed wrote last, as WAIT FOR TASKRUNNER shows it; not to viewers."""
    if session.viewer:
        return
    current, there = await read.peers_now(member.on.runners, runner.id, runner.name)
    peer = read.peer_of(swop, there)
    found = await member.on.runners.pairs(current.aid, peer.swop) if peer.allotted else ()
    for number, pair in enumerate(found):
        if pair.state is PairState.FAILED:
            for line in await last_words(member, peer.swop, Key(current.aid, number, pair.attempt), pair):
                say.line(line)
            return


def _declined(peer: shapes_tasks.Peer) -> str:
    declined = peer["state"] == PeerState.DECLINED.name and peer["fault"]
    return f"declined, {peer['fault']}" if declined else peer["state"].lower()


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
    runner = await runner_named(session, runners, typed.values["runner"], whole=typed.command.changes)
    return member, runners, runner


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
