"""Random histories of Tasks and Taskrunners: contract and model must agree after every step.

The model works out anew what the contracts count, so a count that is not kept shows here. Beside the comparison: what
has ended never changes, COMPLETE means that every allotted pair succeeded, and one key is one assignment.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.evm import person
from support.tasktwin import NO_AID, RUNNER, SIGNED, TaskTwin, header, key
from swarm.chain.tasks import Batch
from swarm.core.errors import Reverted
from swarm.core.ids import ROOT_TASK, Address, Digest, sha256
from swarm.core.taskstatements import assignment_id, header_hash, root_of, task_id
from swarm.core.taskview import AssignmentPhase, ItemKind, Outcome, PeerState, Report, TaskType

SWOPS = 4
PLACES = st.integers(0, SWOPS - 1)
ODD = st.integers(0, 9)
"""Mostly right, now and then not: 0 is wrong."""


@functools.cache
def _base() -> tuple[TaskTwin, tuple[Digest, ...]]:
    twin = TaskTwin(SWOPS)
    tasks = (
        twin.task(1, "build", task_type=TaskType.MAKE_USER_CONTAINER),
        twin.task(2, "run", prereq="build"),
        twin.task(3, "run", prereq="build"),
    )
    return twin, tasks


class _Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        base, self.made = _base()
        self.twin = copy.copy(base)
        self.kept = base.evm.snapshot()
        # Together, since the models know one another.
        copied = copy.deepcopy((base.members, base.tasks, base.runners))
        self.twin.members, self.twin.tasks, self.twin.runners = copied

    def teardown(self) -> None:
        self.twin.evm.revert_to(self.kept)

    def step(self, sender: Address, function: str, *arguments: Any) -> list[Any]:
        try:
            return self.twin.step(sender, function, *arguments)
        except Reverted:
            return []

    @rule(place=PLACES, function=st.sampled_from(["suspend", "resume", "resume", "extend"]), swci=st.booleans())
    def member(self, place: int, function: str, swci: bool) -> None:
        node = self.twin.swci if swci and place == 0 else self.twin.swops[place]
        values = (self.twin.evm.time + 150,) if function == "extend" else ()
        self.step(self.twin.admin, function, node, *values)


class Runners(_Machine):
    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[Digest, Any] = {}
        self.aids: list[Digest] = []

    def aid(self, odd: int) -> Digest:
        """The current assignment's; now and then an earlier one, or none."""
        current = self.twin.runners.state(RUNNER).current
        if odd == 0 and self.aids:
            return self.aids[len(self.aids) // 2]
        return current.aid if current else (self.aids[-1] if self.aids else NO_AID)

    def phase(self) -> AssignmentPhase:
        current = self.twin.runners.state(RUNNER).current
        return current.phase if current else AssignmentPhase.NONE

    @initialize(pairs=st.lists(st.integers(1, 5), min_size=SWOPS, max_size=SWOPS))
    def followers(self, pairs: list[int]) -> None:
        for swop, count in zip(self.twin.swops[1:], pairs, strict=False):
            self.step(swop, "follow", RUNNER, count)

    @rule(blocks=st.sampled_from([0, 1, 9, 10]), seconds=st.sampled_from([0, 1, 5, 29, 30, 59, 119, 120, 121, 300]))
    def skip(self, blocks: int, seconds: int) -> None:
        self.twin.evm.skip(blocks, seconds)

    @rule(place=PLACES, pairs=st.integers(0, 3))
    def follow(self, place: int, pairs: int) -> None:
        if pairs == 0:
            self.step(self.twin.swops[place], "unfollow", RUNNER)
        else:
            self.step(self.twin.swops[place], "follow", RUNNER, pairs)

    @rule(
        number=st.integers(1, 5), task=st.integers(0, 2), n=st.integers(1, 6), named=st.sets(PLACES), by_name=ODD,
        expect=st.integers(0, 5), enrol=st.sampled_from([10, 60, 300]), admin=st.booleans(), odd=ODD,
    )  # fmt: skip
    def assign(
        self, number: int, task: int, n: int, named: set[int],
        by_name: int, expect: int, enrol: int, admin: bool, odd: int,
    ) -> None:  # fmt: skip
        twin = self.twin
        swops = tuple(twin.swops[place] for place in sorted(named)) if by_name < 4 else ()
        prereq = twin.tasks.latest("build" if task and odd else ROOT_TASK)
        assert prereq is not None
        chosen = {"n": 0 if swops and odd != 1 else n, "named": swops, "expect": expect, "enrol_seconds": enrol}
        order = twin.order(self.made[task], number, prereq=prereq[0], **chosen)
        who = twin.admin if admin else twin.swci
        aid = assignment_id(RUNNER, who, order.key)
        known = twin.runners.assignment(aid)
        events = self.step(who, "assign", RUNNER, order, *SIGNED)
        if any(e.name == "Assigned" for e in events):
            assert known is None
            self.aids.append(aid)
        elif events:
            assert known is not None

    @rule(offers=st.dictionaries(PLACES, st.integers(1, 4), min_size=1), odd=ODD)
    def enrol(self, offers: dict[int, int], odd: int) -> None:
        for place, offer in offers.items():
            aid = self.aid(odd)
            found = self.twin.runners.assignment(aid)
            single = found is not None and found.task_type is not TaskType.RUN_SWARM and odd != 1
            self.step(self.twin.swops[place], "enrol", RUNNER, aid, 1 if single else offer)

    @rule(place=PLACES, odd=ODD, why=st.sampled_from([b"", b"NoImage"]))
    def decline(self, place: int, odd: int, why: bytes) -> None:
        if odd > 4 and self.phase() is AssignmentPhase.ASSIGNED:
            return  # most histories should come to a start
        self.step(self.twin.swops[place], "decline", RUNNER, self.aid(odd), why.ljust(31, b"\0"), sha256(why))

    @rule(place=PLACES, odd=ODD)
    def start(self, place: int, odd: int) -> None:
        aid = self.aid(odd)
        events = self.step(self.twin.swops[place], "start", RUNNER, aid)
        if events:
            found = self.twin.runners.assignment(aid)
            assert found is not None
            assert found.allotted == (found.n if not found.named else found.offered)

    @rule(
        n=st.integers(1, 5), wait=st.sampled_from([5, 6]), number=st.integers(6, 60),
        then=st.sampled_from(["", "finish", "fail", "word", "silence", "again"]),
    )  # fmt: skip
    def go(self, n: int, wait: int, number: int, then: str) -> None:
        """A whole way from free to running, where it can be gone, and often on to an end."""
        current = self.twin.runners.state(RUNNER).current
        if current is not None and not current.busy:
            self.step(self.twin.swci, "reset", RUNNER, current.aid, False)
        self.assign(number, 1, n, set(), 9, 0, 300, False, 9)
        self.enrol({place: 1 + (place + n) % 3 for place in range(SWOPS)}, 9)
        self.twin.evm.skip(0, wait)
        for place in range(SWOPS):
            if self.phase() is AssignmentPhase.ASSIGNED:
                self.start(place, 9)
        if then in ("finish", "fail"):
            self.finish(then == "finish")
        elif then in ("word", "silence"):
            self.silence(9, (10, 30), then == "word", n % SWOPS)
        elif then == "again":
            self.report(0, 9, 9, [(0, False, 0), (1, False, 0), (2, False, 0), (3, False, 0)])
            self.invite(0, 9, 0, True)

    @rule(place=PLACES, bits=st.integers(0, 2**8), odd=ODD)
    def renew(self, place: int, bits: int, odd: int) -> None:
        self.step(self.twin.swops[place], "renew", RUNNER, self.aid(odd), bits)

    @rule(
        place=PLACES, odd=ODD, attempt=ODD, results=st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from([True, True, True, False]), st.integers(0, 1)),
            min_size=1, max_size=4,
        ),
    )  # fmt: skip
    def report(self, place: int, odd: int, attempt: int, results: list[tuple[int, bool, int]]) -> None:
        aid, swop = self.aid(odd), self.twin.swops[place]
        rows = {row.swop: row for row in self.twin.runners.peers(aid)}
        number = rows[swop].attempt if swop in rows else 1
        most = rows[swop].allotted if swop in rows else 0
        said = [
            Report(pair if attempt == 1 or not most else pair % most, ok, 0 if ok else code + 1, "" if ok else "Error")
            for pair, ok, code in results
        ]
        self.step(swop, "report", RUNNER, aid, max(0, number - (attempt == 0)), said)

    @rule(good=st.booleans())
    def finish(self, good: bool) -> None:
        """Everybody reports what is open."""
        aid = self.aid(9)
        for row in self.twin.runners.peers(aid):
            pairs = self.twin.runners.pairs(aid, row.swop)
            said = [Report(n, good or n > 0, 0) for n, pair in enumerate(pairs) if pair.open]
            if said:
                self.step(row.swop, "report", RUNNER, aid, row.attempt, said)

    @rule(place=PLACES, odd=ODD, attempt=st.integers(0, 3), right=st.booleans())
    def invite(self, place: int, odd: int, attempt: int, right: bool) -> None:
        aid, swop = self.aid(odd), self.twin.swops[place]
        rows = {row.swop: row for row in self.twin.runners.peers(aid)}
        following = rows[swop].attempt + 1 if swop in rows else 1
        self.step(self.twin.swci, "invite", RUNNER, aid, swop, following if right else attempt)

    @rule(odd=ODD, force=st.integers(0, 3), abort=st.integers(0, 7))
    def end(self, odd: int, force: int, abort: int) -> None:
        if abort == 0:
            self.step(self.twin.swci, "abort", RUNNER, self.aid(odd), "why not")
        else:
            self.step(self.twin.admin, "reset", RUNNER, self.aid(odd), force == 0)

    @rule(odd=ODD, waits=st.sampled_from([(10, 30), (10, 30), (9, 40), (30, 28)]), word=st.booleans(), place=PLACES)
    def silence(self, odd: int, waits: tuple[int, int], word: bool, place: int) -> None:
        """A lease without a word, the two steps of an expiry, and maybe a word between them."""
        anybody = self.twin.swops[0]
        self.twin.evm.skip(1, 121)
        self.step(anybody, "suspect", RUNNER, self.aid(odd))
        if word:
            self.renew(place, 1, 9)
        self.twin.evm.skip(waits[0] - 1, waits[1] - 1)
        self.step(anybody, "expire", RUNNER, self.aid(odd))

    @rule(function=st.sampled_from(["suspect", "expire"]), odd=ODD)
    def overdue(self, function: str, odd: int) -> None:
        self.step(person("nobody") if odd == 1 else self.twin.admin, function, RUNNER, self.aid(odd))

    @invariant()
    def both_see_the_same(self) -> None:
        twin = self.twin
        twin.state()
        twin.mine(twin.swops[len(self.aids) % SWOPS])
        assert twin.chain.runners.ask("waiting") == twin.runners.waiting()
        for aid in self.aids[-1:]:
            found = twin.assignment(aid)
            rows = twin.runners.peers(aid)
            assert sum(row.state is PeerState.IN for row in rows) == found.swops
            if found.outcome is Outcome.COMPLETE:
                assert found.succeeded == found.allotted > 0
        for aid in self.aids:
            model = twin.runners.assignment(aid)
            assert model is not None
            if model.phase is AssignmentPhase.ENDED:
                record = dataclasses.replace(model, reset_by=Address(bytes(20)), reset_time=0)
                assert self.ended.setdefault(aid, record) == record

    @rule()
    def look(self) -> None:
        self.twin.look()


