"""The Tasks contract as plain Python: drafts, items, final tasks.

Owns the rules and refusals of contracts/src/Tasks.sol, for tests that compare the two and for simulations. It keeps the
items themselves and works out hashes, counts and lists each time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarm.chain.tasks import Batch
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import ROOT_TASK, ZERO32, Address, Digest
from swarm.core.limits import (
    TASK_APPEND_MAX,
    TASK_BODY_BYTES_MAX,
    TASK_CHUNK_BYTES,
    TASK_CHUNKS_MAX,
    TASK_DRAFTS_MAX,
    TASK_LINE_BYTES_MAX,
    TASK_LINES_MAX,
    TASK_TEXT_BYTES_MAX,
    TASK_TEXT_CHARS_MAX,
)
from swarm.core.taskstatements import header_hash, item_hash, root_of, task_id
from swarm.core.taskview import ItemKind, TaskHeader, TaskInfo, TaskType

from .membership import Event, MembershipModel, Tx

FINAL_BY_CREATOR_MAX, NAMES_BY_CREATOR_MAX, NAMES_MAX = 10_000, 1_000, 10_000
CONDUCTORS = (Role.SN, Role.SWCI)
_NOBODY = Address(bytes(20))


def only(members: MembershipModel, tx: Tx, roles: Sequence[Role], needed: Role) -> None:
    """The role guard that every contract shares."""
    if not members.is_active(tx.sender, tx.time):
        raise Reverted("MembershipNotActive", {"caller": tx.sender})
    if members.member(tx.sender).role not in roles:
        raise Reverted("MembershipNotAllowed", {"caller": tx.sender, "needed": needed})


@dataclass(slots=True)
class Task:
    header: TaskHeader
    creator: Address
    created: int
    created_time: int
    items: dict[ItemKind, dict[int, bytes]] = field(default_factory=lambda: {kind: {} for kind in ItemKind})
    removed: bool = False
    version: int = 0
    counts: tuple[int, int] = (0, 0)
    whole: tuple[list[bytes], list[bytes]] | None = None
    finalised: int = 0
    finalised_time: int = 0

    def hashes(self, kind: ItemKind, count: int) -> list[Digest]:
        """As the contract keeps them: nothing of a whole body."""
        return [item_hash(self.items[kind][i]) if i in self.items[kind] else Digest(ZERO32) for i in range(count)]

    def count(self, kind: ItemKind) -> int:
        if self.whole is not None:
            return len(self.whole[kind])
        if self.version:
            return self.counts[kind]
        return max(self.items[kind], default=-1) + 1

    def root(self, lines: int, chunks: int) -> Digest:
        if self.whole is not None:
            return root_of(header_hash(self.header), *(list(map(item_hash, items)) for items in self.whole))
        hashes = [self.hashes(ItemKind.LINE, lines), self.hashes(ItemKind.TEXT, chunks)]
        return root_of(header_hash(self.header), *hashes)


class TasksModel:
    """Each mutating method returns the events it emits.

    Raises:
        Reverted: with the contract's error name and values; nothing has changed then.
    """

    def __init__(self, membership: MembershipModel, block: int, time: int) -> None:
        self._members = membership
        header = TaskHeader(TaskType.ROOT_TASK, ROOT_TASK, "HPE", ROOT_TASK, ROOT_TASK)
        root = Task(header, _NOBODY, block, time, version=1, finalised=block, finalised_time=time)
        self._tasks: dict[Digest, Task] = {task_id(_NOBODY, Digest(ZERO32)): root}

    def create(self, tx: Tx, key: Digest, header: TaskHeader) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        task = task_id(tx.sender, key)
        found = self._tasks.get(task)
        if found is not None:
            if found.removed or found.header != header:
                raise Reverted("TaskKeyReused", {"id": task})
            return []
        if header.task_type in (TaskType.NONE, TaskType.ROOT_TASK):
            raise Reverted("TaskBadType", {"taskType": header.task_type})
        for name in ("name", "author", "prereq", "outcome"):
            check_text(name, getattr(header, name))
        if header.name == ROOT_TASK:
            raise Reverted("TaskReserved", {"name": header.name})
        drafts = len(self.drafts_of(tx.sender))
        if drafts >= TASK_DRAFTS_MAX:
            raise Reverted("TaskDraftsFull", {"drafts": drafts, "draftsMax": TASK_DRAFTS_MAX})
        self._tasks[task] = Task(header, tx.sender, tx.block, tx.time)
        return [Event("TaskCreated", {"id": task, "creator": tx.sender, "name": header.name})]

    def append(self, tx: Tx, task: Digest, kind: ItemKind, first: int, items: Sequence[bytes]) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        return self._append(self._mine(tx, task), task, Batch(kind, first, tuple(items)))

    def write(self, tx: Tx, key: Digest, header: TaskHeader, batches: Sequence[Batch]) -> list[Event]:
        before = copy.deepcopy(self._tasks)
        try:
            events = self.create(tx, key, header)
            task = task_id(tx.sender, key)
            for batch in batches:
                events += self._append(self._tasks[task], task, batch)
        except Reverted:
            self._tasks = before
            raise
        return events

    def put(self, tx: Tx, key: Digest, header: TaskHeader, lines: int, chunks: int, body: bytes) -> list[Event]:
        before = copy.deepcopy(self._tasks)
        try:
            events = self.create(tx, key, header)
            task = task_id(tx.sender, key)
            return events + self._whole(self._tasks[task], task, lines, chunks, body)
        except Reverted:
            self._tasks = before
            raise

    def replace(self, tx: Tx, task: Digest, lines: int, chunks: int, body: bytes) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        return self._whole(self._mine(tx, task), task, lines, chunks, body)

    def finalise(self, tx: Tx, task: Digest, lines: int, chunks: int, root: Digest, r: bytes, vs: bytes) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        found = self._mine(tx, task)
        if found.version:
            if found.root(*found.counts) == root:
                return []
            raise Reverted("TaskFrozen", {"id": task, "version": found.version})
        check_counts(lines, chunks)
        if found.whole is None:
            for kind, count in ((ItemKind.LINE, lines), (ItemKind.TEXT, chunks)):
                missing = [i for i in range(count) if i not in found.items[kind]]
                if missing:
                    raise Reverted("TaskItemMissing", {"kind": kind, "index": missing[0]})
        stored = found.root(lines, chunks)
        if stored != root or (found.whole is not None and (lines, chunks) != tuple(map(len, found.whole))):
            raise Reverted("TaskTextDiffers", {"stored": stored, "given": root})
        if self.latest(found.header.prereq) is None:
            raise Reverted("TaskUnknownPrereq", {"name": found.header.prereq})
        mine = [t for t in self._tasks.values() if t.creator == tx.sender and t.version]
        if len(mine) >= FINAL_BY_CREATOR_MAX:
            raise Reverted("TaskTooMany", {"tasks": len(mine), "tasksMax": FINAL_BY_CREATOR_MAX})
        if self.latest(found.header.name) is None:
            first = sum(t.version == 1 for t in mine)
            if first >= NAMES_BY_CREATOR_MAX:
                raise Reverted("TaskTooMany", {"tasks": first, "tasksMax": NAMES_BY_CREATOR_MAX})
            if len(self.names()) >= NAMES_MAX:
                raise Reverted("TaskTooMany", {"tasks": NAMES_MAX, "tasksMax": NAMES_MAX})
        found.version = len(self.versions(found.header.name)) + 1
        found.counts, found.finalised, found.finalised_time = (lines, chunks), tx.block, tx.time
        values = {"id": task, "name": found.header.name, "version": found.version, "root": root, "r": r, "vs": vs}
        return [Event("TaskFinalised", values)]

    def remove(self, tx: Tx, task: Digest) -> list[Event]:
        only(self._members, tx, CONDUCTORS, Role.SWCI)
        found = self._mine(tx, task)
        if found.version:
            raise Reverted("TaskFrozen", {"id": task, "version": found.version})
        found.removed = True
        return [Event("TaskRemoved", {"id": task})]

    # ---- views --------------------------------------------------------------------------------------

    def info(self, task: Digest) -> TaskInfo | None:
        found = self._tasks.get(task)
        if found is None:
            return None
        return TaskInfo(
            header=found.header,
            creator=found.creator,
            removed=found.removed,
            version=found.version,
            lines=found.count(ItemKind.LINE),
            chunks=found.count(ItemKind.TEXT),
            created=found.created,
            created_time=found.created_time,
            finalised=found.finalised,
            finalised_time=found.finalised_time,
            header_hash=header_hash(found.header),
            root=found.root(*found.counts) if found.version or found.whole else Digest(ZERO32),
        )

    def ids(self) -> list[Digest]:
        return list(self._tasks)

    def latest(self, name: str) -> tuple[Digest, int] | None:
        ids = self.versions(name)
        return (ids[-1], len(ids)) if ids else None

    def names(self) -> list[tuple[str, int]]:
        finals = sorted((t for t in self._tasks.values() if t.version == 1), key=lambda t: t.finalised)
        return [(t.header.name, len(self.versions(t.header.name))) for t in finals]

    def versions(self, name: str) -> list[Digest]:
        found = {t.version: task for task, t in self._tasks.items() if t.version and t.header.name == name}
        return [found[number] for number in sorted(found)]

    def drafts_of(self, creator: Address) -> set[Digest]:
        return {i for i, t in self._tasks.items() if t.creator == creator and not t.version and not t.removed}

    def hashes(self, task: Digest, kind: ItemKind) -> list[Digest]:
        found = self._tasks.get(task)
        return found.hashes(kind, found.count(kind)) if found else []

    # ---- shared steps -------------------------------------------------------------------------------

    def _mine(self, tx: Tx, task: Digest) -> Task:
        found = self._tasks.get(task)
        if found is None or found.removed:
            raise Reverted("TaskUnknown", {"id": task})
        if found.creator != tx.sender:
            raise Reverted("TaskNotCreator", {"caller": tx.sender, "creator": found.creator})
        return found

    def _append(self, found: Task, task: Digest, batch: Batch) -> list[Event]:
        if not 1 <= len(batch.items) <= TASK_APPEND_MAX:
            raise Reverted("TaskBadCount", {"items": len(batch.items), "itemsMax": TASK_APPEND_MAX})
        if found.whole is not None and not found.version:
            raise Reverted("TaskWhole", {"id": task})
        line = batch.kind is ItemKind.LINE
        end, most = batch.first + len(batch.items), TASK_LINES_MAX if line else TASK_CHUNKS_MAX
        if end > most:
            raise Reverted("TaskTooLong", {"kind": batch.kind, "items": end, "itemsMax": most})
        largest = TASK_LINE_BYTES_MAX if line else TASK_CHUNK_BYTES
        for index, item in enumerate(batch.items, batch.first):
            if len(item) > largest or (not item and not line):
                raise Reverted("TaskBadItem", {"index": index, "bytesLength": len(item), "bytesMax": largest})
        fresh = dict(enumerate(batch.items, batch.first))
        kept = found.items[batch.kind]
        if all(index in kept and kept[index] == item for index, item in fresh.items()):
            return []
        if found.version:
            raise Reverted("TaskFrozen", {"id": task, "version": found.version})
        kept.update(fresh)
        values = {"id": task, "kind": batch.kind, "first": batch.first, "items": tuple(batch.items)}
        return [Event("TaskAppended", values)]

    def _whole(self, found: Task, task: Digest, lines: int, chunks: int, body: bytes) -> list[Event]:
        check_counts(lines, chunks)
        if len(body) > TASK_BODY_BYTES_MAX:
            raise Reverted("TaskBadBody", {"bytesLength": len(body), "bytesMax": TASK_BODY_BYTES_MAX})
        items, at, endless = [], 0, body + bytes(1 << 20)  # beyond the end the contract reads zeros
        for number in range(lines + chunks):
            line = number < lines
            size = int.from_bytes(endless[at : at + 4], "big")
            low, high = (0, TASK_LINE_BYTES_MAX) if line else (1, TASK_CHUNK_BYTES)
            if not low <= size <= high:
                index = number if line else number - lines
                raise Reverted("TaskBadItem", {"index": index, "bytesLength": size, "bytesMax": high})
            items.append(endless[at + 4 : at + 4 + size])
            at += 4 + size
        if at != len(body):
            raise Reverted("TaskBadBody", {"bytesLength": len(body), "bytesMax": TASK_BODY_BYTES_MAX})
        made = items[:lines], items[lines:]
        hashes = [list(map(item_hash, some)) for some in made]
        info = self.info(task)
        if info is not None and info.root == root_of(info.header_hash, *hashes):
            return []
        if found.version:
            raise Reverted("TaskFrozen", {"id": task, "version": found.version})
        if found.whole is None and any(found.count(kind) for kind in ItemKind):
            raise Reverted("TaskByItems", {"id": task})
        found.whole = made
        return [Event("TaskWritten", {"id": task, "lines": lines, "chunks": chunks, "body": body})]


def check_counts(lines: int, chunks: int) -> None:
    """1 to 1,024 lines and 1 to 16 chunks; what is too many is told first."""
    counts = {ItemKind.LINE: (lines, TASK_LINES_MAX), ItemKind.TEXT: (chunks, TASK_CHUNKS_MAX)}
    for kind, (count, most) in counts.items():
        if count > most:
            raise Reverted("TaskTooLong", {"kind": kind, "items": count, "itemsMax": most})
    for kind, (count, _) in counts.items():
        if count == 0:
            raise Reverted("TaskItemMissing", {"kind": kind, "index": 0})


def check_text(name: str, text: str, error: str = "TaskBadText") -> None:
    """1 to 160 characters, 640 bytes; a text of more bytes is not counted, one of at most 160 is its bytes."""
    size = len(text.encode())
    characters = len(text) if size <= TASK_TEXT_BYTES_MAX else 0
    if size <= TASK_TEXT_CHARS_MAX:
        characters = size  # no text has more characters than bytes, so such a one is not counted
    if 1 <= characters <= TASK_TEXT_CHARS_MAX:
        return
    values = {"characters": characters, "charactersMax": TASK_TEXT_CHARS_MAX}
    values |= {"bytesLength": size, "bytesMax": TASK_TEXT_BYTES_MAX}
    raise Reverted(error, ({"field": name} if error == "TaskBadText" else {}) | values)
