"""Tasks and runners at their bounds: 64 enrolled, 250 followers, 1,024 lines, a creator's 1,000 names; gas of each."""

from __future__ import annotations

import pytest
from support.crowd import batcher
from support.evm import person
from support.tasktwin import RUNNER, SIGNED, TaskTwin, header, key
from support.twin import FAR, refused
from swarm.chain.contract import Artifact
from swarm.chain.facade import GAS_SIMPLE
from swarm.chain.taskcodec import header_values
from swarm.chain.taskrunners import (
    GAS_ASSIGN,
    GAS_FOLLOW,
    GAS_INVITE,
    GAS_PER_NAMED,
    GAS_PER_PAIR,
    GAS_PER_REPORT,
    GAS_PER_ROW,
    GAS_REPORT,
    GAS_START,
)
from swarm.chain.tasks import GAS_CREATE, GAS_FINALISE, GAS_PER_HASH, Batch
from swarm.core.chain_view import Role
from swarm.core.ids import ZERO32, Address, sha256
from swarm.core.limits import RUNNER_FOLLOWERS_MAX, RUNNER_PAIRS_MAX, RUNNER_SWOPS_MAX
from swarm.core.taskstatements import task_id
from swarm.core.taskview import ItemKind, Outcome, Report
from swarm.sn.gateway import CALL_GAS_MAX

NAMES_MAX = 1_000
BATCH = 40


def test_64_swops_enrol_and_start() -> None:
    """The 65th is refused; the start of 64 and the views of their rows stay far below a block."""
    twin = TaskTwin(RUNNER_SWOPS_MAX + 1)
    aid = twin.assign(twin.task(), n=RUNNER_PAIRS_MAX)
    twin.evm.step = 0
    *first, last = reversed(twin.swops)
    twin.enrol(aid, dict.fromkeys(first, 5))
    with refused("RunnerFull", what="enrolled", count=64, max=64):
        twin.step(last, "enrol", RUNNER, aid, 5)
    twin.step(first[0], "start", RUNNER, aid)
    assert twin.gas < (GAS_START + GAS_PER_ROW * RUNNER_FOLLOWERS_MAX) / 2
    assert twin.assignment(aid).allotted == RUNNER_PAIRS_MAX
    twin.step(last, "follow", RUNNER, 1)
    twin.step(twin.swci, "invite", RUNNER, aid, last, 1)
    with refused("RunnerFull", what="swops", count=64, max=64):
        twin.step(last, "enrol", RUNNER, aid, 1)
    for function, arguments in (("peers", (aid, 0, 64)), ("mine", (RUNNER, first[0]))):
        data = twin.chain.runners.built.functions[function].encode(arguments)
        assert twin.evm.call_gas(twin.chain.runners.address, data) < CALL_GAS_MAX / 4


def test_250_pairs_of_one_swop_are_reported_and_run_again() -> None:
    """16 results a report; all 250 failed ones under the next attempt; one answer holds them all."""
    twin = TaskTwin(2)
    twin.follow(250)
    aid = twin.running([250, 1], 251 - 1)
    swop = twin.swops[0]
    count = twin.mine(swop).peer.allotted  # type: ignore[union-attr]
    twin.step(swop, "renew", RUNNER, aid, 2**256 - 1)
    text = sha256(b"text")
    reports = [Report(n, False, -1, "C" * 31, text, swop, n, text) for n in range(count)]
    for at in range(0, count, 16):
        twin.report(swop, aid, *reports[at : at + 16])
        assert twin.gas < GAS_REPORT + GAS_PER_REPORT * 16
    data = twin.chain.runners.built.functions["mine"].encode([RUNNER, swop])
    assert twin.evm.call_gas(twin.chain.runners.address, data) < CALL_GAS_MAX / 4
    twin.look()
    twin.step(twin.swci, "invite", RUNNER, aid, swop, 2)
    assert twin.gas < GAS_INVITE + GAS_PER_PAIR * RUNNER_PAIRS_MAX
    twin.look()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_250_followers_and_250_rows() -> None:
    """The 251st follower takes the place of one whose membership has ended, else it is refused; so with rows."""
    twin = TaskTwin(RUNNER_FOLLOWERS_MAX + 2)
    *swops, extra, other = twin.swops
    for swop in swops:
        twin.step(swop, "follow", RUNNER, 1)
        assert twin.gas < GAS_SIMPLE
    with refused("RunnerFull", what="followers", count=250, max=250):
        twin.step(extra, "follow", RUNNER, 1)
    twin.step(twin.admin, "revoke", swops[249])
    twin.step(extra, "follow", RUNNER, 1)
    assert twin.gas < GAS_FOLLOW / 2
    assert len(twin.chain.runners.ask("followers", RUNNER, 192, 64)) == 58
    twin.look()
    task = twin.task()
    aid = twin.assign(task, named=tuple(swops[:RUNNER_SWOPS_MAX]))
    assert twin.gas < GAS_ASSIGN + GAS_PER_NAMED * RUNNER_SWOPS_MAX
    twin.step(twin.swci, "reset", RUNNER, aid, True)
    aid = twin.assign(task, 2, n=1, expect=250)
    swops[249] = extra
    for swop in swops:
        twin.step(swop, "decline", RUNNER, aid, b"Busy".ljust(31, b"\0"), sha256(b"t"))
        assert twin.gas < 2 * GAS_SIMPLE
    for function, arguments in (("enrol", (1,)), ("decline", (bytes(31), bytes(32)))):
        with refused("RunnerFull", what="peers", count=250, max=250):
            twin.step(other, function, RUNNER, aid, *arguments)
    twin.step(swops[100], "enrol", RUNNER, aid, 1)
    twin.step(swops[100], "start", RUNNER, aid)
    assert twin.gas < GAS_START + GAS_PER_ROW * RUNNER_FOLLOWERS_MAX
    twin.look()


