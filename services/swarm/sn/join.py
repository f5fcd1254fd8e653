"""Who may join: a pure decision over a signed request, the TLS peer that sent it and what the chain says.

Owns the rules of admission (docs/wire-formats.md 1 and 5). The adapter that reads the chain, keeps nonces and
sends the transaction is :mod:`swarm.sn.admission`.

=================  ======================  ==============================================================
record on chain    request                 decision
=================  ======================  ==============================================================
none               proofs hold             Admit (Wait for an operator under "approve", or if many are in)
active             same key, same life     AlreadyIn: no transaction
active             new certificate key     Renew: rebind, and extend if the certificate lives longer
expired            proofs hold             Renew with extend (Wait under "approve")
suspended          any                     Refuse
another's key      proofs hold             as an heir: :mod:`swarm.sn.heirs`
revoked            proofs hold             Refuse; Admit once an operator approved it
as SN              no name in certificate  as under "approve": it will seal and admit others
as SN              this SN cannot          Refuse: embedded chain, or no address of its own
=================  ======================  ==============================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from eth_hash.auto import keccak

from swarm.core.chain_view import Member, Role, Status
from swarm.core.ids import ZERO32, Address
from swarm.core.statements import Join
from swarm.net.identity import PeerIdentity

from .heirs import HEIRS_A_DAY_MAX, Holder, InUse, Refused, Succeed, succession

WINDOW_SECONDS_MAX = 600
"""A request lives at most this long; its nonce is kept as long."""
OPEN_MEMBERS_MAX = 1000
"""Nodes admitted without an operator, ever. Each costs the chain and all nodes a little for good, and who owns a
trusted CA can be any number of nodes: above this an operator approves each."""
EXTEND_SLACK_SECONDS = 3600
"""A membership is not extended for less gain than this."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Args: member_seconds: longest membership, None for the certificate's life; no_sns: why no SN may come, or ""."""

    admission: Literal["open", "approve"] = "open"
    member_seconds: int | None = None
    no_sns: str = ""


@dataclass(frozen=True, slots=True)
class Admit:
    expires: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Args: rebind: bind the new certificate key; extend_to: new expiry, None to leave it."""

    rebind: bool
    extend_to: int | None


@dataclass(frozen=True, slots=True)
class AlreadyIn:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """An operator must approve first; the node asks again."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Args: code: a stable word for programs; reason: one sentence that names the field at fault."""

    code: str
    reason: str


Decision = Admit | Renew | Succeed | AlreadyIn | Wait | InUse | Refuse


def decide(
    join: Join,
    *,
    recovered: Address | None,
    peer: PeerIdentity,
    now: int,
    policy: Policy,
    known: Member | None,
    holder: Holder | None,
    nonce_seen: bool,
    approved: bool,
    crowded: bool = False,
) -> Decision:
    """The table above; checks proofs first, then the window, then the record.

    Args:
        recovered: who signed the request, None if the signature is malformed.
        now: wall clock in seconds.
        known: the record of ``join.node``, None if it was never admitted.
        holder: the member that holds the certificate's key now, None if nobody.
        nonce_seen: this nonce was used within its window.
        approved: an operator confirmed this address.
        crowded: OPEN_MEMBERS_MAX were admitted already.
    """
    refusal = _proofs(join, recovered, peer) or _certificate(join, peer) or _window(join, now, nonce_seen)
    if refusal is not None:
        return refusal
    lost = holder if holder is not None and holder.node != join.node else None
    against = succession(join, lost, known, now) if lost is not None else None
    if against is not None:
        return Refuse(against.code, against.reason) if isinstance(against, Refused) else against
    if join.role == Role.SN and policy.no_sns:
        return Refuse("no_sns", f"role: {policy.no_sns}")
    if join.role == Role.SN and peer.spiffe is None:
        # An SN seals and admits. A certificate that says nothing of roles is not enough for that by itself.
        policy = replace(policy, admission="approve")
    expires = int(peer.not_after.timestamp())
    if policy.member_seconds is not None:
        expires = min(expires, now + policy.member_seconds)
    if expires <= now:
        return Refuse("expired", "the certificate has expired (not after): issue a new one")
    if lost is not None:
        open_ = policy.admission == "open" and not crowded and lost.heirs_today < HEIRS_A_DAY_MAX
        return Succeed(lost.node, expires) if approved or open_ else Wait()
    if known is None or known.status is Status.NONE:
        return Admit(expires) if approved or (policy.admission == "open" and not crowded) else Wait()
    if known.status is Status.SUSPENDED:
        return Refuse("suspended", "status: this member is suspended; an operator of the swarm must resume it")
    if known.status is Status.REVOKED:
        # Never by itself, or a revocation would last until the next request.
        return Admit(expires) if approved else Refuse("revoked", "status: this member was revoked")
    return _renewal(join, known, expires, now, policy, approved)


