"""Membership: admission, suspension, revocation, expiry, key rotation; contract and model side by side."""

from __future__ import annotations

import pytest
from support.evm import person
from support.evmcode import assemble, deployer
from support.model.membership import Event
from support.twin import FAR, Twin, refused
from swarm.chain.contract import Artifact
from swarm.core.chain_view import Role, Status
from swarm.core.ids import ZERO32, Address, sha256

ANN = person("ann")
BOB = person("bob")
HOUR = 3600


@pytest.fixture
def twin() -> Twin:
    return Twin(0)


def seen(twin: Twin, node: Address = ANN) -> dict[str, object]:
    """The record as the contract has it, equal to the model's."""
    raw: dict[str, object] = twin.chain.membership.ask("member", node)
    wanted = twin.members.member(node)
    assert list(raw.values()) == [
        wanted.role,
        wanted.status,
        wanted.spki,
        wanted.spiffe,
        wanted.site,
        wanted.expires,
        wanted.since,
        wanted.changed_block,
    ]
    return raw


def active(twin: Twin, node: Address = ANN) -> bool:
    found = twin.chain.membership.ask("isActive", node)
    assert found == twin.members.is_active(node, twin.evm.time)
    until = twin.chain.membership.ask("activeUntil", node)
    assert until == twin.members.active_until(node, twin.evm.time)
    assert bool(until) == found
    return bool(found)


def since(twin: Twin, block: int, time: int, node: Address = ANN) -> bool:
    found = twin.chain.membership.ask("wasActiveSince", node, block, time)
    assert found == twin.members.was_active_since(node, block, time)
    return bool(found)


def holder(twin: Twin, spki: bytes) -> Address:
    found = Address(twin.chain.membership.ask("holderOf", spki))
    assert found == twin.members.holder_of(spki, twin.evm.time)
    return found


def test_admission_is_recorded_with_role_site_key_and_block(twin: Twin) -> None:
    """A member's record says what was admitted and in which block; version grows; the page lists it."""
    before = twin.chain.membership.ask("version")
    twin.admit(ANN, Role.SWOP)
    record = seen(twin)
    assert (record["role"], record["status"], record["since"]) == (Role.SWOP, Status.ACTIVE, twin.evm.number)
    assert active(twin)
    assert holder(twin, sha256(ANN)) == ANN
    assert twin.chain.membership.ask("version") == before + 1 == twin.members.version
    nodes, records = twin.chain.membership.ask("members", 0, 10_000)
    assert nodes == [twin.admin, ANN] == [n for n, _ in twin.members.members(0, 10_000)]
    assert records[1] == record
    assert twin.chain.membership.ask("members", 1, 1)[0] == [ANN]
    assert twin.chain.membership.ask("members", 5, 1) == ([], [])


def test_the_grant_goes_to_the_new_member(twin: Twin) -> None:
    """What is sent with an admission is the new member's; the contract keeps nothing."""
    twin.step("Membership", twin.admin, "admit", ANN, sha256(ANN), ZERO32, ZERO32, Role.SL, FAR, value=10**15)
    assert twin.evm.engine.account(twin.evm.root, ANN).balance == 10**15
    assert twin.evm.engine.account(twin.evm.root, twin.chain.membership.address).balance == 0


def test_a_grant_that_cannot_be_delivered_undoes_the_admission(twin: Twin) -> None:
    """A contract that takes no ether is not admitted with a grant."""
    deaf = twin.chain.directory.address
    with refused("MembershipGrantFailed", node=deaf, amount=1):
        twin.chain.membership.send(twin.admin, "admit", deaf, sha256(deaf), ZERO32, ZERO32, Role.SL, FAR, value=1)
    assert not active(twin, deaf)


def test_a_grant_cannot_be_used_to_come_back_in(twin: Twin) -> None:
    """An admitter contract that admits another member while it receives its own grant is stopped."""
    membership = twin.chain.membership
    again = membership.built.functions["admit"].encode([BOB, sha256(BOB), ZERO32, ZERO32, Role.SL, FAR])
    code = deployer(_calls_back(membership.address, again))
    back = twin.evm.deploy(twin.admin, Artifact.from_json("Back", [], code))
    membership.send(twin.admin, "setAdmitter", back.address, True)
    with refused("MembershipGrantFailed", node=back.address):
        membership.send(twin.admin, "admit", back.address, sha256(b"k"), ZERO32, ZERO32, Role.SL, FAR, value=1)
    assert not membership.ask("isActive", BOB)
    # Called outside an admission the same contract may admit: the guard stopped it, not a lack of rights.
    twin.evm.send(twin.admin, back.address, b"")
    assert membership.ask("isActive", BOB)


