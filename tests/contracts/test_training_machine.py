"""Random histories of Membership and Training: contract and model must agree after every step.

The model works out anew what the contract caches (rosters above all), so a cache that is used where it does not
hold shows here. Invariants V1 and V4 are checked beside the comparison.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.evm import person
from support.twin import DONE, FAR, JOB, OBSERVER, Twin
from swarm.chain.keys import LocalSigner
from swarm.core.chain_view import JobState, Phase, Role, Status
from swarm.core.errors import Reverted
from swarm.core.ids import Digest, sha256
from swarm.core.roster import Roster, leader

NODES = 6
PLACES = st.integers(0, NODES - 1)
SUBSETS = st.sets(PLACES)
RESCUE = (10, 120)
BROKEN = ("none",) * 12 + ("leader", "inputs", "manifest", "signature", "ack", "name", "roster", "order")


@functools.cache
def _base() -> Twin:
    return Twin(NODES)


class Contracts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        base = _base()
        self.twin = copy.copy(base)
        # Trie nodes are kept by hash, so all histories share one store and only the root differs.
        self.twin.chain = base.chain
        self.kept = base.evm.snapshot()
        self.twin.members, self.twin.model = copy.deepcopy((base.members, base.model))
        self.commits: dict[tuple[int, int], int] = {}
        self.lost: list[LocalSigner] = []
        """Whose keys are lost: they may have signed before."""
        self.refusals = 0

    def teardown(self) -> None:
        self.twin.evm.revert_to(self.kept)

    def step(self, contract: str, sender: Any, function: str, *arguments: Any) -> list[Any]:
        try:
            return self.twin.step(contract, sender, function, *arguments)
        except Reverted:
            self.refusals += 1
            return []

    # ---- membership ---------------------------------------------------------------------------------

    @rule(place=PLACES, function=st.sampled_from(["suspend", "resume", "resume", "extend", "revoke"]))
    def member(self, place: int, function: str) -> None:
        node = self.twin.nodes[place].address
        status = self.twin.members.member(node).status
        if status is Status.REVOKED and function == "resume":
            self.step("Membership", self.twin.admin, "admit", node, node.ljust(32), bytes(32), bytes(32), Role.SL, FAR)
        elif function == "extend":
            self.step("Membership", self.twin.admin, "extend", node, self.twin.evm.time + 150)
        else:
            self.step("Membership", self.twin.admin, function, node)

    @rule(place=PLACES, by_admin=st.sampled_from([True, True, False]))
    def succeed(self, place: int, by_admin: bool) -> None:
        """A node's key is lost; if that is taken, its heir stands at its place from then on."""
        old = self.twin.nodes[place]
        heir = LocalSigner(sha256(b"heir of" + old.address))
        sender = self.twin.admin if by_admin else old.address
        if self.step("Membership", sender, "succeed", old.address, heir.address, FAR):
            self.twin.nodes = [*self.twin.nodes[:place], heir, *self.twin.nodes[place + 1 :]]
            self.twin.by_address = {**self.twin.by_address, heir.address: heir}
            self.lost.append(old)

    @rule(
        place=st.integers(-1, NODES - 1), length=st.sampled_from([0, 30, 257]), enode=st.sampled_from(["", "e" * 257])
    )
    def announce(self, place: int, length: int, enode: str) -> None:
        """By the SN (place -1) and by others, with texts of all lengths."""
        who = self.twin.admin if place < 0 else self.twin.nodes[place].address
        self.step("Membership", who, "announce", "u" * length, enode, who)

    @rule(blocks=st.sampled_from([0, 1, *RESCUE[:1]]), seconds=st.sampled_from([0, 1, 30, 119, 120, 121, 200]))
    def skip(self, blocks: int, seconds: int) -> None:
        self.twin.evm.skip(blocks, seconds)

    # ---- joining ------------------------------------------------------------------------------------

    @initialize(count=st.integers(2, 5), min_peers=st.integers(1, 3), unwilling=SUBSETS)
    def founders(self, count: int, min_peers: int, unwilling: set[int]) -> None:
        for place in range(count):
            node = self.twin.nodes[place].address
            self.step("Training", node, "join", JOB, "", min_peers, place not in unwilling)

    @rule(places=st.lists(PLACES, min_size=1, unique=True), min_peers=st.integers(1, 3), eligible=st.booleans())
    def join(self, places: list[int], min_peers: int, eligible: bool) -> None:
        for place in places:
            node = self.twin.nodes[place].address
            seat = next((j for j in self.twin.model.joiners_of(JOB) if j.node == node), None)
            if len(places) > 1 and seat is not None and seat.joined:
                continue
            self.step("Training", node, "join", JOB, "https://n", min_peers, eligible or place % 2 == 0)

    @rule(place=PLACES)
    def leave(self, place: int) -> None:
        self.step("Training", self.twin.nodes[place].address, "leave", JOB)

    @rule(place=PLACES, draw=st.integers(0, 19))
    def end(self, place: int, draw: int) -> None:
        """Closing reports and resets: rarely by force, else they would end most histories early."""
        state = self.twin.model.state(JOB)
        if draw < 8:
            self.step("Training", self.twin.nodes[place].address, "close", JOB, state.run - draw % 2, 1, -1)
        elif state.phase is Phase.COMPLETE or draw < 10:
            sender = self.twin.nodes[place].address if draw == 8 else self.twin.admin
            self.step("Training", sender, "reset", JOB, draw == 9)

    # ---- rounds -------------------------------------------------------------------------------------

    @precondition(lambda self: self.twin.model.state(JOB).phase is Phase.OPEN)
    @rule(
        without=SUBSETS, more=SUBSETS, flags=st.sampled_from([0, 0, DONE, DONE, OBSERVER, DONE | OBSERVER]),
        still=SUBSETS, attempt=st.sampled_from([0, 0, 1, 5, 2**31]), silent=st.sets(PLACES, max_size=2),
        broken=st.sampled_from(BROKEN),
    )  # fmt: skip
    def commit(
        self,
        without: set[int],
        more: set[int],
        flags: int,
        still: set[int],
        attempt: int,
        silent: set[int],
        broken: str,
    ) -> None:
        twin, state = self.twin, self.twin.model.state(JOB)
        roster = twin.model.roster_of(JOB)
        members = set(roster.addresses)
        name = twin.name()
        items = []
        everybody = sorted(enumerate([*twin.nodes, *self.lost]), key=lambda one: one[1].address)
        for place, node in everybody:
            member = node.address in members and not (place in without and len(members) > 3)
            if member or (place in more and place in without):
                items.append(twin.contribution(node, name, flags=0 if place in still else flags))
        acks = [n for p, n in everybody if n.address in members and p not in silent]
        manifest = state.manifest if state.round else Digest(b"\1" * 32)
        bundle = twin.bundle(items, acks=acks, attempt=attempt, manifest=manifest)
        events = self.step("Training", person("anybody"), "commit", [_break(twin, bundle, broken)])
        if events:
            self._recorded(state, len(items), len(acks), roster)

    @precondition(lambda self: self.twin.model.state(JOB).phase is Phase.OPEN)
    @rule(flags=st.lists(st.sampled_from([0, 0, 0, DONE]), min_size=1, max_size=3))
    def good_rounds(self, flags: list[int]) -> None:
        """Rounds of the whole roster, some of them the last."""
        for each in flags:
            if self.twin.model.state(JOB).phase is Phase.OPEN:
                self.commit(set(), set(), each, set(), 0, set(), "none")

    def _recorded(self, state: JobState, items: int, acks: int, roster: Roster) -> None:
        """V1 and V4: one commit a round, never with fewer than minPeers nor without a majority of the roster."""
        place = (state.run, state.round)
        assert place not in self.commits
        self.commits[place] = items
        assert items >= state.min_peers
        assert acks >= roster.majority

    # ---- call, here, settle -------------------------------------------------------------------------

    @precondition(lambda self: self.twin.model.state(JOB).phase is Phase.OPEN)
    @rule(
        by=PLACES, silent=SUBSETS, done=st.sampled_from([DONE, DONE, 0]), still=st.sets(PLACES, max_size=1),
        between=st.sampled_from(["", "", "", "leave", "suspend", "commit"]), who=PLACES,
        waited=st.sampled_from([(10, 120), (10, 120), (9, 119), (0, 300), (25, 300)]), settled=st.booleans(),
    )  # fmt: skip
    def call(
        self, by: int, silent: set[int], done: int, still: set[int],
        between: str, who: int, waited: tuple[int, int], settled: bool,
    ) -> None:  # fmt: skip
        """A whole call with what may come between; some are left open for later steps."""
        s = self.twin.model.state(JOB)
        self.step("Training", self.twin.nodes[by].address, "call", JOB, s.run, s.round, s.epoch)
        call_id = self.twin.model.state(JOB).call_id
        for place in range(NODES):
            if place not in silent:
                finished = bool(done) and place not in still
                self.step("Training", self.twin.nodes[place].address, "here", JOB, call_id, finished)
        node = self.twin.nodes[who].address
        if between == "leave":
            self.step("Training", node, "leave", JOB)
        elif between == "suspend":
            self.step("Membership", self.twin.admin, "suspend", node)
        elif between == "commit":
            self.commit(set(), set(), 0, set(), 0, set(), "none")
        self.twin.evm.skip(*waited)
        if settled:
            self.settle()

    @rule(place=PLACES, done=st.booleans())
    def here(self, place: int, done: bool) -> None:
        call_id = self.twin.model.state(JOB).call_id
        self.step("Training", self.twin.nodes[place].address, "here", JOB, call_id, done)

    @rule()
    def settle(self) -> None:
        before = self.twin.model.state(JOB)
        events = self.step("Training", person("anybody"), "settle", JOB, before.call_id)
        if events and events[0].name == "Reformed":
            roster = self.twin.model.roster_of(JOB)
            assert len(roster) >= before.min_peers
            assert self.twin.model.state(JOB).round == before.round

    # ---- after every step ---------------------------------------------------------------------------

    @invariant()
    def both_see_the_same(self) -> None:
        twin = self.twin
        state = twin.state()
        roster = twin.roster()
        twin.joiners()
        if state.started:
            expected = leader(roster, JOB, state.run, state.round, 3)
            assert twin.chain.training.ask("leaderOf", JOB, 3) == (expected or bytes(20))
        assert twin.chain.membership.ask("version") == twin.members.version


