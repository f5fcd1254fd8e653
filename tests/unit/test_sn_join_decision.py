"""The table of admission: who may join, with what, and what the chain is told."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from swarm.core.alive import SILENT_SECONDS
from swarm.core.chain_view import Member, Role, Status
from swarm.core.ids import ZERO32, Address, Digest
from swarm.core.spiffe import SpiffeId
from swarm.core.statements import Join
from swarm.net.identity import PeerIdentity
from swarm.sn.heirs import HEIRS_A_DAY_MAX, Holder, InUse, Succeed
from swarm.sn.join import WINDOW_SECONDS_MAX, Admit, AlreadyIn, Policy, Refuse, Renew, Wait, decide

NOW = 1_800_000_000
NODE, OTHER = Address(b"\x11" * 20), Address(b"\x22" * 20)
LIFE_ENDS = NOW + 30 * 86_400
NAME = SpiffeId.parse("spiffe://test/site-a/sl/sl-1")
PEER = PeerIdentity(
    spki=Digest(b"\x05" * 32),
    spiffe=NAME,
    common_name="sl-1",
    not_after=dt.datetime.fromtimestamp(LIFE_ENDS, dt.UTC),
    serial=7,
)
JOIN = Join(
    spki=PEER.spki,
    spiffe=keccak(str(NAME).encode()),
    site=keccak(b"site-a"),
    node=NODE,
    role=int(Role.SL),
    nonce=b"\x09" * 32,
    expires=NOW + 300,
)
KNOWN = Member(Role.SL, Status.ACTIVE, PEER.spki, JOIN.spiffe, JOIN.site, LIFE_ENDS, since=5, changed_block=5)
OWN = Holder(NODE, KNOWN, 0.0)
LOST = Holder(OTHER, KNOWN, SILENT_SECONDS)
"""This certificate's key as another member has it, who is silent."""
NEVER = Member(Role.NONE, Status.NONE, ZERO32, ZERO32, ZERO32, 0, 0, 0)


def ask(
    join=JOIN, peer=PEER, *, recovered=NODE, known=NEVER, holder=None, seen=False, approved=False, policy=None, **more
):
    return decide(
        join,
        recovered=recovered,
        peer=peer,
        now=NOW,
        policy=policy or Policy(),
        known=known,
        holder=holder,
        nonce_seen=seen,
        approved=approved,
        **more,
    )


def test_a_stranger_with_both_keys_is_admitted_until_its_certificate_ends():
    """Under the open policy both proofs admit, for the certificate's life."""
    assert ask() == Admit(LIFE_ENDS)


def test_attack_many_identities_of_one_ca_meet_an_operator():
    """Once a thousand are in, even the open policy admits nobody by itself; members and approved nodes go on."""
    assert ask(crowded=True) == Wait()
    assert ask(crowded=True, approved=True) == Admit(LIFE_ENDS)
    assert ask(crowded=True, known=KNOWN) == AlreadyIn()


def test_the_policy_shortens_a_membership():
    """The earlier of certificate and policy ends a membership."""
    assert ask(policy=Policy(member_seconds=3600)) == Admit(NOW + 3600)
    assert ask(policy=Policy(member_seconds=10**9)) == Admit(LIFE_ENDS)


def test_attack_an_sn_must_be_named_one():
    """A certificate that names role sn admits an SN; one that names nothing needs an operator, whatever the policy."""
    name = SpiffeId.parse("spiffe://test/site-a/sn/sn-2")
    join = replace(JOIN, role=int(Role.SN), spiffe=keccak(str(name).encode()))
    assert ask(join=join, peer=replace(PEER, spiffe=name)) == Admit(LIFE_ENDS)
    nameless = {"join": replace(join, spiffe=ZERO32, site=keccak(b"sn-2")), "peer": replace(PEER, spiffe=None)}
    assert ask(**nameless) == Wait()
    assert ask(**nameless, approved=True) == Admit(LIFE_ENDS)
    assert ask(join=replace(nameless["join"], role=int(Role.SL)), peer=nameless["peer"]) == Admit(LIFE_ENDS)


