"""The Membership contract: who may take part, as what, until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from swarm.core.chain_view import Member, Role, Status
from swarm.core.ids import Address

from .client import Receipt
from .facade import OWNED_FUNCTIONS, Owned

GRANT_WEI = 10**15
"""The one admission grant, 0.001 ether: lasts for ever at 1 wei a gas (docs/chain.md, Fees)."""
GAS_ADMIT = 500_000
PAGE = 250


class Membership(Owned):
    CONTRACT = "Membership"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {
        **OWNED_FUNCTIONS,
        "admit": "admit",
        "restore": "restore",
        "suspend": "suspend",
        "resume": "resume",
        "revoke": "revoke",
        "extend": "extend",
        "rebind": "rebind",
        "succeed": "succeed",
        "announce": "announce",
        "setAdmitter": "set_admitter",
        "isAdmitter": "is_admitter",
        "member": "member",
        "holderOf": "holder_of",
        "isActive": "is_active",
        "activeUntil": "active_until",
        "wasActiveSince": "was_active_since",
        "countsAfter": "counts_after",
        "version": "version",
        "members": "members",
    }

    async def admit(
        self,
        node: Address,
        *,
        spki: bytes,
        spiffe: bytes,
        site: bytes,
        role: Role,
        expires: int,
        grant: int = GRANT_WEI,
    ) -> Receipt:
        """Admit a node with its grant in wei; ``expires`` is block time in seconds. Admitters only."""
        return await self._send("admit", node, spki, spiffe, site, int(role), expires, gas=GAS_ADMIT, value=grant)

    async def restore(self, node: Address, record: Member, grant: int) -> Receipt:
        """Enter a member as an earlier chain had it: role, status, names, key and expiry. Admitters only."""
        r = record
        words = (node, r.spki, r.spiffe, r.site, int(r.role), int(r.status), r.expires)
        return await self._send("restore", *words, gas=GAS_ADMIT, value=grant)

    async def suspend(self, node: Address) -> Receipt:
        return await self._send("suspend", node)

    async def resume(self, node: Address) -> Receipt:
        return await self._send("resume", node)

    async def revoke(self, node: Address) -> Receipt:
        """End a membership at once. An admitter, or the node itself."""
        return await self._send("revoke", node)

    async def extend(self, node: Address, expires: int) -> Receipt:
        return await self._send("extend", node, expires)

    async def rebind(self, node: Address, spki: bytes, overlap_seconds: int) -> Receipt:
        """Bind a new certificate key; the old one stays valid for the overlap (at most 7 days)."""
        return await self._send("rebind", node, spki, overlap_seconds)

    async def succeed(self, old: Address, heir: Address, expires: int, *, grant: int = GRANT_WEI) -> Receipt:
        """Admit ``heir`` with its grant in the place of ``old``, whose key is lost: its certificate key, names and role
        pass over, and ``old`` is revoked in the same transaction. Admitters only."""
        return await self._send("succeed", old, heir, expires, gas=GAS_ADMIT, value=grant)

    async def announce(self, uri: str, enode: str, sealer: Address) -> Receipt:
        """Say where this SN is found; at most 256 bytes of ``uri`` and of ``enode`` each. Active SNs, for themselves.

        Args:
            enode: of its chain node; empty if it has none that others may reach.
            sealer: the address it seals with, all zero if it does not.
        """
        return await self._send("announce", uri, enode, sealer)

    async def set_admitter(self, who: Address, allowed: bool) -> Receipt:
        return await self._send("setAdmitter", who, allowed)

    async def is_admitter(self, who: Address) -> bool:
        return bool(await self._ask("isAdmitter", who))

    async def member(self, node: Address, *, block: int | str = "latest") -> Member:
        """The record of a node; role and status NONE if it was never admitted."""
        return await self._read(_member, "member", node, block=block)

    async def holder_of(self, spki: bytes) -> Address | None:
        """Who holds this certificate key now."""
        found: Address = await self._ask("holderOf", spki)
        return found if any(found) else None

    async def has_members(self, count: int) -> bool:
        """Whether at least ``count`` nodes were ever admitted."""
        nodes, _ = await self._ask("members", count - 1, 1)
        return bool(nodes)

    async def is_active(self, node: Address) -> bool:
        return bool(await self._ask("isActive", node))

    async def active_until(self, node: Address) -> int:
        """Last second (block time) of the membership if it is active now, else 0."""
        return int(await self._ask("activeUntil", node))

    async def was_active_since(self, node: Address, block: int, seconds: int) -> bool:
        """Active at some time since that block, opened at that block time."""
        return bool(await self._ask("wasActiveSince", node, block, seconds))

    async def counts_after(self, node: Address, *, block: int | str = "latest") -> int:
        """Of an heir: the block of its admission, which a round must be opened after for it to count; else 0."""
        return int(await self._ask("countsAfter", node, block=block))

    async def version(self) -> int:
        """Grows with every change of any member; lets readers cache."""
        return int(await self._ask("version"))

    async def members(self) -> dict[Address, Member]:
        """Everybody ever admitted."""
        return await self._list(lambda page: dict(zip(page[0], map(_member, page[1]), strict=True)), PAGE, "members")


def _member(record: dict[str, Any]) -> Member:
    return Member(
        role=Role(record["role"]),
        status=Status(record["status"]),
        spki=record["spki"],
        spiffe=record["spiffe"],
        site=record["site"],
        expires=record["expires"],
        since=record["since"],
        changed_block=record["changedBlock"],
    )