class Tasks(_Machine):
    KEYS = st.integers(10, 13)
    NAMES = st.sampled_from(["run", "build", "new", ROOT_TASK])

    @rule(
        number=KEYS, name=NAMES, prereq=NAMES, admin=st.booleans(), kind=st.sampled_from(list(TaskType)),
        good=st.integers(0, 3),
    )  # fmt: skip
    def create(self, number: int, name: str, prereq: str, admin: bool, kind: TaskType, good: int) -> None:
        made = header("new", prereq="build") if good else header(name, prereq=prereq, task_type=kind)
        self.step(self.who(admin), "create", key(number), made)

    @rule(
        number=KEYS, admin=st.booleans(), kind=st.sampled_from(list(ItemKind)), first=st.integers(0, 4),
        items=st.lists(st.sampled_from([b"", b"a", b"b", b"c"]), max_size=5), mine=st.integers(0, 4),
    )  # fmt: skip
    def append(self, number: int, admin: bool, kind: ItemKind, first: int, items: list[bytes], mine: int) -> None:
        task = task_id(self.who(admin), key(number))
        self.step(self.who(admin) if mine else self.twin.admin, "append", task, kind, first, items)

    @rule(
        number=KEYS, admin=st.booleans(), lines=st.integers(1, 9), chunks=st.integers(1, 5),
        last=st.sampled_from([b"t", b"t", b"u", b""]),
    )  # fmt: skip
    def write(self, number: int, admin: bool, lines: int, chunks: int, last: bytes) -> None:
        made = header("new", prereq="build")
        body = {ItemKind.LINE: [b"%d" % n for n in range(lines)], ItemKind.TEXT: [b"t"] * (chunks - 1) + [last]}
        batches = [Batch(k, at, tuple(v[at : at + 4])) for k, v in body.items() for at in range(0, len(v), 4)]
        self.step(self.who(admin), "write", key(number), made, batches)

    @rule(
        number=KEYS,
        admin=st.booleans(),
        items=st.lists(st.sampled_from([b"", b"a", b"b" * 40]), min_size=1, max_size=6),
        chunks=st.integers(0, 3),
        cut=ODD,
        again=st.booleans(),
    )
    def put(self, number: int, admin: bool, items: list[bytes], chunks: int, cut: int, again: bool) -> None:
        raw = b"".join(len(item).to_bytes(4, "big") + item for item in [*items, *[b"t"] * chunks])
        body = (len(items), chunks, raw[:-1] if cut == 0 else raw)
        if again:
            self.step(self.who(admin), "replace", task_id(self.who(admin), key(number)), *body)
        else:
            self.step(self.who(admin), "put", key(number), header("new", prereq="build"), *body)

    @rule(
        number=KEYS, admin=st.booleans(), fewer=st.sampled_from([0, 0, 0, 1]), more=st.sampled_from([0, 0, 0, 1]),
        root=ODD,
    )  # fmt: skip
    def finalise(self, number: int, admin: bool, fewer: int, more: int, root: int) -> None:
        task = task_id(self.who(admin), key(number))
        info = self.twin.tasks.info(task)
        lines, chunks = (max(0, info.lines - fewer), info.chunks + more) if info else (1, 1)
        hashes = [(self.twin.tasks.hashes(task, kind) + [NO_AID] * 9) for kind in ItemKind]
        of = header_hash(info.header) if info and root else NO_AID
        said = root_of(of, hashes[0][:lines], hashes[1][:chunks])
        if info and any(info.root) and root:
            said = info.root
        self.step(self.who(admin), "finalise", task, lines, chunks, said, *SIGNED)

    @rule(number=KEYS, admin=st.booleans(), really=st.integers(0, 3))
    def remove(self, number: int, admin: bool, really: int) -> None:
        if really == 0:
            self.step(self.who(admin), "remove", task_id(self.who(admin), key(number)))

    def who(self, admin: bool) -> Address:
        return self.twin.admin if admin else self.twin.swci

    @invariant()
    def both_see_the_same(self) -> None:
        for task in self.twin.tasks.ids()[-2:]:
            self.twin.info(task)
        assert len(self.twin.chain.tasks.ask("names", 0, 100)[0]) == len(self.twin.tasks.names())

    @rule()
    def look(self) -> None:
        self.twin.look_at_tasks()


BUDGET = settings(
    max_examples=5,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", [Runners, Tasks])
def test_contract_and_model_agree_over_random_histories(machine: type[_Machine]) -> None:
    """Every call ends alike on both sides, with the same events, refusals and views."""
    run_state_machine_as_test(machine, settings=BUDGET)  # type: ignore[no-untyped-call]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [Runners, Tasks])
def test_contract_and_model_agree_over_many_longer_histories(machine: type[_Machine]) -> None:
    """The same with over a hundred times the steps."""
    run_state_machine_as_test(machine, settings=settings(BUDGET, max_examples=250, stateful_step_count=60))  # type: ignore[no-untyped-call]