def _break(twin: Twin, bundle: Any, how: str) -> Any:
    """One thing wrong with a bundle; the contract decides what it says to it."""
    if how == "leader":
        return dataclasses.replace(bundle, leader=twin.admin)
    if how == "name":
        name = dataclasses.replace(bundle.name, epoch=bundle.name.epoch + 1)
        return dataclasses.replace(bundle, name=name)
    if how == "roster":
        return dataclasses.replace(bundle, roster=type(bundle.roster)(bundle.roster.members[1:]))
    if how == "order":
        return dataclasses.replace(bundle, items=tuple(reversed(bundle.items)))
    if how == "ack":
        return dataclasses.replace(bundle, acks=tuple((a, bundle.acks[0][1]) for a, _ in bundle.acks))
    if how == "signature" and bundle.items:
        first = dataclasses.replace(bundle.items[0], signature=bundle.items[-1].signature)
        return dataclasses.replace(bundle, items=(first, *bundle.items[1:]))
    if how in ("inputs", "manifest"):
        members = [twin.by_address[a.node] for a, _ in bundle.acks]
        result = dataclasses.replace(bundle.result, **{how: b"\x09" * 32})
        acks = twin.acks(members, bundle.name, bundle.attempt, result)
        return dataclasses.replace(bundle, result=result, acks=acks)
    return bundle


BUDGET = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.timeout(300)
def test_contract_and_model_agree_over_random_histories() -> None:
    """Every call ends alike on both sides, with the same events, refusals and views."""
    run_state_machine_as_test(Contracts, settings=BUDGET)  # type: ignore[no-untyped-call]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_contract_and_model_agree_over_many_longer_histories() -> None:
    """The same with twenty times the steps."""
    run_state_machine_as_test(Contracts, settings=settings(BUDGET, max_examples=250, stateful_step_count=60))  # type: ignore[no-untyped-call]