def test_only_an_admitter_changes_members(twin: Twin) -> None:
    """Everything but one's own revocation needs the admitter's right, which the owner gives and takes."""
    twin.admit(ANN)
    for function, arguments in (
        ("admit", (BOB, sha256(BOB), ZERO32, ZERO32, Role.SL, FAR)),
        ("suspend", (ANN,)),
        ("resume", (ANN,)),
        ("revoke", (ANN,)),
        ("extend", (ANN, FAR)),
        ("rebind", (ANN, sha256(b"new"), 0)),
    ):
        with refused("MembershipNotAdmitter", caller=BOB):
            twin.step("Membership", BOB, function, *arguments)
    with refused("OwnableUnauthorizedAccount", account=BOB):
        twin.chain.membership.send(BOB, "setAdmitter", BOB, True)
    twin.chain.membership.send(twin.admin, "setAdmitter", BOB, True)
    twin.members.set_admitter(BOB, True)
    assert twin.chain.membership.ask("isAdmitter", BOB)
    assert twin.members.is_admitter(BOB, twin.evm.time)
    twin.step("Membership", BOB, "suspend", ANN)
    with refused("OwnableInvalidOwner"):
        twin.evm.deploy(Address(bytes(20)), twin.chain.membership.built)


def test_an_admitter_that_is_no_active_member_any_more_admits_nobody(twin: Twin) -> None:
    """A right rests through suspension and expiry; a revocation ends it, also for who comes back as something else."""
    soon = twin.evm.time + 1000
    twin.admit(ANN)
    twin.admit(BOB, Role.SN, expires=soon)
    twin.chain.membership.send(twin.admin, "setAdmitter", BOB, True)
    twin.members.set_admitter(BOB, True)

    def may(allowed: bool) -> None:
        assert twin.chain.membership.ask("isAdmitter", BOB) is allowed
        assert twin.members.is_admitter(BOB, twin.evm.time) is allowed
        if not allowed:
            for function, arguments in (("extend", (BOB, FAR)), ("revoke", (ANN,))):
                with refused("MembershipNotAdmitter", caller=BOB):
                    twin.step("Membership", BOB, function, *arguments)

    may(True)
    twin.member("suspend", BOB)
    may(False)
    twin.member("resume", BOB)
    may(True)
    twin.evm.skip(1, 1000)
    may(False)
    twin.member("extend", BOB, FAR)
    may(True)
    twin.member("revoke", BOB)
    may(False)
    twin.admit(BOB, Role.SL)
    may(False)


def test_the_owners_right_rests_never(twin: Twin) -> None:
    """An owner whose own membership was suspended or ran out can mend it; one that revokes itself takes it anew."""
    twin.member("suspend", twin.admin)
    twin.member("resume", twin.admin)
    twin.member("extend", twin.admin, twin.evm.time + 100)
    twin.evm.skip(1, 200)
    twin.member("extend", twin.admin, FAR)
    twin.member("revoke", twin.admin)
    with refused("MembershipNotAdmitter", caller=twin.admin):
        twin.admit(ANN)
    twin.chain.membership.send(twin.admin, "setAdmitter", twin.admin, True)
    twin.members.set_admitter(twin.admin, True)
    twin.admit(ANN)


def test_bad_admissions_are_refused_by_name(twin: Twin) -> None:
    """No role, no address, no key, a past expiry, a key in use, a member admitted twice."""
    twin.admit(ANN)
    with refused("MembershipAlready", node=ANN, status=Status.ACTIVE):
        twin.admit(ANN)
    with refused("MembershipKeyTaken", spki=sha256(ANN), holder=ANN):
        twin.admit(BOB, spki=sha256(ANN))
    with refused("MembershipBadRole", role=0):
        twin.admit(BOB, Role.NONE)
    with refused("MembershipUnknown"):
        twin.admit(Address(bytes(20)))
    with refused("MembershipEmptyKey", node=BOB):
        twin.step("Membership", twin.admin, "admit", BOB, ZERO32, ZERO32, ZERO32, Role.SL, FAR)
    now = twin.evm.time + 1
    with refused("MembershipExpiryPast", expires=now, nowSeconds=now):
        twin.admit(BOB, expires=now)
    twin.admit(BOB, expires=twin.evm.time + 2)


