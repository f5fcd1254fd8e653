"""The contracts of a task simulation: the models of Membership, Tasks and Taskrunners, with one runner and one task.

Owns the calls that nodes of a simulation make, as values, and what each does to the models; a state is never changed,
so that blocks can share it and be taken back.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from support.model.membership import MembershipModel, Tx
from support.model.taskrunners import TaskrunnersModel
from support.model.tasks import TasksModel
from swarm.chain.tasks import Batch
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import DEFAULT_RUNNER, ROOT_TASK, Address, Digest
from swarm.core.taskrun.asking import Lease
from swarm.core.taskrun.work import Result
from swarm.core.taskstatements import assignment_id, runner_id, task_id
from swarm.core.taskview import (
    Assignment,
    AssignmentPhase,
    ItemKind,
    Mine,
    Order,
    TaskHeader,
    TaskType,
)

RUNNER = runner_id(DEFAULT_RUNNER)
ENROL_TICKS = 40
EXPIRES = 10**9
SHARED = ("_members", "_tasks")
"""What a call to the runners reads and never changes."""
DEPLOYER = Address(b"\x01" * 20)
_KEY = Digest(b"\x07" * 32)
_HEADER = TaskHeader(TaskType.RUN_SWARM, "train", "author", ROOT_TASK, "outcome")
Refused = Reverted


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction: what it calls, and with what; ``by`` is an address."""

    by: Address
    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        who = {0x50: "swop", 0x60: "operator"}.get(self.by[0], "admitter")
        return f"{who} {self.by[1]}: {self.name} " + ", ".join(_shown(value) for value in self.arguments)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()[:8]
    if isinstance(value, Order):
        return f"key {value.key[-1]}, n {value.n}, named {[a[1] for a in value.named]}"
    if isinstance(value, tuple):
        return "; ".join(f"{pair} {'ok' if result.ok else 'failed'} {result.why.value}" for pair, result in value)
    return str(value)


def swop_address(swop: int) -> Address:
    return Address(bytes([0x50, swop]) + bytes(18))


def operator_address(operator: int) -> Address:
    return Address(bytes([0x60, operator]) + bytes(18))


@cache
def aid_of(operator: int, wish: int) -> Digest:
    """Of an operator's assignment number so and so: its key is the number."""
    return assignment_id(RUNNER, operator_address(operator), _key(wish))