def test_where_no_further_sn_can_come_it_is_told_why():
    """On an embedded chain an SN is refused by name, approved or not; other nodes come in."""
    name = SpiffeId.parse("spiffe://test/site-a/sn/sn-2")
    join, peer = replace(JOIN, role=int(Role.SN), spiffe=keccak(str(name).encode())), replace(PEER, spiffe=name)
    policy = Policy(no_sns="begin with --chain geth")
    refused = ask(join=join, peer=peer, policy=policy, approved=True)
    assert refused == Refuse("no_sns", "role: begin with --chain geth")
    assert ask(policy=policy) == Admit(LIFE_ENDS)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"recovered": OTHER}, "signature"),
        ({"recovered": None}, "signature"),
        ({"join": replace(JOIN, spki=b"\x06" * 32)}, "spki"),
        ({"join": replace(JOIN, role=0)}, "role"),
        ({"join": replace(JOIN, role=99)}, "role"),
        ({"join": replace(JOIN, role=int(Role.SN))}, "role"),
        ({"join": replace(JOIN, spiffe=ZERO32)}, "spiffe"),
        ({"join": replace(JOIN, site=keccak(b"site-b"))}, "site"),
        ({"join": replace(JOIN, expires=NOW)}, "window"),
        ({"join": replace(JOIN, expires=NOW + WINDOW_SECONDS_MAX + 1)}, "window"),
        ({"seen": True}, "replay"),
        ({"holder": replace(LOST, record=replace(KNOWN, spki=b"\x07" * 32))}, "key_taken"),
        ({"holder": replace(LOST, record=replace(KNOWN, role=Role.SWOP))}, "key_taken"),
        ({"holder": replace(LOST, record=replace(KNOWN, site=keccak(b"site-b")))}, "key_taken"),
        ({"holder": replace(LOST, record=replace(KNOWN, spiffe=keccak(b"x")))}, "key_taken"),
        ({"holder": replace(LOST, owner=True)}, "key_taken"),
        ({"holder": LOST, "known": replace(KNOWN, status=Status.REVOKED)}, "revoked"),
        ({"holder": LOST, "known": replace(KNOWN, status=Status.REVOKED), "approved": True}, "revoked"),
        ({"holder": LOST, "known": KNOWN}, "key_taken"),
        ({"holder": replace(LOST, record=replace(KNOWN, status=Status.SUSPENDED))}, "revoked"),
        ({"holder": replace(LOST, record=replace(KNOWN, status=Status.REVOKED)), "approved": True}, "revoked"),
        ({"known": replace(KNOWN, status=Status.SUSPENDED)}, "suspended"),
        ({"known": replace(KNOWN, status=Status.REVOKED)}, "revoked"),
        ({"known": replace(KNOWN, role=Role.SWOP)}, "role"),
        ({"known": replace(KNOWN, site=keccak(b"site-b"))}, "site"),
        ({"known": replace(KNOWN, spiffe=keccak(b"x"))}, "spiffe"),
    ],
)
def test_what_does_not_hold_is_refused_by_its_field(changed, code):
    """Every refusal carries a code, and a sentence that begins with the field at fault."""
    decision = ask(**changed)
    assert isinstance(decision, Refuse)
    assert decision.code == code
    assert ":" in decision.reason


def test_the_edges_of_the_window_are_inside_it():
    """One second before the end, and exactly ten minutes ahead, are accepted."""
    assert isinstance(ask(join=replace(JOIN, expires=NOW + 1)), Admit)
    assert isinstance(ask(join=replace(JOIN, expires=NOW + WINDOW_SECONDS_MAX)), Admit)


def test_a_certificate_made_elsewhere_needs_no_spiffe_id_but_may_not_claim_one():
    """Plain certificates ask for any role with spiffe 0; with a claim they are refused."""
    plain = replace(PEER, spiffe=None)
    assert ask(join=replace(JOIN, spiffe=ZERO32, role=int(Role.SWCI)), peer=plain) == Admit(LIFE_ENDS)
    assert isinstance(ask(peer=plain), Refuse)


