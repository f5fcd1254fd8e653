"""A lost key's heir, on contract and model: who takes whose place, and in which round each of the two counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.evm import person
from support.twin import DONE, FAR, Twin, refused
from swarm.chain.keys import LocalSigner
from swarm.core.chain_view import Role, Status
from swarm.core.ids import ZERO32, Address, sha256

ANN, BOB = person("ann"), person("bob")
NOBODY = Address(bytes(20))


def heir_of(twin: Twin, old: LocalSigner, number: int = 0) -> LocalSigner:
    """``old`` lost its key; its heir, which has not joined yet."""
    heir = LocalSigner(sha256(b"heir %d" % number + old.address))
    twin.step("Membership", twin.admin, "succeed", old.address, heir.address, FAR)
    twin.by_address[heir.address] = heir
    return heir


def commit(twin: Twin, nodes: Sequence[LocalSigner], *, flags: int = 0) -> None:
    """The open round's result, from these nodes' models."""
    twin.round(items=sorted(nodes, key=lambda n: n.address), flags=flags)


def test_all_but_the_address_passes_over() -> None:
    """Certificate key, id, site and role; the old one is revoked in the same transaction and holds no key."""
    twin = Twin(0)
    twin.admit(ANN, Role.SWOP)
    before = twin.chain.membership.ask("member", ANN)
    twin.evm.skip(3, 30)
    events = twin.step("Membership", twin.admin, "succeed", ANN, BOB, FAR - 7, value=5)
    assert [e.name for e in events] == ["MemberRevoked", "MemberAdmitted", "MemberSucceeded"]
    old, heir = (twin.chain.membership.ask("member", node) for node in (ANN, BOB))
    assert (old["status"], old["spki"]) == (Status.REVOKED, ZERO32)
    assert (heir["status"], heir["expires"], heir["since"]) == (Status.ACTIVE, FAR - 7, twin.evm.number)
    assert [heir[k] for k in ("role", "spki", "spiffe", "site")] == [
        before[k] for k in ("role", "spki", "spiffe", "site")
    ]
    assert (
        twin.chain.membership.ask("holderOf", sha256(ANN)) == BOB == twin.members.holder_of(sha256(ANN), twin.evm.time)
    )
    assert twin.chain.membership.ask("countsAfter", BOB) == twin.evm.number == twin.members.counts_after(BOB)
    assert twin.chain.membership.ask("countsAfter", ANN) == 0
    assert twin.evm.engine.account(twin.evm.root, BOB).balance == 5


def test_whose_place_nobody_can_take() -> None:
    """Of strangers, of who is suspended, revoked or the owner; by nobody but an admitter, and by no known address."""
    twin = Twin(1)
    sender = twin.nodes[0].address
    twin.admit(ANN)
    asked = (
        ("MembershipNotAdmitter", sender, ANN, BOB, FAR),
        ("MembershipUnknown", twin.admin, BOB, person("eve"), FAR),
        ("MembershipAlready", twin.admin, ANN, sender, FAR),
        ("MembershipAlready", twin.admin, ANN, ANN, FAR),
        ("MembershipUnknown", twin.admin, ANN, NOBODY, FAR),
        ("MembershipExpiryPast", twin.admin, ANN, BOB, 1),
    )
    for error, by, old, heir, expires in asked:
        with refused(error):
            twin.step("Membership", by, "succeed", old, heir, expires)
    with refused("MembershipOwner", node=twin.admin):
        twin.step("Membership", twin.admin, "succeed", twin.admin, BOB, FAR)
    for change in ("suspend", "revoke"):
        twin.member(change, ANN)
        with refused("MembershipWrongStatus", node=ANN):
            twin.step("Membership", twin.admin, "succeed", ANN, BOB, FAR)


def test_an_sn_that_lost_its_key_admits_nobody_and_neither_does_its_heir() -> None:
    """The right to admit is given anew, to the address that lives."""
    twin = Twin(0)
    twin.admit(ANN, Role.SN)
    twin.chain.membership.send(twin.admin, "setAdmitter", ANN, True)
    twin.members.set_admitter(ANN, True)
    events = twin.step("Membership", twin.admin, "succeed", ANN, BOB, FAR)
    assert [e.name for e in events] == ["MemberRevoked", "AdmitterSet", "MemberAdmitted", "MemberSucceeded"]
    assert not any(twin.chain.membership.ask("isAdmitter", node) for node in (ANN, BOB))


def test_a_lapsed_member_has_an_heir_too() -> None:
    """It was away for long, and its folder is gone as well."""
    twin = Twin(0)
    twin.admit(ANN, expires=twin.evm.time + 10)
    twin.evm.skip(1, 60)
    twin.step("Membership", twin.admin, "succeed", ANN, BOB, FAR)
    assert twin.chain.membership.ask("isActive", BOB)


def test_the_key_of_before_a_rotation_leads_to_nobody() -> None:
    """An overlap ends with the member that it was for."""
    twin = Twin(0)
    twin.admit(ANN)
    twin.member("rebind", ANN, sha256(b"new"), 3600)
    twin.step("Membership", twin.admin, "succeed", ANN, BOB, FAR)
    assert twin.chain.membership.ask("holderOf", sha256(b"new")) == BOB
    assert (
        twin.chain.membership.ask("holderOf", sha256(ANN))
        == NOBODY
        == twin.members.holder_of(sha256(ANN), twin.evm.time)
    )


def test_in_the_open_round_the_lost_key_counts_and_its_heir_does_not() -> None:
    """What the lost one signed stands; from the next round on it is the heir's turn."""
    twin = Twin(3)
    twin.join_all(3, min_peers=2)
    twin.round()
    old = twin.nodes[0]
    heir = heir_of(twin, old)
    twin.join(heir)
    assert old.address in twin.roster()
    with refused("TrainingItemNotMember", node=heir.address):
        commit(twin, [*twin.nodes[1:], heir])
    with refused("TrainingItemNotMember", node=heir.address):
        commit(twin, [*twin.nodes, heir])
    commit(twin, twin.nodes)
    assert old.address not in twin.roster()
    assert heir.address in twin.roster()
    commit(twin, [*twin.nodes[1:], heir])
    with refused("TrainingItemNotMember", node=old.address):
        commit(twin, [*twin.nodes[1:], old, heir])
    commit(twin, [*twin.nodes[1:], heir], flags=DONE)


