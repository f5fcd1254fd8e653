"""Carries out joins: reads what a decision needs, keeps nonces, sends the transaction that it asks for.

The rules are :func:`swarm.sn.join.decide`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from swarm.chain.membership import Membership
from swarm.chain.rpc import RpcUnreachable
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.statements import MEMBERSHIP_DOMAIN, Join, Signature, Verifier, domain_separator
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity
from swarm.node.rates import Buckets
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .approvals import Approvals
from .heirs import Holder, InUse, Succeed
from .join import OPEN_MEMBERS_MAX, Admit, AlreadyIn, Policy, Refuse, Renew, Wait, decide

log = logging.getLogger(__name__)

JOINS_PER_SECOND, JOINS_BURST = 1.0, 10.0
"""A peer's requests to join; each costs a signature check and some calls."""
JOINS_WAITING_MAX = 64
BODY_BYTES_MAX = 16 * 1024
OVERLAP_SECONDS = 3600
"""How long the old key of a member still works after a new one was bound."""
NONCE_PREFIX = "join-nonce/"
HEIR_PREFIX = "join-heir/"
DAY_SECONDS = 86_400


class Admission:
    """Answers ``POST /v1/join``.

    Args:
        journal: keeps the nonces of used requests until their windows end, and for a day who became an heir.
        alive_at: when a member may have been alive last, wall clock in seconds.
        clock: wall clock in seconds.
    """

    def __init__(
        self,
        membership: Membership,
        journal: Journal,
        approvals: Approvals,
        verifier: Verifier,
        policy: Policy,
        waits: Waits,
        *,
        alive_at: Callable[[Address], float],
        buckets: Buckets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._alive_at = alive_at
        self.policy = policy
        self._membership = membership
        self._journal = journal
        self._approvals = approvals
        self._verifier = verifier
        self._waits = waits
        self._buckets = buckets or Buckets(JOINS_PER_SECOND, JOINS_BURST)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asking = 0
        self._domain: Digest = domain_separator(MEMBERSHIP_DOMAIN, membership.client.chain_id, membership.address)

    async def ask(self, peer: PeerIdentity, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and answer to one request to join.

        Raises:
            ApiError: the request cannot be read (422), is refused (403), or comes too often (429, 503).
            ChainFault: the chain did not take the admission.
        """
        wait = self._buckets.take(peer.spki)
        if wait:
            raise ApiError(
                429, "too_many_requests", f"wait {wait:.1f} s before this node asks to join again", wait=wait
            )
        join, signature = parse_request(body)
        if self._asking >= JOINS_WAITING_MAX:
            raise ApiError(503, "busy", f"{self._asking} other nodes are joining at this moment; ask again")
        self._asking += 1
        try:
            # One at a time: two requests with one nonce, or for one key, must not both pass.
            async with self._lock:
                return await self._decided(peer, join, signature)
        except RpcUnreachable as error:
            # As while geth restarts to meet a new SN: not this request's fault, nor for long.
            raise ApiError(503, "chain_away", "the chain of this SN does not answer now; ask again") from error
        finally:
            self._asking -= 1

    async def _decided(self, peer: PeerIdentity, join: Join, signature: Signature) -> tuple[int, dict[str, Any]]:
        now = int(self._clock())
        known = await self._membership.member(join.node)
        holder = await self._holder(join, now)
        told = _told(peer, join, holder)
        decision = decide(
            join,
            recovered=self._verifier.recover(join.digest(self._domain), signature),
            peer=peer,
            now=now,
            policy=self.policy,
            known=known,
            holder=holder,
            nonce_seen=await asyncio.to_thread(self._seen, join, now),
            approved=self._approvals.is_approved(join.node, told),
            crowded=await self._membership.has_members(OPEN_MEMBERS_MAX),
        )
        node = to_hex(join.node)
        if isinstance(decision, Refuse):
            log.warning("join of %s with %s refused: %s", node, peer, decision.reason)
            raise ApiError(403, decision.code, decision.reason)
        if isinstance(decision, InUse):
            raise ApiError(503, "key_in_use", decision.reason, wait=decision.wait_seconds)
        if isinstance(decision, Wait):
            if not self._approvals.wait(join.node, told):
                raise ApiError(503, "busy", "too many nodes wait for approval; the operator must answer some")
            log.info("%s (%s) asks to join and waits for approval: swarm approve %s", node, peer, node)
            return 202, {"node": node, "admitted": False, "waiting": "approval"}
        if not isinstance(decision, AlreadyIn) and not await self._membership.is_admitter(
            self._membership.client.address
        ):
            why = "this SN may not admit yet: the sentinel gives it the right soon after it has joined"
            raise ApiError(503, "no_admitter", f"{why}; ask again, or ask another SN")
        await asyncio.to_thread(self._journal.put, NONCE_PREFIX + join.nonce.hex(), str(join.expires).encode())
        if isinstance(decision, AlreadyIn):
            self._approvals.done(join.node)  # one that outlived a crash would let the node in again after a revocation
            return 200, {"node": node, "admitted": True, "block": known.since}
        with self._waits.row(what="admission on chain", whom=node, then="the node is told and asks again"):
            block = await self._act(decision, join)
        self._approvals.done(join.node)
        return 200, {"node": node, "admitted": True, "block": block}

    async def _holder(self, join: Join, now: int) -> Holder | None:
        """Who holds the certificate's key; more is asked only of another member than the one that asks."""
        node = await self._membership.holder_of(join.spki)
        if node is None:
            return None
        record = await self._membership.member(node)
        if node == join.node:
            return Holder(node, record, 0.0)
        return Holder(
            node,
            record,
            max(0.0, self._clock() - self._alive_at(node)),
            owner=await self._membership.owner() == node,
            heirs_today=await asyncio.to_thread(self._heirs, join, now),
        )

    def _heirs(self, join: Join, now: int) -> int:
        """How many heirs this certificate's key had within a day; forgets older ones."""
        kept = self._journal.items(HEIR_PREFIX)
        over = [key for key, at in kept if int(at) <= now - DAY_SECONDS]
        if over:
            self._journal.batch({}, over)
        return sum(1 for key, _ in kept if key not in over and key.startswith(_heirs_of(join)))

    async def _act(self, decision: Admit | Renew | Succeed, join: Join) -> int:
        """Send the decision's transactions; the block of the last."""
        membership, node = self._membership, join.node
        block = 0
        try:
            if isinstance(decision, Admit):
                receipt = await membership.admit(
                    node,
                    spki=join.spki,
                    spiffe=join.spiffe,
                    site=join.site,
                    role=Role(join.role),
                    expires=decision.expires,
                )
                log.info("%s joined as %s until %s", to_hex(node), Role(join.role).name, decision.expires)
                return receipt.block
            if isinstance(decision, Succeed):
                at = str(int(self._clock())).encode()
                await asyncio.to_thread(self._journal.put, _heirs_of(join) + join.nonce.hex(), at)
                receipt = await membership.succeed(decision.old, node, decision.expires)
                log.warning(
                    "%s takes the place of %s under the same certificate: its key is lost; that one is revoked",
                    to_hex(node),
                    to_hex(decision.old),
                )
                return receipt.block
            if decision.extend_to is not None:
                block = (await membership.extend(node, decision.extend_to)).block
                log.info("%s extended to %s", to_hex(node), decision.extend_to)
            if decision.rebind:
                block = (await membership.rebind(node, join.spki, OVERLAP_SECONDS)).block
                log.info("%s bound to the new certificate key %s", to_hex(node), to_hex(join.spki))
        except Reverted as error:
            # The record changed meanwhile, as after a crash with the same admission under way.
            raise ApiError(503, "chain_refused", f"{error}; ask again") from error
        return block

    def _seen(self, join: Join, now: int) -> bool:
        """Whether the nonce was used; forgets those whose windows are over."""
        kept = self._journal.items(NONCE_PREFIX)
        over = [key for key, until in kept if int(until) <= now]
        if over:
            self._journal.batch({}, over)
        return any(key == NONCE_PREFIX + join.nonce.hex() for key, _ in kept)


def _heirs_of(join: Join) -> str:
    return f"{HEIR_PREFIX}{join.spki.hex()}/"


def _told(peer: PeerIdentity, join: Join, holder: Holder | None) -> dict[str, Any]:
    """What an operator is shown of a request, and so approves: nothing else passes by that approval."""
    told = {
        "role": Role(join.role).name.lower() if join.role in list(Role) else str(join.role),
        "certificate": str(peer),
        "key": to_hex(join.spki),
        "site": to_hex(join.site),
    }
    if holder is not None and holder.node != join.node:
        told["instead"] = to_hex(holder.node)
    return told


def parse_request(body: bytes) -> tuple[Join, Signature]:
    """Read ``{"join": Join, "signature": hex}`` strictly; raises ApiError 422."""
    try:
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"a request to join has at most {BODY_BYTES_MAX} bytes")
        data = json.loads(body)
        if not isinstance(data, dict) or set(data) != {"join", "signature"}:
            raise ValueError("expected exactly the fields join and signature")
        return Join.from_json(data["join"]), Signature.from_json(data["signature"])
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "bad_request", str(error)) from None
