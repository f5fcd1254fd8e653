"""The Membership contract as plain Python: who may take part, as what, until when.

Owns the rules and refusals of contracts/src/Membership.sol, for tests that compare the two and for the
simulator. Grants of ether and ownership are the chain's business and are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import Reverted
from swarm.core.ids import ZERO32, Address

OVERLAP_SECONDS_MAX = 7 * 24 * 3600
PAGE_MEMBERS_MAX = 250
TEXT_BYTES_MAX = 256
ANNOUNCE_SECONDS, ANNOUNCE_BURST = 60, 100
_NOBODY = Address(bytes(20))


@dataclass(frozen=True, slots=True)
class Tx:
    """Who sends a call, and the block it lands in (time in whole seconds)."""

    sender: Address
    block: int
    time: int


@dataclass(frozen=True, slots=True)
class Event:
    """A log: the event's ABI name, and its values by their snake_case names."""

    name: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class _Spell:
    """A stretch of activity: until somebody ended it in block ``end``, or it ran out at ``until``."""

    until: int
    end: int | None = None


@dataclass(slots=True)
class _Record:
    role: Role
    status: Status
    spki: bytes
    spiffe: bytes
    site: bytes
    expires: int
    since: int
    changed: int
    old_spki: bytes = ZERO32
    old_until: int = 0
    counts_after: int = 0
    announced_until: int = 0
    spells: list[_Spell] = field(default_factory=list)


