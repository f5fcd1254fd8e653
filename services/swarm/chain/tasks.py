"""The Tasks contract: drafts, final tasks, their bodies (docs/tasks.md, section 2).

Owns how a body becomes transactions and is read back from their events; every item is held to the hash that
the contract keeps of it. What a body means is :mod:`swarm.core.tasktext`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from swarm.core.errors import ChainFault, OperatorFault, Reverted
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.limits import (
    TASK_APPEND_MAX,
    TASK_BODY_BYTES_MAX,
    TASK_CHUNK_BYTES,
    TASK_CHUNKS_MAX,
    TASK_DRAFTS_MAX,
    TASK_LINES_MAX,
)
from swarm.core.statements import Signature, domain_separator
from swarm.core.taskstatements import TASKS_DOMAIN, header_hash, item_hash, root_of
from swarm.core.taskview import ItemKind, TaskBody, TaskHeader, TaskInfo, TaskType

from .client import Call, Receipt
from .events import EventDecoder
from .facade import GAS_SIMPLE, LISTED_MAX, Facade
from .names import TaskError
from .paging import logs_up_to
from .taskcodec import header_values, packed, read_info, unpacked
from .taskevents import TaskAppended, TaskWritten

GAS_CREATE = 3_000_000
"""Four texts of 640 bytes at most."""
GAS_PER_ITEM, GAS_PER_BYTE = 40_000, 50
GAS_FINALISE, GAS_PER_HASH = 3_000_000, 4_000
WRITE_BYTES_MAX = 48 * 1024
"""Of items in one transaction, whose limit is 128 KiB."""
WRITE_BATCHES_MAX = 64
PAGE = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """1 to 4 items of one kind, from ``first`` on: one line of ``CREATE TASK FROM``'s answer (row C14)."""

    kind: ItemKind
    first: int
    items: tuple[bytes, ...]


