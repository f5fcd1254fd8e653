"""A lost key's heir: a pure decision on a request whose certificate's key belongs to another member.

A node whose state folder is gone has a new chain key and its old certificate. It takes the old key's place, as another
member, when nothing speaks against it: the old key is silent, so it is not a second node with a copied certificate.
What of the two counts in which round is the contracts' rule (``Membership.succeed``, docs/protocol.md section 1).

======================================  ==========================================================================
the certificate's key belongs to        decision
======================================  ==========================================================================
another one, and this key is revoked    Refuse: it had an heir
a member that is not active any more    Refuse: nobody comes back by this way
a member of another role, site or id    Refuse
the owner of the contracts              Refuse: its rights cannot be passed on
a member that may be alive              InUse: the node asks again, for a while
a silent member                         Succeed (Wait for an operator under "approve", or after many)
======================================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.alive import SILENT_SECONDS
from swarm.core.chain_view import Member, Status
from swarm.core.ids import Address, to_hex
from swarm.core.statements import Join

HEIRS_A_DAY_MAX = 12
"""Of one certificate, at one SN, without an operator: each is a member on chain for good, with a grant."""
OWN_CERTIFICATE = "every node needs a certificate and a chain key of its own"


@dataclass(frozen=True, slots=True)
class Holder:
    """The member that holds the certificate's key.

    Args:
        heard_seconds: since it may have been alive last.
        owner: it owns the contracts.
        heirs_today: of this certificate's key, at this SN in the last day.
    """

    node: Address
    record: Member
    heard_seconds: float
    owner: bool = False
    heirs_today: int = 0


@dataclass(frozen=True, slots=True)
class Succeed:
    old: Address
    expires: int


@dataclass(frozen=True, slots=True)
class InUse:
    """The key may have a living node: ask again in so many seconds."""

    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    code: str
    reason: str


def succession(join: Join, holder: Holder, known: Member | None, now: int) -> InUse | Refused | None:
    """What speaks against an heir; None: nothing, so policy decides.

    Args:
        known: the record of ``join.node``.
        now: wall clock in seconds.
    """
    who = f"this certificate's key belongs to member {to_hex(holder.node)}"
    record = holder.record
    if known is not None and known.status is Status.REVOKED:
        return Refused(
            "revoked",
            f"status: this chain key is revoked, and {to_hex(holder.node)} took its place under this certificate: go "
            "on with that node's state folder; with a new one this node takes its place back once that one is silent",
        )
    if known is not None and known.status is not Status.NONE:
        return Refused(
            "key_taken", f"spki: {who}, and this chain key to another member of this swarm; {OWN_CERTIFICATE}"
        )
    if record.status is not Status.ACTIVE:
        return Refused("revoked", f"status: {who}, which is {record.status.name.lower()}; an operator has to decide")
    if record.spki != join.spki:
        return Refused("key_taken", f"spki: {who}, which has a newer certificate by now: use that one")
    same = (("role", record.role, join.role), ("site", record.site, join.site), ("spiffe", record.spiffe, join.spiffe))
    for name, theirs, asked in same:
        if theirs != asked:
            return Refused("key_taken", f"{name}: {who}, which has another one; {OWN_CERTIFICATE}")
    if holder.owner:
        return Refused(
            "key_taken",
            f"node: {who}, the owner of this swarm's contracts, whose rights cannot be passed on: give this node its "
            "state folder again (--state-dir)",
        )
    if holder.heard_seconds < SILENT_SECONDS:
        return InUse(
            f"spki: {who}, which may be alive (heard of {holder.heard_seconds:.0f} s ago): {OWN_CERTIFICATE}. "
            "If that is this node, which lost its state folder, it is let in once the old one was silent "
            f"for {SILENT_SECONDS:.0f} s",
            SILENT_SECONDS - holder.heard_seconds,
        )
    return None