def test_an_active_member_costs_no_transaction():
    """The same key and the same life again: already in."""
    assert ask(known=KNOWN, holder=OWN) == AlreadyIn()


def test_a_new_certificate_key_is_bound_to_the_old_address():
    """Rotation: another key under the same name rebinds, and extends when the certificate lives longer."""
    old = replace(KNOWN, spki=b"\x07" * 32)
    assert ask(known=old) == Renew(rebind=True, extend_to=None)
    assert ask(known=replace(old, expires=NOW + 60)) == Renew(rebind=True, extend_to=LIFE_ENDS)


def test_an_expired_member_is_extended_or_waits():
    """Open: extended at once. Approve: an operator decides."""
    over = replace(KNOWN, expires=NOW - 1)
    assert ask(known=over, holder=OWN) == Renew(rebind=False, extend_to=LIFE_ENDS)
    assert ask(known=over, holder=OWN, policy=Policy("approve")) == Wait()
    assert ask(known=over, holder=OWN, policy=Policy("approve"), approved=True) == Renew(False, LIFE_ENDS)


def test_under_approve_nobody_new_enters_without_an_operator():
    """A stranger waits; an approved one is admitted; a member that only lives longer stays as it is."""
    policy = Policy("approve")
    assert ask(policy=policy) == Wait()
    assert ask(policy=policy, approved=True) == Admit(LIFE_ENDS)
    assert ask(known=replace(KNOWN, expires=NOW + 60), holder=OWN, policy=policy) == AlreadyIn()


def test_a_revoked_node_comes_back_by_an_operator_only():
    """Even under open a revocation holds until somebody approves."""
    gone = replace(KNOWN, status=Status.REVOKED)
    assert isinstance(ask(known=gone), Refuse)
    assert ask(known=gone, approved=True) == Admit(LIFE_ENDS)


def test_an_expired_certificate_admits_nobody():
    """A certificate that ended (the TLS layer's clock may differ) is refused."""
    assert ask(peer=replace(PEER, not_after=dt.datetime.fromtimestamp(NOW, dt.UTC))).code == "expired"


def test_a_lost_key_has_an_heir_once_it_is_silent():
    """State lost, same certificate: the new key takes the old one's place; a living one is waited for."""
    assert ask(holder=LOST) == Succeed(OTHER, LIFE_ENDS)
    alive = ask(holder=replace(LOST, heard_seconds=SILENT_SECONDS - 4.5))
    assert isinstance(alive, InUse)
    assert alive.wait_seconds == 4.5
    assert "lost its state folder" in alive.reason
    assert ask(holder=replace(LOST, record=replace(KNOWN, expires=NOW - 1))) == Succeed(OTHER, LIFE_ENDS)


def test_under_approve_and_after_many_an_operator_decides_on_an_heir():
    """The policy's rules hold for heirs as for all who come; one certificate cannot fill the chain with them."""
    many = replace(LOST, heirs_today=HEIRS_A_DAY_MAX)
    for asked in ({"policy": Policy("approve"), "holder": LOST}, {"holder": many}, {"holder": LOST, "crowded": True}):
        assert ask(**asked) == Wait()
        assert ask(**asked, approved=True) == Succeed(OTHER, LIFE_ENDS)
    assert ask(holder=replace(LOST, heirs_today=HEIRS_A_DAY_MAX - 1)) == Succeed(OTHER, LIFE_ENDS)


def test_attack_an_heir_needs_what_any_node_needs():
    """Its own key's signature, and the certificate's key on the connection; as SN, its name or an operator."""
    assert ask(holder=LOST, recovered=OTHER).code == "signature"
    assert ask(holder=LOST, join=replace(JOIN, spki=b"\x06" * 32)).code == "spki"
    plain = replace(PEER, spiffe=None)
    join = replace(JOIN, role=int(Role.SN), spiffe=ZERO32)
    sn = replace(LOST, record=replace(KNOWN, role=Role.SN, spiffe=ZERO32))
    assert ask(holder=sn, join=join, peer=plain) == Wait()
