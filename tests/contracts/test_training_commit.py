"""Training.commit: every rule of a bundle and every refusal; contract and model side by side."""

from __future__ import annotations

import dataclasses

import pytest
from support.evm import person
from support.twin import DONE, JOB, OBSERVER, Twin, refused
from swarm.core.chain_view import Phase
from swarm.core.ids import ZERO32, Address, Digest, sha256
from swarm.core.limits import NOT_REPORTED
from swarm.core.roster import Roster, leader
from swarm.core.statements import Signature

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def started(count: int, *, min_peers: int | None = None, more: int = 0) -> Twin:
    twin = Twin(count + more)
    twin.join_all(count, min_peers=min_peers)
    assert twin.state().started
    return twin


def test_a_certified_round_is_recorded_and_the_next_one_opens() -> None:
    """One Merged, one Contributed per node in order, and RoundOpened with all who had joined by then."""
    twin = started(3, more=1)
    late = twin.nodes[3]
    twin.join(late)
    bundle = twin.bundle()
    events = twin.commit(bundle)
    assert [e.name for e in events] == ["Merged", *["Contributed"] * 3, "RoundOpened"]
    state = twin.state()
    assert (state.round, state.prev, state.prev_size) == (1, bundle.result.merged, 4000)
    assert (state.interval, state.manifest) == (128, sha256(b"manifest"))
    assert (state.opened_block, state.opened_time) == (twin.evm.number, twin.evm.time)
    assert twin.roster().addresses == tuple(n.address for n in twin.nodes)
    assert state.roster == twin.roster().hash()
    assert twin.chain.training.ask("mergedOf", JOB, 1, 0) == (bundle.result.merged, 4000)
    for _ in range(3):
        twin.round()
    assert twin.state().round == 4


def test_numbers_at_their_bounds_are_recorded_as_signed() -> None:
    """Unreported loss, greatest weight, all bits of a coefficient: the digest covers every word."""
    twin = started(1)
    name = twin.name()
    item = twin.contribution(
        twin.nodes[0], name, weight=2**32 - 1, loss=NOT_REPORTED, metric=2**63 - 1, version=2**32 - 1, size=2**64 - 1,
        epochs_done=2**32 - 1, epochs_total=2**32 - 1,
    )  # fmt: skip
    item = dataclasses.replace(item, coefficient=-1.7976931348623157e308)
    twin.commit(twin.bundle([item], interval=2**32 - 1, size=2**64 - 1))


def test_several_rounds_commit_in_one_transaction_or_not_at_all() -> None:
    """Two certificates in order stand together; one that does not fit undoes the one before it as well."""
    twin, other = started(2), started(2)
    first = twin.bundle()
    twin.commit(first)
    second = twin.bundle()
    # The roster, and so every signed word, is the same in `other`, where nothing is committed yet.
    events = other.commit(first, second)
    assert [e.name for e in events].count("Merged") == 2
    assert other.state().round == 2
    with refused("TrainingWrongRound", round=1, openRound=3):
        other.commit(other.bundle(), second)
    assert other.state().round == 2


def test_the_same_round_twice_is_told_apart_from_every_other_refusal() -> None:
    """A duplicate commit says which round is open, also after the run is complete."""
    twin = started(2)
    bundle = twin.bundle()
    twin.commit(bundle)
    with refused("TrainingWrongRound", round=0, epoch=0, openRound=1, openEpoch=0):
        twin.commit(bundle)
    last = twin.bundle(flags=DONE)
    twin.commit(last)
    assert twin.state().phase is Phase.COMPLETE
    with refused("TrainingWrongRound", round=1, openRound=2):
        twin.commit(last)


def test_a_bundle_of_another_run_round_epoch_previous_model_or_roster_is_refused() -> None:
    """Each of the six parts of a round's name is compared, and the refusal names given and expected."""
    twin = started(2)
    name = twin.name()
    with refused("TrainingUnknownJob"):
        twin.commit(twin.bundle(name=dataclasses.replace(name, job=Digest(sha256(b"other")))))
    with refused("TrainingWrongRun", run=2, current=1):
        twin.commit(twin.bundle(name=dataclasses.replace(name, run=2)))
    with refused("TrainingWrongRound", round=1, openRound=0):
        twin.commit(twin.bundle(name=dataclasses.replace(name, round=1)))
    with refused("TrainingWrongRound", epoch=1, openEpoch=0):
        twin.commit(twin.bundle(name=dataclasses.replace(name, epoch=1)))
    with refused("TrainingWrongPrev", prev=b"\1" * 32, expected=ZERO32):
        twin.commit(twin.bundle(name=dataclasses.replace(name, prev=b"\1" * 32)))
    with refused("TrainingWrongRoster", roster=b"\2" * 32, expected=name.roster):
        twin.commit(twin.bundle(name=dataclasses.replace(name, roster=Digest(b"\2" * 32))))
    smaller = Roster.of([(twin.nodes[0].address, True)])
    with refused("TrainingWrongRoster", roster=smaller.hash(), expected=name.roster):
        twin.commit(twin.bundle(roster=smaller))


