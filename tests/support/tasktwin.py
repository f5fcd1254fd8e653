"""Tasks and Taskrunners beside their Python models: every step must end alike, with equal events and views.

Members are `admin` (SN), `swci`, and SWOPs ascending by address; none has a key, since no contract looks at signatures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from support.evm import Chain, Contract, deployed, person
from support.model.membership import Event, MembershipModel, Tx
from support.model.taskrunners import TaskrunnersModel
from support.model.tasks import TasksModel
from support.twin import FAR
from swarm.chain.names import snake
from swarm.chain.taskcodec import (
    header_values,
    order_values,
    read_assignment,
    read_follower,
    read_info,
    read_pair,
    read_peer,
    report_values,
)
from swarm.chain.tasks import Batch
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_RUNNER, ROOT_TASK, ZERO32, Address, Digest, sha256
from swarm.core.limits import TASK_LEASE_SECONDS
from swarm.core.taskstatements import assignment_id, header_hash, item_hash, root_of, runner_id, task_id
from swarm.core.taskview import (
    Assignment,
    ItemKind,
    Mine,
    Order,
    Report,
    RunnerState,
    RunnerView,
    TaskHeader,
    TaskInfo,
    TaskType,
)

RUNNER = runner_id(DEFAULT_RUNNER)
ROOT = task_id(Address(bytes(20)), Digest(ZERO32))
NO_AID = Digest(ZERO32)
SIGNED = (b"r" * 32, b"v" * 32)
"""What goes where a signature goes: no contract looks at it."""
_MEMBERSHIP = ("admit", "suspend", "resume", "extend", "revoke")


def key(number: int) -> Digest:
    return Digest(sha256(b"key %d" % number))


def header(name: str = "task", **fields: Any) -> TaskHeader:
    values = {"task_type": TaskType.RUN_SWARM, "author": "me", "prereq": ROOT_TASK, "outcome": "image", **fields}
    return TaskHeader(name=name, **values)


class TaskTwin:
    def __init__(self, swops: int = 3, *, lease: int = TASK_LEASE_SECONDS) -> None:
        self.chain: Chain = deployed(task_lease=lease)
        self.evm, self.admin, self.swci = self.chain.evm, self.chain.admin, person("swci")
        self.swops = sorted(person(f"swop {i}") for i in range(swops))
        self.members = MembershipModel(self.admin)
        made = self.chain.tasks.ask("info", ROOT)
        self.tasks = TasksModel(self.members, made["created"], made["createdTime"])
        self.runners = TaskrunnersModel(self.members, self.tasks, lease)
        self.gas = 0
        for who, role in ((self.admin, Role.SN), (self.swci, Role.SWCI), *((s, Role.SWOP) for s in self.swops)):
            self.admit(who, role)

    # ---- steps on both sides ------------------------------------------------------------------------

    def step(self, sender: Address, function: str, *arguments: Any) -> list[Event]:
        """One call on contract and model; which contract follows from the function.

        Raises:
            Reverted: both refused, with the same name and values.
        """
        model, real = self._sides(function)
        tx = Tx(sender, self.evm.number + 1, self.evm.time + self.evm.step)
        wanted = _outcome(lambda: getattr(model, snake(function))(tx, *arguments))
        found = _outcome(lambda: real.send(sender, function, *map(_encoded, arguments)))
        if isinstance(found, Reverted) and isinstance(wanted, Reverted):
            assert (found.name, found.values) == (wanted.name, wanted.values)
            raise found
        assert not isinstance(found, Reverted), f"{function}: only the contract refused: {found}"
        assert not isinstance(wanted, Reverted), f"{function}: only the model refused: {wanted}"
        assert [_event(e) for e in found.events] == wanted, function
        self.gas = found.gas
        return wanted

    def admit(self, node: Address, role: Role, *, expires: int = FAR) -> None:
        self.step(self.admin, "admit", node, sha256(node), ZERO32, sha256(b"site"), role, expires)

    def task(
        self, number: int = 1, name: str = "task", *, lines: int = 1, by: Address | None = None, **fields: Any
    ) -> Digest:
        """A final task, written and finalised by the SWCI."""
        who, made = by or self.swci, header(name, **fields)
        items = [b"line %d" % place for place in range(lines)]
        batches = [Batch(ItemKind.LINE, at, tuple(items[at : at + 4])) for at in range(0, lines, 4)]
        self.step(who, "write", key(number), made, [*batches, Batch(ItemKind.TEXT, 0, (b"text",))])
        task = task_id(who, key(number))
        self.step(who, "finalise", task, lines, 1, self.root(made, items, [b"text"]), *SIGNED)
        return task

    @staticmethod
    def root(made: TaskHeader, lines: Sequence[bytes], chunks: Sequence[bytes]) -> Digest:
        return root_of(header_hash(made), list(map(item_hash, lines)), list(map(item_hash, chunks)))

    def follow(self, pairs: int = 1, swops: Sequence[Address] | None = None) -> None:
        for swop in self.swops if swops is None else swops:
            self.step(swop, "follow", RUNNER, pairs)

    def assign(self, task: Digest, number: int = 1, *, by: Address | None = None, **fields: Any) -> Digest:
        """Assigns to the default runner; the aid."""
        who = by or self.swci
        order = self.order(task, number, **fields)
        self.step(who, "assign", RUNNER, order, *SIGNED)
        return assignment_id(RUNNER, who, order.key)

    @staticmethod
    def order(task: Digest, number: int = 1, **fields: Any) -> Order:
        values = {"prereq": ROOT, "n": 0 if fields.get("named") else 1, **fields}
        return Order(key(number), task, **values)

    def enrol(self, aid: Digest, offers: dict[Address, int]) -> None:
        for swop, offer in offers.items():
            self.step(swop, "enrol", RUNNER, aid, offer)

    def running(self, offers: Sequence[int], n: int | None = None, number: int = 1, **fields: Any) -> Digest:
        """An assignment that has started with these offers of the first SWOPs."""
        task = self.tasks.latest("task")
        aid = self.assign(task[0] if task else self.task(), number, **{"n": n or sum(offers), **fields})
        self.enrol(aid, dict(zip(self.swops, offers, strict=False)))
        self.step(self.swops[0], "start", RUNNER, aid)
        return aid

    def report(self, swop: Address, aid: Digest, *reports: Report, attempt: int = 1) -> list[Event]:
        return self.step(swop, "report", RUNNER, aid, attempt, list(reports))

    # ---- what both see ------------------------------------------------------------------------------

    def info(self, task: Digest) -> TaskInfo | None:
        raw = read_info(self.chain.tasks.ask("info", task))
        found = raw if raw.created_time else None
        assert found == self.tasks.info(task)
        return found

    def state(self, runner: Digest = RUNNER) -> RunnerView:
        shown, busy, raw = self.chain.runners.ask("state", runner)
        current = read_assignment(raw)
        found = RunnerView(RunnerState(shown), busy, current if any(current.aid) else None)
        assert found == self.runners.state(runner)
        return found

    def assignment(self, aid: Digest) -> Assignment:
        found = read_assignment(self.chain.runners.ask("assignment", aid))
        assert found == self.runners.assignment(aid)
        return found

    def mine(self, swop: Address, runner: Digest = RUNNER) -> Mine:
        raw_current, raw_peer, raw_pairs = self.chain.runners.ask("mine", runner, swop)
        current, peer = read_assignment(raw_current), read_peer(raw_peer)
        pairs = tuple(map(read_pair, raw_pairs))
        found = Mine(current if any(current.aid) else None, peer if any(peer.swop) else None, pairs)
        assert found == self.runners.mine(runner, swop)
        return found

    def look(self, runner: Digest = RUNNER) -> None:
        """Every view of the runner and its assignments, the same on both sides."""
        ask = self.chain.runners.ask
        self.state(runner)
        for swop in self.swops:
            self.mine(swop, runner)
        history = tuple(map(read_assignment, ask("history", runner, 1, 64)))
        assert history == self.runners.history(runner)[:64]
        for line in history[-2:]:
            rows = tuple(map(read_peer, ask("peers", line.aid, 0, 64)))
            assert rows == self.runners.peers(line.aid)[:64]
            for row in rows:
                pairs = tuple(map(read_pair, ask("pairs", line.aid, row.swop, 0, 64)))
                assert pairs == self.runners.pairs(line.aid, row.swop)[:64]
        followers = tuple(map(read_follower, ask("followers", runner, 0, 64)))
        assert followers == self.runners.followers(runner, self.evm.time)[:64]
        assert ask("waiting") == self.runners.waiting()
        assert dict(zip(*ask("runners", 0, 64), strict=True)) == self.runners.runners()

    def look_at_tasks(self) -> None:
        """Every list of tasks, and each of their records, the same on both sides."""
        ask = self.chain.tasks.ask
        names = list(zip(*ask("names", 0, 100), strict=True))
        assert names == self.tasks.names()
        for name, _ in names:
            ids = ask("versions", name, 0, 100)
            assert ids == self.tasks.versions(name)
            assert tuple(ask("latest", name)) == self.tasks.latest(name)
            assert [ask("version", name, number) for number in range(len(ids) + 2)] == [ZERO32, *ids, ZERO32]
        for who in (self.swci, self.admin):
            assert set(ask("draftsOf", who, 0, 100)) == self.tasks.drafts_of(who)
        for task in self.tasks.ids():
            self.info(task)
            for kind in ItemKind:
                assert ask("hashes", task, kind, 0, 100) == self.tasks.hashes(task, kind)[:100]

    def _sides(self, function: str) -> tuple[Any, Contract]:
        if function in _MEMBERSHIP:
            return self.members, self.chain.membership
        if function in self.chain.tasks.built.functions:
            return self.tasks, self.chain.tasks
        return self.runners, self.chain.runners


def _encoded(value: Any) -> Any:
    if isinstance(value, TaskHeader):
        return header_values(value)
    if isinstance(value, Order):
        return order_values(value)
    if isinstance(value, list):
        return [_encoded(one) for one in value]
    if isinstance(value, Report):
        return report_values(value)
    if isinstance(value, Batch):
        return int(value.kind), value.first, list(value.items)
    return value


def _outcome(act: Any) -> Any:
    try:
        return act()
    except Reverted as fault:
        return fault


def _event(event: Any) -> Event:
    return Event(type(event).__name__, {f.name: getattr(event, f.name) for f in dataclasses.fields(event)})