def test_a_joiner_of_the_open_round_and_its_heir_do_not_both_count() -> None:
    """The lost key was not on the roster, but may have contributed: then its heir may not."""
    twin = Twin(4)
    twin.join_all(3, min_peers=2)
    twin.round()
    late = twin.nodes[3]
    twin.join(late)
    heir = heir_of(twin, late)
    twin.join(heir)
    with refused("TrainingItemNotMember", node=heir.address):
        commit(twin, [*twin.nodes[:3], heir])
    commit(twin, [*twin.nodes[:3], late])
    assert heir.address in twin.roster()


def test_of_two_the_heir_makes_up_the_number_of_a_reform() -> None:
    """The other alone is no majority: both answer a call, and the round goes on with the heir on its roster."""
    twin = Twin(2)
    twin.join_all(2)
    twin.round()
    kept, lost = twin.nodes
    heir = heir_of(twin, lost)
    twin.join(heir)
    call_id = twin.call(kept)
    twin.here(kept, call_id)
    twin.here(heir, call_id)
    twin.evm.skip(10, 120)
    twin.settle(call_id)
    assert set(twin.roster().addresses) == {kept.address, heir.address}
    commit(twin, [kept, heir])


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.SUSPENDED])
def test_only_a_revoked_member_comes_from_an_earlier_chain_without_a_key(status: Status) -> None:
    """There it had an heir, which comes with the key."""
    twin = Twin(0)
    with refused("MembershipEmptyKey", node=ANN):
        twin.step("Membership", twin.admin, "restore", ANN, ZERO32, ZERO32, ZERO32, Role.SL, status, FAR)
    twin.step("Membership", twin.admin, "restore", ANN, ZERO32, ZERO32, ZERO32, Role.SL, Status.REVOKED, FAR)
    twin.step("Membership", twin.admin, "restore", BOB, sha256(ANN), ZERO32, ZERO32, Role.SL, Status.ACTIVE, FAR)
    assert twin.chain.membership.ask("holderOf", sha256(ANN)) == BOB
    assert twin.chain.membership.ask("holderOf", ZERO32) == NOBODY