def test_suspend_and_resume_switch_activity(twin: Twin) -> None:
    """A suspended member is not active until it is resumed; the wrong order and strangers are refused by name."""
    twin.admit(ANN)
    with refused("MembershipWrongStatus", node=ANN, status=Status.ACTIVE):
        twin.member("resume", ANN)
    twin.member("suspend", ANN)
    assert not active(twin)
    with refused("MembershipWrongStatus", status=Status.SUSPENDED):
        twin.member("suspend", ANN)
    twin.member("resume", ANN)
    assert active(twin)
    assert seen(twin)["changedBlock"] == twin.evm.number
    with refused("MembershipUnknown", node=BOB):
        twin.member("suspend", BOB)


def test_a_suspension_does_not_stop_the_clock(twin: Twin) -> None:
    """A member whose time ran out while suspended must be extended before it is resumed."""
    twin.admit(ANN, expires=twin.evm.time + HOUR)
    twin.member("suspend", ANN)
    twin.evm.skip(1, HOUR)
    with refused("MembershipExpiryPast"):
        twin.member("resume", ANN)
    twin.member("extend", ANN, FAR)
    twin.member("resume", ANN)
    assert active(twin)


def test_revocation_is_final_until_a_new_admission(twin: Twin) -> None:
    """A revoked member cannot be resumed, extended or rebound; it may be admitted again; its key stays its own."""
    twin.admit(ANN)
    twin.step("Membership", ANN, "revoke", ANN)
    assert not active(twin)
    for function, arguments in (
        ("resume", ()),
        ("suspend", ()),
        ("revoke", ()),
        ("extend", (FAR,)),
        ("rebind", (sha256(b"x"), 0)),
    ):
        with refused("MembershipWrongStatus", status=Status.REVOKED):
            twin.member(function, ANN, *arguments)
    assert holder(twin, sha256(ANN)) == ANN
    with refused("MembershipKeyTaken", holder=ANN):
        twin.admit(BOB, spki=sha256(ANN))
    twin.admit(ANN, Role.SWCI)
    assert seen(twin)["role"] == Role.SWCI
    assert len(twin.members.members(0, 9)) == len(twin.chain.membership.ask("members", 0, 9)[0]) == 2


def test_membership_ends_after_its_last_second(twin: Twin) -> None:
    """Active up to and including `expires`, not one second longer; an extension brings it back."""
    twin.admit(ANN, expires=twin.evm.time + 10)
    twin.evm.skip(1, 9)
    assert active(twin)
    twin.evm.skip(1, 1)
    assert not active(twin)
    twin.member("extend", ANN, twin.evm.time + 10)
    assert active(twin)
    with refused("MembershipExpiryPast"):
        twin.member("extend", ANN, twin.evm.time)


def test_key_rotation_keeps_the_old_key_for_a_short_overlap(twin: Twin) -> None:
    """Both keys lead to the member during the overlap, then only the new one, and the old may be another's."""
    new, old = sha256(b"new"), sha256(ANN)
    twin.admit(ANN)
    twin.admit(BOB)
    with refused("MembershipOverlapTooLong", overlapSeconds=7 * 24 * HOUR + 1):
        twin.member("rebind", ANN, new, 7 * 24 * HOUR + 1)
    with refused("MembershipKeyTaken", holder=BOB):
        twin.member("rebind", ANN, sha256(BOB), HOUR)
    with refused("MembershipKeyTaken", holder=ANN):
        twin.member("rebind", ANN, old, HOUR)
    with refused("MembershipEmptyKey"):
        twin.member("rebind", ANN, ZERO32, HOUR)
    twin.member("rebind", ANN, new, HOUR)
    assert holder(twin, new) == holder(twin, old) == ANN
    with refused("MembershipKeyTaken", holder=ANN):
        twin.member("rebind", BOB, old, 0)
    twin.evm.skip(1, HOUR)
    assert holder(twin, old) == Address(bytes(20))
    assert holder(twin, ZERO32) == Address(bytes(20))
    twin.member("rebind", BOB, old, 0)
    assert holder(twin, old) == BOB
    assert holder(twin, sha256(BOB)) == Address(bytes(20))


def test_activity_since_an_opening_ends_with_the_change_that_ended_it(twin: Twin) -> None:
    """Active in or after block b: a later revocation of somebody already suspended does not count as activity."""
    twin.admit(ANN)
    block, time = twin.evm.number, twin.evm.time
    twin.member("suspend", ANN)
    assert since(twin, block, time)
    block, time = twin.evm.number, twin.evm.time
    assert not since(twin, block, time)
    twin.member("revoke", ANN)
    assert not since(twin, block, time)
    twin.admit(ANN)
    assert since(twin, block, time)
    assert not since(twin, 0, 0, BOB)