def _proofs(join: Join, recovered: Address | None, peer: PeerIdentity) -> Refuse | None:
    if recovered is None or recovered != join.node:
        return Refuse(
            "signature",
            "signature: it was not made by the key of the address in node over this chain's Membership",
        )
    if join.spki != peer.spki:
        return Refuse("spki", "spki: not the key of the certificate that this connection was opened with")
    return None


def _certificate(join: Join, peer: PeerIdentity) -> Refuse | None:
    roles = [role for role in Role if role is not Role.NONE]
    if join.role not in roles:
        return Refuse("role", f"role: {join.role} is none of " + ", ".join(f"{r.value} ({r.name})" for r in roles))
    name = peer.spiffe
    if name is None:
        return None if join.spiffe == ZERO32 else Refuse("spiffe", "spiffe: the certificate has no SPIFFE id: send 0")
    asked = Role(join.role).name.lower()
    if name.role != asked:
        return Refuse("role", f"role: the certificate's URI SAN {name} is for role {name.role}, not for {asked}")
    if join.spiffe != keccak(str(name).encode()):
        return Refuse("spiffe", f"spiffe: not the keccak256 of the certificate's URI SAN {name}")
    if join.site != keccak(name.site.encode()):
        return Refuse("site", f"site: not the keccak256 of the certificate's site {name.site}")
    return None


def _window(join: Join, now: int, nonce_seen: bool) -> Refuse | None:
    if join.expires <= now:
        return Refuse("window", f"expires: the request ended {now - join.expires} s ago; are the clocks in step?")
    if join.expires > now + WINDOW_SECONDS_MAX:
        return Refuse(
            "window",
            f"expires: at most {WINDOW_SECONDS_MAX} s ahead; this is {join.expires - now} s; are the clocks in step?",
        )
    if nonce_seen:
        return Refuse("replay", "nonce: this request was used before; sign a new one")
    return None


def _renewal(join: Join, known: Member, expires: int, now: int, policy: Policy, approved: bool) -> Decision:
    if known.role != join.role:
        return Refuse(
            "role",
            f"role: this node is a member as {known.role.name.lower()}; revoke it before it changes role",
        )
    if known.site != join.site:
        return Refuse("site", "site: this node is a member of another site")
    if known.spiffe != join.spiffe:
        return Refuse("spiffe", "spiffe: this node is a member under another id")
    rebind = known.spki != join.spki
    expired = not known.active_at(now)
    # With a policy's span, a gain of seconds at each join is not worth a transaction: wait for half of it.
    slack = EXTEND_SLACK_SECONDS if policy.member_seconds is None else policy.member_seconds // 2
    extend = expired or expires > known.expires + slack
    if extend and policy.admission == "approve" and not approved:
        # Only an operator prolongs here; a member that has not expired yet goes on as it is.
        if expired:
            return Wait()
        extend = False
    if not rebind and not extend:
        return AlreadyIn()
    return Renew(rebind=rebind, extend_to=expires if extend else None)