class MembershipModel:
    """Each mutating method returns the events it emits.

    Raises:
        Reverted: with the contract's error name and values; nothing has changed then.
    """

    def __init__(self, deployer: Address) -> None:
        self._records: dict[Address, _Record] = {}
        self._owner = deployer
        self._admitters = {deployer}
        self.version = 0

    def admit(
        self, tx: Tx, node: Address, spki: bytes, spiffe: bytes, site: bytes, role: Role, expires: int
    ) -> list[Event]:
        self._only_admitter(tx)
        _future(tx, expires)
        old = self._records.get(node)
        if old and old.status in (Status.ACTIVE, Status.SUSPENDED):
            raise Reverted("MembershipAlready", {"node": node, "status": old.status})
        self._free(tx, spki, node)
        _enterable(node, role)
        spells = [*old.spells, _Spell(expires)] if old else [_Spell(expires)]
        self._records[node] = _Record(
            role, Status.ACTIVE, spki, spiffe, site, expires, tx.block, tx.block, spells=spells
        )
        self._records[node].announced_until = old.announced_until if old else 0
        self._records[node].counts_after = old.counts_after if old else 0
        self.version += 1
        values = {"node": node, "role": role, "spki": spki, "site": site, "expires": expires}
        return [Event("MemberAdmitted", values)]

    def restore(
        self,
        tx: Tx,
        node: Address,
        spki: bytes,
        spiffe: bytes,
        site: bytes,
        role: Role,
        status: Status,
        expires: int,
    ) -> list[Event]:
        """A member as an earlier chain had it."""
        self._only_admitter(tx)
        if status == Status.NONE:
            raise Reverted("MembershipWrongStatus", {"node": node, "status": status})
        if node in self._records:
            raise Reverted("MembershipAlready", {"node": node, "status": self._records[node].status})
        if spki != ZERO32 or status != Status.REVOKED:
            self._free(tx, spki, node)
        _enterable(node, role)
        spells = [_Spell(expires)] if status == Status.ACTIVE else []
        self._records[node] = _Record(role, status, spki, spiffe, site, expires, tx.block, tx.block, spells=spells)
        self.version += 1
        values = {"node": node, "role": role, "spki": spki, "site": site, "expires": expires}
        ended = {Status.SUSPENDED: "MemberSuspended", Status.REVOKED: "MemberRevoked"}.get(status)
        more = [] if ended is None else [Event(ended, {"node": node, "by": tx.sender})]
        return [Event("MemberAdmitted", values), *more]

    def suspend(self, tx: Tx, node: Address) -> list[Event]:
        self._only_admitter(tx)
        record = self._known(node)
        if record.status != Status.ACTIVE:
            raise Reverted("MembershipWrongStatus", {"node": node, "status": record.status})
        _end_spell(tx, record)
        record.status = Status.SUSPENDED
        return self._touched(tx, record, Event("MemberSuspended", {"node": node, "by": tx.sender}))

    def resume(self, tx: Tx, node: Address) -> list[Event]:
        self._only_admitter(tx)
        record = self._known(node)
        if record.status != Status.SUSPENDED:
            raise Reverted("MembershipWrongStatus", {"node": node, "status": record.status})
        _future(tx, record.expires)
        record.status = Status.ACTIVE
        record.spells.append(_Spell(record.expires))
        return self._touched(tx, record, Event("MemberResumed", {"node": node, "by": tx.sender}))

    def revoke(self, tx: Tx, node: Address) -> list[Event]:
        if tx.sender != node:
            self._only_admitter(tx)
        return self._revoked(tx, node, self._not_revoked(node))

    def succeed(self, tx: Tx, old: Address, heir: Address, expires: int) -> list[Event]:
        """A node that lost its key comes back under the same certificate; at most one of the two counts in a round."""
        self._only_admitter(tx)
        _future(tx, expires)
        record = self._known(old)
        if record.status != Status.ACTIVE:
            raise Reverted("MembershipWrongStatus", {"node": old, "status": record.status})
        if old == self._owner:
            raise Reverted("MembershipOwner", {"node": old})
        if heir in self._records:
            raise Reverted("MembershipAlready", {"node": heir, "status": self._records[heir].status})
        _enterable(heir, record.role)
        r, spki = record, record.spki
        record.spki, record.old_spki, record.old_until = ZERO32, ZERO32, 0
        events = self._revoked(tx, old, record)
        spells = [_Spell(expires)]
        self._records[heir] = _Record(
            r.role, Status.ACTIVE, spki, r.spiffe, r.site, expires, tx.block, tx.block, spells=spells
        )
        self._records[heir].counts_after = tx.block
        self.version += 1
        values = {"node": heir, "role": r.role, "spki": spki, "site": r.site, "expires": expires}
        return [*events, Event("MemberAdmitted", values), Event("MemberSucceeded", {"old": old, "heir": heir})]

    def _revoked(self, tx: Tx, node: Address, record: _Record) -> list[Event]:
        if record.status == Status.ACTIVE:
            _end_spell(tx, record)
        record.status = Status.REVOKED
        events = self._touched(tx, record, Event("MemberRevoked", {"node": node, "by": tx.sender}))
        return events + (self.set_admitter(node, False) if node in self._admitters else [])

    def extend(self, tx: Tx, node: Address, expires: int) -> list[Event]:
        self._only_admitter(tx)
        record = self._not_revoked(node)
        _future(tx, expires)
        if record.status == Status.ACTIVE:
            if tx.time > record.expires:
                record.spells.append(_Spell(expires))
            else:
                record.spells[-1].until = expires
        record.expires = expires
        return self._touched(tx, record, Event("MemberExtended", {"node": node, "expires": expires}))

    def rebind(self, tx: Tx, node: Address, spki: bytes, overlap_seconds: int) -> list[Event]:
        self._only_admitter(tx)
        record = self._not_revoked(node)
        if overlap_seconds > OVERLAP_SECONDS_MAX:
            limits = {"overlapSeconds": overlap_seconds, "overlapSecondsMax": OVERLAP_SECONDS_MAX}
            raise Reverted("MembershipOverlapTooLong", limits)
        self._free(tx, spki, node)
        if record.spki == spki:
            raise Reverted("MembershipKeyTaken", {"spki": spki, "holder": node})
        record.old_spki, record.old_until, record.spki = record.spki, tx.time + overlap_seconds, spki
        values = {"node": node, "spki": spki, "old_key_until": record.old_until}
        return self._touched(tx, record, Event("MemberRebound", values))

    def set_admitter(self, who: Address, allowed: bool) -> list[Event]:
        """As the owner."""
        (self._admitters.add if allowed else self._admitters.discard)(who)
        return [Event("AdmitterSet", {"who": who, "allowed": allowed})]

    def announce(self, tx: Tx, uri: str, enode: str, sealer: Address) -> list[Event]:
        if self.member(tx.sender).role != Role.SN or not self.is_active(tx.sender, tx.time):
            raise Reverted("MembershipNotSn", {"caller": tx.sender})
        for name, text in (("Uri", uri), ("Enode", enode)):
            if len(text.encode()) > TEXT_BYTES_MAX:
                values = {"bytesLength": len(text.encode()), "bytesMax": TEXT_BYTES_MAX}
                raise Reverted(f"Membership{name}TooLong", values)
        record = self._records[tx.sender]
        until, most = max(record.announced_until, tx.time), tx.time + ANNOUNCE_SECONDS * (ANNOUNCE_BURST - 1)
        if until > most:
            raise Reverted("MembershipAnnouncedTooOften", {"caller": tx.sender, "waitSeconds": until - most})
        record.announced_until = until + ANNOUNCE_SECONDS
        return [Event("Announced", {"node": tx.sender, "uri": uri, "enode": enode, "sealer": sealer})]

    def is_admitter(self, who: Address, now: int) -> bool:
        """A member's right rests while it is not active, but for the owner's."""
        rests = who in self._records and who != self._owner and not self.is_active(who, now)
        return who in self._admitters and not rests

    def member(self, node: Address) -> Member:
        r = self._records.get(node)
        if r is None:
            return Member(Role.NONE, Status.NONE, ZERO32, ZERO32, ZERO32, 0, 0, 0)
        return Member(r.role, r.status, r.spki, r.spiffe, r.site, r.expires, r.since, r.changed)

    def members(self, start: int, count: int) -> list[tuple[Address, Member]]:
        """A page of all ever admitted, at most 250."""
        page = list(self._records)[start : start + min(count, PAGE_MEMBERS_MAX)]
        return [(node, self.member(node)) for node in page]

    def counts_after(self, node: Address) -> int:
        """Of an heir: the block of its admission."""
        record = self._records.get(node)
        return record.counts_after if record is not None else 0

    def holder_of(self, spki: bytes, time: int) -> Address:
        for node, record in self._records.items():
            if spki == record.spki != ZERO32 or (spki == record.old_spki != ZERO32 and time < record.old_until):
                return node
        return _NOBODY

    def is_active(self, node: Address, time: int) -> bool:
        return self.active_until(node, time) != 0

    def active_until(self, node: Address, time: int) -> int:
        record = self._records.get(node)
        if record is None or record.status != Status.ACTIVE or time > record.expires:
            return 0
        return record.expires

    def was_active_since(self, node: Address, since_block: int, since_time: int) -> bool:
        """Some spell was ended after that block, or ran (or runs) out at that time or later."""
        record = self._records.get(node)
        return record is not None and any(
            s.until >= since_time if s.end is None else s.end > since_block for s in record.spells
        )

    def _only_admitter(self, tx: Tx) -> None:
        if not self.is_admitter(tx.sender, tx.time):
            raise Reverted("MembershipNotAdmitter", {"caller": tx.sender})

    def _known(self, node: Address) -> _Record:
        if node not in self._records:
            raise Reverted("MembershipUnknown", {"node": node})
        return self._records[node]

    def _not_revoked(self, node: Address) -> _Record:
        record = self._known(node)
        if record.status == Status.REVOKED:
            raise Reverted("MembershipWrongStatus", {"node": node, "status": record.status})
        return record

    def _free(self, tx: Tx, spki: bytes, node: Address) -> None:
        if spki == ZERO32:
            raise Reverted("MembershipEmptyKey", {"node": node})
        holder = self.holder_of(spki, tx.time)
        if holder not in (_NOBODY, node):
            raise Reverted("MembershipKeyTaken", {"spki": spki, "holder": holder})

    def _touched(self, tx: Tx, record: _Record, event: Event) -> list[Event]:
        record.changed = tx.block
        self.version += 1
        return [event]


def _enterable(node: Address, role: Role) -> None:
    if node == _NOBODY:
        raise Reverted("MembershipUnknown", {"node": node})
    if role == Role.NONE:
        raise Reverted("MembershipBadRole", {"role": int(role)})


def _end_spell(tx: Tx, record: _Record) -> None:
    if tx.time <= record.expires:
        record.spells[-1].end = tx.block


def _future(tx: Tx, expires: int) -> None:
    if expires <= tx.time:
        raise Reverted("MembershipExpiryPast", {"expires": expires, "nowSeconds": tx.time})