def test_activity_since_an_opening_knows_expiry(twin: Twin) -> None:
    """A member that expired after the opening was active since; one that had expired before it was not."""
    expires = twin.evm.time + 100
    twin.admit(ANN, expires=expires)
    block = twin.evm.number
    twin.evm.skip(5, 200)
    assert since(twin, block, expires)
    assert not since(twin, block, expires + 1)
    twin.member("suspend", ANN)
    assert since(twin, block, expires)
    assert not since(twin, block, expires + 1)
    twin.member("extend", ANN, FAR)
    assert not since(twin, block, expires + 1)
    twin.member("resume", ANN)
    assert since(twin, twin.evm.number, twin.evm.time)


def _calls_back(target: Address, data: bytes) -> bytes:
    """Code that calls `target` with `data`, whatever it is sent, and fails when that fails."""
    text = """
        0x{size:04x} 0x{at:04x} 0x00 CODECOPY
        0x00 0x00 0x{size:04x} 0x00 0x00 0x{target} GAS CALL
        ISZERO @refuse JUMPI STOP
        :refuse 0x00 0x00 REVERT"""
    values = {"size": len(data), "target": target.hex()}
    code = assemble(text.format(at=0, **values))
    return assemble(text.format(at=len(code), **values)) + data


def test_an_active_sn_announces_itself_and_nobody_else_does(twin: Twin) -> None:
    """Only the event remains; another role, a suspended, expired or unknown SN is refused by name."""

    def say(who: Address) -> list[object]:
        return [*twin.step("Membership", who, "announce", "https://sn2:30304", "enode://ab@sn2:30303", BOB)]

    values = {"node": twin.admin, "uri": "https://sn2:30304", "enode": "enode://ab@sn2:30303", "sealer": BOB}
    assert say(twin.admin) == [Event("Announced", values)]
    version = twin.members.version
    assert twin.chain.membership.ask("version") == version
    twin.admit(ANN, Role.SL)
    for who in (ANN, BOB):
        with refused("MembershipNotSn", caller=who):
            say(who)
    twin.admit(BOB, Role.SN, expires=twin.evm.time + HOUR)
    say(BOB)
    twin.member("suspend", BOB)
    with refused("MembershipNotSn", caller=BOB):
        say(BOB)
    twin.member("resume", BOB)
    twin.evm.skip(1, HOUR + 1)
    with refused("MembershipNotSn", caller=BOB):
        say(BOB)


def test_an_announcement_has_at_most_256_bytes_of_each_text(twin: Twin) -> None:
    """Bytes, not characters; each text is refused by its own name; 256 of both are taken."""
    nobody = Address(bytes(20))
    twin.step("Membership", twin.admin, "announce", "u" * 256, "e" * 256, nobody)
    with refused("MembershipUriTooLong", bytesLength=258, bytesMax=256):
        twin.step("Membership", twin.admin, "announce", "\u00fc" * 129, "", nobody)
    with refused("MembershipEnodeTooLong", bytesLength=257, bytesMax=256):
        twin.step("Membership", twin.admin, "announce", "", "e" * 257, nobody)


def test_announcements_have_a_bound_in_time(twin: Twin) -> None:
    """A hundred at once, then one a minute, of each SN for itself: not only its ether ends a flood of events."""
    for node in (ANN, BOB):
        twin.admit(node, Role.SN)
    twin.evm.step = 0
    nobody = Address(bytes(20))

    def announce(who: Address) -> None:
        twin.step("Membership", who, "announce", "https://sn:1", "", nobody)

    for _ in range(100):
        announce(ANN)
    with refused("MembershipAnnouncedTooOften", caller=ANN, waitSeconds=60):
        announce(ANN)
    announce(BOB)
    twin.evm.skip(1, 59)
    with refused("MembershipAnnouncedTooOften", caller=ANN, waitSeconds=1):
        announce(ANN)
    twin.evm.skip(1, 1)
    announce(ANN)
    with refused("MembershipAnnouncedTooOften", caller=ANN):
        announce(ANN)
    # Neither a new key nor a new admission gives more; an hour gives sixty.
    twin.member("rebind", ANN, sha256(b"new key"), 0)
    twin.member("revoke", ANN)
    twin.admit(ANN, Role.SN)
    with refused("MembershipAnnouncedTooOften", caller=ANN):
        announce(ANN)
    twin.evm.skip(1, 3600)
    for _ in range(60):
        announce(ANN)
    with refused("MembershipAnnouncedTooOften", caller=ANN):
        announce(ANN)