def test_no_round_commits_before_the_founders_are_complete_or_after_completion() -> None:
    """A commit needs an open, started run: idle, joining and completed ones refuse it by phase."""
    twin = Twin(2)
    with refused("TrainingWrongPhase", phase=Phase.IDLE):
        twin.commit(twin.bundle([twin.nodes[0]]))
    twin.join(twin.nodes[0], 2)
    with refused("TrainingWrongPhase", phase=Phase.OPEN):
        twin.commit(twin.bundle([twin.nodes[0]]))
    twin.join(twin.nodes[1], 2)
    twin.round(flags=DONE)
    with refused("TrainingWrongPhase", phase=Phase.COMPLETE):
        twin.commit(twin.bundle())


def test_only_the_leader_of_the_attempt_can_have_led() -> None:
    """The ring is that of the roster: eligible members first, then all; the contract names who was to lead."""
    twin = Twin(4)
    for place, node in enumerate(twin.nodes):
        twin.join(node, 4, eligible=place in (1, 3))
    roster = twin.roster()
    seen = []
    for attempt in range(10):
        expected = leader(roster, JOB, 1, 0, attempt)
        assert Address(twin.chain.training.ask("leaderOf", JOB, attempt)) == expected
        bundle = dataclasses.replace(twin.bundle(attempt=attempt), leader=twin.admin)
        with refused("TrainingWrongLeader", attempt=attempt, leader=twin.admin, expected=expected):
            twin.commit(bundle)
        seen.append(expected)
    assert set(seen[:2]) == {twin.nodes[1].address, twin.nodes[3].address}
    assert set(seen[2:6]) == set(roster.addresses)
    twin.commit(twin.bundle(attempt=7))


def test_an_ack_for_another_attempt_does_not_count() -> None:
    """Acks of the same result at attempt 0 do not certify it at attempt 1."""
    twin = started(3)
    bundle = twin.bundle(attempt=1)
    other = twin.acks(twin.nodes[:2], bundle.name, 0, bundle.result)
    with refused("TrainingAckSignature", index=0, node=twin.nodes[0].address):
        twin.commit(dataclasses.replace(bundle, acks=other))


def test_items_ascend_strictly() -> None:
    """Neither a descending list nor one node twice is taken."""
    twin = started(3)
    a, b, c = twin.nodes
    with refused("TrainingOrder", index=1):
        twin.commit(twin.bundle([b, a, c]))
    with refused("TrainingOrder", index=2):
        twin.commit(twin.bundle([a, b, b]))


def test_flags_are_done_and_observer_only_and_an_observer_has_no_weight() -> None:
    """Unknown flag bits, and an observer with a weight, are refused by index."""
    twin = started(2)
    a, b = twin.nodes
    name = twin.name()
    with refused("TrainingItemFlags", index=1, flags=8):
        twin.commit(twin.bundle([a, twin.contribution(b, name, flags=8)]))
    with refused("TrainingItemFlags", index=0, flags=2**31 + 1):
        twin.commit(twin.bundle([twin.contribution(a, name, flags=2**31 + 1), b]))
    with refused("TrainingItemFlags", index=1, flags=OBSERVER):
        twin.commit(twin.bundle([a, twin.contribution(b, name, flags=OBSERVER, weight=1)]))
    for flags in (1 << 7, 1 << 16):
        with refused("TrainingItemFlags", index=1, flags=flags):
            twin.commit(twin.bundle([a, twin.contribution(b, name, flags=flags)]))
    twin.commit(twin.bundle([a, twin.contribution(b, name, flags=OBSERVER | DONE)]))