class Tasks(Facade):
    CONTRACT = "Tasks"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {
        "create": "create",
        "append": "append",
        "write": "write_items",
        "put": "put",
        "replace": "replace",
        "finalise": "finalise",
        "remove": "remove",
        "info": "info",
        "typeOf": "type_of",
        "latest": "latest",
        "version": "version",
        "names": "names",
        "versions": "versions",
        "draftsOf": "drafts_of",
        "hashes": "hashes",
        "membership": "membership",
    }

    @property
    def domain(self) -> Digest:
        """EIP-712 domain separator of what creators sign."""
        return domain_separator(TASKS_DOMAIN, self.client.chain_id, self.address)

    # ---- writing: members of role SN or SWCI ----------------------------------------------------------------

    async def create(self, key: Digest, header: TaskHeader) -> Receipt:
        """Begin a draft; its id is ``task_id(creator, key)``. The same key and header again changes nothing."""
        return await self._send("create", key, header_values(header), gas=GAS_CREATE)

    async def append(self, task: Digest, kind: ItemKind, first: int, items: Sequence[bytes]) -> Receipt:
        """Put 1 to 4 items into the own draft, or replace them. The same again changes nothing.

        A draft that was written in one piece is written anew in one piece, which leaves no gap.
        """
        gas = _gas_of([Batch(kind, first, tuple(items))])
        try:
            return await self._send("append", task, int(kind), first, list(items), gas=gas)
        except Reverted as refusal:
            if refusal.name != TaskError.WHOLE:
                raise
        info = await self.info(task)
        if info is None:
            raise ChainFault(f"the SN does not know task {to_hex(task)} any more: ask another SN")
        return await self.replace(task, _spliced(await self.body(task, info), kind, first, items))

    async def put(self, key: Digest, header: TaskHeader, body: TaskBody) -> Receipt:
        """Create a draft with its whole body, or replace that, in one transaction; 96 KiB at most."""
        raw = packed(body)
        values = (key, header_values(header), len(body.lines), len(body.chunks), raw)
        return await self._send("put", *values, gas=GAS_CREATE + _gas_whole(raw))

    async def replace(self, task: Digest, body: TaskBody) -> Receipt:
        """Another whole body of the own draft, in one transaction."""
        raw = packed(body)
        values = (task, len(body.lines), len(body.chunks), raw)
        return await self._send("replace", *values, gas=GAS_SIMPLE + _gas_whole(raw))

    async def write(
        self,
        key: Digest,
        header: TaskHeader,
        body: TaskBody,
        wrote: Callable[[Batch], None] = lambda _: None,
    ) -> list[Receipt]:
        """Create a draft with its whole body: in one transaction, or a long one in several that are in flight together.

        Args:
            wrote: gets each batch of up to 4 items, lines first, once it is on chain.

        Raises:
            Reverted: the first refusal; what the others wrote stays, and the same call completes it.
            ChainFault: as for any transaction.
        """
        if len(packed(body)) <= TASK_BODY_BYTES_MAX and body.lines and body.chunks:
            receipts = [await self.put(key, header, body)]
        else:
            receipts = await self.write_items(key, header, body)
        for batch in batches_of(body):
            wrote(batch)
        return receipts

    async def write_items(self, key: Digest, header: TaskHeader, body: TaskBody) -> list[Receipt]:
        """As :meth:`write`, item by item: each transaction may come first or again, and items may be missing."""
        parts = _parts(batches_of(body))
        return await self.client.submit_all([self._writing(key, header, part) for part in parts])

    async def finalise(self, task: Digest, lines: int, chunks: int, root: Digest, signature: Signature) -> Receipt:
        """Freeze the own draft as the next version under its name. Finalised so before: nothing.

        Args:
            root: :func:`swarm.core.taskstatements.root_of` of what was written.
            signature: of the :class:`~swarm.core.taskstatements.TaskStatement`.
        """
        gas = GAS_FINALISE + GAS_PER_HASH * (lines + chunks)
        return await self._send("finalise", task, lines, chunks, root, signature.r, signature.vs, gas=gas)

    async def remove(self, task: Digest) -> Receipt:
        """Take the own draft back; its key is used up."""
        return await self._send("remove", task)

    # ---- views ----------------------------------------------------------------------------------------------

    async def info(self, task: Digest, *, block: int | str = "latest") -> TaskInfo | None:
        """The record of a task or draft; None if there is none."""
        found = await self._read(read_info, "info", task, block=block)
        return found if found.created_time else None

    async def type_of(self, task: Digest) -> tuple[TaskType, int]:
        """Type and version; version 0: no final task."""
        kind, version = await self._read(lambda a: (TaskType(a[0]), int(a[1])), "typeOf", task)
        return kind, version

    async def latest(self, name: str, *, block: int | str = "latest") -> tuple[Digest, int] | None:
        """Id and version of the newest final task of that name."""
        task, version = await self._ask("latest", name, block=block)
        return (Digest(task), int(version)) if version else None

    async def version(self, name: str, number: int) -> Digest | None:
        """The final task of that name and version."""
        found = Digest(await self._ask("version", name, number))
        return found if any(found) else None

    async def names(self) -> list[tuple[str, int]]:
        """Names of final tasks, ROOTTASK first, and how many versions each has."""
        return await self._rows(lambda a: list(zip(*a, strict=True)), PAGE, LISTED_MAX, "names")

    async def versions(self, name: str) -> list[Digest]:
        """Ids of all versions of a name, version 1 first."""
        return await self._rows(_digests, PAGE, LISTED_MAX, "versions", name)

    async def drafts_of(self, creator: Address) -> list[Digest]:
        """The open drafts of a creator."""
        return await self._rows(_digests, PAGE, TASK_DRAFTS_MAX, "draftsOf", creator)

    async def hashes(self, task: Digest, kind: ItemKind, *, block: int | str = "latest") -> list[Digest]:
        """Hashes of a task's items; zeros where a draft has a gap."""
        found = await self._kept(task, kind, block=block)
        if not found or any(found[0]):
            return found
        info = await self.info(task, block=block)
        if info is None or not any(info.root):
            return found
        body = await self.body(task, info)
        return list(map(item_hash, body.lines if kind is ItemKind.LINE else body.chunks))

    async def membership(self) -> Address:
        """The Membership contract that it asks."""
        return Address(await self._ask("membership"))

    async def body(self, task: Digest, info: TaskInfo) -> TaskBody:
        """The items of a task as its events hold them, checked against the hashes or the root that the contract keeps.

        Items that a draft lacks are empty.

        Raises:
            ChainFault: the SN's answers contradict each other, or it left events out.
        """
        found: dict[tuple[ItemKind, int], set[bytes]] = {}
        decode = EventDecoder({self.CONTRACT: self.address})
        last = info.finalised or await self.client.block_number()
        logs = logs_up_to(self.client.rpc, last, [self.address], [None, to_hex(task)], first=info.created)
        async for log in logs:
            event = decode(log)
            if isinstance(event, TaskWritten) and event.id == task:
                whole = _whole(event, info)
                if whole is not None:
                    return whole
            elif isinstance(event, TaskAppended) and event.id == task:
                for place, item in enumerate(event.items, event.first):
                    found.setdefault((event.kind, place), set()).add(item)
        body = await self._by_items(task, found)
        if any(info.root) and _root(info, body) != info.root:
            raise ChainFault(f"the SN gave no event for the body of task {to_hex(task)}: ask another SN")
        return body

    async def _by_items(self, task: Digest, found: Mapping[tuple[ItemKind, int], set[bytes]]) -> TaskBody:
        """Raises ChainFault: an item of which the contract has a hash is not among what was found."""
        parts = []
        for kind in ItemKind:
            items = []
            for place, word in enumerate(await self._kept(task, kind)):
                there = [item for item in found.get((kind, place), ()) if item_hash(item) == word]
                if any(word) and not there:
                    raise ChainFault(
                        f"the SN gave no event for {kind.name.lower()} {place} of task {to_hex(task)}, of which the "
                        "contract has a hash: ask another SN"
                    )
                items.append(there[0] if there else b"")
            parts.append(tuple(items))
        return TaskBody(*parts)

    async def _kept(self, task: Digest, kind: ItemKind, *, block: int | str = "latest") -> list[Digest]:
        """The hashes that the contract keeps: zeros of a body in one piece."""
        most = TASK_LINES_MAX if kind is ItemKind.LINE else TASK_CHUNKS_MAX
        return await self._rows(_digests, PAGE, most, "hashes", task, int(kind), block=block)

    def _writing(self, key: Digest, header: TaskHeader, part: Sequence[Batch]) -> Call:
        batches = [(int(b.kind), b.first, list(b.items)) for b in part]
        data = self._artifact.functions["write"].encode([key, header_values(header), batches])
        return Call(self.address, data, GAS_CREATE + _gas_of(part), f"{self.CONTRACT}.write")


