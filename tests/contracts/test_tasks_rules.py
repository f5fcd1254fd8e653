"""Tasks: who may write them, what is idempotent, what is bounded; on the contract and its model alike."""

from __future__ import annotations

import pytest
from support.evm import person
from support.tasktwin import SIGNED, TaskTwin, header, key
from support.twin import refused
from swarm.chain.tasks import Batch
from swarm.core.chain_view import Role
from swarm.core.ids import ROOT_TASK, Digest
from swarm.core.taskstatements import task_id
from swarm.core.taskview import ItemKind, TaskType

LINE, TEXT = ItemKind.LINE, ItemKind.TEXT


@pytest.fixture
def twin() -> TaskTwin:
    return TaskTwin(1)


def draft(twin: TaskTwin, number: int = 1, name: str = "task") -> Digest:
    twin.step(twin.swci, "create", key(number), header(name))
    return task_id(twin.swci, key(number))


def test_roottask_is_final_from_the_deployment(twin: TaskTwin) -> None:
    """Version 1 of ROOTTASK, of type ROOT_TASK by HPE; nobody makes another one of that name or type."""
    twin.look_at_tasks()
    found = twin.tasks.latest(ROOT_TASK)
    assert found is not None
    info = twin.info(found[0])
    assert info is not None
    assert (info.header.task_type, info.header.author, info.version) == (TaskType.ROOT_TASK, "HPE", 1)
    with refused("TaskReserved", name=ROOT_TASK):
        twin.step(twin.swci, "create", key(1), header(ROOT_TASK))
    for kind in (TaskType.NONE, TaskType.ROOT_TASK):
        with refused("TaskBadType", taskType=kind):
            twin.step(twin.swci, "create", key(1), header(task_type=kind))


@pytest.mark.parametrize("role", [Role.SL, Role.SWCI, Role.SWOP, Role.SN])
def test_only_sn_and_swci_write_tasks(twin: TaskTwin, role: Role) -> None:
    """Neither a stranger, nor an SL, nor a SWOP: a stolen SWOP key must not write other sites' tasks."""
    who = person("somebody")
    calls = (
        ("create", key(1), header()),
        ("append", key(1), LINE, 0, [b"x"]),
        ("write", key(1), header(), []),
        ("put", key(1), header(), 1, 1, b""),
        ("replace", key(1), 1, 1, b""),
        ("finalise", key(1), 1, 1, key(1), *SIGNED),
        ("remove", key(1)),
    )
    for function, *arguments in calls:
        with refused("MembershipNotActive", caller=who):
            twin.step(who, function, *arguments)
    twin.admit(who, role)
    for function, *arguments in calls if role in (Role.SL, Role.SWOP) else ():
        with refused("MembershipNotAllowed", caller=who):
            twin.step(who, function, *arguments)
    if role in (Role.SN, Role.SWCI):
        assert [e.name for e in twin.step(who, "create", key(1), header())] == ["TaskCreated"]


def test_a_draft_is_written_in_any_order_and_becomes_a_version(twin: TaskTwin) -> None:
    """Items come in any order, the same again is nothing, another replaces; the root is of what is stored."""
    task = draft(twin)
    assert twin.step(twin.swci, "create", key(1), header()) == []
    twin.step(twin.swci, "append", task, TEXT, 0, [b"the text"])
    twin.step(twin.swci, "append", task, LINE, 2, [b"", b"wrong"])
    twin.step(twin.swci, "append", task, LINE, 0, [b"---", b"a"])
    assert twin.step(twin.swci, "append", task, LINE, 0, [b"---", b"a"]) == []
    assert [e.name for e in twin.step(twin.swci, "append", task, LINE, 3, [b"d"])] == ["TaskAppended"]
    twin.look_at_tasks()
    root = twin.root(header(), [b"---", b"a", b"", b"d"], [b"the text"])
    with refused("TaskTextDiffers", stored=root):
        twin.step(twin.swci, "finalise", task, 4, 1, Digest(bytes(32)), *SIGNED)
    (event,) = twin.step(twin.swci, "finalise", task, 4, 1, root, *SIGNED)
    assert (event.name, event.values["version"]) == ("TaskFinalised", 1)
    twin.look_at_tasks()


