"""Tasks as an operator handles them: from a file or typed lines to a final version on chain, so that the same again
is the same task.

Owns which draft a name means and under which key it is written; the text is :mod:`swarm.core.tasktext`'s, the calls
:mod:`swarm.chain.tasks`'. A key comes from the contents: after a crash the same command completes what was begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from swarm.chain.client import ChainClient
from swarm.chain.keys import LocalSigner
from swarm.chain.tasks import Tasks, chunks_of
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.picking import pick
from swarm.core.shown import shown
from swarm.core.taskstatements import TaskStatement, header_hash, item_hash, root_of, sign, task_id
from swarm.core.tasktext.findings import Reading
from swarm.core.tasktext.layout import slots
from swarm.core.tasktext.model import Header, Task
from swarm.core.tasktext.model import TaskType as TextType
from swarm.core.tasktext.typed import from_lines
from swarm.core.taskview import ItemKind, TaskBody, TaskHeader, TaskInfo, TaskType
from swarm.inspect.operator import Member
from swarm.store.journal import Journal

from . import wrote

SALTS_MAX = 1000
"""How often one text may be created again by one operator, after it was deleted or was not the newest any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A task or draft on chain."""

    id: Digest
    info: TaskInfo

    @property
    def name(self) -> str:
        return self.info.header.name


def tasks_of(client: ChainClient, member: Member) -> Tasks:
    return Tasks(client, member.swarm.contracts["Tasks"])


def header_of(header: Header) -> TaskHeader:
    return TaskHeader(TaskType[header.type.name], header.name, header.author, header.prereq, header.outcome)


def body_of(task: Task, content: bytes) -> TaskBody:
    return TaskBody(tuple(line.encode() for line in slots(task)), chunks_of(content))


async def drafts(tasks: Tasks, creator: Address) -> list[Found]:
    """The open drafts of an operator, the newest last."""
    ids = await tasks.drafts_of(creator)
    infos = await asyncio.gather(*map(tasks.info, ids))
    found = [Found(one, info) for one, info in zip(ids, infos, strict=True) if info is not None and not info.removed]
    return sorted(found, key=lambda one: one.info.created)


async def names(tasks: Tasks, creator: Address) -> list[str]:
    """Of final tasks, ROOTTASK first, then of the operator's drafts."""
    final, mine = await asyncio.gather(tasks.names(), drafts(tasks, creator))
    return list(dict.fromkeys([*(name for name, _ in final), *(one.name for one in mine)]))


async def find(tasks: Tasks, creator: Address, name: str, *, whole: bool = False) -> Found:
    """The task that a name means: the operator's draft of it, else the newest final version.

    Args:
        whole: a beginning of the name will not do: something is changed or given by it.

    Raises:
        OperatorFault: there is none; names the nearest.
    """
    # Asked at one moment, these travel as one batch.
    all_drafts, latest = await asyncio.gather(drafts(tasks, creator), tasks.latest(name))
    mine = [one for one in all_drafts if one.name == name]
    if mine:
        return mine[-1]
    if latest is None:
        other = pick("task", name, await names(tasks, creator), whole=whole)
        if other == name:  # listed, and not there: asking on would go on for ever
            raise OperatorFault(f"the SN lists a task {shown(name)} and has no version of it: ask another SN")
        return await find(tasks, creator, other)
    info = await tasks.info(latest[0])
    if info is None:
        raise OperatorFault(f"the SN knows a task {shown(name)} and nothing about it: ask again, or ask another SN")
    return Found(latest[0], info)


async def draft(tasks: Tasks, creator: Address, name: str) -> Found:
    """The operator's own draft of that name.

    Raises:
        OperatorFault: there is none; says whether the task is final.
    """
    found = await find(tasks, creator, name, whole=True)
    if found.info.final:
        raise OperatorFault(
            f"task {shown(found.name)} is final (version {found.info.version}) and cannot be changed; "
            "CREATE TASK FROM makes its next version"
        )
    return found


