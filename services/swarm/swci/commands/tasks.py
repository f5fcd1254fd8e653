"""Commands about tasks."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.chain.keys import LocalSigner
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.limits import TASK_APPEND_MAX, TASK_LINE_BYTES_MAX, TASK_LINES_MAX
from swarm.core.picking import pick
from swarm.core.shown import shown
from swarm.core.tasktext import placeholders
from swarm.core.tasktext.findings import Reading, Weight
from swarm.core.tasktext.layout import FIRST, numbered
from swarm.core.tasktext.model import TYPE_ALIASES, Header, Task
from swarm.core.tasktext.model import TaskType as TextType
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.typed import checked
from swarm.core.taskview import ItemKind, TaskBody
from swarm.inspect.operator import Member
from swarm.swci import tasking, wrote
from swarm.swci.grammar import Typed
from swarm.swci.say import Say, stamp
from swarm.swci.session import Handler, Session
from swarm.swci.table import Kind

TYPED_CHARS = 80
"""What the original takes by APPEND TASK BODY stays below; more is a warning here."""


async def create_from(session: Session, typed: Typed, say: Say) -> None:
    await create_from_file(session, typed.values["file"], say)


async def create_from_file(session: Session, file: str, say: Say) -> str:
    """As CREATE TASK FROM; the task's name."""
    raw = session.folder.read(file)
    # A variable of the context stands for the placeholder of its name, as --set does for swarm task.
    values = placeholders.present(raw.decode("utf-8", "replace"), session.book.get().env)
    reading = read(raw, values, plain_secrets=session.plain_secrets)
    tell(reading, say)
    task = reading.taken(file)
    header, body = tasking.header_of(task.header), tasking.body_of(task, reading.content)
    say.line("Task definition is valid")
    member = await session.member()
    async with session.access.writing(member) as (client, journal):
        written = await tasking.write(tasking.tasks_of(client, member), client.address, header, body, journal)
    session.created[header.name] = written
    say.line(f"Task Registered : {header.name}")
    say.line("Appending Task Body")
    for first, length in tasking.batches(body.lines, TASK_APPEND_MAX):
        say.line(f"batch start : {first} , len : {length} Successful")
    say.line("Task creation Successful")
    say.line("WARNING: Task should be finalized by user explicitly")
    return header.name


def tell(reading: Reading[Task], say: Say) -> None:
    """What is wrong with a text and does not stop it."""
    for one in reading.findings:
        if one.weight is not Weight.ERROR:
            say.line(f"WARNING: {one}")


async def create(session: Session, typed: Typed, say: Say) -> None:
    v = typed.values
    kind = TYPE_ALIASES.get(v["type"].upper()) or TextType(pick("type of task", v["type"].upper(), list(TextType)))
    header = tasking.header_of(checked(Header(kind, v["task"], v["author"], v["prereq"], v["outcome"])))
    member = await session.member()
    async with session.access.writing(member) as (client, journal):
        body = TaskBody((FIRST.encode(),), ())
        tasks = tasking.tasks_of(client, member)
        session.created[header.name] = await tasking.write(tasks, client.address, header, body, journal)
    say.line(f"Task Registered : {header.name}")
    say.line("WARNING: Task should be finalized by user explicitly")


async def append(session: Session, typed: Typed, say: Say) -> None:
    index, line = typed.number("index", 0), typed.values["line"]
    if not 1 <= index < TASK_LINES_MAX:
        raise OperatorFault(f"APPEND TASK BODY: <index> is {index}, expected 1 to {TASK_LINES_MAX - 1}")
    data = line.encode("utf-8", "replace")
    if len(data) > TASK_LINE_BYTES_MAX:
        raise OperatorFault(f"the line has {len(data)} bytes, one of a task at most {TASK_LINE_BYTES_MAX}")
    if len(line) >= TYPED_CHARS:
        say.line(f"WARNING: the line has {len(line)} characters; the original takes fewer than {TYPED_CHARS} here")
    member = await session.member()
    async with session.access.writing(member) as (client, journal):
        tasks = tasking.tasks_of(client, member)
        found = await tasking.draft(tasks, client.address, typed.values["task"])
        if found.info.chunks:
            raise OperatorFault(
                f"task {shown(found.name)} was created from a file, whose text is its body: mend the file, and "
                "CREATE TASK FROM it again"
            )
        wrote.line(journal, found.id, index, data)
        await tasks.append(found.id, ItemKind.LINE, index, [data])
    say.line(f"Task Body Appended : {index}")


async def finalize(session: Session, typed: Typed, say: Say) -> None:
    await finalize_named(session, typed.values["task"])
    say.line("Task Finalized")


async def finalize_named(session: Session, name: str) -> Digest:
    """As FINALIZE TASK; the final task's id. One that this shell created, and that was final as it stands, is done."""
    member = await session.member()
    async with session.access.writing(member) as (client, journal):
        tasks = tasking.tasks_of(client, member)
        made = session.created.get(name)
        info = None if made is None else await tasks.info(made)
        if made is not None and info is not None and info.final:
            session.created.pop(name, None)
            return made
        found = await tasking.draft(tasks, client.address, name)
        if await tasks.latest(found.info.header.prereq) is None:
            there = [one for one, _ in await tasks.names()]
            pick(f"final task for the prereq of {shown(found.name)}:", found.info.header.prereq, there)
        final = await tasking.freeze(tasks, _signer(member), found, journal, plain_secrets=session.plain_secrets)
        session.created.pop(found.name, None)
        return final


async def delete(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    async with session.access.writing(member) as (client, journal):
        tasks = tasking.tasks_of(client, member)
        found = await tasking.draft(tasks, client.address, typed.values["task"])
        await tasks.remove(found.id)
        wrote.forget(journal, found.id)
    session.created.pop(found.name, None)
    say.line("Task Deleted")


async def info(session: Session, typed: Typed, say: Say) -> None:
    found = await _found(session, typed)
    header = found.info.header
    say.fact("NAME", header.name)
    say.fact("TASKTYPE", header.task_type.name)
    say.fact("CREATETIME", stamp(found.info.created_time))
    say.fact("AUTHOR", header.author)
    say.fact("CONTENTLINES", found.info.lines)
    say.fact("PREREQ", header.prereq)
    say.fact("OUTCOME", header.outcome)
    say.fact("FINALIZED", found.info.final)


async def body(session: Session, typed: Typed, say: Say) -> None:
    found = await _found(session, typed)
    member = await session.member()
    lines = (await tasking.tasks_of(member.reader, member).body(found.id, found.info)).lines
    say.lines(numbered([line.decode("utf-8", "replace") for line in lines]))


async def list_(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    found = await tasking.names(tasking.tasks_of(member.reader, member), _address(member))
    session.learn(Kind.TASK, found)
    say.lines(found)


async def _found(session: Session, typed: Typed) -> tasking.Found:
    member = await session.member()
    return await tasking.find(tasking.tasks_of(member.reader, member), _address(member), typed.values["task"])


def _address(member: Member) -> Address:
    return Address(bytes.fromhex(member.who.account.address[2:]))


def _signer(member: Member) -> LocalSigner:
    return LocalSigner(bytes(member.who.account.key))


HANDLERS: Mapping[str, Handler] = {
    "CREATE TASK FROM": create_from,
    "CREATE TASK": create,
    "APPEND TASK BODY": append,
    "FINALIZE TASK": finalize,
    "DELETE TASK": delete,
    "GET TASK INFO": info,
    "GET TASK BODY": body,
    "LIST TASKS": list_,
}