def _key(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def assign(operator: int, wish: int, needed: int, named: tuple[int, ...], expect: int) -> Call:
    addresses = tuple(swop_address(swop) for swop in named)
    root = task_id(Address(bytes(20)), Digest(bytes(32)))
    order = Order(_key(wish), task_id(DEPLOYER, _KEY), root, needed, addresses, expect, ENROL_TICKS)
    return Call(operator_address(operator), "assign", (order, bytes(32), bytes(32)))


def invite(operator: int, aid: Digest, swop: int, attempt: int) -> Call:
    return Call(operator_address(operator), "invite", (aid, swop_address(swop), attempt))


def reset(operator: int, aid: Digest, *, force: bool) -> Call:
    return Call(operator_address(operator), "reset", (aid, force))


def abort(operator: int, aid: Digest) -> Call:
    return Call(operator_address(operator), "abort", (aid, "enough"))


def suspect(aid: Digest, operator: int) -> Call:
    return Call(operator_address(operator), "suspect", (aid,))


def expire(aid: Digest, operator: int) -> Call:
    return Call(operator_address(operator), "expire", (aid,))


def enrol(swop: int, aid: Digest, offer: int) -> Call:
    return Call(swop_address(swop), "enrol", (aid, offer))


def decline(swop: int, aid: Digest, fault: str) -> Call:
    return Call(swop_address(swop), "decline", (aid, fault.encode().ljust(32, b"\0"), Digest(bytes(32))))


def start(swop: int, aid: Digest) -> Call:
    return Call(swop_address(swop), "start", (aid,))


def renew(swop: int, aid: Digest, started: int) -> Call:
    return Call(swop_address(swop), "renew", (aid, started))


def report(swop: int, aid: Digest, attempt: int, results: tuple[tuple[int, Result], ...]) -> Call:
    return Call(swop_address(swop), "report", (aid, attempt, results))


def revoke(swop: int) -> Call:
    return Call(DEPLOYER, "revoke", (swop_address(swop),))


class Contract:
    """One state of the chain."""

    def __init__(self, members: MembershipModel, runners: TaskrunnersModel, time: int = 0) -> None:
        self._members, self._runners, self._time = members, runners, time
        self._views: dict[Any, Any] = {}
        self._written = b""

    @classmethod
    def fresh(cls, offers: list[int], *, operators: int, lease_seconds: int) -> Contract:
        """Members admitted, the task final, every SWOP following the runner."""
        members = MembershipModel(DEPLOYER)
        tx = Tx(DEPLOYER, 0, 0)
        roles = [(DEPLOYER, Role.SWCI)]
        roles += [(operator_address(o), Role.SWCI) for o in range(operators)]
        roles += [(swop_address(s), Role.SWOP) for s in range(len(offers))]
        for number, (address, role) in enumerate(roles):
            spki = bytes([0xAA, number]) + bytes(30)
            members.admit(tx, address, spki, bytes(32), bytes(32), role, EXPIRES)
        tasks = TasksModel(members, 0, 0)
        items = (Batch(ItemKind.LINE, 0, (b"---",)), Batch(ItemKind.TEXT, 0, (b"Name: train\n",)))
        tasks.write(tx, _KEY, _HEADER, items)
        task = task_id(DEPLOYER, _KEY)
        info = tasks._tasks[task]
        tasks.finalise(tx, task, 1, 1, info.root(1, 1), bytes(32), bytes(32))
        runners = TaskrunnersModel(members, tasks, lease_seconds)
        for swop, offer in enumerate(offers):
            runners.follow(Tx(swop_address(swop), 0, 0), RUNNER, offer)
        return cls(members, runners)

    @property
    def lease(self) -> Lease:
        return Lease(self._runners.lease, self._runners.grace_blocks)

    def after(self, call: Call, time: int, block: int) -> Contract:
        """The state after a call.

        Raises:
            Reverted: the contract refuses it.
        """
        tx = Tx(call.by, block, time)
        if call.name == "revoke":
            members, runners = copy.deepcopy((self._members, self._runners))
            members.revoke(tx, *call.arguments)
            return Contract(members, runners, time)
        made = Contract(self._members, self._runners_alone(), time)
        act: Callable[..., Any] = getattr(made._runners, call.name)
        arguments = call.arguments
        if call.name == "report":
            aid, attempt, results = arguments
            arguments = (aid, attempt, [result.report(pair) for pair, result in results])
        act(tx, RUNNER, *arguments)
        return made

    def _runners_alone(self) -> TaskrunnersModel:
        """The runners, for a call to change. It changes neither members nor tasks, so these two stay shared.

        Copied by way of pickle, once for all calls that this state sees: copying is most of what a seed costs.
        """
        if not self._written:
            self._written = pickle.dumps({k: v for k, v in vars(self._runners).items() if k not in SHARED}, -1)
        made = copy.copy(self._runners)
        vars(made).update(pickle.loads(self._written))
        return made

    # ---- views

    def mine(self, swop: int) -> Mine:
        return self._cached(("mine", swop), lambda: self._runners.mine(RUNNER, swop_address(swop)))

    def current(self) -> Assignment | None:
        return self._cached("state", lambda: self._runners.state(RUNNER).current)

    def assignment(self, aid: Digest) -> Assignment | None:
        return self._cached(aid, lambda: self._runners.assignment(aid))

    def ended(self, aid: Digest) -> bool:
        found = self.assignment(aid)
        return found is not None and found.phase is AssignmentPhase.ENDED

    def is_member(self, swop: int) -> bool:
        return self._members.is_active(swop_address(swop), self._time)

    def waiting(self) -> bool:
        """Whether block time must go on for somebody."""
        return self._runners.waiting() > 0

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._views:
            self._views[key] = make()
        return self._views[key]
