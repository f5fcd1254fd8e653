"""The Tasks contract: drafts, final tasks, their bodies (docs/tasks.md, section 2).

Owns how a body becomes transactions and is read back from their events; every item is held to the hash that
the contract keeps of it. What a body means is :mod:`swarm.core.tasktext`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from swarm.core.errors import ChainFault
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.limits import TASK_APPEND_MAX, TASK_CHUNK_BYTES, TASK_CHUNKS_MAX, TASK_DRAFTS_MAX, TASK_LINES_MAX
from swarm.core.statements import Signature, domain_separator
from swarm.core.taskstatements import TASKS_DOMAIN, item_hash
from swarm.core.taskview import ItemKind, TaskBody, TaskHeader, TaskInfo, TaskType

from .client import Call, Receipt
from .contract import artifact
from .events import EventDecoder
from .facade import LISTED_MAX, Facade
from .paging import logs_up_to
from .taskcodec import header_values, read_info
from .taskevents import TaskAppended

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
        "write": "write",
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
        """Put 1 to 4 items into the own draft, or replace them. The same again changes nothing."""
        gas = _gas_of([Batch(kind, first, tuple(items))])
        return await self._send("append", task, int(kind), first, list(items), gas=gas)

    async def write(
        self,
        key: Digest,
        header: TaskHeader,
        body: TaskBody,
        wrote: Callable[[Batch], None] = lambda _: None,
    ) -> list[Receipt]:
        """Create a draft with its whole body: transactions in flight together, each of which may come first or again.

        Args:
            wrote: gets each batch of up to 4 items, lines first, once it is on chain.

        Raises:
            Reverted: the first refusal; what the others wrote stays, and the same call completes it.
            ChainFault: as for any transaction.
        """
        parts = list(_parts(batches_of(body)))
        receipts = await self.client.submit_all([self._writing(key, header, part) for part in parts])
        for part in parts:
            for batch in part:
                wrote(batch)
        return receipts

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
        most = TASK_LINES_MAX if kind is ItemKind.LINE else TASK_CHUNKS_MAX
        return await self._rows(_digests, PAGE, most, "hashes", task, int(kind), block=block)

    async def membership(self) -> Address:
        """The Membership contract that it asks."""
        return Address(await self._ask("membership"))

    async def body(self, task: Digest, info: TaskInfo) -> TaskBody:
        """The items of a task as its events hold them, each checked against the hash that the contract keeps.

        Items that a draft lacks are empty.

        Raises:
            ChainFault: the SN's answers contradict each other, or it left events out.
        """
        wanted = {kind: await self.hashes(task, kind) for kind in ItemKind}
        found: dict[tuple[ItemKind, int], bytes] = {}
        decode = EventDecoder({self.CONTRACT: self.address})
        last = info.finalised or await self.client.block_number()
        topics = ["0x" + artifact(self.CONTRACT).events["TaskAppended"].hash.hex(), to_hex(task)]
        async for log in logs_up_to(self.client.rpc, last, [self.address], topics, first=info.created):
            event = decode(log)
            if not isinstance(event, TaskAppended) or event.id != task:
                continue
            for place, item in enumerate(event.items, event.first):
                if place < len(wanted[event.kind]) and item_hash(item) == wanted[event.kind][place]:
                    found[event.kind, place] = item
        for kind, hashes in wanted.items():
            missing = [place for place, word in enumerate(hashes) if any(word) and (kind, place) not in found]
            if missing:
                raise ChainFault(
                    f"the SN gave no event for {kind.name.lower()} {missing[0]} of task {to_hex(task)}, of which the "
                    "contract has a hash: ask another SN"
                )
        lines, chunks = (
            tuple(found.get((kind, place), b"") for place in range(len(wanted[kind]))) for kind in ItemKind
        )
        return TaskBody(lines, chunks)

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