@pytest.mark.row("D07")
def test_rounds_behind_are_recorded_as_each_site_signed_them() -> None:
    """Any number that the bits hold, also beside the other flags; the contract keeps it with the contribution."""
    twin = started(2)
    a, b = twin.nodes
    name = twin.name()
    late = [twin.contribution(a, name, flags=255 << 8), twin.contribution(b, name, flags=DONE | 1 << 8)]
    twin.commit(twin.bundle(late))


def test_a_check_in_is_taken_from_joined_members_only() -> None:
    """Not from somebody who never joined, and not from one who left before the round opened."""
    twin = started(3, min_peers=2, more=1)
    a, b, c, stranger = twin.nodes
    with refused("TrainingItemNotMember", index=sorted([a, b, stranger], key=lambda n: n.address).index(stranger)):
        twin.commit(twin.bundle([a, b, stranger]))
    twin.leave(c)
    twin.round()
    assert twin.roster().addresses == (a.address, b.address)
    with refused("TrainingItemNotMember", index=2, node=c.address):
        twin.commit(twin.bundle([a, b, c]))


def test_who_joins_or_leaves_while_the_round_is_open_may_be_in_it() -> None:
    """A joiner contributes at once; it, and a member, still count when they leave before the commit."""
    twin = started(2, more=2)
    a, b, c, d = twin.nodes
    twin.join(c)
    twin.join(d)
    twin.leave(d)
    twin.leave(a)
    events = twin.commit(twin.bundle([a, b, c, d]))
    assert events[0].values["contributors"] == 4
    assert twin.roster().addresses == (b.address, c.address)
    with refused("TrainingItemNotMember", index=0, node=a.address):
        twin.commit(twin.bundle([a, b, c]))


def test_a_revoked_member_counts_in_the_round_that_was_open_and_in_none_after() -> None:
    """Its check-in of the open round stays committable; from the next opening on it is not on the roster."""
    twin = started(3, min_peers=2)
    a, b, c = twin.nodes
    twin.round(items=[a, b, c])
    twin.member("revoke", c.address)
    twin.commit(twin.bundle([a, b, c], acks=[b, c]))
    assert twin.roster().addresses == (a.address, b.address)
    with refused("TrainingItemNotMember", index=2, node=c.address):
        twin.commit(twin.bundle([a, b, c]))
    with refused("TrainingAckNotRoster", index=2, node=c.address):
        twin.commit(twin.bundle([a, b], acks=[a, b, c]))


def test_a_joiner_revoked_while_the_round_is_open_counts_in_it() -> None:
    """V5: what was active at the opening stays committable, and is gone from the next roster."""
    twin = started(2, more=1)
    twin.join(twin.nodes[2])
    twin.member("revoke", twin.nodes[2].address)
    twin.commit(twin.bundle(twin.nodes))
    assert len(twin.roster()) == 2


def test_a_member_that_was_suspended_at_the_opening_counts_once_it_is_resumed() -> None:
    """Joined, but not active at the opening: in nobody's roster; active since: its check-in is taken."""
    twin = started(3, min_peers=2)
    a, b, c = twin.nodes
    twin.member("suspend", c.address)
    twin.round(items=[a, b])
    with refused("TrainingItemNotMember", node=c.address):
        twin.commit(twin.bundle([a, b, c]))
    twin.member("resume", c.address)
    twin.commit(twin.bundle([a, b, c]))
    assert len(twin.roster()) == 3


def test_who_leaves_while_suspended_does_not_count_when_it_is_resumed() -> None:
    """Joined and active must have been true at one time since the opening."""
    twin = started(3, min_peers=2)
    a, b, c = twin.nodes
    twin.member("suspend", c.address)
    twin.round(items=[a, b])
    twin.leave(c)
    twin.member("resume", c.address)
    with refused("TrainingItemNotMember", node=c.address):
        twin.commit(twin.bundle([a, b, c]))
    twin.join(c)
    twin.commit(twin.bundle([a, b, c]))


def test_expiry_is_judged_when_a_round_opens() -> None:
    """An expired member is on no later roster, though no transaction said so."""
    twin = Twin(3)
    twin.member("extend", twin.nodes[0].address, twin.evm.time + 500)
    twin.join_all(3, min_peers=2)
    twin.round()
    assert len(twin.roster()) == 3
    twin.evm.skip(1, 600)
    twin.round()
    assert len(twin.roster()) == 2
    with refused("TrainingItemNotMember", node=twin.nodes[0].address):
        twin.commit(twin.bundle(twin.nodes))
    twin.member("extend", twin.nodes[0].address, twin.evm.time + 500)
    twin.commit(twin.bundle(twin.nodes))
    assert len(twin.roster()) == 3