@pytest.mark.parametrize("lines", [96, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_task_of_as_many_lines_is_finalised(lines: int) -> None:
    """The gas that a facade gives for it is enough, and pages of hashes are whole."""
    twin = TaskTwin(0)
    items = [b"line %d" % place for place in range(lines)]
    chunks = [b"%d" % place for place in range(16)]
    for at in range(0, lines, 256):
        batches = [Batch(ItemKind.LINE, n, tuple(items[n : n + 4])) for n in range(at, min(at + 256, lines), 4)]
        twin.step(twin.swci, "write", key(1), header(), batches)
    text = [Batch(ItemKind.TEXT, n, tuple(chunks[n : n + 4])) for n in range(0, 16, 4)]
    twin.step(twin.swci, "write", key(1), header(), text)
    task = task_id(twin.swci, key(1))
    twin.step(twin.swci, "finalise", task, lines, 16, twin.root(header(), items, chunks), *SIGNED)
    assert twin.gas < GAS_FINALISE + GAS_PER_HASH * lines
    pages = (twin.chain.tasks.ask("hashes", task, ItemKind.LINE, at, 1000) for at in range(0, lines, 100))
    assert [word for page in pages for word in page] == twin.tasks.hashes(task, ItemKind.LINE)


def test_the_longest_header_costs_what_the_facade_gives() -> None:
    """Four texts of 640 bytes."""
    twin = TaskTwin(0)
    twin.step(twin.swci, "create", key(1), header(**dict.fromkeys(("name", "author", "prereq", "outcome"), "é" * 160)))
    long = dict.fromkeys(("name", "author", "prereq", "outcome"), "\U0001f41d" * 160)
    twin.step(twin.swci, "create", key(2), header(**long))
    assert twin.gas < GAS_CREATE


@pytest.mark.parametrize("count", [BATCH, pytest.param(NAMES_MAX, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_a_creator_has_1000_names(count: int) -> None:
    """More tasks under them, but no new name; every other creator has its own."""
    twin = TaskTwin(0)
    tasks = twin.chain.tasks
    size = len(_write(0, tasks))
    batch = twin.evm.deploy(twin.admin, Artifact.from_json("Batch", [], batcher(tasks.address, size)))
    member = (sha256(batch.address), ZERO32, ZERO32, Role.SWCI, FAR)
    twin.chain.membership.send(twin.admin, "admit", batch.address, *member)
    for at in range(0, count, BATCH):
        calls = b"".join(
            _write(n, tasks) + _finalise(n, n, batch.address, tasks).ljust(size, b"\0") for n in range(at, at + BATCH)
        )
        twin.evm.send(twin.admin, batch.address, calls, what="Batch")
    found = [tasks.ask("names", at, 1000) for at in range(0, count + 100, 100)]
    names = [name for page, _ in found for name in page]
    assert names == ["ROOTTASK", *(f"task {n:06d}" for n in range(count))]
    if count < NAMES_MAX:
        return
    again = _write(NAMES_MAX, tasks, name="task 000000")
    twin.evm.send(twin.admin, batch.address, again, what="Batch")
    more = _finalise(NAMES_MAX, 0, batch.address, tasks)
    twin.evm.send(twin.admin, batch.address, more.ljust(size, b"\0"), what="Batch")
    assert tuple(tasks.ask("latest", "task 000000"))[1] == 2
    twin.evm.send(twin.admin, batch.address, _write(NAMES_MAX + 1, tasks), what="Batch")
    with refused("TaskTooMany", tasks=NAMES_MAX, tasksMax=NAMES_MAX):
        refusal = _finalise(NAMES_MAX + 1, NAMES_MAX + 1, batch.address, tasks)
        twin.evm.ask(tasks.address, refusal, sender=batch.address)


def _write(number: int, tasks: object, name: str = "") -> bytes:
    batches = [(int(kind), 0, [b"x"]) for kind in ItemKind]
    made = header(name or f"task {number:06d}")
    data: bytes = tasks.built.functions["write"].encode([key(number), header_values(made), batches])  # type: ignore[attr-defined]
    return data


def _finalise(number: int, name: int, creator: Address, tasks: object) -> bytes:
    root = TaskTwin.root(header(f"task {name:06d}"), [b"x"], [b"x"])
    values = [task_id(creator, key(number)), 1, 1, root, *SIGNED]
    data: bytes = tasks.built.functions["finalise"].encode(values)  # type: ignore[attr-defined]
    return data


def test_what_ended_is_told_by_anybody() -> None:
    """An address that is no member may read everything: views ask nobody who they are."""
    twin = TaskTwin(1)
    aid = twin.running([1])
    twin.report(twin.swops[0], aid, Report(0, True, 0))
    data = twin.chain.runners.built.functions["assignment"].encode([aid])
    found = twin.chain.runners.built.functions["assignment"].decode_output(
        twin.evm.ask(twin.chain.runners.address, data, sender=person("stranger"))
    )
    assert found[0]["outcome"] == Outcome.COMPLETE