def chunks_of(text: bytes) -> tuple[bytes, ...]:
    """The exact text of a task in the pieces that the chain keeps."""
    return tuple(text[at : at + TASK_CHUNK_BYTES] for at in range(0, len(text), TASK_CHUNK_BYTES))


def batches_of(body: TaskBody) -> Iterator[Batch]:
    """Batches of up to 4 items: lines, then text."""
    for kind, items in ((ItemKind.LINE, body.lines), (ItemKind.TEXT, body.chunks)):
        for first in range(0, len(items), TASK_APPEND_MAX):
            yield Batch(kind, first, items[first : first + TASK_APPEND_MAX])


def _parts(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    """Batches by transaction."""
    part: list[Batch] = []
    size = 0
    for batch in batches:
        more = sum(map(len, batch.items))
        if part and (size + more > WRITE_BYTES_MAX or len(part) == WRITE_BATCHES_MAX):
            yield part
            part, size = [], 0
        part.append(batch)
        size += more
    yield part


def _gas_of(batches: Sequence[Batch]) -> int:
    items = [item for batch in batches for item in batch.items]
    return GAS_PER_ITEM * (2 + len(items)) + GAS_PER_BYTE * sum(map(len, items))


def _digests(words: Sequence[bytes]) -> list[Digest]:
    return list(map(Digest, words))


def _gas_whole(raw: bytes) -> int:
    return GAS_SIMPLE + GAS_PER_BYTE * len(raw)


def _whole(event: TaskWritten, info: TaskInfo) -> TaskBody | None:
    """The body in the event, if it has the task's root."""
    try:
        body = unpacked(event.lines, event.chunks, event.body)
    except ValueError:
        return None
    return body if _root(info, body) == info.root else None


def _root(info: TaskInfo, body: TaskBody) -> Digest:
    hashes = [list(map(item_hash, items)) for items in (body.lines, body.chunks)]
    return root_of(header_hash(info.header), *hashes)


def _spliced(body: TaskBody, kind: ItemKind, first: int, items: Sequence[bytes]) -> TaskBody:
    kept = list(body.lines if kind is ItemKind.LINE else body.chunks)
    if first > len(kept):
        raise OperatorFault(
            f"{kind.name.lower()} {first} would leave a gap: the draft has {len(kept)}, and the next one is {len(kept)}"
        )
    kept[first : first + len(items)] = items
    return replace(body, **{"lines" if kind is ItemKind.LINE else "chunks": tuple(kept)})