def test_a_check_in_must_be_signed_by_its_node_over_exactly_these_words() -> None:
    """Another signer, another number, the upper half of s, and zeros are each refused with the item's index."""
    twin = started(2)
    a, b = twin.nodes
    name = twin.name()
    good = twin.contribution(b, name)
    forged = dataclasses.replace(good, signature=a.sign(good.check_in.digest(twin.domain)))
    changed = dataclasses.replace(good, check_in=dataclasses.replace(good.check_in, weight=8))
    s = _ORDER - (int.from_bytes(good.signature.vs, "big") & (2**255 - 1))
    flipped = (s | (~int.from_bytes(good.signature.vs, "big") & 2**255)).to_bytes(32, "big")
    high = dataclasses.replace(good, signature=Signature(good.signature.r, flipped))
    empty = dataclasses.replace(good, signature=Signature(ZERO32, ZERO32))
    for bad in (forged, changed, high, empty):
        with refused("TrainingItemSignature", index=1, node=b.address):
            twin.commit(twin.bundle([a, bad]))
    twin.commit(twin.bundle([a, good]))


def test_a_signature_for_another_chain_or_contract_is_refused() -> None:
    """The domain binds both, so nothing signed elsewhere counts here."""
    twin = started(1)
    good = twin.domain
    twin.domain = Digest(sha256(b"another domain"))
    bundle = twin.bundle()
    twin.domain = good
    with refused("TrainingItemSignature", index=0):
        twin.commit(bundle)


def test_fewer_items_than_min_peers_are_refused() -> None:
    """V4: two of three, and none at all, are too few."""
    twin = started(3, min_peers=3)
    with refused("TrainingTooFewItems", items=2, minPeers=3):
        twin.commit(twin.bundle(twin.nodes[:2]))
    with refused("TrainingTooFewItems", items=0):
        twin.commit(twin.bundle([]))


def test_a_round_commits_with_min_peers_of_a_larger_roster() -> None:
    """A node that misses rounds stays on the roster."""
    twin = started(2, more=2)
    twin.join(twin.nodes[2])
    twin.join(twin.nodes[3])
    twin.round(items=twin.nodes)
    twin.commit(twin.bundle(twin.nodes[1:3], acks=twin.nodes[:3]))
    assert len(twin.roster()) == 4


def test_round_0_needs_somebody_who_contributes() -> None:
    """Later, a round of observers only may stand (its merged model is the previous one)."""
    twin = started(2)
    a, b = twin.nodes
    with refused("TrainingEmpty"):
        twin.round(flags=OBSERVER)
    name = twin.name()
    twin.commit(twin.bundle([a, twin.contribution(b, name, flags=OBSERVER)]))
    twin.round(flags=OBSERVER)


def test_inputs_bind_every_check_in_and_coefficient() -> None:
    """V3: a coefficient changed in its last bit, or another inputs hash, is refused."""
    twin = started(2)
    bundle = twin.bundle()
    item = dataclasses.replace(bundle.items[1], coefficient=0.25000000000000006)
    with refused("TrainingWrongInputs", inputs=bundle.result.inputs):
        twin.commit(dataclasses.replace(bundle, items=(bundle.items[0], item)))
    with refused("TrainingWrongInputs", inputs=b"\3" * 32):
        twin.commit(twin.bundle(inputs=Digest(b"\3" * 32)))


def test_the_first_commit_fixes_the_manifest_of_the_run() -> None:
    """A later round with another manifest is refused, with both named."""
    twin = started(2)
    twin.commit(twin.bundle(manifest=Digest(b"\4" * 32)))
    with refused("TrainingWrongManifest", manifest=b"\5" * 32, expected=b"\4" * 32):
        twin.commit(twin.bundle(manifest=Digest(b"\5" * 32)))
    twin.commit(twin.bundle(manifest=Digest(b"\4" * 32)))


