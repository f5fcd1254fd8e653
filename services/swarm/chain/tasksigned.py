"""Whether a final task is what its creator signed: asked of the chain, believed only with proof (docs/tasks.md).

An SN can answer anything. What it cannot make is a signature of somebody else's over a task's id, header and root, nor
a key that leads from another creator to that id. Which versions a name has stays the SN's word: nothing signs that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from swarm.core.errors import ChainFault
from swarm.core.ids import ROOT_TASK, ZERO32, Address, Digest, to_hex
from swarm.core.shown import shown
from swarm.core.statements import Signature, Verifier
from swarm.core.taskstatements import TaskStatement, header_hash, root_of, signed_by, task_id
from swarm.core.taskview import TaskHeader, TaskInfo, TaskType

from .events import EventDecoder
from .paging import logs_up_to
from .taskevents import TaskCreated, TaskFinalised
from .tasks import Tasks

ROOT_ID = task_id(Address(bytes(20)), Digest(ZERO32))
ROOT_HEADER = TaskHeader(TaskType.ROOT_TASK, ROOT_TASK, "HPE", ROOT_TASK, ROOT_TASK)
SELECTOR_BYTES, WORD_BYTES = 4, 32
"""``create``, ``write`` and ``put`` have the creator's key as their first argument."""


class TaskUnsigned(ChainFault):
    """Its creator did not sign what is shown: the SN lies, or whoever finalised the task did it without a signature."""


async def signed_task(tasks: Tasks, task: Digest, verifier: Verifier) -> TaskInfo:
    """The record of a final task that its creator vouches for.

    Raises:
        ChainFault: the SN does not know it as final.
        TaskUnsigned: it shows something else than its creator signed.
    """
    info = await tasks.info(task)
    if info is None or not info.final:
        raise ChainFault(f"the SN does not know task {to_hex(task)} as final: ask again, or ask another SN")
    if task == ROOT_ID or not any(info.creator):
        # Nobody signed it: it is what every deployment makes.
        if (task, info.header) != (ROOT_ID, ROOT_HEADER) or info.root != root_of(header_hash(ROOT_HEADER), (), ()):
            raise _lie(task, info, f"as {ROOT_TASK}, which it is not")
        return info
    statement = TaskStatement(task, info.header, info.lines, info.chunks, info.root)
    async for event, _ in _events(tasks, task, info.finalised):
        if isinstance(event, TaskFinalised):
            signature = Signature(event.r, event.vs)
            if signed_by(statement, tasks.domain, signature, verifier) == info.creator:
                break
    else:
        raise _lie(task, info, f"which {to_hex(info.creator)} did not sign so")
    if not await _made_by(tasks, task, info):
        raise _lie(task, info, f"which {to_hex(info.creator)} did not create")
    return info


async def _made_by(tasks: Tasks, task: Digest, info: TaskInfo) -> bool:
    """Whether a key is shown that makes this id from that creator: without one anybody could claim another's id."""
    async for event, transaction in _events(tasks, task, info.created):
        if isinstance(event, TaskCreated):
            sent: Any = await tasks.client.rpc("eth_getTransactionByHash", [to_hex(transaction)])
            try:
                data = bytes.fromhex(sent["input"][2:])
            except (KeyError, TypeError, ValueError) as error:
                raise ChainFault(f"the SN lacks the transaction of task {to_hex(task)}: ask another SN") from error
            key = Digest(data[SELECTOR_BYTES : SELECTOR_BYTES + WORD_BYTES])
            if len(key) == WORD_BYTES and task_id(info.creator, key) == task:
                return True
    return False


async def _events(tasks: Tasks, task: Digest, block: int) -> AsyncIterator[tuple[Any, Digest]]:
    """Those of one task in one block, with their transactions."""
    decode = EventDecoder({tasks.CONTRACT: tasks.address})
    async for log in logs_up_to(tasks.client.rpc, block, [tasks.address], [None, to_hex(task)], first=block):
        event: Any = decode(log)
        if event is not None and event.id == task:
            yield event, log.transaction


def _lie(task: Digest, info: TaskInfo, how: str) -> TaskUnsigned:
    return TaskUnsigned(
        f"the SN shows task {to_hex(task)} as {shown(info.header.name)!r} version {info.version}, {how}: do not trust "
        "this SN; nothing was signed"
    )