def test_what_is_final_is_frozen_and_repetition_is_nothing(twin: TaskTwin) -> None:
    """After finalise the same calls again change nothing, and other ones are refused."""
    task = twin.task(1, lines=5)
    info = twin.info(task)
    assert info is not None
    assert twin.step(twin.swci, "create", key(1), header()) == []
    assert twin.step(twin.swci, "append", task, LINE, 4, [b"line 4"]) == []
    assert twin.step(twin.swci, "finalise", task, 5, 1, info.root, *SIGNED) == []
    assert twin.step(twin.swci, "write", key(1), header(), [Batch(LINE, 0, (b"line 0", b"line 1"))]) == []
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "append", task, LINE, 4, [b"another"])
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "append", task, LINE, 5, [b"one more"])
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "finalise", task, 4, 1, Digest(bytes(32)), *SIGNED)
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "remove", task)
    twin.look_at_tasks()


def test_two_operators_drafts_of_one_name_become_two_versions(twin: TaskTwin) -> None:
    """They never meet: each is its creator's own, and the next version is whose finalise comes next."""
    other = draft(twin, 7)
    first = twin.task(1, by=twin.admin)
    with refused("TaskNotCreator", caller=twin.admin, creator=twin.swci):
        twin.step(twin.admin, "append", other, LINE, 0, [b"x"])
    second = twin.task(2)
    assert twin.tasks.versions("task") == [first, second]
    twin.look_at_tasks()


def test_a_removed_draft_uses_its_key_up(twin: TaskTwin) -> None:
    """A late append finds nothing, and the key makes no other draft; an unknown id is refused alike."""
    task = draft(twin)
    twin.step(twin.swci, "append", task, LINE, 0, [b"x"])
    twin.step(twin.swci, "remove", task)
    for number in (task, key(99)):
        with refused("TaskUnknown", id=number):
            twin.step(twin.swci, "append", number, LINE, 0, [b"x"])
        with refused("TaskUnknown", id=number):
            twin.step(twin.swci, "remove", number)
        with refused("TaskUnknown", id=number):
            twin.step(twin.swci, "finalise", number, 1, 1, number, *SIGNED)
    with refused("TaskKeyReused", id=task):
        twin.step(twin.swci, "create", key(1), header())
    twin.look_at_tasks()


def test_one_key_is_one_header(twin: TaskTwin) -> None:
    """Every field of the header counts."""
    task = draft(twin)
    for other in (
        header("other"),
        header(author="you"),
        header(prereq="p"),
        header(outcome="o"),
        header(task_type=TaskType.PULL_IMAGE),
    ):
        with refused("TaskKeyReused", id=task):
            twin.step(twin.swci, "create", key(1), other)


@pytest.mark.parametrize("field", ["name", "author", "prereq", "outcome"])
def test_texts_have_1_to_160_characters_and_640_bytes(twin: TaskTwin, field: str) -> None:
    """Characters are counted, not bytes: 160 of four bytes each fit, 161 of one do not."""
    for number, good in enumerate(("x", "x" * 160, "\U0001f41d" * 160)):
        twin.step(twin.swci, "create", key(number), header(**{field: good}))
    for bad, characters, size in (("", 0, 0), ("x" * 161, 161, 161), ("x" * 641, 0, 641)):
        with refused("TaskBadText", field=field, characters=characters, charactersMax=160, bytesLength=size):
            twin.step(twin.swci, "create", key(9), header(**{field: bad}))


def test_items_and_their_number_are_bounded(twin: TaskTwin) -> None:
    """1 to 4 items a call; a line of 640 bytes, a chunk of 1 to 4,096; 1,024 lines, 16 chunks."""
    task = draft(twin)
    for count in (0, 5):
        with refused("TaskBadCount", items=count, itemsMax=4):
            twin.step(twin.swci, "append", task, LINE, 0, [b"x"] * count)
    twin.step(twin.swci, "append", task, LINE, 1020, [b"x" * 640] * 4)
    twin.step(twin.swci, "append", task, TEXT, 12, [b"x" * 4096] * 4)
    with refused("TaskBadItem", index=1, bytesLength=641, bytesMax=640):
        twin.step(twin.swci, "append", task, LINE, 0, [b"", b"x" * 641])
    for length in (0, 4097):
        with refused("TaskBadItem", index=0, bytesLength=length, bytesMax=4096):
            twin.step(twin.swci, "append", task, TEXT, 0, [b"x" * length])
    for kind, most in ((LINE, 1024), (TEXT, 16)):
        with refused("TaskTooLong", kind=kind, items=most + 1, itemsMax=most):
            twin.step(twin.swci, "append", task, kind, most - 3, [b"x"] * 4)
        counts = (most + 1, 1) if kind is LINE else (1, most + 1)
        with refused("TaskTooLong", kind=kind, items=most + 1, itemsMax=most):
            twin.step(twin.swci, "finalise", task, *counts, task, *SIGNED)
    with refused("TaskTooLong", kind=LINE, items=2**32, itemsMax=1024):
        twin.step(twin.swci, "append", task, LINE, 2**32 - 1, [b"x"])