def test_acks_ascend_and_come_from_the_roster_signed() -> None:
    """One node's ack counts once; a joiner's does not count; a forged one is named by its index."""
    twin = started(3, more=1)
    a, b, c, d = twin.nodes
    twin.join(d)
    with refused("TrainingOrder", index=1):
        twin.commit(twin.bundle(acks=[b, a]))
    with refused("TrainingOrder", index=1):
        twin.commit(twin.bundle(acks=[b, b]))
    with refused("TrainingAckNotRoster", index=2, node=d.address):
        twin.commit(twin.bundle(acks=[a, b, d]))
    bundle = twin.bundle()
    forged = (bundle.acks[0], (bundle.acks[1][0], bundle.acks[0][1]))
    with refused("TrainingAckSignature", index=1, node=b.address):
        twin.commit(dataclasses.replace(bundle, acks=forged))
    twin.commit(twin.bundle(acks=[a, b, c]))


def test_acks_bind_the_result() -> None:
    """A merged blob, size, method, interval or manifest that the roster did not acknowledge is refused."""
    twin = started(2)
    bundle = twin.bundle()
    for field, value in (
        ("merged", b"\6" * 32), ("size", 1), ("method", b"x" * 32), ("interval", 1), ("manifest", b"\7" * 32),
    ):  # fmt: skip
        other = dataclasses.replace(bundle.result, **{field: value})
        with refused("TrainingAckSignature", index=0):
            twin.commit(dataclasses.replace(bundle, result=other))


@pytest.mark.parametrize(("count", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_result_needs_a_majority_of_the_roster(count: int, majority: int) -> None:
    """c = floor(n/2) + 1 of R, however few contributed."""
    twin = started(count, min_peers=count)
    with refused("TrainingTooFewAcks", acks=majority - 1, majority=majority):
        twin.commit(twin.bundle(acks=twin.nodes[: majority - 1]))
    twin.commit(twin.bundle(acks=twin.nodes[-majority:]))


def test_the_run_is_over_when_every_item_is_done_and_all_of_the_roster_is_in() -> None:
    """V4: one that trains, or one of the roster that is missing, keeps the run open."""
    twin = started(3, min_peers=2, more=1)
    a, b, c, d = twin.nodes
    name = twin.name()
    done = [twin.contribution(n, name, flags=DONE) for n in (a, b, c)]
    # Everybody of R is in, but one still trains.
    twin.commit(twin.bundle([*done[:2], c]))
    assert twin.state().phase is Phase.OPEN
    # Every item is done, but one of R is missing: the commit stands and the run goes on.
    twin.round(items=[a, b], flags=DONE)
    assert twin.state().phase is Phase.OPEN
    twin.join(d)
    # All of R are done, but a joiner still trains.
    name = twin.name()
    done = [twin.contribution(n, name, flags=DONE) for n in (a, b, c)]
    twin.commit(twin.bundle([*done, d]))
    assert twin.state().phase is Phase.OPEN
    events = twin.round(flags=DONE | OBSERVER)
    assert events[-1].name == "RunCompleted"
    state = twin.state()
    assert (state.phase, state.round, state.prev) == (Phase.COMPLETE, 4, events[-1].values["merged"])


def test_the_run_can_be_over_while_somebody_joins() -> None:
    """A joiner that is not in R and not in the items does not keep a finished run open."""
    twin = started(2, more=1)
    twin.join(twin.nodes[2])
    twin.round(flags=DONE)
    assert twin.state().phase is Phase.COMPLETE
    with refused("TrainingWrongPhase"):
        twin.call(twin.nodes[2])
    twin.leave(twin.nodes[2])
    assert twin.state().joined_count == 2


def test_anyone_may_submit_a_certificate() -> None:
    """The sender of a commit does not matter: the signatures inside do."""
    twin = started(1)
    twin.step("Training", person("no member at all"), "commit", (twin.bundle(),))
    assert twin.state().round == 1


def test_an_empty_roster_has_no_leader_and_cannot_commit() -> None:
    """When the last active member goes, the next round has nobody: c is 1 and no ack can come."""
    twin = started(1, more=1)
    twin.join(twin.nodes[1])
    twin.leave(twin.nodes[0])
    twin.member("suspend", twin.nodes[1].address)
    twin.round(items=[twin.nodes[0]])
    assert len(twin.roster()) == 0
    assert twin.chain.training.ask("leaderOf", JOB, 0) == bytes(20)
    twin.member("resume", twin.nodes[1].address)
    with refused("TrainingTooFewAcks", acks=0, majority=1):
        twin.commit(twin.bundle([twin.nodes[1]]))
    with refused("TrainingAckNotRoster", index=0):
        twin.commit(twin.bundle([twin.nodes[1]], acks=[twin.nodes[1]]))
