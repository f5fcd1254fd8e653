"""Who should seal the chain, and which one vote leads there: a pure rule that every sealing SN evaluates by itself.

Owns the decision alone; who lives is observed, and votes are cast, in :mod:`swarm.sn.sealing`.

One sealer, or three: of two both must live, of three two, of four three. So with fewer than three SNs that live
there is one sealer (the sentinel if it lives), with three or more there are three; 2 and 4 are only passed through,
one vote at a time, in the order that leaves the most spare sealers alive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from swarm.core.ids import Address

SEALERS = 3


class Life(IntEnum):
    """What is seen of an SN."""

    READY = 0
    """Serves its chain: may be voted in."""
    SHAKY = 1
    """Was seen lately but is not ready now: stays what it is."""
    LEAVING = 2
    """Says that it is about to stop; seals until it is voted out."""
    DEAD = 3
    """Neither an answer nor a block of it for too long."""


@dataclass(frozen=True, slots=True)
class SealerView:
    """One SN that could seal, as seen from here."""

    sealer: Address
    life: Life
    sentinel: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    """Vote this one in, or out."""

    sealer: Address
    seal: bool


def majority(signers: Collection[Address]) -> int:
    return len(signers) // 2 + 1


def target(signers: Collection[Address], sns: Sequence[SealerView]) -> frozenset[Address]:
    """Who should seal.

    Args:
        signers: who may seal at the head.
        sns: all active SNs in the order of their admission.
    """
    ordered = sorted(sns, key=lambda sn: not sn.sentinel)  # stable: the sentinel first, then as admitted
    keep = [sn for sn in ordered if sn.sealer in signers and sn.life <= Life.SHAKY]
    fresh = [sn for sn in ordered if sn.sealer not in signers and sn.life is Life.READY]
    if not keep and not fresh:
        return frozenset(signers)
    if len(keep) + len(fresh) >= SEALERS:
        return frozenset(sn.sealer for sn in (keep + fresh)[:SEALERS])
    first = next((sn for sn in keep + fresh if sn.sentinel), (keep + fresh)[0])
    return frozenset([first.sealer])


def step(signers: Collection[Address], sns: Sequence[SealerView]) -> Vote | None:
    """The vote that every sealer should cast now; None when all is as it should be.

    A signer that belongs to no active SN counts as dead: it is voted out like one.
    """
    now, wanted = frozenset(signers), target(signers, sns)
    if now == wanted:
        return None
    lives = {sn.sealer: sn.life for sn in sns}
    order = {sn.sealer: place for place, sn in enumerate(sns)}

    def rank(vote: Vote) -> tuple[object, ...]:
        after = now | {vote.sealer} if vote.seal else now - {vote.sealer}
        alive = sum(1 for one in after if lives.get(one, Life.DEAD) is not Life.DEAD)
        life = lives.get(vote.sealer, Life.DEAD)
        place = order.get(vote.sealer, len(order))
        # Most spare sealers first; then the worst leave before others come, the last admitted before the first.
        return (majority(after) - alive, vote.seal, place if vote.seal else (-life, -place), vote.sealer)

    votes = [Vote(one, True) for one in wanted - now]
    if len(now) > 1:
        votes += [Vote(one, False) for one in now - wanted]
    return min(votes, key=rank)