def test_a_final_task_has_no_gap_and_a_prereq(twin: TaskTwin) -> None:
    """The first gap is named; neither lines nor text may be none; the prereq is final, also the task's own name."""
    twin.step(twin.swci, "create", key(1), header(prereq="task"))
    task = task_id(twin.swci, key(1))
    for counts, kind, index in (((0, 1), LINE, 0), ((1, 0), TEXT, 0), ((3, 2), LINE, 0)):
        with refused("TaskItemMissing", kind=kind, index=index):
            twin.step(twin.swci, "finalise", task, *counts, task, *SIGNED)
    twin.step(twin.swci, "append", task, LINE, 0, [b"x"])
    twin.step(twin.swci, "append", task, TEXT, 0, [b"x"])
    with refused("TaskItemMissing", kind=TEXT, index=1):
        twin.step(twin.swci, "finalise", task, 1, 2, task, *SIGNED)
    root = twin.root(header(prereq="task"), [b"x"], [b"x"])
    with refused("TaskUnknownPrereq", name="task"):
        twin.step(twin.swci, "finalise", task, 1, 1, root, *SIGNED)
    twin.task(2)
    twin.step(twin.swci, "finalise", task, 1, 1, root, *SIGNED)
    assert len(twin.tasks.versions("task")) == 2
    twin.look_at_tasks()


def test_fewer_lines_than_were_appended_may_be_finalised(twin: TaskTwin) -> None:
    """What lies above the count is no part of the task."""
    task = draft(twin)
    twin.step(twin.swci, "write", key(1), header(), [Batch(LINE, 0, (b"a", b"b", b"c")), Batch(TEXT, 0, (b"t", b"u"))])
    twin.step(twin.swci, "finalise", task, 2, 1, twin.root(header(), [b"a", b"b"], [b"t"]), *SIGNED)
    twin.look_at_tasks()


def test_a_whole_body_in_one_transaction_is_all_or_nothing(twin: TaskTwin) -> None:
    """One bad item, and neither draft nor items are there; the same body without it is written at once."""
    good = [Batch(LINE, 0, (b"a", b"b", b"c", b"d")), Batch(LINE, 4, (b"e",)), Batch(TEXT, 0, (b"t",))]
    with refused("TaskBadItem", index=9):
        twin.step(twin.swci, "write", key(1), header(), [*good, Batch(LINE, 9, (b"x" * 641,))])
    assert twin.info(task_id(twin.swci, key(1))) is None
    events = twin.step(twin.swci, "write", key(1), header(), good)
    assert [e.name for e in events] == ["TaskCreated", *["TaskAppended"] * 3]
    assert twin.step(twin.swci, "write", key(1), header(), good) == []


def whole(*items: bytes) -> bytes:
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def test_a_whole_body_is_put_replaced_and_finalised(twin: TaskTwin) -> None:
    """In one piece, with the root that the same items one by one would have; nothing of it is stored but that."""
    task = task_id(twin.swci, key(1))
    body = whole(b"---", b"", b"c", b"text")
    events = twin.step(twin.swci, "put", key(1), header(), 3, 1, body)
    assert [e.name for e in events] == ["TaskCreated", "TaskWritten"]
    assert twin.step(twin.swci, "put", key(1), header(), 3, 1, body) == []
    (event,) = twin.step(twin.swci, "put", key(1), header(), 2, 2, body)
    assert (event.name, event.values["lines"]) == ("TaskWritten", 2)
    assert [e.name for e in twin.step(twin.swci, "replace", task, 3, 1, body)] == ["TaskWritten"]
    twin.look_at_tasks()
    root = twin.root(header(), [b"---", b"", b"c"], [b"text"])
    info = twin.info(task)
    assert info is not None
    assert (info.root, info.version) == (root, 0)
    for counts, given in (((2, 2), root), ((3, 1), key(1))):
        with refused("TaskTextDiffers", stored=root, given=given):
            twin.step(twin.swci, "finalise", task, *counts, given, *SIGNED)
    twin.step(twin.swci, "finalise", task, 3, 1, root, *SIGNED)
    assert twin.step(twin.swci, "put", key(1), header(), 3, 1, body) == []
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "put", key(1), header(), 1, 1, whole(b"a", b"b"))
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "replace", task, 1, 1, whole(b"a", b"b"))
    with refused("TaskFrozen", id=task, version=1):
        twin.step(twin.swci, "append", task, LINE, 0, [b"a"])
    twin.look_at_tasks()