async def write(tasks: Tasks, creator: Address, header: TaskHeader, body: TaskBody, journal: Journal) -> Digest:
    """A draft with this body, or the final task that it is already; other drafts of that name give way.

    Args:
        journal: keeps what was written, which alone is signed later.

    Raises:
        OperatorFault: this text was created and deleted too often.
        Reverted, ChainFault: the chain refused; the same again completes what was begun.
    """
    contents = keccak(header_hash(header) + b"".join(map(keccak, (*body.lines, *body.chunks))))
    # Asked at one moment, these travel as one batch; nobody else uses this operator's key until the writing is done.
    first = task_id(creator, _key(contents, 0))
    latest, others, unsalted = await asyncio.gather(
        tasks.latest(header.name), drafts(tasks, creator), tasks.info(first)
    )
    for salt in range(SALTS_MAX):
        key = _key(contents, salt)
        found = task_id(creator, key)
        info = unsalted if salt == 0 else await tasks.info(found)
        # An older version is not what its name means any more: its text again is the next one.
        if info is None or not (info.removed or (info.final and latest is not None and latest[0] != found)):
            break
    else:
        raise OperatorFault(f"task {shown(header.name)} was created {SALTS_MAX} times: change its text")
    if info is None or not info.final:
        wrote.whole(journal, found, header, body)
        await tasks.write(key, header, body)
    for other in others:
        if other.name == header.name and other.id != found:
            await tasks.remove(other.id)
            wrote.forget(journal, other.id)
    return found


def _key(contents: bytes, salt: int) -> Digest:
    return Digest(keccak(contents + salt.to_bytes(32, "big")))


async def freeze(tasks: Tasks, signer: LocalSigner, found: Found, journal: Journal, *, plain_secrets: bool) -> Digest:
    """Make a draft final; the id of what became final. A draft of typed lines gets its text first.

    Raises:
        OperatorFault: lines are missing, or make no task; the SN shows what was not written here.
        Reverted, ChainFault: the chain refused.
    """
    info = found.info
    if info.chunks == 0:
        reading = await typed(tasks, found, journal, plain_secrets=plain_secrets)
        task = reading.taken(f"task {shown(found.name)}")
        # Written as what it means, in the layout that every SWOP compares the text with.
        written = await write(tasks, signer.address, info.header, body_of(task, reading.content), journal)
        renewed = await tasks.info(written)
        assert renewed is not None  # it has just been written
        if renewed.final:
            return written
        found, info = Found(written, renewed), renewed
    lines = await tasks.hashes(found.id, ItemKind.LINE)
    chunks = await tasks.hashes(found.id, ItemKind.TEXT)
    root = root_of(header_hash(info.header), lines, chunks)
    wrote.require_whole(journal, found.id, found.name, root)
    statement = TaskStatement(found.id, info.header, len(lines), len(chunks), root)
    await tasks.finalise(found.id, len(lines), len(chunks), root, sign(statement, tasks.domain, signer))
    wrote.forget(journal, found.id)
    return found.id


async def typed(tasks: Tasks, found: Found, journal: Journal, *, plain_secrets: bool) -> Reading[Task]:
    """The task that the lines of a draft make.

    Raises:
        OperatorFault: a line is missing, or not the one that was typed here.
    """
    hashes = await tasks.hashes(found.id, ItemKind.LINE)
    gap = next((number for number, one in enumerate(hashes) if not any(one)), None)
    if gap is not None or len(hashes) < 2:
        number = gap if gap is not None else 1
        raise OperatorFault(f"line {number} of task {shown(found.name)} is missing: APPEND TASK BODY gives it")
    header = found.info.header
    head = Header(TextType(header.task_type.name), header.name, header.author, header.prereq, header.outcome)
    body = await tasks.body(found.id, found.info)
    wrote.require_lines(journal, found.id, found.name, list(map(item_hash, body.lines)))
    lines = [line.decode("utf-8", "replace") for line in body.lines]
    return from_lines(head, lines, plain_secrets=plain_secrets)


def batches(lines: Sequence[bytes], most: int) -> list[tuple[int, int]]:
    """First index and length of each batch of a body, as CREATE TASK FROM tells them; line 0 is no part of them."""
    return [(first, min(most, len(lines) - first)) for first in range(1, len(lines), most)]