def test_a_draft_is_whole_or_by_items(twin: TaskTwin) -> None:
    """The two ways of writing do not mix; a draft without any item may still become either."""
    first, second = draft(twin, 1), draft(twin, 2)
    twin.step(twin.swci, "append", first, TEXT, 0, [b"t"])
    with refused("TaskByItems", id=first):
        twin.step(twin.swci, "put", key(1), header(), 1, 1, whole(b"a", b"t"))
    with refused("TaskByItems", id=first):
        twin.step(twin.swci, "replace", first, 1, 1, whole(b"a", b"t"))
    twin.step(twin.swci, "replace", second, 1, 1, whole(b"a", b"t"))
    with refused("TaskWhole", id=second):
        twin.step(twin.swci, "append", second, LINE, 1, [b"b"])
    with refused("TaskWhole", id=second):
        twin.step(twin.swci, "write", key(2), header(), [Batch(LINE, 1, (b"b",))])
    twin.look_at_tasks()


def test_a_whole_body_has_the_bounds_of_its_items(twin: TaskTwin) -> None:
    """640 bytes a line, 1 to 4,096 a chunk, 96 KiB in all; its bytes are its items, no more and no fewer."""
    for counts, items, index, length, most in (
        ((2, 1), (b"", b"x" * 641, b"t"), 1, 641, 640),
        ((1, 2), (b"", b"t", b""), 1, 0, 4096),
        ((1, 2), (b"", b"t", b"x" * 4097), 1, 4097, 4096),
        ((1, 1), (b"x" * 641, b"t"), 0, 641, 640),
    ):
        with refused("TaskBadItem", index=index, bytesLength=length, bytesMax=most):
            twin.step(twin.swci, "put", key(1), header(), *counts, whole(*items))
    good = whole(b"a", b"b", b"text")
    for body in (good + b"x", good + whole(b"more"), good[:-1], good[:-4]):
        with refused("TaskBadBody", bytesLength=len(body), bytesMax=98_304):
            twin.step(twin.swci, "put", key(1), header(), 2, 1, body)
    with refused("TaskBadItem", index=0, bytesLength=0, bytesMax=4096):
        twin.step(twin.swci, "put", key(1), header(), 2, 1, whole(b"a", b"b"))
    with refused("TaskBadItem", index=1, bytesLength=2**32 - 1):
        twin.step(twin.swci, "put", key(1), header(), 2, 1, whole(b"a") + b"\xff" * 8)
    for counts, kind in (((0, 1), LINE), ((1, 0), TEXT)):
        with refused("TaskItemMissing", kind=kind, index=0):
            twin.step(twin.swci, "put", key(1), header(), *counts, good)
    for counts, kind, most in (((1025, 1), LINE, 1024), ((1, 17), TEXT, 16)):
        with refused("TaskTooLong", kind=kind, items=most + 1, itemsMax=most):
            twin.step(twin.swci, "put", key(1), header(), *counts, good)
    with refused("TaskBadBody", bytesLength=98_305, bytesMax=98_304):
        twin.step(twin.swci, "put", key(1), header(), 2, 1, b"x" * 98_305)
    assert twin.info(task_id(twin.swci, key(1))) is None
    largest = [b"x" * 640] * 52 + [b"y" * 4096] * 15 + [b"z" * (98_304 - 52 * 644 - 15 * 4100 - 4)]
    twin.step(twin.swci, "put", key(1), header(), 52, 16, whole(*largest))


def test_a_creator_has_16_open_drafts(twin: TaskTwin) -> None:
    """The 17th is refused; finalising or removing one makes room, and others have their own."""
    drafts = [draft(twin, number) for number in range(16)]
    with refused("TaskDraftsFull", drafts=16, draftsMax=16):
        draft(twin, 16)
    twin.step(twin.admin, "create", key(16), header())
    twin.look_at_tasks()
    twin.step(twin.swci, "remove", drafts[3])
    draft(twin, 16)
    twin.look_at_tasks()
    twin.step(twin.swci, "append", drafts[5], LINE, 0, [b"a"])
    twin.step(twin.swci, "append", drafts[5], TEXT, 0, [b"a"])
    twin.step(twin.swci, "finalise", drafts[5], 1, 1, twin.root(header(), [b"a"], [b"a"]), *SIGNED)
    draft(twin, 17)
    twin.look_at_tasks()
